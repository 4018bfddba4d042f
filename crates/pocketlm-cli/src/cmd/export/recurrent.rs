//! Recurrent models as ONNX files and as folders of safetensors.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pocketlm_train::export::{Export, huggingface, onnx};
use serde_json::json;

use crate::output::{Output, check_folder_output};

/// A model to write.
pub struct Recurrent {
    /// Where it was read.
    pub path: PathBuf,
    pub export: Export,
    pub output: PathBuf,
    pub force: bool,
    pub json: bool,
}

impl Recurrent {
    /// Writes an ONNX file, and the words beside it.
    pub fn onnx(
        self,
        contract: &onnx::Contract,
        precision: onnx::Precision,
        words: Option<&Path>,
    ) -> Result<()> {
        let output = Output::new(&self.output, self.force)?;
        output.check_inputs(&[Some(&self.path)])?;
        let list = words.map(|words| Output::new(words, self.force)).transpose()?;
        if let Some(list) = &list {
            list.check_inputs(&[Some(&self.path)])?;
            list.check_apart(&output)?;
            list.check_json(self.json)?;
        }
        let bytes = onnx::encode(&self.export, contract, precision)?;
        let vocabulary = self.export.encoder.vocabulary();
        if let Some(list) = &list {
            list.write(|file| vocabulary.words().try_for_each(|word| writeln!(file, "{word}")))?;
        }
        output.write(|file| file.write_all(&bytes))?;
        if self.json {
            let object = json!({ "output": self.output.to_string_lossy(), "bytes": bytes.len(),
                "contract": contract.name, "vocabulary": vocabulary.len() });
            say!("{}", serde_json::to_string_pretty(&object)?);
            return Ok(());
        }
        output.tell(&format!("{} bytes, {}: {}", bytes.len(), contract.name, contract.about))
    }

    /// Writes a folder.
    pub fn folder(self) -> Result<()> {
        check_folder_output(&self.output, self.force, &[Some(&self.path)])?;
        huggingface::write(&self.export, &self.output)?;
        let parameters = self.export.parameters.data.len();
        if self.json {
            let object = json!({ "output": self.output.to_string_lossy(), "parameters": parameters,
                "vocabulary": self.export.encoder.vocabulary().len() });
            say!("{}", serde_json::to_string_pretty(&object)?);
            return Ok(());
        }
        say!("{}: {parameters} parameters in model.safetensors", self.output.display());
        Ok(())
    }
}
