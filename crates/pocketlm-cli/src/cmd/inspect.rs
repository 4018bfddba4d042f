//! `pocketlm inspect`

use std::path::PathBuf;

use anyhow::Result;
use comfy_table::Table;
use pocketlm::{CodedBytes, MatrixInfo, Model, Shown};
use serde_json::{Value, json};

use crate::model::Loaded;
use crate::table::table;

/// Show the matrices of a model and the map of its file.
///
/// Example: pocketlm inspect small.plm
#[derive(clap::Args)]
pub struct Args {
    /// Model: a .plm file, or the folder of a checkpoint, which is packed in memory in f32.
    model: PathBuf,
    /// Also check the checksum of the whole file.
    #[arg(long)]
    verify: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Shows matrices, then the file's map.
    pub fn run(self) -> Result<()> {
        let model = Loaded::open(&self.model)?.model;
        if self.verify {
            model.verify()?;
        }
        if self.json {
            say!("{}", serde_json::to_string_pretty(&object(&model))?);
            return Ok(());
        }
        let vocabulary = model.vocabulary();
        say!(
            "{}: {} bytes, of which vocabulary {} and header {}; {} parameters, {} types\n",
            self.model.display(),
            model.bytes(),
            model.vocabulary_bytes(),
            model.header_bytes(),
            model.parameters(),
            vocabulary.len()
        );
        let CodedBytes { plain, coded } = model.coded_bytes();
        if coded > 0 {
            say!("entropy-coded: {coded} bytes of arrays in the file are {plain} in memory\n");
        }
        for part in model.parts() {
            say!("part with weight {:.3}: {} parameters", part.weight, part.model.parameters());
            say!("{}\n", contents(&part.model));
        }
        if model.parts().is_empty() {
            say!("{}\n", contents(&model));
        }
        say!("{}", map(&model));
        for figure in model.perplexity() {
            let data = Shown(&figure.data);
            say!("\n{data}: perplexity {:.2} over {} tokens", figure.value, figure.tokens);
        }
        Ok(())
    }
}

/// The matrices of a recurrent model, or what an n-gram model has of each order.
fn contents(model: &Model) -> Table {
    if model.orders().is_empty() { matrices(model) } else { orders(model) }
}

fn matrices(model: &Model) -> Table {
    let header = [
        "matrix",
        "structure",
        "sparsity",
        "precision",
        "rows",
        "columns",
        "parameters",
        "bytes",
        "in the file",
    ];
    let mut table = table(&header, 4);
    for mut m in model.matrices() {
        let factors = std::mem::take(&mut m.factors);
        for m in std::iter::once(m).chain(factors) {
            let numbers =
                [m.rows, m.columns, m.parameters, m.bytes, m.file_bytes].map(|n| n.to_string());
            let form = [m.name, m.structure, m.sparsity, m.precision].map(shown);
            table.add_row(form.into_iter().chain(numbers));
        }
    }
    table
}

/// The n-grams of each length.
fn orders(model: &Model) -> Table {
    let header = ["order", "n-grams", "bits of p", "bits of back-off", "bytes"];
    let mut table = table(&header, 0);
    for o in model.orders() {
        table.add_row([
            o.order.to_string(),
            o.ngrams.to_string(),
            o.probability_bits.to_string(),
            o.backoff_bits.to_string(),
            o.bytes.to_string(),
        ]);
    }
    table
}

/// A matrix, and its factors where it has some.
fn described(m: MatrixInfo) -> Value {
    let mut object = json!({ "name": m.name, "rows": m.rows, "columns": m.columns,
        "structure": m.structure, "sparsity": m.sparsity, "precision": m.precision,
        "parameters": m.parameters, "bytes": m.bytes, "file_bytes": m.file_bytes });
    if !m.factors.is_empty() {
        object["factors"] = m.factors.into_iter().map(described).collect();
    }
    object
}

/// A text of the file, with nothing in it that acts on a terminal.
fn shown(text: String) -> String {
    Shown(&text).to_string()
}

fn map(model: &Model) -> Table {
    let mut table = table(&["array", "type", "shape", "bytes", "from", "to"], 3);
    for array in model.arrays() {
        let shape = format!("{:?}", array.shape);
        let numbers = [array.bytes, array.range.start, array.range.end].map(|n| n.to_string());
        table
            .add_row([shown(array.name), array.dtype.to_owned(), shape].into_iter().chain(numbers));
    }
    table
}

fn object(model: &Model) -> Value {
    let parts = model.parts().iter().map(|part| {
        let (matrices, orders) = forms(&part.model);
        json!({ "weight": part.weight, "matrices": matrices, "orders": orders })
    });
    let (matrices, orders) = forms(model);
    let arrays = model.arrays().into_iter().map(|a| {
        json!({ "name": a.name, "dtype": a.dtype, "shape": a.shape, "bytes": a.bytes,
            "from": a.range.start, "to": a.range.end })
    });
    let provenance = model.provenance();
    let coded = model.coded_bytes();
    let figures = model.perplexity().iter();
    json!({
        "format_version": model.metadata().get("format_version").and_then(|v| v.parse::<u32>().ok()),
        "bytes": model.bytes(),
        "bytes_without_vocabulary": model.bytes() - model.vocabulary_bytes(),
        "coded": { "plain_bytes": coded.plain, "coded_bytes": coded.coded },
        "parameters": model.parameters(),
        "vocabulary": model.vocabulary().len(),
        "matrices": matrices,
        "orders": orders,
        "parts": parts.collect::<Vec<_>>(),
        "arrays": arrays.collect::<Vec<_>>(),
        "recipe": model.recipe(),
        "provenance": { "training_data": provenance.training_data, "tool": provenance.tool,
            "licence": provenance.licence },
        "perplexity": figures.map(|f| json!({ "data": f.data, "tokens": f.tokens, "value": f.value }))
            .collect::<Vec<_>>(),
    })
}

/// The matrices and the orders of a model, of which it has one or the other.
fn forms(model: &Model) -> (Vec<Value>, Vec<Value>) {
    let orders = model.orders().into_iter().map(|o| {
        json!({ "order": o.order, "ngrams": o.ngrams, "probability_bits": o.probability_bits,
            "backoff_bits": o.backoff_bits, "bytes": o.bytes })
    });
    (model.matrices().into_iter().map(described).collect(), orders.collect())
}
