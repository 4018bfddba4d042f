//! The rectifier of complex numbers (modReLU; Arjovsky, Shah & Bengio 2016, equation 8), the same to the bit on every
//! machine.

use crate::normalise::inverse_root;

/// Added to the modulus that is divided by, as in the authors' program (amarshah/complex_RNN, `models.py`).
const EPSILON: f64 = 1e-5;

/// Sets `out` to `z · max(|z| + b, 0) / (|z| + 10⁻⁵)` for each complex number z: `z` and `out` are real parts, then
/// imaginary ones, `[2n]`, and `bias` is `[n]`.
pub(crate) fn modrelu(z: &[f32], bias: &[f32], out: &mut [f32]) {
    let ((re, im), (out_re, out_im)) = (z.split_at(bias.len()), out.split_at_mut(bias.len()));
    let numbers = re.iter().zip(im).zip(bias);
    for (((re, im), bias), out) in numbers.zip(out_re.iter_mut().zip(out_im)) {
        let square = f64::from(*re) * f64::from(*re) + f64::from(*im) * f64::from(*im);
        let modulus = if square > 0.0 { square * inverse_root(square) } else { 0.0 };
        let scale = ((modulus + f64::from(*bias)).max(0.0) / (modulus + EPSILON)) as f32;
        (*out.0, *out.1) = (scale * re, scale * im);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modulus_moves_by_the_bias_and_the_angle_stays() {
        let mut out = [9.0; 8];
        modrelu(&[3.0, 3.0, 0.0, -3e-20, -4.0, -4.0, 0.0, 0.0], &[-1.0, -6.0, 2.0, 0.0], &mut out);
        let wanted = [2.4, 0.0, 0.0, 0.0, -3.2, 0.0, 0.0, 0.0];
        for (found, wanted) in out.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-5, "{out:?}");
        }
    }
}
