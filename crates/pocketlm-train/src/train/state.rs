//! What a training needs to go on, beside the model that validated best.

use std::path::Path;

use safetensors::SafeTensors;

use super::optimizer::Optimizer;
use crate::checkpoint::TRAINING_STATE;
use crate::checkpoint::tensors::{METADATA, copy, fill, foreign, parse, read, view, views, write};
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::network::State;

/// Everything that changes while training, besides the model that validated best.
pub struct TrainingState {
    /// The current parameters.
    pub parameters: Parameters,
    /// The mean of the parameters along the training, where the recipe asks for one.
    pub average: Option<Parameters>,
    /// The update rule and its moments.
    pub optimizer: Optimizer,
    /// The state carried to the next window.
    pub carried: State,
    /// Counters, as JSON.
    pub progress: String,
}

impl TrainingState {
    /// Writes it into a checkpoint.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut tensors = views("parameters.", &self.parameters, &self.parameters.data);
        if let Some(average) = &self.average {
            tensors.extend(views("average.", average, &average.data));
        }
        if let Some((first, second)) = &self.optimizer.moments {
            tensors.extend(views("first.", &self.parameters, first));
            tensors.extend(views("second.", &self.parameters, second));
        }
        for (k, (output, memory)) in self.carried.layers.iter().enumerate() {
            tensors.push((format!("state.h.{k}"), view(vec![output.len()], output)));
            tensors.push((format!("state.c.{k}"), view(vec![memory.len()], memory)));
        }
        write(&folder.join(TRAINING_STATE), tensors, &self.progress)
    }

    /// Reads it from a checkpoint into `self`, which gives the shapes.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it is missing, truncated, foreign, or of another model or batch.
    pub fn load(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join(TRAINING_STATE);
        let bytes = read(&path)?;
        let tensors = parse(&path, &bytes)?;
        fill(&path, &tensors, "parameters.", &mut self.parameters)?;
        if let Some(average) = &mut self.average {
            fill(&path, &tensors, "average.", average)?;
        }
        if let Some((first, second)) = &mut self.optimizer.moments {
            let mut moments = self.parameters.zeros_like();
            fill(&path, &tensors, "first.", &mut moments)?;
            first.copy_from_slice(&moments.data);
            fill(&path, &tensors, "second.", &mut moments)?;
            second.copy_from_slice(&moments.data);
        }
        for (k, (output, memory)) in self.carried.layers.iter_mut().enumerate() {
            copy(&path, &tensors, &format!("state.h.{k}"), &[output.len()], output)?;
            copy(&path, &tensors, &format!("state.c.{k}"), &[memory.len()], memory)?;
        }
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| foreign(&path, &e))?;
        let progress = header.metadata().as_ref().and_then(|m| m.get(METADATA)).cloned();
        self.progress = progress.ok_or_else(|| {
            Error::checkpoint(&path, "has no counters: it is not a training state")
        })?;
        Ok(())
    }
}
