//! The activations against double precision, over a fine sample of all numbers.

use pocketlm_kernels::activation;

/// The relative error that the documentation promises.
const LARGEST_ERROR: f64 = 2e-7;

/// A prime stride through the bit patterns of f32: about 13 million of each sign.
const STRIDE: usize = 163;

/// Calls `check` with finite numbers and what `f` makes of them, some thousand at a time.
fn sampled(f: fn(&mut [f32]), mut check: impl FnMut(f32, f32)) {
    let bits: Vec<u32> = (0..0x7f80_0000u32).step_by(STRIDE).collect();
    for sign in [0, 1 << 31] {
        for chunk in bits.chunks(4096) {
            let x: Vec<f32> = chunk.iter().map(|&b| f32::from_bits(b | sign)).collect();
            let mut y = x.clone();
            f(&mut y);
            x.iter().zip(&y).for_each(|(&x, &y)| check(x, y));
        }
    }
}

/// The largest relative error where `regular` says that the result should be accurate.
fn largest_error(f: fn(&mut [f32]), truth: fn(f64) -> f64, regular: fn(f32) -> bool) -> f64 {
    let mut largest = 0.0f64;
    sampled(f, |x, y| {
        if regular(x) {
            let want = truth(f64::from(x));
            largest = largest.max(((f64::from(y) - want) / want).abs());
        }
    });
    largest
}

#[test]
fn exp_is_accurate() {
    let error = largest_error(activation::exp, f64::exp, |x| (-86.9..=88.72283).contains(&x));
    println!("exp: relative error up to {error:e}");
    assert!(error < LARGEST_ERROR, "{error:e}");
}

#[test]
fn sigmoid_is_accurate() {
    let truth = |x: f64| 1.0 / (1.0 + (-x).exp());
    let error = largest_error(activation::sigmoid, truth, |x| x >= -86.0);
    println!("sigmoid: relative error up to {error:e}");
    assert!(error < LARGEST_ERROR, "{error:e}");
}

#[test]
fn tanh_is_accurate() {
    // Below the normal numbers, a relative error would be that of their few bits.
    let error = largest_error(activation::tanh, f64::tanh, |x| x.abs() >= f32::MIN_POSITIVE);
    println!("tanh: relative error up to {error:e}");
    assert!(error < LARGEST_ERROR, "{error:e}");
}

#[test]
fn ranges_are_kept() {
    sampled(activation::exp, |x, y| assert!(y >= 0.0, "exp({x:e}) = {y:e}"));
    sampled(activation::sigmoid, |x, y| {
        assert!((0.0..=1.0).contains(&y), "sigmoid({x:e}) = {y:e}");
    });
    sampled(activation::tanh, |x, y| {
        assert!(y.abs() <= 1.0, "tanh({x:e}) = {y:e}");
        assert!(y.is_sign_negative() == x.is_sign_negative(), "tanh({x:e}) = {y:e}");
    });
}

#[test]
fn tails_are_defined() {
    let (inf, nan, tiny) = (f32::INFINITY, f32::NAN, f32::from_bits(1));
    let of = |f: fn(&mut [f32]), x: f32| {
        let mut y = [x];
        f(&mut y);
        y[0]
    };
    assert_eq!(of(activation::exp, inf), inf);
    assert_eq!(of(activation::exp, 88.73), inf);
    assert!(of(activation::exp, 88.722).is_finite());
    assert_eq!(of(activation::exp, -inf), 0.0);
    assert_eq!(of(activation::exp, -86.91), 0.0);
    assert_eq!(of(activation::exp, 0.0), 1.0);
    assert_eq!(of(activation::exp, tiny), 1.0);
    assert_eq!(of(activation::sigmoid, inf), 1.0);
    assert_eq!(of(activation::sigmoid, -inf), 0.0);
    assert_eq!(of(activation::sigmoid, -0.0), 0.5);
    assert_eq!(of(activation::tanh, inf), 1.0);
    assert_eq!(of(activation::tanh, -inf), -1.0);
    assert_eq!(of(activation::tanh, -0.0).to_bits(), (-0.0f32).to_bits());
    assert_eq!(of(activation::tanh, tiny), tiny);
    for f in [activation::exp, activation::sigmoid, activation::tanh] {
        assert!(of(f, nan).is_nan());
    }
}
