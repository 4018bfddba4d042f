//! Low rank with a shared right factor: what a layer gives is projected once, for its own recurrence and for
//! what comes above it (Lu, Sindhwani & Sainath 2016; Prabhavalkar et al. 2016, section 3).
//!
//! Where softmax and embedding are one matrix, its rows become as wide as the projections, and the first layer reads
//! them so: what the softmax knows of a word's direction is what the embedding has of it.
//!
//! The result is an LSTM with recurrent projections (Sak et al. 2014), `model.cell_projection`, which is also how
//! such a model is trained from scratch.

use super::calibration::Calibration;
use super::context::{Apply, Context};
use super::leaves::{carry, put};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::linear::svd::{Balance, decompose, decompose_weighted};
use crate::matrix::Forms;
use crate::recipe::step::shared_low_rank::{narrows_embedding, reader};
use crate::recipe::{Declare, Outline, SharedLowRank};

impl Apply for SharedLowRank {
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let before = model.outline();
        self.check(&before)?;
        let calibration = match (self.weighted, context.corpus) {
            (true, Some(corpus)) => Some(Calibration::measure(model, corpus)?),
            _ => None,
        };
        let mut after = Outline { forms: Forms::default(), ..before.clone() };
        self.declare(&mut after)?;
        let (_, mut leaves) = after.parametrization()?;
        carry(&model.parameters, &mut leaves);
        let numbers = |name: &str| {
            let entry = model.parameters.find(name).expect("a matrix of the network");
            &model.parameters.data[entry.range.clone()]
        };
        let layers = before.model.hidden.len();
        // What the first layer reads of an embedding that is narrower now.
        let mut inputs = numbers("cell.0.input").to_vec();
        for (k, &hidden) in before.model.hidden.iter().enumerate() {
            let (recurrent, reader) = (format!("cell.{k}.recurrent"), reader(&before, k));
            let stacked = [numbers(&recurrent), numbers(&reader)].concat();
            let size = (stacked.len() / hidden, hidden);
            // An embedding's own input is a word; the softmax's is what the recurrence reads.
            let moment = calibration
                .as_ref()
                .and_then(|c| c.moment(&reader).or_else(|| c.moment(&recurrent)));
            let factors = match moment {
                None => decompose(&stacked, size, Balance::Both, |_| self.rank)?,
                Some(moment) => {
                    decompose_weighted(&stacked, size, Some(moment), None, |_| self.rank)?
                }
            };
            let split = numbers(&recurrent).len() / hidden * self.rank;
            put(&mut leaves, &recurrent, &factors.left[..split]);
            put(&mut leaves, &reader, &factors.left[split..]);
            put(&mut leaves, &format!("cell.{k}.projection"), &factors.right);
            if k + 1 == layers && narrows_embedding(&before.model) {
                inputs = times_transposed(&inputs, &factors.right, hidden);
            }
        }
        put(&mut leaves, "cell.0.input", &inputs);
        model.reshape(after.model, before.forms, leaves)
    }
}

/// `a bᵀ` of two row-major matrices with rows of `width` numbers.
fn times_transposed(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    let dot = |x: &[f32], y: &[f32]| {
        x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>() as f32
    };
    a.chunks_exact(width).flat_map(|x| b.chunks_exact(width).map(move |y| dot(x, y))).collect()
}
