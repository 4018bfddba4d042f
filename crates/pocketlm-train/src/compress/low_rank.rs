//! Low rank: each matrix becomes the product of two thin ones, by a singular value decomposition.

use super::calibration::Calibration;
use super::context::{Apply, Context};
use super::leaves::{carry, put};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::linear::svd::{Balance, Factors, decompose, decompose_weighted, rank_of_energy};
use crate::matrix::{LowRank as Form, Shape, Structure};
use crate::recipe::{Declare, LowRank};

impl LowRank {
    fn factors(
        &self,
        name: &str,
        shape: Shape,
        dense: &[f32],
        calibration: Option<&Calibration>,
    ) -> Result<Factors> {
        let known = self.rank(name, shape)?;
        let energy = self.energy;
        let choose = |values: &[f64]| energy.map_or(known, |share| rank_of_energy(values, share));
        let size = (shape.rows, shape.columns);
        match calibration {
            None => decompose(dense, size, Balance::Both, choose),
            Some(calibration) => {
                let moment = calibration.moment(name).filter(|_| self.weighted);
                let rows = match self.fisher {
                    true => calibration.information(name),
                    false => calibration.row_weights(name),
                };
                decompose_weighted(dense, size, moment, rows, choose)
            }
        }
    }
}

impl Apply for LowRank {
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let calibration = match context.corpus.filter(|_| self.needs_text()) {
            Some(corpus) if self.fisher => {
                Some(Calibration::measure_with_information(model, corpus)?)
            }
            Some(corpus) => Some(Calibration::measure(model, corpus)?),
            None => None,
        };
        self.split(model, calibration.as_ref())
    }

    fn apply_by(&self, model: &mut Checkpoint, by: &Calibration, _: &Context) -> Result<()> {
        self.split(model, Some(by).filter(|_| self.needs_text()))
    }
}

impl LowRank {
    fn split(&self, model: &mut Checkpoint, calibration: Option<&Calibration>) -> Result<()> {
        let mut outline = model.outline();
        let mut found = Vec::new();
        for (name, shape) in outline.matrices(&self.matrices)? {
            let entry =
                model.parameters.find(&name).expect("the outline's names are the network's");
            let dense = &model.parameters.data[entry.range.clone()];
            let factors = self.factors(&name, shape, dense, calibration)?;
            let form = Structure::LowRank(Form { rank: factors.rank });
            outline.forms.restructure(name.clone(), form);
            found.push((name, [factors.left, factors.right]));
        }
        let (_, mut leaves) = outline.parametrization()?;
        carry(&model.leaves, &mut leaves);
        for (name, [left, right]) in found {
            put(&mut leaves, &format!("{name}.left"), &left);
            put(&mut leaves, &format!("{name}.right"), &right);
        }
        model.reform(outline.forms, leaves)
    }
}
