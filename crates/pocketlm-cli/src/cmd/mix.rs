//! `pocketlm mix`

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use pocketlm::Provenance;
use pocketlm::pack::{Notes, entropy_coded};

use super::eval::share;
use super::pack::measure_all;
use crate::evaluation::{fitted, mixed, open_alike, packed_mixture};
use crate::model::Loaded;
use crate::output::Output;

/// Put several models into one file that gives their mixture.
///
/// The probability of a word is the sum of what the models give it, each times its weight: a recurrent and an n-gram
/// model together are better than either. All must have the same words. Every command takes the file as any model.
///
/// Example: pocketlm mix small.plm five.plm --data data/ptb -o mixture.plm
#[derive(clap::Args)]
pub struct Args {
    /// Models, two to eight: .plm files or folders of checkpoints, which go in as f32.
    #[arg(required = true, num_args = 2..=8, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// File to write; - for standard output.
    #[arg(short, long, value_name = "NAME.plm")]
    output: PathBuf,
    /// Weights of the models, which add up to 1 (default: those that make the validation text of --data likeliest).
    #[arg(long, value_name = "W,..", value_delimiter = ',', value_parser = share, required_unless_present = "data")]
    weights: Vec<f64>,
    /// Text: weights are fitted on its validation split, and the mixture is measured on it and on the test split.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Entropy-code the file: smaller, slower to open, the same model to the bit.
    #[arg(long)]
    entropy: bool,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

impl Args {
    /// Fits, mixes, measures and writes.
    pub fn run(self) -> Result<()> {
        self.check_weights()?;
        let output = Output::new(&self.output, self.force)?;
        let paths: Vec<&Path> = self.models.iter().map(PathBuf::as_path).collect();
        let inputs = paths.iter().copied().map(Some).chain([self.data.as_deref()]);
        output.check_inputs(&inputs.collect::<Vec<_>>())?;
        let models = open_alike(&paths)?;
        let weights = match &self.data {
            Some(data) if self.weights.is_empty() => fitted(&models, data)?,
            _ => self.weights.clone(),
        };
        let mut notes = self.notes(&models, &weights);
        if let Some(data) = &self.data {
            notes.perplexity = measure_all(&mixed(&models, &weights)?, data)?;
        }
        let mut bytes = packed_mixture(&models, &weights, &notes)?;
        if self.entropy {
            bytes = entropy_coded(&bytes)?;
        }
        output.write(|file| file.write_all(&bytes))?;
        for (path, weight) in paths.iter().zip(&weights) {
            note!("{weight:.3} {}", path.display());
        }
        for figure in &notes.perplexity {
            note!("{}: perplexity {:.2}", figure.data, figure.value);
        }
        output.tell(&format!("{} bytes, a mixture of {}", bytes.len(), models.len()))
    }

    fn check_weights(&self) -> Result<()> {
        let (given, models) = (self.weights.len(), self.models.len());
        if given == 0 {
            return Ok(());
        }
        let sum: f64 = self.weights.iter().sum();
        if given != models || (sum - 1.0).abs() > 1e-6 {
            bail!(
                "--weights has {given} that add up to {sum}: give one for each of the {models} models, together 1"
            );
        }
        Ok(())
    }

    /// What the file says of itself: its parts say more.
    fn notes(&self, models: &[Loaded], weights: &[f64]) -> Notes {
        let parts = self.models.iter().zip(weights);
        let parts = parts.map(|(path, weight)| format!("{weight} of {}", path.display()));
        let join = |of: fn(&Provenance) -> &String| {
            let mut all: Vec<&str> = Vec::new();
            for loaded in models {
                let text = of(loaded.model.provenance()).as_str();
                if !text.is_empty() && !all.contains(&text) {
                    all.push(text);
                }
            }
            all.join("; ")
        };
        Notes {
            recipe: format!("mixture: {}", parts.collect::<Vec<_>>().join(", ")),
            provenance: Provenance {
                training_data: join(|provenance| &provenance.training_data),
                tool: join(|provenance| &provenance.tool),
                licence: join(|provenance| &provenance.licence),
            },
            perplexity: Vec::new(),
        }
    }
}
