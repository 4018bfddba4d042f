//! ONNX files of recurrent models.
//!
//! A graph is a [`Contract`], what it takes and gives, over layers (`layer.rs`) of cells (`cell.rs`) whose matrices are
//! f32 or bytes (`weights.rs`). LSTMs and GRUs are ONNX's own operators; every other cell is plain operators, in a loop
//! where there are many steps. Ids are those of the model's `vocab.txt`; a sentence starts after its `<eos>`.

mod cell;
mod contract;
mod graph;
mod layer;
mod proto;
mod weights;

use prost::Message;

pub use contract::{CONTRACTS, Contract};

use super::Export;
use crate::error::{Error, Result};
use graph::MICROSOFT;
use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use weights::Builder;

/// The version of ONNX's operators, that of icefall's files, and of the format that has it.
const OPERATORS: i64 = 13;
const FORMAT: i64 = 7;

/// Most bytes of a protobuf file.
const MOST_BYTES: usize = i32::MAX as usize;

/// What the weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    F32,
    /// Bytes with a scale for each row; activations are rounded to bytes as they come, by operators of ONNX Runtime
    /// (`DynamicQuantizeLSTM`, `DynamicQuantizeMatMul`).
    Int8,
}

/// The contract of this name.
///
/// # Errors
/// [`Error::Config`] with all names.
pub fn contract(name: &str) -> Result<&'static Contract> {
    let found = CONTRACTS.iter().find(|contract| contract.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = CONTRACTS.iter().map(|contract| contract.name).collect();
        Error::config("contract", format!("{name:?} is not known: there are {}", names.join(", ")))
    })
}

/// The bytes of an ONNX file.
///
/// # Errors
/// [`Error::Config`] for a model that is too large for one.
pub fn encode(export: &Export, contract: &Contract, precision: Precision) -> Result<Vec<u8>> {
    let each = if precision == Precision::F32 { 4 } else { 1 };
    let too_large = || {
        let what = "is too large for an ONNX file, which has at most 2 GiB: give --precision int8, or compress it";
        Error::config("the model", what)
    };
    if export.parameters.data.len() > MOST_BYTES / each {
        return Err(too_large());
    }
    let mut builder = Builder::new(export, precision);
    let (inputs, outputs) = (contract.build)(&mut builder);
    let mut opset_import = vec![OperatorSetIdProto { domain: String::new(), version: OPERATORS }];
    if builder.graph.uses(MICROSOFT) {
        opset_import.push(OperatorSetIdProto { domain: MICROSOFT.into(), version: 1 });
    }
    let model = ModelProto {
        ir_version: FORMAT,
        producer_name: "pocketlm".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(builder.graph.finish(inputs, outputs)),
        opset_import,
        metadata_props: metadata(export, contract, precision),
    };
    if model.encoded_len() > MOST_BYTES {
        return Err(too_large());
    }
    Ok(model.encode_to_vec())
}

/// What there is to know of the model: what the contract's readers look for, its cells and its words.
fn metadata(
    export: &Export,
    contract: &Contract,
    precision: Precision,
) -> Vec<StringStringEntryProto> {
    let vocabulary = export.encoder.vocabulary();
    let mut all = (contract.metadata)(export);
    all.extend([
        ("contract", contract.name.to_owned()),
        ("cell", export.model.cell.to_string()),
        ("precision", if precision == Precision::F32 { "f32" } else { "int8" }.to_owned()),
        ("unit", export.encoder.unit().to_string()),
        ("eos_id", vocabulary.eos().to_string()),
        ("vocab_size", vocabulary.len().to_string()),
        ("vocab_sha256", vocabulary.sha256()),
    ]);
    all.extend(vocabulary.unk().map(|unk| ("unk_id", unk.to_string())));
    all.into_iter().map(|(key, value)| StringStringEntryProto { key: key.into(), value }).collect()
}
