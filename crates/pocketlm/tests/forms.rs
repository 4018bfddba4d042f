//! Every structure, sparsity and precision against the dense product of what the file holds.

mod common;

use common::{Forms, leaves};
use pocketlm::pack::{Factor, Form, Precision, Product, Sparsity, factor_bytes, round_trip_factor};
use pocketlm::{Model, Random, Session};
use pocketlm_kernels::half;
use proptest::prelude::*;

/// Uniform in ±1.
fn numbers(count: usize, random: &mut Random) -> Vec<f32> {
    (0..count).map(|_| random.unit() as f32 * 2.0 - 1.0).collect()
}

/// Weights `[rows, columns]` of which about `density` are kept, in blocks of 16 rows for panels.
fn weights(
    [rows, columns]: [usize; 2],
    sparsity: Sparsity,
    density: f64,
    random: &mut Random,
) -> Vec<f32> {
    let mut weights = numbers(rows * columns, random);
    match sparsity {
        Sparsity::None => {}
        Sparsity::Unstructured => {
            weights.iter_mut().filter(|_| random.unit() >= density).for_each(|w| *w = 0.0);
        }
        Sparsity::Panels => {
            for panel in weights.chunks_mut(16 * columns) {
                for column in 0..columns {
                    if random.unit() >= density {
                        panel.iter_mut().skip(column).step_by(columns).for_each(|w| *w = 0.0);
                    }
                }
            }
        }
    }
    weights
}

/// Weights with their shape and form.
#[derive(Debug, Clone)]
struct Leaf {
    shape: [usize; 2],
    weights: Vec<f32>,
    form: (Sparsity, Precision),
}

impl Leaf {
    fn new(
        shape: [usize; 2],
        form: (Sparsity, Precision),
        density: f64,
        random: &mut Random,
    ) -> Self {
        Self { shape, weights: weights(shape, form.0, density, random), form }
    }

    fn factor(&self) -> Factor<'_> {
        let ([rows, columns], (sparsity, precision)) = (self.shape, self.form);
        Factor { rows, columns, weights: &self.weights, sparsity, precision }
    }

    fn read(&self) -> Vec<f32> {
        round_trip_factor(&self.factor()).unwrap()
    }

    fn product(&self, batch: usize) -> Product {
        Product::new(self.shape[0], self.shape[1], &Form::Dense(self.factor()), batch).unwrap()
    }

    /// How many weights are stored: a kept column of a panel whole, also where one of its numbers is 0.
    fn kept(&self) -> usize {
        let [_, columns] = self.shape;
        if self.form.0 != Sparsity::Panels {
            return self.weights.iter().filter(|w| **w != 0.0).count();
        }
        let of_panel = |panel: &[f32]| {
            let is_kept =
                |&column: &usize| panel.iter().skip(column).step_by(columns).any(|w| *w != 0.0);
            (0..columns).filter(is_kept).count() * (panel.len() / columns)
        };
        self.weights.chunks(16 * columns).map(of_panel).sum()
    }

    fn is_float(&self) -> bool {
        matches!(self.form.1, Precision::F32 | Precision::F16)
    }
}

/// Adds `w [rows, columns] · x` of each vector in double precision.
fn times(w: &[f32], x: &[f32], columns: usize) -> Vec<f32> {
    let row = |w: &[f32], x: &[f32]| {
        w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>() as f32
    };
    x.chunks_exact(columns).flat_map(|x| w.chunks_exact(columns).map(|w| row(w, x))).collect()
}

/// That two lists agree within `bound` of the largest.
fn near(found: &[f32], wanted: &[f32], bound: f32) {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(1.0f32, |most, x| most.max(x.abs()));
    for (at, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= bound * scale, "{at}: {a} instead of {b}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    // −0 and 0 are the same number.
    values.iter().map(|value| (value + 0.0).to_bits()).collect()
}

/// The product with a batch; checks that each vector alone gives the same, to the bit if `exact`.
fn apply(product: &mut Product, x: &[f32], shape: [usize; 2], exact: bool) -> Vec<f32> {
    apply_within(1e-5, product, x, shape, exact)
}

/// The same where each vector alone may differ by `bound` of the largest.
fn apply_within(
    bound: f32,
    product: &mut Product,
    x: &[f32],
    [rows, columns]: [usize; 2],
    exact: bool,
) -> Vec<f32> {
    let batch = x.len() / columns;
    let mut together = vec![0.25; batch * rows];
    product.apply(x, &mut together).unwrap();
    let mut alone = vec![0.25; batch * rows];
    for (x, out) in x.chunks_exact(columns).zip(alone.chunks_exact_mut(rows)) {
        product.apply(x, out).unwrap();
    }
    if exact {
        assert_eq!(bits(&together), bits(&alone));
    }
    near(&together, &alone, bound);
    together
}

/// What the product of `leaf` alone gives for `x`.
fn composed(leaf: &Leaf, x: &[f32]) -> Vec<f32> {
    composed_onto(0.0, leaf, x)
}

/// The same added to `start`, plane by plane where the leaf is of several.
fn composed_onto(start: f32, leaf: &Leaf, x: &[f32]) -> Vec<f32> {
    let batch = x.len() / leaf.shape[1];
    let mut out = vec![start; batch * leaf.shape[0]];
    leaf.product(batch).apply(x, &mut out).unwrap();
    out
}

fn plus_quarter(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value + 0.25).collect()
}

fn density() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(0.004), Just(0.05), Just(0.5), Just(1.0)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn leaves_agree_with_dense_products(
        rows in 1usize..70, columns in 1usize..700, batch in 1usize..10, density in density(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        for form in leaves() {
            let leaf = Leaf::new([rows, columns], form, density, &mut random);
            let x = numbers(batch * columns, &mut random);
            let mut product = leaf.product(batch);
            let found = apply(&mut product, &x, leaf.shape, !leaf.is_float());
            let read = leaf.read();
            prop_assert_eq!(bits(&product.dense()), bits(&read));
            // Quantised activations are off by half a step of 1/127 at most, each.
            let bound = if leaf.is_float() { 1e-5 } else { 0.5 / 127.0 * columns as f32 };
            near(&found, &plus_quarter(&times(&read, &x, columns)), bound);
            if form.0 != Sparsity::None && form.1 == Precision::Int8 {
                let dense = Leaf { form: (Sparsity::None, form.1), ..leaf.clone() };
                let wanted = apply(&mut dense.product(batch), &x, leaf.shape, true);
                prop_assert_eq!(bits(&found), bits(&wanted));
            }
            let kept = leaf.kept();
            let estimate = factor_bytes(rows, columns, kept, form.0, form.1);
            if form.0 == Sparsity::None {
                prop_assert_eq!(product.bytes(), estimate);
                prop_assert_eq!(product.parameters(), rows * columns);
            }
            if form.0 == Sparsity::Panels {
                prop_assert_eq!(product.parameters(), kept);
                if rows % 16 == 0 {
                    prop_assert!(product.bytes() <= estimate);
                }
            }
        }
    }

    #[test]
    fn low_rank_is_the_product_of_its_factors(
        rows in 1usize..50, columns in 1usize..90, rank in 1usize..40, batch in 1usize..10,
        density in density(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        let forms = leaves();
        for (k, &form) in forms.iter().enumerate() {
            let left = Leaf::new([rows, rank], form, density, &mut random);
            let other = forms[(k * 5 + 3) % forms.len()];
            let right = Leaf::new([rank, columns], other, density, &mut random);
            let form = Form::LowRank { left: left.factor(), right: right.factor() };
            let mut product = Product::new(rows, columns, &form, batch).unwrap();
            let x = numbers(batch * columns, &mut random);
            let exact = !left.is_float() && !right.is_float();
            // Where an integer product follows one of floats, the order of the floats' sums decides what rounds up.
            let bound = if right.is_float() && !left.is_float() { 1e-2 } else { 1e-5 };
            let found = apply_within(bound, &mut product, &x, [rows, columns], exact);
            let wanted = composed_onto(0.25, &left, &composed(&right, &x));
            if exact { prop_assert_eq!(bits(&found), bits(&wanted)) } else { near(&found, &wanted, bound) }
            let (l, r) = (left.read(), right.read());
            let columns_of_right: Vec<f32> =
                (0..columns * rank).map(|at| r[at % rank * columns + at / rank]).collect();
            let dense = times(&columns_of_right, &l, rank);
            near(&product.dense(), &dense, 1e-5);
            if left.is_float() && right.is_float() {
                near(&found, &plus_quarter(&times(&dense, &x, columns)), 1e-5);
            }
        }
    }

    #[test]
    fn a_diagonal_is_added_to_low_rank(
        rows in 1usize..50, columns in 1usize..30, rank in 1usize..9, batch in 1usize..6,
        density in density(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        let forms = leaves();
        for (k, &form) in forms.iter().enumerate() {
            let left = Leaf::new([rows, rank], form, density, &mut random);
            let right = Leaf::new([rank, columns], form, density, &mut random);
            let own = forms[(k * 5 + 3) % forms.len()];
            let diagonal = Leaf::new([rows, 1], own, density, &mut random);
            let low_rank = Form::LowRank { left: left.factor(), right: right.factor() };
            let mut low_rank = Product::new(rows, columns, &low_rank, batch).unwrap();
            let (left, right) = (left.factor(), right.factor());
            let whole = Form::DiagonalLowRank { left, right, diagonal: diagonal.factor() };
            let mut product = Product::new(rows, columns, &whole, batch).unwrap();
            let (mut dense, own) = (low_rank.dense(), diagonal.read());
            own.iter().enumerate().for_each(|(i, d)| dense[i * columns + i % columns] += d);
            prop_assert_eq!(bits(&product.dense()), bits(&dense));
            let x = numbers(batch * columns, &mut random);
            let mut wanted = vec![0.25; batch * rows];
            low_rank.apply(&x, &mut wanted).unwrap();
            for (at, wanted) in wanted.iter_mut().enumerate() {
                let (b, i) = (at / rows, at % rows);
                *wanted += own[i] * x[b * columns + i % columns];
            }
            let mut found = vec![0.25; batch * rows];
            product.apply(&x, &mut found).unwrap();
            prop_assert_eq!(bits(&found), bits(&wanted));
        }
    }

    #[test]
    fn a_tensor_train_is_the_product_of_its_cores(
        modes in prop::collection::vec((1usize..6, 1usize..6), 2..5), ranks in prop::collection::vec(1usize..5, 4),
        batch in 1usize..6, cut in 0usize..4, density in density(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        let (m, n): (Vec<_>, Vec<_>) = modes.iter().copied().unzip();
        let (all_rows, all_columns) = (m.iter().product::<usize>(), n.iter().product::<usize>());
        let rows = all_rows.saturating_sub(cut).max(all_rows.div_ceil(4));
        let columns = all_columns.saturating_sub(cut).max(all_columns.div_ceil(4));
        let rank = |k: usize| if k == 0 || k == m.len() { 1 } else { ranks[k] };
        for (k, _) in leaves().iter().enumerate() {
            let leaf = |core: usize| {
                let form = leaves()[(k + core) % leaves().len()];
                let shape = [m[core] * rank(core + 1), rank(core) * n[core]];
                Leaf::new(shape, form, density, &mut random)
            };
            let cores: Vec<Leaf> = (0..m.len()).map(leaf).collect();
            let factors = cores.iter().map(Leaf::factor).collect();
            let form = Form::TensorTrain { row_modes: &m, column_modes: &n, cores: factors };
            let mut product = Product::new(rows, columns, &form, batch).unwrap();
            let reads: Vec<_> = cores.iter().map(Leaf::read).collect();
            let mut dense = vec![0.0; rows * columns];
            for (at, out) in dense.iter_mut().enumerate() {
                *out = element(&reads, &m, &n, &rank, [at / columns, at % columns]);
            }
            near(&product.dense(), &dense, 1e-5);
            let x = numbers(batch * columns, &mut random);
            let floats = cores.iter().all(Leaf::is_float);
            let integers = !cores.iter().any(Leaf::is_float);
            let found = apply(&mut product, &x, [rows, columns], integers);
            if floats {
                near(&found, &plus_quarter(&times(&dense, &x, columns)), 1e-5);
            }
        }
    }

    /// However a product is computed (turns of the vector, or Fourier transform from 16 on), it is the dense one.
    #[test]
    fn a_block_circulant_matrix_is_its_turned_vectors(
        rows in 1usize..80, columns in 1usize..80, block in prop_oneof![1usize..13, (2u32..7).prop_map(|k| 1 << k)],
        batch in 1usize..5, density in density(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        for form in leaves() {
            let shape = [rows.div_ceil(block), columns.next_multiple_of(block)];
            let leaf = Leaf::new(shape, form, density, &mut random);
            let whole = Form::BlockCirculant { block, vectors: leaf.factor() };
            let mut product = Product::new(rows, columns, &whole, batch).unwrap();
            let dense = common::circulant(&leaf.read(), block, [rows, columns]);
            prop_assert_eq!(bits(&product.dense()), bits(&dense));
            let x = numbers(batch * columns, &mut random);
            let found = apply(&mut product, &x, [rows, columns], !leaf.is_float());
            let wanted = plus_quarter(&times(&dense, &x, columns));
            if leaf.is_float() {
                near(&found, &wanted, 1e-5);
            } else {
                near(&found, &wanted, 0.5 / 127.0 * columns as f32);
                let turned = turns(&x, columns, block);
                let products = composed(&leaf, &turned);
                let at = |v: usize, i: usize| products[(v * block + i % block) * shape[0] + i / block];
                let exact: Vec<f32> = (0..batch * rows).map(|k| at(k / rows, k % rows)).collect();
                prop_assert_eq!(bits(&found), bits(&plus_quarter(&exact)));
            }
        }
    }

    #[test]
    fn block_wise_low_rank_is_low_rank_block_by_block(
        sizes in prop::collection::vec((1usize..30, 1usize..9), 1..5), columns in 1usize..60,
        batch in 1usize..6, density in density(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        let rows = sizes.iter().map(|(rows, _)| rows).sum();
        for (k, &form) in leaves().iter().enumerate() {
            let other = leaves()[(k * 5 + 3) % leaves().len()];
            let mut pair = |&(rows, rank): &(usize, usize)| {
                let left = Leaf::new([rows, rank], form, density, &mut random);
                [left, Leaf::new([rank, columns], other, density, &mut random)]
            };
            let groups: Vec<[Leaf; 2]> = sizes.iter().map(&mut pair).collect();
            let factors = groups.iter().map(|pair| pair.each_ref().map(Leaf::factor)).collect();
            let whole = Form::BlockLowRank { groups: factors };
            let mut product = Product::new(rows, columns, &whole, batch).unwrap();
            let x = numbers(batch * columns, &mut random);
            let exact = !groups[0].iter().any(Leaf::is_float);
            let found = apply(&mut product, &x, [rows, columns], exact);
            let (mut first, dense) = (0, product.dense());
            for ([left, right], &(count, _)) in groups.iter().zip(&sizes) {
                let form = Form::LowRank { left: left.factor(), right: right.factor() };
                let mut alone = Product::new(count, columns, &form, batch).unwrap();
                let mut wanted = vec![0.0; batch * count];
                alone.apply(&x, &mut wanted).unwrap();
                let wanted = plus_quarter(&wanted);
                for (found, wanted) in found.chunks(rows).zip(wanted.chunks(count)) {
                    prop_assert_eq!(bits(&found[first..first + count]), bits(wanted));
                }
                prop_assert_eq!(bits(&dense[first * columns..][..count * columns]), bits(&alone.dense()));
                first += count;
            }
        }
    }

    #[test]
    fn a_toeplitz_like_matrix_is_its_reconstruction(
        rows in 1usize..50, columns in 1usize..50, block in 1usize..24, rank in 1usize..4,
        batch in 1usize..4, density in density(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        let rank = rank.min(block);
        for form in leaves() {
            let shape = [rows.div_ceil(block) * columns.div_ceil(block) * rank, block];
            let [g, h] = [0, 1].map(|_| Leaf::new(shape, form, density, &mut random));
            let whole = Form::ToeplitzLike { block, rank, g: g.factor(), h: h.factor() };
            let mut product = Product::new(rows, columns, &whole, batch).unwrap();
            let dense = common::toeplitz(&[g.read(), h.read()], [block, rank], [rows, columns]);
            near(&product.dense(), &dense, 1e-5);
            let x = numbers(batch * columns, &mut random);
            let found = apply(&mut product, &x, [rows, columns], true);
            near(&found, &plus_quarter(&times(&dense, &x, columns)), 2e-5);
        }
    }
}

proptest! {
    // Its reconstruction takes n³ steps.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_unitary_matrix_is_its_reconstruction(
        power in 0u32..6, batch in 1usize..4, density in density(), scale in 0.01f32..20.0, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let n = 1usize << power;
        for form in leaves() {
            let [mut phases, reflections] =
                [3, 4].map(|rows| Leaf::new([rows, n], form, density, &mut random));
            phases.weights.iter_mut().for_each(|phase| *phase *= scale);
            let whole =
                Form::Unitary { phases: phases.factor(), reflections: reflections.factor() };
            let mut product = Product::new(2 * n, 2 * n, &whole, batch).unwrap();
            let dense = common::unitary(&phases.read(), &reflections.read());
            near(&product.dense(), &dense, 1e-5);
            let x = numbers(batch * 2 * n, &mut random);
            let found = apply(&mut product, &x, [2 * n, 2 * n], true);
            near(&found, &plus_quarter(&times(&dense, &x, 2 * n)), 2e-5);
        }
    }
}

/// All turns of the blocks of vectors, padded: `[batch · block, padded columns]`.
fn turns(x: &[f32], columns: usize, block: usize) -> Vec<f32> {
    let wide = columns.next_multiple_of(block);
    let element = |at: usize| {
        let (v, r, place) = (at / wide / block, at / wide % block, at % wide);
        let turned = place - place % block + (r + block - place % block) % block;
        if turned < columns { x[v * columns + turned] } else { 0.0 }
    };
    (0..x.len() / columns * block * wide).map(element).collect()
}

/// Element `i, j` of a tensor train in double precision.
fn element(
    cores: &[Vec<f32>],
    m: &[usize],
    n: &[usize],
    rank: &dyn Fn(usize) -> usize,
    [mut i, mut j]: [usize; 2],
) -> f32 {
    // From the least significant core to the most, a column vector grows to the left.
    let mut vector = vec![1.0f64];
    for k in (0..cores.len()).rev() {
        let (i_k, j_k) = (i % m[k], j % n[k]);
        (i, j) = (i / m[k], j / n[k]);
        let (before, after) = (rank(k), rank(k + 1));
        let at = |alpha: usize, beta: usize| {
            f64::from(cores[k][(i_k * after + beta) * before * n[k] + alpha * n[k] + j_k])
        };
        let sum = |alpha| (0..after).map(|beta| at(alpha, beta) * vector[beta]).sum::<f64>();
        vector = (0..before).map(sum).collect();
    }
    vector[0] as f32
}

#[test]
fn integer_trains_are_chains_of_leaf_products() {
    // Two cores, by hand: x [n1, n2] → each column j2 through the first core → each i1 through the second.
    let mut random = Random::new(5);
    let (m, n, rank) = ([3, 4], [5, 2], 3);
    let form = (Sparsity::None, Precision::Int8);
    let first = Leaf::new([m[0] * rank, n[0]], form, 1.0, &mut random);
    let second = Leaf::new([m[1], rank * n[1]], form, 1.0, &mut random);
    let x = numbers(10, &mut random);
    let between: Vec<Vec<f32>> = (0..2)
        .map(|j2| composed(&first, &(0..5).map(|j1| x[j1 * 2 + j2]).collect::<Vec<_>>()))
        .collect();
    let wanted: Vec<f32> = (0..3)
        .flat_map(|i1| {
            let vector: Vec<f32> = (0..6).map(|at| between[at % 2][i1 * rank + at / 2]).collect();
            composed(&second, &vector)
        })
        .collect();
    let cores = vec![first.factor(), second.factor()];
    let form = Form::TensorTrain { row_modes: &m, column_modes: &n, cores };
    let mut product = Product::new(12, 10, &form, 1).unwrap();
    let mut found = vec![0.0; 12];
    product.apply(&x, &mut found).unwrap();
    assert_eq!(bits(&found), bits(&wanted));
}

// ---------------------------------------------------------------------------------- whole models

#[test]
fn models_in_mixed_forms_agree_with_themselves_and_with_their_dense_twins() {
    for forms in Forms::all() {
        let (bytes, twin) = forms.bytes_and_twin();
        let model = Model::from_bytes(bytes).unwrap();
        model.verify().unwrap();
        let twin = Model::from_bytes(twin).unwrap();
        let mut row = vec![0.0; 64];
        let mut same = vec![0.0; 64];
        for matrix in model.matrices().iter().filter(|m| m.structure != "vector") {
            for at in 0..matrix.rows {
                model.row(&matrix.name, at, &mut row[..matrix.columns]).unwrap();
                twin.row(&matrix.name, at, &mut same[..matrix.columns]).unwrap();
                near(&row[..matrix.columns], &same[..matrix.columns], 1e-5);
            }
        }
        let mut session = Session::new(&model);
        let mut other = Session::new(&twin);
        let text = "the under a\nthen";
        let score = session.score(text).unwrap();
        assert!((score.nll - other.score(text).unwrap().nll).abs() < 0.2);
        let batch = model.score_batch(&[text, "the", "a an"]).unwrap();
        assert!((batch[0].nll - score.nll).abs() < 1e-3);
        let mut all = vec![0.0; model.vocabulary().len()];
        session.log_probabilities(&mut all).unwrap();
        let best: Vec<f32> =
            session.suggest(5).unwrap().iter().map(|found| found.probability.ln() as f32).collect();
        let mut sorted = all.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        assert!(best.iter().all(|found| sorted.iter().any(|x| (x - found).abs() < 1e-5)));
        other.log_probabilities(&mut sorted).unwrap();
        near(&all, &sorted, 0.02);
    }
}

/// The lowest and the highest level of a code of even steps, and the step.
fn grid(precision: Precision) -> Option<(Precision, [f32; 3])> {
    let levels = match precision {
        Precision::Int5 => [-16.0, 15.0, 1.0],
        Precision::Int4 => [-8.0, 7.0, 1.0],
        Precision::Int3 => [-4.0, 3.0, 1.0],
        Precision::Int2 => [-3.0, 3.0, 2.0],
        Precision::Ternary => [-1.0, 1.0, 1.0],
        Precision::F32
        | Precision::F16
        | Precision::Int8
        | Precision::Codebook
        | Precision::Binary3
        | Precision::Binary2
        | Precision::Product4
        | Precision::Product8 => return None,
    };
    Some((precision, levels))
}

/// Whatever the weights, each is the nearest level times the scale that was given, negative ones too.
#[test]
fn given_scales_are_those_of_the_file() {
    let ([rows, columns], mut random) = ([21, 100], Random::new(4));
    let weights = numbers(rows * columns, &mut random);
    let scales: Vec<f32> = numbers(rows * 2, &mut random);
    for (precision, [low, high, step]) in Precision::ALL.into_iter().filter_map(grid) {
        let count = ((high - low) / step) as u8 + 1;
        let levels: Vec<f32> = (0..count).map(|place| low + step * f32::from(place)).collect();
        let factor =
            Factor { rows, columns, weights: &weights, sparsity: Sparsity::None, precision };
        let form = Form::Scaled { factor, scales: &scales };
        let found = Product::new(rows, columns, &form, 1).unwrap().dense();
        for (at, (found, w)) in found.iter().zip(&weights).enumerate() {
            let scale = half::to_f32(half::from_f32(scales[at / columns * 2 + at % columns / 64]));
            let distance = |level: &&f32| (*level * scale - w).abs();
            let least = levels.iter().map(|level| distance(&level)).fold(f32::INFINITY, f32::min);
            assert!(levels.iter().any(|level| level * scale == *found), "{precision:?} {found}");
            assert!((found - w).abs() <= least + 1e-6, "{precision:?}: {w} as {found}");
        }
    }
}

/// A scale for each whole row: every number is the nearest level times the scale of its row, in int8 as well.
#[test]
fn rows_of_one_given_scale_are_kept() {
    let mut random = Random::new(12);
    let (rows, columns) = (21, 150);
    let weights = numbers(rows * columns, &mut random);
    let scales: Vec<f32> = numbers(rows, &mut random).iter().map(|x| 0.02 + x.abs()).collect();
    for (precision, low, high) in [(Precision::Int8, -127.0, 127.0), (Precision::Int4, -8.0, 7.0)] {
        let factor =
            Factor { rows, columns, weights: &weights, sparsity: Sparsity::None, precision };
        let found = Product::new(rows, columns, &Form::Scaled { factor, scales: &scales }, 1);
        for (at, found) in found.unwrap().dense().iter().enumerate() {
            let scale = half::to_f32(half::from_f32(scales[at / columns]));
            let level = (weights[at] * (1.0 / scale)).round_ties_even().clamp(low, high);
            assert_eq!(*found, level * scale, "{precision:?} {}", weights[at]);
        }
    }
}

#[test]
fn impossible_forms_are_refused_by_the_packer() {
    let weights = vec![1.0; 600];
    let leaf = |rows, columns, sparsity, precision| Factor {
        rows,
        columns,
        weights: &weights[..rows * columns],
        sparsity,
        precision,
    };
    let dense = |rows, columns| leaf(rows, columns, Sparsity::None, Precision::F32);
    let refused = |form: Form<'_>, part: &str| {
        let text = Product::new(20, 30, &form, 1).unwrap_err().to_string();
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    };
    let form = leaf(20, 30, Sparsity::Unstructured, Precision::Int4);
    refused(Form::Dense(form), "cannot be unstructured in int4");
    assert!(round_trip_factor(&form).is_err());
    refused(Form::Dense(dense(30, 20)), "is 30 x 20 instead of 20 x 30");
    let scaled = |precision, scales| {
        let factor = leaf(20, 30, Sparsity::None, precision);
        Form::Scaled { factor, scales }
    };
    refused(scaled(Precision::F16, &[0.5; 20]), "is none f16 with scales");
    refused(scaled(Precision::Int8, &[0.5; 19]), "with 19 scales instead of 20 x 30 with 20");
    refused(scaled(Precision::Int3, &[0.5; 19]), "with 19 scales instead of 20 x 30 with 20");
    refused(scaled(Precision::Int3, &[1e6; 20]), "too large for half precision");
    let form = Form::LowRank { left: dense(20, 3), right: dense(4, 30) };
    refused(form, "is 4 x 30 instead of 3 x 30");
    let form = Form::LowRank { left: dense(20, 0), right: dense(0, 30) };
    refused(form, "is 20 x 0");
    let (left, right) = (dense(20, 3), dense(3, 30));
    let form = Form::DiagonalLowRank { left, right, diagonal: dense(1, 20) };
    refused(form, "is 1 x 20 instead of 20 x 1");
    let train =
        |row_modes, column_modes, cores| Form::TensorTrain { row_modes, column_modes, cores };
    refused(train(&[4, 5], &[5, 6], vec![dense(8, 5)]), "has 1 cores");
    refused(train(&[4, 4], &[5, 6], vec![dense(8, 5), dense(4, 12)]), "whose product is not 20");
    refused(train(&[0, 5], &[5, 6], vec![dense(8, 5), dense(5, 12)]), "whose product is not 20");
    refused(
        train(&[4, 5], &[5, 6], vec![dense(8, 5), dense(5, 18)]),
        "is 5 x 18 instead of 5 x 12",
    );
    refused(train(&[4, 5], &[5, 6], vec![dense(9, 5), dense(5, 12)]), "is 9 x 5 instead of 8 x 5");
    let groups = |groups| Form::BlockLowRank { groups };
    refused(groups(vec![]), "has 0 groups of 0 rows");
    refused(groups(vec![[dense(19, 2), dense(2, 30)]]), "1 groups of 19 rows");
    refused(groups(vec![[dense(20, 2), dense(3, 30)]]), "is 3 x 30 instead of 2 x 30");
    let blocks = |block, vectors| Form::BlockCirculant { block, vectors };
    refused(blocks(0, dense(5, 32)), "blocks of 0");
    refused(blocks(1025, dense(1, 30)), "blocks of 1025");
    refused(blocks(4, dense(5, 30)), "is 5 x 30 instead of 5 x 32");
    let blocks = |block, rank, g| Form::ToeplitzLike { block, rank, g, h: dense(12, 10) };
    refused(blocks(10, 0, dense(12, 10)), "blocks of 10 of rank 0");
    refused(blocks(10, 11, dense(12, 10)), "blocks of 10 of rank 11");
    refused(blocks(10, 2, dense(6, 10)), "is 6 x 10 instead of 12 x 10");
    let unitary = |phases| Form::Unitary { phases, reflections: dense(4, 8) };
    refused(unitary(dense(3, 8)), "is 20 x 30, but a unitary matrix is square");
    let wrong = Product::new(16, 16, &unitary(dense(4, 8)), 1).unwrap_err().to_string();
    assert!(wrong.contains("is 4 x 8 instead of 3 x 8"), "{wrong}");
}
