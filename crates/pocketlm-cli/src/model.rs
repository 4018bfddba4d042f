//! A model for use, whether it is a checkpoint or a packed file: both run on the runtime.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use pocketlm::raw::Writer;
use pocketlm::subword::words::WordSearch;
use pocketlm::{Model, Session, Unit};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Encoder, composed, without_marks};
use pocketlm_train::pack::pack_in_memory;

use crate::ending::Usage;
use crate::shell;

/// The model of a command that uses one, so that its arguments are texts.
#[derive(clap::Args)]
pub struct ModelArg {
    /// Model to use: a .plm file or the folder of a checkpoint (default: the built-in one, of English).
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
}

/// The model that is used where none is named; `assets/english.md` says what it is.
#[cfg(feature = "embedded")]
static ENGLISH: &[u8] = include_bytes!("../assets/english.plm");

/// What stands for the path of the built-in model.
#[cfg(feature = "embedded")]
const BUILT_IN: &str = "the built-in model";

/// The model within the program.
#[cfg(feature = "embedded")]
pub fn built_in() -> Result<Loaded> {
    Ok(Loaded::of(Model::from_bytes(ENGLISH)?, Path::new(BUILT_IN)))
}

impl ModelArg {
    /// Opens the model; where none is named the built-in one. A first text that is a model is taken for the one that was
    /// meant, which is an error.
    pub fn open(&self, texts: &[String]) -> Result<Loaded> {
        #[cfg(feature = "embedded")]
        if self.model.is_none() && !texts.first().is_some_and(|text| is_model(text)) {
            note!("note: {BUILT_IN}, of English; -m MODEL takes another");
            return built_in();
        }
        Loaded::open(self.path(texts)?)
    }

    /// The model's path. Without one, an error that says the command with it; a first text that is a model is taken for
    /// the one that was meant.
    pub fn path(&self, texts: &[String]) -> Result<&Path> {
        if let Some(path) = &self.model {
            return Ok(path);
        }
        let command = match texts.first().filter(|text| is_model(text)) {
            Some(text) => shell::with_flag("-m", Some(text)),
            None => shell::with_flag("-m MODEL", None),
        };
        Err(Usage(format!("give the model by -m: {command}")).into())
    }
}

/// Whether a text is rather the path of a model.
fn is_model(text: &str) -> bool {
    let path = Path::new(text);
    path.extension().is_some_and(|end| end == "plm") || path.exists()
}

/// Refuses a model that is not there, with the likest name beside it.
pub fn check_exists(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let near = nearest(path).map(|near| format!(": did you mean {}?", near.display()));
    let near = near.unwrap_or_else(|| "; check the path".to_owned());
    bail!("{}: no such file or folder{near}", path.display())
}

/// What lies in the same folder under a name that is nearly that of `path`.
fn nearest(path: &Path) -> Option<PathBuf> {
    const LEAST: f64 = 0.85;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let there = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let likeness = |other: &str| strsim::jaro_winkler(&name, other);
    let names = there.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let near = names.filter(|other| likeness(other) >= LEAST);
    // Of equals the first by name, whatever the order of the folder.
    let best = near.min_by(|a, b| likeness(b).total_cmp(&likeness(a)).then_with(|| a.cmp(b)))?;
    Some(path.with_file_name(best))
}

/// A model ready to run.
pub struct Loaded {
    /// The runtime's model; a checkpoint is packed in memory, in f32.
    pub model: Model,
    /// How text is cut by the trainer's rules, which know the spelling of unknown words; made when it is asked for.
    speller: OnceCell<Encoder>,
    path: PathBuf,
}

impl Loaded {
    /// Opens a checkpoint's folder or a `.plm` file.
    pub fn open(path: &Path) -> Result<Self> {
        check_exists(path)?;
        if !path.is_dir() {
            return Ok(Self::of(Model::open(path)?, path));
        }
        let checkpoint = Checkpoint::load(path)?;
        let packed = pack_in_memory(&checkpoint)
            .with_context(|| format!("{} cannot be run", path.display()))?;
        Ok(Self::of(Model::from_bytes(packed)?, path))
    }

    /// A model that is open already; `path` stands for it.
    pub fn of(model: Model, path: &Path) -> Self {
        Self { model, speller: OnceCell::new(), path: path.to_owned() }
    }

    /// Where it lies, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A search for whole words, where the model has parts of them.
    pub fn word_search(&self) -> Result<Option<WordSearch>> {
        let is_parts = matches!(self.model.vocabulary().unit(), Unit::Subword | Unit::Character);
        Ok(is_parts.then(|| WordSearch::new(&self.model)).transpose()?)
    }

    /// A text in Unicode's composed form, where the model has raw text.
    pub fn composed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let is_raw = self.model.vocabulary().unit().case().is_some();
        if is_raw { composed(text) } else { text.into() }
    }

    /// Token ids of a text and the number of words that the vocabulary lacks.
    pub fn tokens(&self, text: &str) -> Result<(Vec<u32>, u64)> {
        let vocabulary = self.model.vocabulary();
        let is_words = vocabulary.unit() == Unit::Word;
        let text = self.composed(if is_words { without_marks(text) } else { text });
        let mut oov = 0;
        let ids = vocabulary.tokens(&text).map(|token| {
            oov += u64::from(token.id.is_none());
            vocabulary.resolve(token)
        });
        let ids: Result<_, _> = ids.collect();
        let mend = match self.model.configuration() {
            Some(_) => ": train with --max-vocab or --min-count, which adds it",
            None => "",
        };
        Ok((ids.map_err(|e| anyhow!("{e}{mend}"))?, oov))
    }

    /// Nats that it takes to spell the words of a text that the vocabulary lacks.
    pub fn spelling(&self, text: &str) -> Result<f64> {
        let speller = match self.speller.get() {
            Some(speller) => speller,
            None => {
                let made = Encoder::packed(&self.model, &self.path)?;
                self.speller.get_or_init(|| made)
            }
        };
        Ok(speller.encode(text)?.spelling_bits * std::f64::consts::LN_2)
    }

    /// The text of token ids as it goes on after `context`, with the space between the two.
    pub fn text_after(&self, context: &str, ids: &[u32]) -> Result<String> {
        let Some(case) = self.model.vocabulary().unit().case() else {
            if !context.is_empty()
                && let Some(tokenizer) = self.model.vocabulary().tokenizer()
            {
                let mut bytes = Vec::new();
                ids.iter().for_each(|&id| tokenizer.push(id, &mut bytes));
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            let is_words = self.model.vocabulary().unit() == Unit::Word;
            let gap = if is_words && !context.is_empty() { " " } else { "" };
            return Ok(format!("{gap}{}", self.text(ids)));
        };
        let (before, _) = self.tokens(context)?;
        let (mut writer, mut text) = (Writer::new(case), String::new());
        let mut buffer = Vec::new();
        for (at, &id) in before.iter().chain(ids).enumerate() {
            if at == before.len() {
                text.clear();
            }
            writer
                .push(self.model.vocabulary().word(id, &mut buffer).unwrap_or_default(), &mut text);
        }
        Ok(if ids.is_empty() { String::new() } else { text })
    }

    /// The text of token ids.
    pub fn text(&self, ids: &[u32]) -> String {
        let vocabulary = self.model.vocabulary();
        if let Some(tokenizer) = vocabulary.tokenizer() {
            return tokenizer.decode(ids);
        }
        let mut buffer = Vec::new();
        let words: Vec<String> = ids
            .iter()
            .filter_map(|&id| vocabulary.word(id, &mut buffer).map(str::to_owned))
            .collect();
        if let Some(case) = vocabulary.unit().case() {
            let (mut writer, mut text) = (Writer::new(case), String::new());
            words.iter().for_each(|word| writer.push(word, &mut text));
            return text;
        }
        let gap = if vocabulary.unit() == Unit::Character { "" } else { " " };
        words.join(gap)
    }

    /// A session that has read `context`; words unknown to the model are reported on standard error.
    pub fn session(&self, context: &str) -> Result<Session<&Model>> {
        let mut session = Session::new(&self.model);
        let (ids, oov) = self.tokens(context)?;
        if oov > 0 {
            let words =
                if oov == 1 { "word of the context is" } else { "words of the context are" };
            note!("note: {oov} {words} not in the vocabulary, read as <unk>");
        }
        ids.into_iter().try_for_each(|id| session.feed(id))?;
        Ok(session)
    }
}
