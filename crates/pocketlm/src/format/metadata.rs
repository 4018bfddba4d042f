//! The values of `__metadata__`: what the arrays mean, and where the model comes from.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};

use super::VERSION;
use super::container::Dtype;
use crate::entropy::planes::{Planes, Symbols};
use crate::error::{Error, Result};
use crate::json::{self, Value};
use crate::spec::{Configuration, Precision, Sparsity, Structure, Unit};

/// Where a model comes from, for those who must account for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Hash of the training text, with the name of the hash before it (`sha256:…`).
    pub training_data: String,
    /// The program and version that trained it.
    pub tool: String,
    /// A note on the licence of model and text.
    pub licence: String,
}

/// A perplexity that was measured by this runtime on the packed bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Perplexity {
    /// The text it was measured on, as `ptb/test`.
    pub data: String,
    /// Tokens, `<eos>` of each line included.
    pub tokens: u64,
    /// exp of the mean negative log-likelihood in nats.
    pub value: f64,
}

/// A name in the file, and what has it.
#[derive(Debug, Clone)]
pub(crate) enum Word<T> {
    Known(T),
    /// A name that this version does not know, or `mixed`, where the factors of a matrix differ.
    Other(String),
}

impl<T: Display> Display for Word<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(known) => known.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// The description of one matrix, still to be matched with its arrays.
#[derive(Debug, Clone)]
pub(crate) struct Description<'a> {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) structure: Word<Structure>,
    pub(crate) sparsity: Word<Sparsity>,
    pub(crate) precision: Word<Precision>,
    /// Names of its leaf arrays, in the order that its precision gives.
    pub(crate) arrays: Vec<String>,
    /// All fields, for those that only one structure or precision has.
    pub(crate) fields: Value<'a>,
}

/// Where the vocabulary lies, and its special tokens.
#[derive(Debug, Clone)]
pub(crate) struct VocabularyEntry {
    pub(crate) types: usize,
    pub(crate) eos: u32,
    pub(crate) unk: Option<u32>,
    pub(crate) text: String,
    pub(crate) blocks: String,
    pub(crate) names: Option<String>,
}

type Fields = BTreeMap<String, String>;

/// The longest n-grams that a model may have.
pub const MAX_ORDER: usize = 6;

/// An n-gram model, still to be matched with its arrays.
#[derive(Debug, Clone)]
pub(crate) struct NgramEntry {
    pub(crate) unit: Unit,
    /// From single words up.
    pub(crate) orders: Vec<NgramOrder>,
}

/// The n-grams of one length.
#[derive(Debug, Clone)]
pub(crate) struct NgramOrder {
    pub(crate) ngrams: usize,
    /// Bits of a probability, 32 for an f32.
    pub(crate) probability_bits: u32,
    /// The same of a back-off weight.
    pub(crate) backoff_bits: u32,
}

fn text<'a>(fields: &'a Fields, key: &str) -> Result<&'a str> {
    fields.get(key).map(String::as_str).ok_or_else(|| Error::metadata(key, "is missing"))
}

pub(crate) fn value<'a>(fields: &'a Fields, key: &str) -> Result<Value<'a>> {
    json::parse(text(fields, key)?).map_err(|fault| Error::Json {
        text: key.to_owned(),
        offset: fault.offset,
        problem: fault.problem,
    })
}

/// Refuses files that are not packed models, and versions that this crate does not know.
pub(crate) fn check_version(fields: &Fields) -> Result<()> {
    if fields.get("format").map(String::as_str) != Some("pocketlm") {
        return Err(Error::NotPacked);
    }
    let found = text(fields, "format_version")?;
    if (1..=VERSION).any(|version| found == format!("{version}")) {
        return Ok(());
    }
    Err(Error::Version { found: found.to_owned(), supported: VERSION })
}

pub(crate) fn configuration(fields: &Fields) -> Result<Configuration> {
    Configuration::from_json(&value(fields, "configuration")?)
}

/// The description of an n-gram model, if the file holds one.
pub(crate) fn ngram(fields: &Fields) -> Result<Option<NgramEntry>> {
    if !fields.contains_key("ngram") {
        return Ok(None);
    }
    if fields.contains_key("configuration") || fields.contains_key("matrices") {
        return Err(Error::metadata("ngram", "stands beside a recurrent model"));
    }
    let value = value(fields, "ngram")?;
    let fault = |field: &str, problem: &str| Error::metadata(format!("ngram.{field}"), problem);
    let unit = value.get("unit").and_then(Value::string).and_then(Unit::from_name);
    let unit = unit.filter(|unit| *unit != Unit::Subword);
    let orders = value.get("orders").and_then(Value::array).unwrap_or_default();
    if !(1..=MAX_ORDER).contains(&orders.len()) {
        return Err(fault("orders", "is not a list of 1 to 6 orders"));
    }
    let order = |(at, order): (usize, &Value<'_>)| {
        let bits = |field| match order.get(field) {
            // Single words are few and read for every distribution.
            None if at == 0 => Some(32),
            bits => bits.and_then(Value::number).filter(|n| at > 0 && matches!(n, 1..=16 | 32)),
        };
        Some(NgramOrder {
            ngrams: order.get("ngrams").and_then(Value::number)?,
            probability_bits: bits("probability_bits")? as u32,
            backoff_bits: if at + 1 == orders.len() { 32 } else { bits("backoff_bits")? as u32 },
        })
    };
    let read: Option<Vec<_>> = orders.iter().enumerate().map(order).collect();
    Ok(Some(NgramEntry {
        unit: unit.ok_or_else(|| fault("unit", "is neither of words nor of characters"))?,
        orders: read
            .ok_or_else(|| fault("orders", "one lacks a count, or bits of 1 to 16 or 32"))?,
    }))
}

pub(crate) fn vocabulary(fields: &Fields) -> Result<VocabularyEntry> {
    let value = value(fields, "vocabulary")?;
    let fault =
        |field: &str, problem: &str| Error::metadata(format!("vocabulary.{field}"), problem);
    let array = |field: &str| {
        let name = value.get(field).and_then(Value::string).map(ToOwned::to_owned);
        name.ok_or_else(|| fault(field, "is not the name of an array"))
    };
    let types = value.get("types").and_then(Value::number);
    let types = types
        .filter(|types| (1..=1 << 24).contains(types))
        .ok_or_else(|| fault("types", "is not a count between 1 and 16777216"))?;
    let token = |field: &str| match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(id) => match id.number().filter(|&id| id < types) {
            Some(id) => Ok(Some(id as u32)),
            None => Err(fault(field, "is not an id below the number of types")),
        },
    };
    Ok(VocabularyEntry {
        types,
        eos: token("eos")?.ok_or_else(|| fault("eos", "is missing"))?,
        unk: token("unk")?,
        text: array("text")?,
        blocks: array("blocks")?,
        names: value.get("names").map(|_| array("names")).transpose()?,
    })
}

/// The descriptions of all matrices.
pub(crate) fn matrices(fields: &Fields) -> Result<Vec<Description<'_>>> {
    let Value::Array(items) = value(fields, "matrices")? else {
        return Err(Error::metadata("matrices", "is not a list"));
    };
    items.into_iter().map(description).collect()
}

/// Reads the description of a matrix, or of a factor of one.
pub(crate) fn description(value: Value<'_>) -> Result<Description<'_>> {
    let string = |field: &str| value.get(field).and_then(Value::string).map(ToOwned::to_owned);
    let name = string("name").ok_or_else(|| Error::metadata("matrices", "one has no name"))?;
    let fault = |field: &str| {
        Error::metadata(format!("matrices.{name}.{field}"), "is missing or of the wrong kind")
    };
    let count = |field: &str| value.get(field).and_then(Value::number).ok_or_else(|| fault(field));
    let arrays = value.get("arrays").and_then(Value::array).map(|names| {
        names.iter().map(|name| name.string().map(ToOwned::to_owned)).collect::<Option<Vec<_>>>()
    });
    fn word<T>(name: String, known: fn(&str) -> Option<T>) -> Word<T> {
        known(&name).map_or(Word::Other(name), Word::Known)
    }
    let text = |field: &str| string(field).ok_or_else(|| fault(field));
    Ok(Description {
        rows: count("rows")?,
        columns: count("columns")?,
        structure: word(text("structure")?, Structure::from_name),
        sparsity: word(text("sparsity")?, Sparsity::from_name),
        precision: word(text("precision")?, Precision::from_name),
        arrays: arrays.flatten().ok_or_else(|| fault("arrays"))?,
        name: name.clone(),
        fields: value,
    })
}

/// The descriptions of a matrix's factors.
pub(crate) fn factors<'a>(of: &Description<'a>) -> Result<Vec<Description<'a>>> {
    let list = of.fields.get("factors").and_then(Value::array);
    let list = list.ok_or_else(|| Error::matrix(&of.name, "has no list of factors"))?;
    if !of.arrays.is_empty() {
        return Err(Error::matrix(&of.name, "has factors, and arrays besides"));
    }
    list.iter().map(|factor| description(factor.clone())).collect()
}

/// How an array is coded.
#[derive(Debug, Clone)]
pub(crate) struct Coding {
    pub(crate) name: String,
    /// What it is when it is decoded.
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) symbols: Symbols,
    pub(crate) planes: Planes,
}

/// The codings of all coded arrays; version 1 has none.
pub(crate) fn codings(fields: &Fields) -> Result<Vec<Coding>> {
    if text(fields, "format_version")? == "1" || !fields.contains_key("coded") {
        return Ok(Vec::new());
    }
    let value = value(fields, "coded")?;
    let items = value.array().ok_or_else(|| Error::metadata("coded", "is not a list"))?;
    items.iter().map(coding).collect()
}

fn coding(value: &Value<'_>) -> Result<Coding> {
    let string = |field: &str| value.get(field).and_then(Value::string);
    let name = string("name").ok_or_else(|| Error::metadata("coded", "one has no name"))?;
    let fault = |field: &str, problem: &str| {
        Error::metadata(format!("coded.{name}.{field}"), problem.to_owned())
    };
    let known = "is missing, or not one that this reader knows";
    let counts = |field: &str| {
        value.get(field)?.array()?.iter().map(Value::number).collect::<Option<Vec<_>>>()
    };
    if string("coding") != Some("rans") {
        return Err(fault("coding", known));
    }
    let symbols = string("symbols").and_then(Symbols::from_name);
    Ok(Coding {
        name: name.to_owned(),
        dtype: string("dtype").and_then(Dtype::from_name).ok_or_else(|| fault("dtype", known))?,
        shape: counts("shape").ok_or_else(|| fault("shape", "is not a list of counts"))?,
        symbols: symbols.ok_or_else(|| fault("symbols", known))?,
        planes: planes(value.get("period"), counts("cuts")).ok_or_else(|| {
            fault("cuts", "are not at most seven ascending places within a period")
        })?,
    })
}

/// The planes of this period and these cuts, if they make any; one where neither is given.
fn planes(period: Option<&Value<'_>>, cuts: Option<Vec<usize>>) -> Option<Planes> {
    let (period, cuts) = match (period, cuts) {
        (None, None) => return Some(Planes::one()),
        (period, cuts) => (period?.number()?, cuts?),
    };
    let within = cuts.iter().all(|&cut| 0 < cut && cut < period);
    let ascend = cuts.is_sorted_by(|a, b| a < b) && cuts.len() < 8;
    (period > 0 && within && ascend).then_some(Planes { period, cuts })
}

/// The stored CRC-32, from `crc32:xxxxxxxx`.
pub(crate) fn checksum(fields: &Fields) -> Result<u32> {
    let digits = text(fields, "checksum")?.strip_prefix("crc32:");
    digits
        .filter(|digits| digits.len() == 8 && digits.bytes().all(|d| d.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Error::metadata("checksum", "is not crc32: and eight hexadecimal digits"))
}

pub(crate) fn recipe(fields: &Fields) -> String {
    fields.get("recipe").cloned().unwrap_or_default()
}

pub(crate) fn provenance(fields: &Fields) -> Result<Provenance> {
    if !fields.contains_key("provenance") {
        return Ok(Provenance::default());
    }
    let value = value(fields, "provenance")?;
    let text = |field| value.get(field).and_then(Value::string).unwrap_or_default().to_owned();
    Ok(Provenance {
        training_data: text("training_data"),
        tool: text("tool"),
        licence: text("licence"),
    })
}

pub(crate) fn perplexity(fields: &Fields) -> Result<Vec<Perplexity>> {
    if !fields.contains_key("perplexity") {
        return Ok(Vec::new());
    }
    let value = value(fields, "perplexity")?;
    let read = |item: &Value<'_>| {
        Some(Perplexity {
            data: item.get("data")?.string()?.to_owned(),
            tokens: item.get("tokens")?.number()? as u64,
            value: item.get("value")?.float()?,
        })
    };
    value
        .array()
        .and_then(|items| items.iter().map(read).collect())
        .ok_or_else(|| Error::metadata("perplexity", "is not a list of data, tokens and value"))
}
