//! What a model is and how it is trained: the two tables of a recipe file, with every check that needs nothing else.

mod distillation;
mod model;
pub(crate) mod range;
pub(crate) mod sparsity;
mod train;

pub use distillation::Distillation;
pub use model::{CellKind, ModelConfig};
pub use sparsity::{Gradual, Regrowth, Scope};
pub use train::{
    Augmented, Average, Objective, OptimizerKind, Penalties, Schedule, TrainConfig, Variational,
};

#[cfg(test)]
mod tests {
    use crate::recipe::Recipe;

    #[test]
    fn hidden_of_zero_names_the_layer() {
        let mut model = Recipe::base("zaremba-small").unwrap().model;
        model.hidden = vec![200, 0];
        let message = model.validate().unwrap_err().to_string();
        assert!(message.contains("model.hidden") && message.contains("layer 1"), "{message}");
    }

    #[test]
    fn tied_of_unequal_widths_tells_the_mend() {
        let mut model = Recipe::base("zaremba-small").unwrap().model;
        model.tied = true;
        model.embedding = 64;
        let message = model.validate().unwrap_err().to_string();
        assert!(message.contains("model.projection = 64"), "{message}");
    }

    #[test]
    fn learning_rate_of_nan_is_refused() {
        let mut train = Recipe::base("zaremba-small").unwrap().train;
        train.lr = f64::NAN;
        assert!(train.validate().unwrap_err().to_string().contains("train.lr"));
    }
}
