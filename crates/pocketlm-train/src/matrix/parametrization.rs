//! From the numbers that are trained to the dense matrices that the network uses, and back.

use std::ops::Range;

use pocketlm::pack::{Factor, Precision, Sparsity, round_trip_factor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use super::{Forms, LeafForm, Noise, Shape, Structure};
use crate::error::{Error, Result};
use crate::linear::{Builder, Entry, Parameters, fill_uniform};

/// How the leaves of a model make its matrices.
#[derive(Clone, Debug)]
pub struct Parametrization {
    forms: Forms,
    parts: Vec<Part>,
    /// For each leaf that is sparse: 1 where a number is kept, 0 elsewhere.
    masks: Vec<Option<Vec<f32>>>,
}

/// One matrix or bias.
#[derive(Clone, Debug)]
struct Part {
    name: String,
    shape: Shape,
    vector: bool,
    dense: Range<usize>,
    structure: Option<Structure>,
    /// Which leaves are its own.
    leaves: Range<usize>,
}

impl Parametrization {
    /// For a network with the matrices of `dense`; also the leaves, all zero.
    ///
    /// # Errors
    /// [`Error::Config`] when a form names no matrix or leaf, or does not fit its matrix.
    pub fn new(forms: &Forms, dense: &Parameters) -> Result<(Self, Parameters)> {
        let mut builder = Builder::default();
        let mut count = 0;
        let parts = dense.entries().iter().map(|entry| {
            let part = Part::declare(forms, entry, count, &mut builder)?;
            count = part.leaves.end;
            Ok(part)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let leaves = builder.zeros();
        check_names(forms, &parts, &leaves)?;
        let masks = vec![None; leaves.entries().len()];
        Ok((Self { forms: forms.clone(), parts, masks }, leaves))
    }

    /// Its forms.
    pub fn forms(&self) -> &Forms {
        &self.forms
    }

    /// Whether the leaves are the dense matrices.
    pub fn is_plain(&self) -> bool {
        self.forms.is_plain()
    }

    /// Fills the leaves so that every number of the dense matrices has the variance of one uniform in
    /// `[-range, range]`, as far as the structure lets it; those of dense matrices are uniform in that range.
    pub fn initialise(&self, leaves: &mut Parameters, range: f64, seed: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Stream 0: dropout uses the others.
        random.set_stream(0);
        for part in &self.parts {
            for (k, leaf) in part.leaves.clone().enumerate() {
                let range = part.start(k, range);
                let numbers = leaves.entries()[leaf].range.clone();
                fill_uniform(&mut random, &mut leaves.data[numbers], range);
            }
        }
    }

    /// Takes the zeros of sparse leaves for what is not kept, from now on.
    pub fn mask(&mut self, leaves: &Parameters) {
        for (mask, entry) in self.masks.iter_mut().zip(leaves.entries()) {
            let sparse = self.forms.leaf(&entry.name).sparsity != Sparsity::None;
            let kept = |&x: &f32| if x == 0.0 { 0.0 } else { 1.0 };
            *mask = sparse.then(|| leaves.data[entry.range.clone()].iter().map(kept).collect());
        }
    }

    /// Writes the dense matrices, in the precision that the packed file has: what it holds is what is computed
    /// with, bit for bit.
    ///
    /// # Errors
    /// When a leaf has numbers that its precision cannot hold.
    pub fn materialise(&self, leaves: &Parameters, dense: &mut Parameters) -> Result<()> {
        self.write(leaves, None, dense)
    }

    /// The same for an update of a training: where leaves stand for a distribution, a matrix of it drawn by `noise`.
    ///
    /// # Errors
    /// As [`materialise`](Self::materialise).
    pub fn sample(&self, leaves: &Parameters, noise: &Noise, dense: &mut Parameters) -> Result<()> {
        self.write(leaves, Some(noise), dense)
    }

    fn write(
        &self,
        leaves: &Parameters,
        noise: Option<&Noise>,
        dense: &mut Parameters,
    ) -> Result<()> {
        let numbers: Vec<Option<Vec<f32>>> = (0..leaves.entries().len())
            .into_par_iter()
            .map(|leaf| self.rounded(leaves, leaf))
            .collect::<Result<_>>()?;
        let get = |leaf: usize| {
            numbers[leaf].as_deref().unwrap_or(&leaves.data[leaves.entries()[leaf].range.clone()])
        };
        for part in &self.parts {
            let out = &mut dense.data[part.dense.clone()];
            match &part.structure {
                None => out.copy_from_slice(get(part.leaves.start)),
                Some(structure) => {
                    let leaves: Vec<&[f32]> = part.leaves.clone().map(get).collect();
                    let structure = structure.operations();
                    match (structure.stochastic(), noise) {
                        (Some(structure), Some(noise)) => {
                            structure.sample(&leaves, &noise.skip(part.dense.start), out);
                        }
                        _ => structure.materialise(&leaves, part.shape, out),
                    }
                }
            }
        }
        Ok(())
    }

    /// A leaf as its precision has it; nothing where that changes nothing.
    fn rounded(&self, leaves: &Parameters, leaf: usize) -> Result<Option<Vec<f32>>> {
        let entry = &leaves.entries()[leaf];
        let form = self.forms.leaf(&entry.name);
        if form.precision == Precision::F32 {
            return Ok(None);
        }
        let factor = factor(entry, form, &leaves.data[entry.range.clone()]);
        let fault = |e: pocketlm::Error| Error::config(&*entry.name, e.to_string());
        round_trip_factor(&factor).map(Some).map_err(fault)
    }

    /// Sets `d_leaves` to the gradient of the leaves from that of the matrices in `dense`, as
    /// [`sample`](Self::sample) wrote them. Rounding is passed straight through (Bengio et al. 2013); numbers that are
    /// not kept get none.
    pub fn pull_back(
        &self,
        leaves: &Parameters,
        dense: &Parameters,
        d_dense: &Parameters,
        d_leaves: &mut Parameters,
    ) {
        for part in &self.parts {
            let d = &d_dense.data[part.dense.clone()];
            let Some(structure) = &part.structure else {
                part.of(d_leaves).copy_from_slice(d);
                continue;
            };
            let structure = structure.operations();
            let numbers = part.numbers(leaves);
            let mut d_leaves = split(part.of(d_leaves), numbers.iter().map(|leaf| leaf.len()));
            match structure.stochastic() {
                Some(structure) => {
                    let sample = &dense.data[part.dense.clone()];
                    structure.pull_back_sample(&numbers, sample, d, &mut d_leaves);
                }
                None => structure.pull_back(&numbers, part.shape, d, &mut d_leaves),
            }
        }
        self.apply_masks(d_leaves);
    }

    /// Whether some leaves stand for distributions of matrices.
    pub fn is_stochastic(&self) -> bool {
        let mut structures = self.parts.iter().filter_map(|part| part.structure.as_ref());
        structures.any(|structure| structure.operations().stochastic().is_some())
    }

    /// Adds `weight` times the gradient of their divergences from their priors in nats, so many `epochs` after the start.
    pub fn add_divergence_gradient(
        &self,
        leaves: &Parameters,
        weight: f64,
        epochs: f64,
        d_leaves: &mut Parameters,
    ) {
        for part in &self.parts {
            let structure = part.structure.as_ref().map(Structure::operations);
            let Some(structure) = structure.and_then(|s| s.stochastic()) else { continue };
            let numbers = part.numbers(leaves);
            let mut d_leaves = split(part.of(d_leaves), numbers.iter().map(|leaf| leaf.len()));
            structure.add_divergence_gradient(&numbers, weight, epochs, &mut d_leaves);
        }
    }

    /// Sets to zero what is not kept.
    fn apply_masks(&self, numbers: &mut Parameters) {
        for (leaf, mask) in self.masks.iter().enumerate() {
            let Some(mask) = mask else { continue };
            let range = numbers.entries()[leaf].range.clone();
            numbers.data[range].iter_mut().zip(mask).for_each(|(x, kept)| *x *= kept);
        }
    }

    /// The matrices in the order of the network: name, structure, and the entries of their leaves. Biases are
    /// left out.
    pub fn matrices<'a>(
        &'a self,
        leaves: &'a Parameters,
    ) -> impl Iterator<Item = (&'a str, Option<&'a Structure>, &'a [Entry])> {
        let matrices = self.parts.iter().filter(|part| !part.vector);
        matrices.map(|part| {
            let entries = &leaves.entries()[part.leaves.clone()];
            (&*part.name, part.structure.as_ref(), entries)
        })
    }
}

impl Part {
    fn declare(forms: &Forms, entry: &Entry, first: usize, builder: &mut Builder) -> Result<Self> {
        let shape = Shape { rows: entry.rows, columns: entry.columns };
        let structure = forms.structures.get(&entry.name).cloned();
        let mut count = 1;
        match &structure {
            _ if entry.vector => _ = builder.vector(&*entry.name, entry.columns),
            None => _ = builder.matrix(&*entry.name, entry.rows, entry.columns),
            Some(structure) => {
                structure.operations().check(shape).map_err(|e| of_matrix(&entry.name, e))?;
                let leaves = structure.operations().leaves(shape);
                count = leaves.len();
                for leaf in leaves {
                    let name = format!("{}{}", entry.name, leaf.suffix);
                    builder.matrix(name, leaf.rows, leaf.columns);
                }
            }
        }
        let (name, leaves) = (entry.name.clone(), first..first + count);
        Ok(Self {
            name,
            shape,
            vector: entry.vector,
            dense: entry.range.clone(),
            structure,
            leaves,
        })
    }

    /// Its leaves.
    fn numbers<'a>(&self, leaves: &'a Parameters) -> Vec<&'a [f32]> {
        let own = &leaves.entries()[self.leaves.clone()];
        own.iter().map(|entry| &leaves.data[entry.range.clone()]).collect()
    }

    /// Its part of a vector of all leaves.
    fn of<'a>(&self, leaves: &'a mut Parameters) -> &'a mut [f32] {
        let entries = leaves.entries();
        let first = entries[self.leaves.start].range.start;
        let end = entries[self.leaves.end - 1].range.end;
        &mut leaves.data[first..end]
    }

    /// The range of the numbers of its leaf `k` for a range of the dense ones.
    fn start(&self, k: usize, range: f64) -> f64 {
        let structure = self.structure.as_ref().map(Structure::operations);
        structure.map_or(range, |structure| structure.start(k, self.leaves.len(), range))
    }
}

/// The form of a leaf, as the packer takes it.
pub fn factor<'a>(entry: &Entry, form: LeafForm, weights: &'a [f32]) -> Factor<'a> {
    let LeafForm { sparsity, precision } = form;
    Factor { rows: entry.rows, columns: entry.columns, weights, sparsity, precision }
}

fn of_matrix(matrix: &str, error: Error) -> Error {
    match error {
        Error::Config { field, what } => Error::config(format!("{matrix}: {field}"), what),
        other => other,
    }
}

fn check_names(forms: &Forms, parts: &[Part], leaves: &Parameters) -> Result<()> {
    let matrices: Vec<&str> =
        parts.iter().filter(|part| !part.vector).map(|part| &*part.name).collect();
    let unknown = |name: &&String| !matrices.contains(&name.as_str());
    if let Some(name) = forms.structures.keys().find(unknown) {
        let what = format!("is no matrix of this model: it has {}", matrices.join(", "));
        return Err(Error::config(name, what));
    }
    let leaves: Vec<&str> =
        leaves.entries().iter().filter(|e| !e.vector).map(|e| &*e.name).collect();
    if let Some(name) = forms.leaves.keys().find(|name| !leaves.contains(&name.as_str())) {
        let what = format!("is no matrix of this model: it has {}", leaves.join(", "));
        return Err(Error::config(name, what));
    }
    Ok(())
}

fn split(mut all: &mut [f32], lengths: impl Iterator<Item = usize>) -> Vec<&mut [f32]> {
    let cut = |length| {
        let (part, rest) = std::mem::take(&mut all).split_at_mut(length);
        all = rest;
        part
    };
    lengths.map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{
        BlockCirculant, BlockLowRank, LowRank, TensorTrain, ToeplitzLike, Unitary,
    };

    fn dense() -> Parameters {
        let mut builder = Builder::default();
        builder.matrix("softmax", 12, 6);
        builder.matrix("cell.0.input", 8, 9);
        builder.matrix("cell.0.recurrent", 10, 7);
        builder.matrix("cell.0.projection", 7, 5);
        builder.matrix("embedding", 12, 5);
        builder.matrix("cell.1.recurrent", 16, 16);
        builder.vector("softmax.bias", 12);
        builder.zeros()
    }

    fn forms() -> Forms {
        let shape = Shape { rows: 8, columns: 9 };
        let train = TensorTrain::with_rank(shape, 2, 3).unwrap();
        let mut forms = Forms::default();
        forms.structures.insert("softmax".into(), Structure::LowRank(LowRank { rank: 2 }));
        forms.structures.insert("cell.0.input".into(), Structure::TensorTrain(train));
        let circulant = Structure::BlockCirculant(BlockCirculant { block: 3 });
        forms.structures.insert("cell.0.recurrent".into(), circulant);
        let toeplitz = Structure::ToeplitzLike(ToeplitzLike { block: 4, rank: 2 });
        forms.structures.insert("cell.0.projection".into(), toeplitz);
        let groups = BlockLowRank { rows: vec![3, 9], ranks: vec![3, 1] };
        forms.structures.insert("embedding".into(), Structure::BlockLowRank(groups));
        forms.structures.insert("cell.1.recurrent".into(), Structure::Unitary(Unitary {}));
        forms
    }

    /// `sum(weights * dense)` as a function of the leaves has the gradient that is pulled back.
    #[test]
    fn pull_back_is_the_gradient_of_materialise() {
        let mut dense = dense();
        let (parametrization, mut leaves) = Parametrization::new(&forms(), &dense).unwrap();
        parametrization.initialise(&mut leaves, 1.0, 7);
        let mut weights = dense.zeros_like();
        for (i, w) in weights.data.iter_mut().enumerate() {
            *w = ((i * 37) % 19) as f32 / 9.0 - 1.0;
        }
        let mut gradient = leaves.zeros_like();
        parametrization.pull_back(&leaves, &dense, &weights, &mut gradient);
        let mut value = |leaves: &Parameters| -> f64 {
            parametrization.materialise(leaves, &mut dense).unwrap();
            dense.data.iter().zip(&weights.data).map(|(a, b)| f64::from(a * b)).sum()
        };
        for at in 0..leaves.data.len() {
            let (mut up, mut down) = (leaves.clone(), leaves.clone());
            up.data[at] += 0.01;
            down.data[at] -= 0.01;
            let difference = (value(&up) - value(&down)) / 0.02;
            let ours = f64::from(gradient.data[at]);
            assert!(
                (difference - ours).abs() < 1e-3 * (1.0 + ours.abs()),
                "{at}: {difference} {ours}"
            );
        }
    }

    #[test]
    fn initial_variance_is_that_of_a_dense_matrix() {
        let mut builder = Builder::default();
        builder.matrix("a", 200, 100);
        builder.matrix("b", 200, 100);
        builder.matrix("c", 200, 100);
        builder.matrix("d", 200, 100);
        builder.matrix("e", 200, 100);
        let mut dense = builder.zeros();
        let shape = Shape { rows: 200, columns: 100 };
        let mut forms = Forms::default();
        forms.structures.insert("a".into(), Structure::LowRank(LowRank { rank: 20 }));
        let train = TensorTrain::with_rank(shape, 3, 8).unwrap();
        forms.structures.insert("b".into(), Structure::TensorTrain(train));
        let circulant = BlockCirculant { block: 8 };
        forms.structures.insert("c".into(), Structure::BlockCirculant(circulant));
        let toeplitz = ToeplitzLike { block: 100, rank: 4 };
        forms.structures.insert("d".into(), Structure::ToeplitzLike(toeplitz));
        let groups = BlockLowRank { rows: vec![50, 150], ranks: vec![30, 10] };
        forms.structures.insert("e".into(), Structure::BlockLowRank(groups));
        let (parametrization, mut leaves) = Parametrization::new(&forms, &dense).unwrap();
        parametrization.initialise(&mut leaves, 0.1, 3);
        parametrization.materialise(&leaves, &mut dense).unwrap();
        for entry in dense.entries() {
            let numbers = &dense.data[entry.range.clone()];
            let square: f64 = numbers.iter().map(|&x| f64::from(x).powi(2)).sum();
            let ratio = square / numbers.len() as f64 / (0.01 / 3.0);
            assert!((0.6..1.6).contains(&ratio), "{}: {ratio}", entry.name);
        }
    }

    #[test]
    fn names_that_match_nothing_are_refused_with_the_list() {
        let mut forms = forms();
        forms.leaves.insert("sofmax.left".into(), LeafForm::default());
        let message = Parametrization::new(&forms, &dense()).unwrap_err().to_string();
        assert!(message.contains("sofmax.left") && message.contains("softmax.right"), "{message}");
    }

    #[test]
    fn pruned_numbers_get_no_gradient() {
        let dense = dense();
        let mut forms = Forms::default();
        let form = LeafForm { sparsity: Sparsity::Unstructured, precision: Precision::F32 };
        forms.leaves.insert("softmax".into(), form);
        let (mut parametrization, mut leaves) = Parametrization::new(&forms, &dense).unwrap();
        leaves.data[..72].iter_mut().step_by(2).for_each(|x| *x = 1.0);
        parametrization.mask(&leaves);
        let mut d_dense = dense.zeros_like();
        d_dense.data.fill(1.0);
        let mut gradient = leaves.zeros_like();
        parametrization.pull_back(&leaves, &dense, &d_dense, &mut gradient);
        assert_eq!(gradient.data[..72].iter().sum::<f32>(), 36.0);
        assert!(gradient.data[72..].iter().all(|&x| x == 1.0));
    }
}
