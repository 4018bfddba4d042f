//! Files of tensors, which become checkpoints.

use std::path::PathBuf;

use anyhow::Result;
use pocketlm_train::import::{Fate, Import, Line, Options, import};
use pocketlm_train::settings::ModelConfig;
use serde_json::json;

use crate::output::check_folder_output;

/// A model to read, and where its checkpoint goes.
pub struct Source {
    pub model: PathBuf,
    pub vocab: Option<PathBuf>,
    pub options: Options,
    pub output: PathBuf,
    pub force: bool,
    pub json: bool,
}

impl Source {
    /// Reads, writes, and tells what became of each tensor.
    pub fn run(self) -> Result<()> {
        let inputs = [Some(self.model.as_path()), self.vocab.as_deref()];
        check_folder_output(&self.output, self.force, &inputs)?;
        let Import { checkpoint, layout, report } =
            import(&self.model, self.vocab.as_deref(), &self.options)?;
        checkpoint.save(&self.output)?;
        let (model, words) = (&checkpoint.config.recipe.model, checkpoint.config.vocabulary);
        let parameters = checkpoint.parameters.data.len();
        if self.json {
            let object = json!({ "output": self.output.to_string_lossy(), "layout": layout, "model": model,
                "vocabulary": words, "parameters": parameters, "tensors": report });
            say!("{}", serde_json::to_string_pretty(&object)?);
            return Ok(());
        }
        say!(
            "{}: {}, {words} words, {parameters} parameters (layout {layout})",
            self.output.display(),
            describe(model)
        );
        report.iter().try_for_each(|line| {
            say!("{}", tell(line));
            Ok(())
        })
    }
}

/// A shape in words.
pub fn describe(model: &ModelConfig) -> String {
    let hidden: Vec<_> = model.hidden.iter().map(usize::to_string).collect();
    let mut text =
        format!("{}, layers of {}, embedding {}", model.cell, hidden.join(", "), model.embedding);
    let widths = [("cell projection", model.cell_projection), ("projection", model.projection)];
    for (name, width) in widths.into_iter().filter(|(_, width)| *width > 0) {
        text += &format!(", {name} {width}");
    }
    if model.tied { text + ", tied" } else { text }
}

fn tell(line: &Line) -> String {
    let Line { name, shape, fate, note } = line;
    let fate = match fate {
        Fate::Read => "read",
        Fate::Passed => "passed over",
        Fate::Missing => "missing",
    };
    match shape.is_empty() {
        true => format!("  {fate:<11}  {name}: {note}"),
        false => format!("  {fate:<11}  {name} {shape:?}: {note}"),
    }
}
