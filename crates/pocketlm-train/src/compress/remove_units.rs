//! Removal of whole units (Wen et al. 2018, arXiv 1709.05027): the rows of all gates of a hidden unit, and its column
//! in whatever reads it, leave the model together. What is left is a smaller dense model, which needs no sparse
//! format and no kernel of its own.
//!
//! With layer normalisation the mean and deviation are then those of the units that are left, so that even a unit
//! that is zero is missed a little.

use super::calibration;
use super::context::{Apply, Context};
use super::leaves::put;
use crate::checkpoint::Checkpoint;
use crate::corpus::Corpus;
use crate::error::Result;
use crate::linear::Parameters;
use crate::recipe::step::remove_units::{Saliency, Scope};
use crate::recipe::units::Units;
use crate::recipe::{Outline, RemoveUnits};

impl RemoveUnits {
    /// What each unit is worth.
    fn saliency(
        &self,
        model: &Checkpoint,
        corpus: Option<&Corpus>,
        chosen: &[Units],
    ) -> Result<Vec<Vec<f64>>> {
        match (self.saliency, corpus) {
            (Saliency::Taylor, Some(corpus)) => changes_of_loss(model, corpus, chosen),
            _ => Ok(chosen.iter().map(|units| sizes(units, &model.parameters)).collect()),
        }
    }

    /// Whether each unit is kept; of equals the last ones are.
    fn kept(&self, saliency: &[Vec<f64>]) -> Vec<Vec<bool>> {
        let mut kept: Vec<Vec<bool>> =
            saliency.iter().map(|units| vec![true; units.len()]).collect();
        let mut order: Vec<(usize, usize)> = Vec::new();
        for (at, units) in saliency.iter().enumerate() {
            let mut own: Vec<usize> = (0..units.len()).collect();
            own.sort_by(|&a, &b| units[a].total_cmp(&units[b]));
            let count = match (self.fraction, self.scope) {
                (Some(share), Scope::Layer) => Self::count(share, units.len()),
                // The best one stays in any case.
                _ => units.len() - 1,
            };
            order.extend(own[..count].iter().map(|&unit| (at, unit)));
        }
        let worth = |&(at, unit): &(usize, usize)| saliency[at][unit];
        if let Some(size) = self.below {
            order.retain(|place| worth(place) < size);
        } else if self.scope == Scope::Global {
            let all = saliency.iter().map(Vec::len).sum();
            order.sort_by(|a, b| worth(a).total_cmp(&worth(b)));
            order.truncate(Self::count(self.fraction.unwrap_or(0.0), all));
        }
        order.into_iter().for_each(|(at, unit)| kept[at][unit] = false);
        kept
    }
}

/// The root mean square of each unit's weights.
fn sizes(units: &Units, parameters: &Parameters) -> Vec<f64> {
    let count = units.size(parameters) as f64;
    units.norms(parameters).into_iter().map(|norm| norm / count.sqrt()).collect()
}

/// See [`Saliency::Taylor`].
fn changes_of_loss(model: &Checkpoint, corpus: &Corpus, chosen: &[Units]) -> Result<Vec<Vec<f64>>> {
    let weights = &model.parameters;
    let mut sums: Vec<Vec<f64>> = chosen.iter().map(|units| vec![0.0; units.width]).collect();
    calibration::gradients(model, corpus, |gradient| {
        for (units, sums) in chosen.iter().zip(&mut sums) {
            let mut change = vec![0.0; units.width];
            units.each(weights, |unit, at| {
                change[unit] += f64::from(gradient.data[at]) * f64::from(weights.data[at]);
            });
            sums.iter_mut().zip(change).for_each(|(sum, change)| *sum += change.abs());
        }
    })?;
    Ok(sums)
}

/// The outline of the model without the units that are not `kept`, and its leaves.
fn without(
    outline: &Outline,
    leaves: &Parameters,
    chosen: &[Units],
    kept: &[Vec<bool>],
) -> Result<(Outline, Parameters)> {
    let mut outline = outline.clone();
    for (units, kept) in chosen.iter().zip(kept) {
        units.shrink(&mut outline.model, kept.iter().filter(|&&kept| kept).count());
    }
    let (_, mut left) = outline.parametrization()?;
    for entry in leaves.entries() {
        let (mut rows, mut columns) = ((0..entry.rows).collect(), (0..entry.columns).collect());
        for (units, kept) in chosen.iter().zip(kept) {
            units.strike(entry, kept, &mut rows, &mut columns);
        }
        let numbers = &leaves.data[entry.range.clone()];
        let row = |&row: &usize| columns.iter().map(move |c| numbers[row * entry.columns + c]);
        put(&mut left, &entry.name, &rows.iter().flat_map(row).collect::<Vec<_>>());
    }
    Ok((outline, left))
}

impl Apply for RemoveUnits {
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        self.validate()?;
        let outline = model.outline();
        let chosen = self.chosen(&outline)?;
        let kept = self.kept(&self.saliency(model, context.corpus, &chosen)?);
        let (outline, leaves) = without(&outline, &model.leaves, &chosen, &kept)?;
        model.reshape(outline.model, outline.forms, leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Forms;
    use crate::network::{Network, initialise};
    use crate::recipe::Recipe;
    use crate::settings::{CellKind, ModelConfig};
    use proptest::prelude::*;

    const VOCABULARY: usize = 11;

    fn step() -> RemoveUnits {
        RemoveUnits {
            units: vec!["cell.*".into()],
            fraction: Some(0.5),
            below: None,
            scope: Scope::Layer,
            saliency: Saliency::Norm,
        }
    }

    fn base() -> ModelConfig {
        let base = Recipe::base("zaremba-small").unwrap().model;
        ModelConfig { embedding: 6, hidden: vec![7, 6], ..base }
    }

    fn outline(model: &ModelConfig) -> Outline {
        Outline { model: model.clone(), vocabulary: VOCABULARY, forms: Forms::default() }
    }

    fn random(model: &ModelConfig, seed: u64) -> (Network, Parameters) {
        let (network, mut parameters) = Network::new(model, VOCABULARY).unwrap();
        initialise(&mut parameters, 0.8, seed);
        (network, parameters)
    }

    /// Logits of two streams over a few steps.
    fn logits(network: &Network, parameters: &Parameters) -> Vec<f32> {
        let (steps, batch) = (5, 2);
        let mut window = network.window(steps, batch);
        let tokens: Vec<u32> =
            (0..steps * batch).map(|i| ((i * i + 3 * i) % VOCABULARY) as u32).collect();
        let mut state = network.zero_state(batch);
        network.forward(parameters, &tokens, &mut state, &mut window, None);
        network.logits(parameters, &window)
    }

    fn cells() -> impl Strategy<Value = CellKind> {
        prop::sample::select(vec![CellKind::Lstm, CellKind::Gru, CellKind::Cifg])
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn without_units_is_with_units_of_zeros(
            cell in cells(), hidden in prop::collection::vec(1usize..9, 1..4), embedding in 1usize..9,
            cell_projection in prop::sample::select(vec![0, 0, 3]),
            projection in prop::sample::select(vec![0, 0, 4]),
            tied: bool, mogrifier in 0usize..4, seed: u64,
        ) {
            let cell_projection = if cell == CellKind::Gru { 0 } else { cell_projection };
            let mut model =
                ModelConfig { cell, hidden, embedding, cell_projection, projection, tied, mogrifier, ..base() };
            if tied {
                model.embedding = model.softmax_width();
            }
            let (network, mut parameters) = random(&model, seed);
            let chosen = Units::of(&model);
            let falls = |at: usize, unit: usize| unit > 0 && (seed >> ((7 * at + unit) % 61)) & 1 == 1;
            let kept: Vec<Vec<bool>> = chosen.iter().enumerate()
                .map(|(at, units)| (0..units.width).map(|unit| !falls(at, unit)).collect()).collect();
            let (small, leaves) = without(&outline(&model), &parameters, &chosen, &kept).unwrap();
            for (units, kept) in chosen.iter().zip(&kept) {
                let mut fallen = Vec::new();
                units.each(&parameters, |unit, at| if !kept[unit] { fallen.push(at) });
                fallen.into_iter().for_each(|at| parameters.data[at] = 0.0);
            }
            let (smaller, _) = Network::new(&small.model, VOCABULARY).unwrap();
            prop_assert!(close(&logits(&network, &parameters), &logits(&smaller, &leaves)));
        }

        /// Layer normalisation goes by all units, so only doubles of others can leave without a trace.
        #[test]
        fn doubles_of_units_that_nothing_reads_leave_no_trace_in_normalised_layers(
            cell in cells(), projected: bool, seed: u64,
        ) {
            let cell_projection = if projected && cell != CellKind::Gru { 3 } else { 0 };
            let model = ModelConfig { cell, cell_projection, layer_norm: true, ..base() };
            let (small, parameters) = random(&model, seed);
            let doubled = model.hidden.iter().map(|width| 2 * width).collect();
            let large = ModelConfig { hidden: doubled, ..model.clone() };
            let (large, mut doubles) = random(&large, seed);
            let chosen: Vec<Units> =
                Units::of(&large.config).into_iter().filter(|units| units.names[0] != "embedding").collect();
            let kept: Vec<Vec<bool>> =
                chosen.iter().map(|units| (0..units.width).map(|unit| 2 * unit < units.width).collect()).collect();
            for entry in doubles.entries().to_vec() {
                let from = parameters.find(&entry.name).unwrap();
                for (at, number) in doubles.data[entry.range.clone()].iter_mut().enumerate() {
                    let (row, _) = origin(at / entry.columns, entry.rows, from.rows);
                    let (column, double) = origin(at % entry.columns, entry.columns, from.columns);
                    let same = parameters.data[from.range.start + row * from.columns + column];
                    *number = if double && !entry.vector { 0.0 } else { same };
                }
            }
            let (outline, leaves) = without(&outline(&large.config), &doubles, &chosen, &kept).unwrap();
            prop_assert_eq!(&outline.model, &model);
            prop_assert_eq!(&leaves.data, &parameters.data);
            prop_assert!(close(&logits(&large, &doubles), &logits(&small, &leaves)));
        }
    }

    /// Where an element of a side of the doubled model comes from, and whether it is a double's; the layers have 7
    /// and 6 units.
    fn origin(at: usize, all: usize, few: usize) -> (usize, bool) {
        if all == few {
            return (at, false);
        }
        let width = if few.is_multiple_of(7) { 7 } else { 6 };
        (at / (2 * width) * width + at % width, at % (2 * width) >= width)
    }

    #[test]
    fn the_least_salient_fall() {
        let saliency = [vec![3.0, 1.0, 2.0, 4.0], vec![0.5, 9.0]];
        let fallen = |step: &RemoveUnits| -> Vec<(usize, usize)> {
            let kept = step.kept(&saliency);
            let all = kept.iter().enumerate().flat_map(|(at, kept)| {
                kept.iter().enumerate().filter(|(_, kept)| !**kept).map(move |(unit, _)| (at, unit))
            });
            all.collect()
        };
        assert_eq!(fallen(&step()), [(0, 1), (0, 2), (1, 0)]);
        let global = RemoveUnits { scope: Scope::Global, fraction: Some(0.34), ..step() };
        assert_eq!(fallen(&global), [(0, 1), (1, 0)]);
        let most = RemoveUnits { fraction: Some(0.99), ..global };
        assert_eq!(fallen(&most), [(0, 0), (0, 1), (0, 2), (1, 0)]);
        let below = RemoveUnits { fraction: None, below: Some(100.0), ..step() };
        assert_eq!(fallen(&below), fallen(&most));
        let below = RemoveUnits { below: Some(2.5), ..below };
        assert_eq!(fallen(&below), [(0, 1), (0, 2), (1, 0)]);
    }
}
