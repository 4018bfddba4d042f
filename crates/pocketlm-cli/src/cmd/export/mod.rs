//! `pocketlm export`

use std::path::PathBuf;

use anyhow::{Result, bail};
use pocketlm::Model;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::export::{Export, onnx};

use crate::ending::Usage;
use crate::model::check_exists;

mod arpa;
mod recurrent;

use arpa::Arpa;
use recurrent::Recurrent;

/// Write a model for other programs: ONNX, a folder of safetensors, or ARPA.
///
/// A recurrent model, checkpoint or packed, becomes an ONNX file if the name ends in .onnx, else a folder in the layout of
/// the Hugging Face hub, with PyTorch's names in model.safetensors. Its matrices are written dense, whatever describes
/// them; those of a packed file as its precision has left them. Ids are the lines of its list of words.
///
/// A packed n-gram model becomes an ARPA file.
///
/// Example: pocketlm export runs/small -o small.onnx --contract icefall-offline
///
/// Example: pocketlm export model.plm -o model.arpa
#[derive(clap::Args)]
pub struct Args {
    /// Folder of a checkpoint, or a .plm file.
    model: PathBuf,
    /// File NAME.onnx or folder to write; of n-grams the ARPA file; - for standard output.
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    #[arg(long, value_parser = contract, help = contracts())]
    contract: Option<&'static onnx::Contract>,
    /// Weights of an ONNX file: f32, or int8 for ONNX Runtime (default: f32).
    #[arg(long, value_parser = precision)]
    precision: Option<onnx::Precision>,
    /// Also write the words of an ONNX file, one a line in the order of its ids.
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,
    /// Replace what exists.
    #[arg(long)]
    force: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn contracts() -> String {
    let list: Vec<_> =
        onnx::CONTRACTS.iter().map(|c| format!("{} ({})", c.name, c.about)).collect();
    format!("Inputs and outputs of an ONNX file: {} (default: step)", list.join("; "))
}

fn contract(name: &str) -> Result<&'static onnx::Contract, String> {
    onnx::contract(name).map_err(|_| {
        let names: Vec<_> = onnx::CONTRACTS.iter().map(|contract| contract.name).collect();
        format!("choose {}", names.join(", "))
    })
}

fn precision(name: &str) -> Result<onnx::Precision, String> {
    match name {
        "f32" => Ok(onnx::Precision::F32),
        "int8" => Ok(onnx::Precision::Int8),
        _ => Err("choose f32 or int8".to_owned()),
    }
}

impl Args {
    /// Reads the model and writes it.
    pub fn run(self) -> Result<()> {
        check_exists(&self.model)?;
        let is_onnx = self.output.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx"));
        if !is_onnx && let Some(flag) = self.given() {
            bail!(Usage(format!(
                "{flag} is for ONNX files: give a name that ends in .onnx by --output"
            )));
        }
        let Self { model, output, force, json, .. } = self;
        let export = if model.is_dir() {
            Export::from(Checkpoint::load(&model)?)
        } else {
            let packed = Model::open(&model)?;
            packed.verify()?;
            if packed.configuration().is_none() {
                return Arpa { path: model, model: packed, output, force, json }.run();
            }
            Export::packed(&packed, &model)?
        };
        if output.extension().is_some_and(|end| end.eq_ignore_ascii_case("arpa")) {
            bail!("{} is no n-gram model; only such have an ARPA form", model.display());
        }
        let recurrent = Recurrent { path: model, export, output, force, json };
        if is_onnx {
            let contract = self.contract.unwrap_or(&onnx::CONTRACTS[0]);
            let precision = self.precision.unwrap_or(onnx::Precision::F32);
            recurrent.onnx(contract, precision, self.vocab.as_deref())
        } else {
            recurrent.folder()
        }
    }

    /// A flag of ONNX files that was given.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.contract.is_some(), "--contract"),
            (self.precision.is_some(), "--precision"),
            (self.vocab.is_some(), "--vocab"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}
