//! The group lasso over units (Wen et al. 2018, arXiv 1709.05027, section 3): `weight` times the sum over the units of
//! all layers of the Euclidean norm of the unit's weights, added to what training minimises. Units that the text
//! does not need shrink towards nothing, and can be removed afterwards.
//!
//! Its gradient is taken, as in the paper, and no proximal step: the groups overlap (a recurrent weight belongs to
//! the unit that it leads to and to the one that it comes from), so that a proximal step has no closed form. A unit
//! is then never exactly zero; it stays below about the learning rate times `weight`.

use crate::error::Result;
use crate::linear::Parameters;
use crate::matrix::Forms;
use crate::recipe::units::Units;
use crate::settings::ModelConfig;

/// The penalty of one model.
pub struct GroupLasso {
    weight: f64,
    layers: Vec<Units>,
}

impl GroupLasso {
    /// For a model whose matrices have these forms.
    ///
    /// # Errors
    /// When a matrix of a unit's weights has a structure.
    pub fn new(weight: f64, model: &ModelConfig, forms: &Forms) -> Result<Self> {
        Ok(Self { weight, layers: Units::of_layers(model, forms)? })
    }

    /// The penalty.
    pub fn value(&self, parameters: &Parameters) -> f64 {
        let norms = self.layers.iter().map(|units| units.norms(parameters).iter().sum::<f64>());
        self.weight * norms.sum::<f64>()
    }

    /// Adds its gradient to `gradient`; that of a unit whose weights are all zero is zero.
    pub fn add_gradient(&self, parameters: &Parameters, gradient: &mut Parameters) {
        for units in &self.layers {
            let share = |norm: f64| if norm > 0.0 { (self.weight / norm) as f32 } else { 0.0 };
            let shares: Vec<f32> = units.norms(parameters).into_iter().map(share).collect();
            units.each(parameters, |unit, at| {
                gradient.data[at] += shares[unit] * parameters.data[at];
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Network, initialise};
    use crate::recipe::Recipe;
    use crate::settings::CellKind;

    #[test]
    fn gradient_is_the_difference_of_the_penalty() {
        let base = Recipe::base("zaremba-small").unwrap().model;
        let base = ModelConfig { embedding: 6, hidden: vec![7, 6], layer_norm: true, ..base };
        for model in [
            base.clone(),
            ModelConfig { cell: CellKind::Gru, tied: true, mogrifier: 2, ..base.clone() },
            ModelConfig { cell: CellKind::Cifg, cell_projection: 4, projection: 3, ..base },
        ] {
            let (_, mut parameters) = Network::new(&model, 11).unwrap();
            initialise(&mut parameters, 0.5, 2);
            let lasso = GroupLasso::new(0.7, &model, &Forms::default()).unwrap();
            let mut gradient = parameters.zeros_like();
            lasso.add_gradient(&parameters, &mut gradient);
            for at in (0..parameters.data.len()).step_by(3) {
                let before = parameters.data[at];
                let mut moved = |to: f32| {
                    parameters.data[at] = to;
                    (f64::from(to), lasso.value(&parameters))
                };
                let ((above, more), (below, less)) = (moved(before + 1e-2), moved(before - 1e-2));
                parameters.data[at] = before;
                let (got, want) = (f64::from(gradient.data[at]), (more - less) / (above - below));
                assert!((got - want).abs() < 1e-4, "{at}: {got} {want}");
            }
        }
    }

    #[test]
    fn what_is_zero_stays() {
        let model = Recipe::base("zaremba-small").unwrap().model;
        let (_, parameters) = Network::new(&model, 11).unwrap();
        let mut gradient = parameters.zeros_like();
        let lasso = GroupLasso::new(1.0, &model, &Forms::default()).unwrap();
        lasso.add_gradient(&parameters, &mut gradient);
        assert!(gradient.data.iter().all(|&x| x == 0.0));
    }
}
