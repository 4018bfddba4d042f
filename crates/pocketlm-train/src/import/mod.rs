//! Models that other programs trained, as checkpoints.
//!
//! The names of a file's tensors say which [`Layout`] it has, their shapes what the model is. Every tensor is accounted
//! for in the [`Import`]: read, passed over, or missing and taken as zero.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::checkpoint::{Checkpoint, Provenance};
use crate::corpus::Encoder;
use crate::error::{Error, Result};
use crate::settings::CellKind;

mod layout;
mod parts;
mod tensors;
mod vocabulary;

pub use layout::{LAYOUTS, Layout, Part, Piece};
pub use tensors::Tensors;
pub use vocabulary::{Words, encoder};

use parts::{Parts, describe};

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The name of its layout; the one that knows most of its names unless given.
    pub layout: Option<String>,
    /// What its cells are, where three gates may be a GRU's or a CIFG's.
    pub cell: Option<CellKind>,
    /// Tensors to pass over: names, or what names begin with.
    pub pass_over: Vec<String>,
    /// How the list of words is to be taken.
    pub words: Words,
}

/// What became of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is in the model.
    Read,
    /// It is not, which changes nothing or was asked for.
    Passed,
    /// The file lacks it; the note says what stands in its place.
    Missing,
}

/// A tensor and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name in the file; of a missing one what it is.
    pub name: String,
    /// Its shape, empty for a missing one.
    pub shape: Vec<usize>,
    /// What became of it.
    pub fate: Fate,
    /// What it is in the model, or why it was passed over.
    pub note: String,
}

/// A model that was read.
pub struct Import {
    /// The model.
    pub checkpoint: Checkpoint,
    /// The layout's name.
    pub layout: &'static str,
    /// Every tensor of the file, and those it lacks.
    pub report: Vec<Line>,
}

/// Reads a safetensors file, or a folder in the Hugging Face layout with `model.safetensors`. `words` is the list of
/// words, for which a folder of [`export`](crate::export) needs none.
///
/// # Errors
/// [`Error::Checkpoint`] naming the file and the tensor for one that is cut, pickled, of no known layout or of shapes
/// that contradict each other or the list of words.
pub fn import(path: &Path, words: Option<&Path>, options: &Options) -> Result<Import> {
    let folder = path.is_dir().then(|| Folder::open(path)).transpose()?;
    let file = if folder.is_some() { path.join("model.safetensors") } else { path.to_owned() };
    let (tensors, others) = tensors::load(&file)?;
    let encoder = match (words, &folder) {
        (Some(words), _) => encoder(words, &options.words)?,
        (None, Some(folder)) => folder.encoder(&options.words)?,
        (None, None) => {
            let what = "has no words beside it: give the list of its words by --vocab FILE";
            return Err(Error::checkpoint(path, what));
        }
    };
    if let Some(folder) = &folder {
        folder.check_words(&encoder, words.unwrap_or(path))?;
    }
    let told = folder.as_ref().and_then(|folder| folder.cell);
    let options = Options { cell: options.cell.or(told), ..options.clone() };
    let mut made = assemble((&file, &tensors), (words.unwrap_or(path), encoder), &options)?;
    let hidden = &made.checkpoint.config.recipe.model.hidden;
    folder.map_or(Ok(()), |folder| folder.check_layers(hidden))?;
    let others = others.into_iter();
    made.report.extend(others.map(|name| passed(name, &[], "holds no floating-point numbers")));
    Ok(made)
}

/// A model of tensors and words that are read already; their paths are named in errors.
///
/// # Errors
/// As [`import`] but for what is of files.
pub fn assemble(
    (path, tensors): (&Path, &Tensors),
    (words, encoder): (&Path, Encoder),
    options: &Options,
) -> Result<Import> {
    let (layout, parts, mut report) = sort(path, tensors, options)?;
    let model = parts.model(options.cell)?;
    check_size(&parts, &encoder, words)?;
    let parameters = parts.parameters(&model)?;
    account(&parts, &mut report)?;
    let provenance = Provenance::imported(layout);
    let checkpoint = Checkpoint::of(encoder, model, parameters, provenance)?;
    Ok(Import { checkpoint, layout, report })
}

/// A folder in the Hugging Face layout.
struct Folder {
    path: PathBuf,
    config: Value,
    cell: Option<CellKind>,
}

impl Folder {
    fn open(path: &Path) -> Result<Self> {
        let file = path.join("config.json");
        let text = std::fs::read_to_string(&file).map_err(Error::io(&file))?;
        let config: Value = serde_json::from_str(&text)
            .map_err(|error| Error::checkpoint(&file, format!("is no JSON: {error}")))?;
        if config.get("provenance").is_some() && config.get("model").is_some() {
            let what = "is a checkpoint of pocketlm already: every command takes it as it is";
            return Err(Error::checkpoint(path, what));
        }
        let cell = config.get("cell").and_then(Value::as_str);
        let cell = cell.and_then(CellKind::from_name);
        Ok(Self { path: path.to_owned(), config, cell })
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.config.get(key).and_then(Value::as_str)
    }

    /// The words beside the model.
    fn encoder(&self, words: &Words) -> Result<Encoder> {
        if let Some(unit) = self.text("unit").and_then(|unit| unit.parse().ok()) {
            return Ok(Encoder::load(&self.path, unit)?);
        }
        const FILES: [&str; 5] =
            ["vocab.txt", "tokenizer.json", "tokenizer.model", "tokens.txt", "vocab.json"];
        let found = FILES.iter().map(|name| self.path.join(name)).find(|file| file.exists());
        let file = found.ok_or_else(|| {
            let what =
                format!("has none of {}: give the list of words by --vocab FILE", FILES.join(", "));
            Error::checkpoint(&self.path, what)
        })?;
        encoder(&file, words)
    }

    /// Refuses other layers than those of `config.json`, where it tells.
    fn check_layers(&self, hidden: &[usize]) -> Result<()> {
        let known = self.config.get("hidden_sizes").filter(|known| **known != json!(hidden));
        let Some(known) = known else { return Ok(()) };
        let what = format!(
            "has layers of {hidden:?}, config.json says {known}: one of the two is of another model"
        );
        Err(Error::checkpoint(&self.path.join("model.safetensors"), what))
    }

    /// Refuses words in another order than those of the model, where the folder tells.
    fn check_words(&self, encoder: &Encoder, path: &Path) -> Result<()> {
        let own = encoder.vocabulary().sha256();
        match self.text("vocab_sha256").filter(|known| *known != own) {
            Some(known) => {
                let what = format!(
                    "has other words than the model, or in another order: their SHA-256 is {own}, config.json says {known}"
                );
                Err(Error::checkpoint(path, what))
            }
            None => Ok(()),
        }
    }
}

type Sorted<'a> = (&'static str, Parts<'a>, Vec<Line>);

/// Finds the layout and what each tensor is; refuses tensors that it does not know.
fn sort<'a>(path: &'a Path, tensors: &'a Tensors, options: &Options) -> Result<Sorted<'a>> {
    let layout = match &options.layout {
        Some(name) => find(name)?,
        None => guess(path, tensors)?,
    };
    let (mut parts, mut report) = (Parts { path, tensors, names: Default::default() }, Vec::new());
    let mut unknown = Vec::new();
    for (name, tensor) in tensors {
        let passes = |start: &String| name.starts_with(start.as_str());
        if options.pass_over.iter().any(passes) {
            report.push(passed(name.clone(), &tensor.shape, "as asked for"));
            continue;
        }
        match layout.part(&plain(name)) {
            Some(Part::Copy(why)) => report.push(passed(name.clone(), &tensor.shape, why)),
            Some(part) => {
                let Some(other) = parts.names.insert(part, name) else { continue };
                let [raw, dropped] = apart(path, part, name, other)?;
                parts.names.insert(part, raw);
                let why = format!("{raw} before weights were dropped stands for it");
                report.push(passed(dropped.to_owned(), &tensors[dropped].shape, &why));
            }
            None => unknown.push(name.as_str()),
        }
    }
    if let Some(backwards) =
        unknown.iter().find(|name| name.trim_end_matches("_raw").ends_with("_reverse"))
    {
        let what =
            format!("has {backwards}: its layers are bidirectional, a language model goes one way");
        return Err(Error::checkpoint(path, what));
    }
    if !unknown.is_empty() {
        let what = format!(
            "has tensors that the layout {} does not know: {}; without them the model computes something else. Where they \
             have no part in it, pass them over by --pass-over NAME; the layouts: {}",
            layout.name(),
            shown(&unknown),
            names()
        );
        return Err(Error::checkpoint(path, what));
    }
    Ok((layout.name(), parts, report))
}

/// Of two tensors for one part, that before weights were dropped and the other.
fn apart<'a>(path: &Path, part: Part, one: &'a str, other: &'a str) -> Result<[&'a str; 2]> {
    match [one, other].map(|name| name.ends_with("_raw")) {
        [true, false] => Ok([one, other]),
        [false, true] => Ok([other, one]),
        _ => {
            let what = format!("has two tensors for the {}: {other} and {one}", describe(part));
            Err(Error::checkpoint(path, what))
        }
    }
}

/// A name without what wrappers put around it, and without the mark of a weight that is dropped.
fn plain(name: &str) -> String {
    const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "model.", "state_dict."];
    let mut name = name.strip_suffix("_raw").unwrap_or(name);
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = rest;
    }
    name.to_owned()
}

fn find(name: &str) -> Result<&'static dyn Layout> {
    let found = LAYOUTS.iter().find(|layout| layout.name() == name);
    found.copied().ok_or_else(|| {
        Error::config("layout", format!("{name:?} is not known: there are {}", names()))
    })
}

/// The names of all layouts.
pub fn names() -> String {
    LAYOUTS.iter().map(|layout| layout.name()).collect::<Vec<_>>().join(", ")
}

/// The layout that knows most of the names, of those that find an embedding and a recurrent layer.
fn guess(path: &Path, tensors: &Tensors) -> Result<&'static dyn Layout> {
    let known = |layout: &&dyn Layout| {
        let parts: Vec<_> = tensors.keys().filter_map(|name| layout.part(&plain(name))).collect();
        let has_layer = parts.iter().any(|part| matches!(part, Part::Layer(..)));
        if has_layer && parts.contains(&Part::Embedding) { parts.len() } else { 0 }
    };
    let best = LAYOUTS.iter().copied().rev().max_by_key(known).filter(|layout| known(layout) > 0);
    best.ok_or_else(|| {
        let own: Vec<&str> = tensors.keys().map(String::as_str).collect();
        let layouts =
            LAYOUTS.iter().map(|layout| format!("\n  {}: {}", layout.name(), layout.about()));
        let what = format!(
            "is of no known layout: it has {}; rename its tensors to those of one of these:{}",
            if own.is_empty() { "no tensors".into() } else { shown(&own) },
            layouts.collect::<String>()
        );
        Error::checkpoint(path, what)
    })
}

fn shown(names: &[&str]) -> String {
    const MOST: usize = 12;
    let more = names.len().saturating_sub(MOST);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", names[..names.len() - more].join(", "))
}

/// Refuses a list of words of another length than the embedding.
fn check_size(parts: &Parts, encoder: &Encoder, words: &Path) -> Result<()> {
    let name = parts.names[&Part::Embedding];
    let (rows, types) = (parts.tensors[name].shape[0], encoder.vocabulary().len());
    if rows == types {
        return Ok(());
    }
    let what = format!(
        "has {types} words, {name} of {} has {rows} rows: give the list that the model was trained with",
        parts.path.display()
    );
    Err(Error::checkpoint(words, what))
}

/// Adds what was read, and what is missing.
fn account(parts: &Parts, report: &mut Vec<Line>) -> Result<()> {
    let is_tied = parts.own_softmax()?.is_none();
    for (part, name) in &parts.names {
        let shape = parts.tensors[*name].shape.clone();
        let line = match part {
            Part::Softmax if is_tied => {
                passed((*name).to_owned(), &shape, "equal to the embedding: tied")
            }
            _ => Line { name: (*name).to_owned(), shape, fate: Fate::Read, note: describe(*part) },
        };
        report.push(line);
    }
    if !parts.names.contains_key(&Part::Softmax) {
        let note = "the embedding stands for it: tied".to_owned();
        let (name, shape) = (describe(Part::Softmax), Vec::new());
        report.push(Line { name, shape, fate: Fate::Missing, note });
    }
    let biases = parts.names.keys().filter_map(|part| match part {
        Part::Layer(module, layer, Piece::Input) => Some([
            Part::Layer(*module, *layer, Piece::InputBias),
            Part::Layer(*module, *layer, Piece::RecurrentBias),
        ]),
        _ => None,
    });
    let wanted = biases.flatten().chain([Part::SoftmaxBias]);
    let missing = wanted.filter(|part| !parts.names.contains_key(part));
    report.extend(missing.map(|part| Line {
        name: describe(part),
        shape: Vec::new(),
        fate: Fate::Missing,
        note: "taken as zero".into(),
    }));
    Ok(())
}

fn passed(name: String, shape: &[usize], why: &str) -> Line {
    Line { name, shape: shape.to_vec(), fate: Fate::Passed, note: why.to_owned() }
}
