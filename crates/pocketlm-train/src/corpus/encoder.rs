//! From text to token ids and back.

mod extension;

pub use extension::Extension;

use super::bpe::{self, DEFAULT_BPE_VOCAB};
use super::error::Error;
use super::raw::{self, DEFAULT_RAW_VOCAB, RawCounts, Rule, Text};
use super::source::{Source, without_end};
use super::spelling::Spelling;
use super::subword::{Subword, file_name};
use super::unit::Unit;
use super::vocabulary::{Counts, EOS, Limits, UNK, Vocabulary};
use pocketlm::Model;
use pocketlm::raw::{Case, JOIN, LOWER, Writer};
use pocketlm::subword::Tokenizer;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How a training text becomes a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// What a token is.
    pub unit: Unit,
    /// What a text of words is like.
    pub text: Text,
    /// What happens to the capitals of raw text.
    pub case: Case,
    /// Keep at most so many types, `<eos>` and `<unk>` included; the rest become `<unk>`.
    /// For byte-pair encoding the size to train (default [`DEFAULT_BPE_VOCAB`]); of raw text [`DEFAULT_RAW_VOCAB`]
    /// types are kept unless this or `min_count` says otherwise.
    pub max_vocab: Option<usize>,
    /// Keep only types that come at least so often; the rest become `<unk>`.
    /// For byte-pair encoding the least frequency of a merge.
    pub min_count: Option<u64>,
    /// How the text writes its unknown words, where that is none of the usual ways ([`is_unknown`]).
    pub unk: Option<String>,
    /// A tokenizer of subwords to take, whatever the unit: `tokenizer.json` of byte-level byte-pair encoding, or a
    /// SentencePiece model.
    pub tokenizer: Option<PathBuf>,
}

/// Whether a word is one of the usual ways to write an unknown one, in capitals or not: `<unk>`, `[unk]`,
/// `<unknown>`, `[unknown]`.
pub fn is_unknown(word: &str) -> bool {
    let within = |open, close| word.strip_prefix(open)?.strip_suffix(close);
    let name = within('<', '>').or_else(|| within('[', ']'));
    name.is_some_and(|name| {
        name.eq_ignore_ascii_case("unk") || name.eq_ignore_ascii_case("unknown")
    })
}

/// Types of raw text from which on those that came once become unknown words, where no limit is given.
const MANY_TYPES: usize = 1000;

/// Most bytes of a word: the packed format takes no more.
const MOST_BYTES: usize = 4096;

/// A vocabulary and the rule that cuts text into its types.
#[derive(Debug, Clone)]
pub struct Encoder {
    vocabulary: Vocabulary,
    kind: Kind,
    notes: Vec<String>,
    /// Made when the first unknown word is read.
    spelling: OnceLock<Spelling>,
}

#[derive(Debug, Clone)]
enum Kind {
    Word,
    Raw(Rule),
    Char,
    Subword(Subword),
}

/// One text as token ids.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Split {
    /// The tokens, one `<eos>` at the end of every line.
    pub ids: Vec<u32>,
    /// Lines, blank ones included; as many as there are `<eos>`, but that blank lines of raw text have none.
    pub lines: u64,
    /// Bytes of the raw text, line ends included: the denominator of bits per byte.
    pub bytes: u64,
    /// Lines of words that began with `<s>` or ended in `</s>` or `<eos>`, which were left out.
    pub marked: u64,
    /// Tokens that are not in the vocabulary and became `<unk>`; an `<unk>` in the text is none.
    pub oov: u64,
    /// Bits that it takes to spell these, by the [`Spelling`] of the vocabulary.
    pub spelling_bits: f64,
    /// Unknown words that the text itself has as `<unk>`, so that nobody can spell them.
    pub unspelt: u64,
    /// SHA-256 of the raw text in hexadecimal (that of the file, where the split is a file).
    pub sha256: String,
    /// The type of unknown words.
    pub unk: Option<u32>,
    /// The types that are no words: `<eos>`, `<unk>`, and those of raw text that have no text of their own.
    pub no_words: Vec<u32>,
}

impl Split {
    /// Whether a token is a word of the vocabulary (a character or a byte pair, where these are the unit).
    pub fn is_word(&self, token: u32) -> bool {
        !self.no_words.contains(&token)
    }
}

impl Encoder {
    /// Makes the vocabulary of a training text (and of nothing else).
    ///
    /// # Errors
    /// Those of reading; [`Error::OneWord`]; [`Error::MaxVocab`]; [`Error::Tokenizer`].
    pub fn train(source: &Source, options: &Options) -> Result<Self, Error> {
        let Options { max_vocab, min_count, ref unk, .. } = *options;
        if let Some(path) = &options.tokenizer {
            let (subword, vocabulary) = Subword::load(path)?;
            let notes = vec![subword_note(&subword, &vocabulary, source, path)?];
            return Ok(Self::of(vocabulary, Kind::Subword(subword), notes));
        }
        let (unit, text) = resolve(source, options)?;
        if let Unit::Raw(case) = unit {
            return Self::train_raw(source, case, options, text);
        }
        if unit == Unit::Bpe {
            let size = max_vocab.unwrap_or(DEFAULT_BPE_VOCAB);
            let file = bpe::train(source, size, min_count.unwrap_or(0))?;
            let (subword, vocabulary) = Subword::read(file.as_bytes(), source.path())?;
            let notes = vec![subword_note(&subword, &vocabulary, source, source.path())?];
            return Ok(Self::of(vocabulary, Kind::Subword(subword), notes));
        }
        if unit == Unit::SentencePiece {
            let reason = "a SentencePiece model is not trained here: bring one with --tokenizer";
            let path = source.path().into();
            return Err(Error::Tokenizer { path, reason: reason.into() });
        }
        let limits = Limits { max_vocab, min_count };
        let (counts, foreign) = count(source, unit, unk.as_deref(), limits)?;
        let vocabulary = counts.into_vocabulary(limits, source.path())?;
        let note = |(spelling, times)| {
            format!("{}: {times} times {spelling:?}: taken as {UNK}", source.path().display())
        };
        let notes = text.into_iter().chain(foreign.into_iter().map(note)).collect();
        Ok(Self { notes, ..Self::closed(unit, vocabulary) })
    }

    fn train_raw(
        source: &Source,
        case: Case,
        options: &Options,
        text: Option<String>,
    ) -> Result<Self, Error> {
        let mut limits = Limits { max_vocab: options.max_vocab, min_count: options.min_count };
        let mut counts = RawCounts::new(case);
        let mut first = None;
        let mut lines = source.open()?;
        while let Some(line) = lines.next()? {
            if line.trim().is_empty() {
                continue;
            }
            first.get_or_insert_with(|| line.to_owned());
            let spell = |word: &str| {
                let is_unknown = options.unk.as_deref() == Some(word) || word.len() > MOST_BYTES;
                is_unknown.then_some(UNK)
            };
            counts.add_line(line, spell);
            counts.add(EOS);
        }
        lines.extent()?;
        let (counts, is_name) = counts.settle(|_| false);
        if !limits.are_set() {
            // Raw text always has unknown words to come: where every type is kept but is one of many, those that came
            // once teach what an unknown word is like.
            limits.max_vocab = Some(DEFAULT_RAW_VOCAB);
            let types = counts.all().len();
            limits.min_count = (MANY_TYPES..=DEFAULT_RAW_VOCAB).contains(&types).then_some(2);
        }
        let types = counts.all().len();
        let vocabulary = counts.into_vocabulary(limits, source.path())?;
        let names = if case == Case::True {
            raw::names(&vocabulary, None, is_name)
        } else {
            BTreeSet::new()
        };
        let rule = Rule { case, names };
        let name = source.path().display();
        let mut notes: Vec<String> = text.into_iter().collect();
        if let Some(line) = first {
            let sample = raw::sample(&rule, &vocabulary, &line);
            notes.push(format!("{name}: raw text, cut into words and marks (--text tokenised takes what white space parts): {sample}"));
        }
        if vocabulary.len() < types {
            notes.push(format!(
                "{name}: the {} most frequent of {types} types are kept (--max-vocab, --min-count)",
                vocabulary.len()
            ));
        }
        Ok(Self::of(vocabulary, Kind::Raw(rule), notes))
    }

    fn of(vocabulary: Vocabulary, kind: Kind, notes: Vec<String>) -> Self {
        Self { vocabulary, kind, notes, spelling: OnceLock::new() }
    }

    /// The same with a type for unknown words, and a note that says why.
    pub(super) fn with_unknown(self, note: String) -> Self {
        let vocabulary = self.vocabulary.with_unknown();
        let notes = [self.notes, vec![note]].concat();
        Self::of(vocabulary, self.kind, notes)
    }

    /// What was taken for granted when the vocabulary was made, for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// An encoder of words with a vocabulary that is already known.
    pub fn words(vocabulary: Vocabulary) -> Self {
        Self::closed(Unit::Word, vocabulary)
    }

    /// An encoder of words or characters with a vocabulary that is already known; subwords need their tokenizer too and
    /// come from [`Encoder::load`] or [`Encoder::packed`].
    pub fn closed(unit: Unit, vocabulary: Vocabulary) -> Self {
        let kind = match unit {
            Unit::Char => Kind::Char,
            Unit::Raw(case) => Kind::Raw(Rule { case, names: BTreeSet::new() }),
            Unit::Word | Unit::Bpe | Unit::SentencePiece => Kind::Word,
        };
        Self::of(vocabulary, kind, Vec::new())
    }

    /// An encoder of subwords by the tokenizer in a file: `tokenizer.json`, or a SentencePiece model.
    ///
    /// # Errors
    /// When the file cannot be read; [`Error::Tokenizer`].
    pub fn tokenized(path: &Path) -> Result<Self, Error> {
        let (subword, vocabulary) = Subword::load(path)?;
        Ok(Self::of(vocabulary, Kind::Subword(subword), Vec::new()))
    }

    /// The same for raw text, with the words that keep their capital at the start of a sentence.
    pub fn raw(case: Case, vocabulary: Vocabulary, names: BTreeSet<String>) -> Self {
        Self::of(vocabulary, Kind::Raw(Rule { case, names }), Vec::new())
    }

    /// That of a packed model, in its ids; `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::BadVocabulary`] where two types have one name.
    pub fn packed(model: &Model, path: &Path) -> Result<Self, Error> {
        let own = model.vocabulary();
        let (eos, unk) = (own.eos(), own.unk());
        if let Some(tokenizer) = own.tokenizer() {
            let (subword, vocabulary) = Subword::packed(tokenizer, (eos, unk), path)?;
            return Ok(Self::of(vocabulary, Kind::Subword(subword), Vec::new()));
        }
        let vocabulary = Vocabulary::with_ids(own.words(), eos, unk, path)?;
        Ok(match (own.unit(), own.unit().case()) {
            (_, Some(case)) => Self::raw(case, vocabulary, own.names().into_iter().collect()),
            (pocketlm::Unit::Character, _) => Self::closed(Unit::Char, vocabulary),
            _ => Self::closed(Unit::Word, vocabulary),
        })
    }

    /// What cuts text into subwords, if these are the unit.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        match &self.kind {
            Kind::Subword(subword) => Some(subword.tokenizer()),
            _ => None,
        }
    }

    /// Whether the file of its tokenizer is at hand, which a packed model does not hold.
    pub fn has_tokenizer_file(&self) -> bool {
        matches!(&self.kind, Kind::Subword(subword) if subword.has_file())
    }

    /// The words of raw text that keep their capital at the start of a sentence, although there is one with a small
    /// letter too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match &self.kind {
            Kind::Raw(rule) => Some(rule.names.iter().map(String::as_str)),
            _ => None,
        };
        names.into_iter().flatten()
    }

    /// Reads `vocab.txt`, and `tokenizer.json` or `tokenizer.model` for subwords, from a folder.
    ///
    /// # Errors
    /// Those of [`Vocabulary::load`]; [`Error::Tokenizer`]; [`Error::BadVocabulary`] where the
    /// two files do not belong together.
    pub fn load(folder: &Path, unit: Unit) -> Result<Self, Error> {
        let path = folder.join("vocab.txt");
        let vocabulary = Vocabulary::load(&path)?;
        if let Unit::Raw(case) = unit {
            let rule = Rule::load(&folder.join("names.txt"), case, &vocabulary)?;
            return Ok(Self::of(vocabulary, Kind::Raw(rule), Vec::new()));
        }
        if !unit.is_subword() {
            return Ok(Self::closed(unit, vocabulary));
        }
        let name = file_name(unit);
        let (subword, own) = Subword::load(&folder.join(name))?;
        if own != vocabulary || subword.unit() != unit {
            let (has, types) = (own.len(), vocabulary.len());
            let reason = format!("{name} beside it has other types ({has}, here {types})");
            return Err(Error::BadVocabulary { path, line: 1, reason });
        }
        Ok(Self::of(own, Kind::Subword(subword), Vec::new()))
    }

    /// Writes `vocab.txt`, and `tokenizer.json` or `tokenizer.model` for subwords, into a folder.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        if let Kind::Subword(subword) = &self.kind {
            subword.save(&folder.join(file_name(subword.unit())))?;
        }
        if let Kind::Raw(rule) = &self.kind {
            rule.save(&folder.join("names.txt"))?;
        }
        self.vocabulary.save(&folder.join("vocab.txt"))
    }

    /// What a token is.
    pub fn unit(&self) -> Unit {
        match self.kind {
            Kind::Word => Unit::Word,
            Kind::Raw(ref rule) => Unit::Raw(rule.case),
            Kind::Char => Unit::Char,
            Kind::Subword(ref subword) => subword.unit(),
        }
    }

    /// The types and their ids.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The ids of a text given by a person. A line break becomes `<eos>`; the end of the text
    /// does not, so that the text can be the start of a sentence.
    ///
    /// # Errors
    /// [`Error::UnknownWord`] where the vocabulary has no `<unk>`.
    pub fn encode(&self, text: &str) -> Result<Encoded, Error> {
        let mut encoded = Encoded::default();
        for (line, number) in text.split_inclusive('\n').zip(1..) {
            let content = without_end(line);
            let pushed = self.push(content, &mut encoded);
            pushed.map_err(|stop| stop.at(Path::new("the given text"), number))?;
            if content.len() < line.len() {
                encoded.ids.push(self.vocabulary.eos());
            }
        }
        Ok(encoded)
    }

    /// The ids of a whole source, `<eos>` at every line end.
    ///
    /// # Errors
    /// Those of reading; [`Error::UnknownWord`] where the vocabulary has no `<unk>`.
    pub fn read(&self, source: &Source) -> Result<Split, Error> {
        let mut encoded = Encoded::default();
        let mut lines = source.open()?;
        let is_raw = matches!(self.kind, Kind::Raw(_));
        while let Some(line) = lines.next()? {
            // In raw text a blank line parts paragraphs: it is no sentence.
            if is_raw && line.trim().is_empty() {
                continue;
            }
            let pushed = self.push(line, &mut encoded);
            pushed.map_err(|stop| stop.at(source.path(), lines.number()))?;
            encoded.ids.push(self.vocabulary.eos());
        }
        let extent = lines.extent()?;
        let Encoded { mut ids, oov, spelling_bits, unspelt, marked } = encoded;
        ids.shrink_to_fit();
        let (lines, bytes, sha256) = (extent.lines, extent.bytes, extent.sha256());
        let (unk, no_words) = (self.vocabulary.unk(), self.no_words());
        Ok(Split { ids, oov, spelling_bits, unspelt, marked, lines, bytes, sha256, unk, no_words })
    }

    fn no_words(&self) -> Vec<u32> {
        let silent = [JOIN, LOWER].into_iter().filter(|_| matches!(self.kind, Kind::Raw(_)));
        let silent = silent.filter_map(|word| self.vocabulary.id(word));
        self.vocabulary.unk().into_iter().chain([self.vocabulary.eos()]).chain(silent).collect()
    }

    /// The text of ids: words with spaces between them, `<eos>` as a line break.
    ///
    /// Lossless within a line for characters and byte-level byte-pair encoding; for words up to the white
    /// space between them. Ids that are not in the vocabulary are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let lines = ids.split(|&id| id == self.vocabulary.eos());
        lines.map(|line| self.decode_line(line)).collect::<Vec<_>>().join("\n")
    }

    fn decode_line(&self, ids: &[u32]) -> String {
        let types = || ids.iter().filter_map(|&id| self.vocabulary.word(id));
        match &self.kind {
            Kind::Word => types().collect::<Vec<_>>().join(" "),
            Kind::Raw(rule) => {
                let (mut writer, mut text) = (Writer::new(rule.case), String::new());
                types().for_each(|spelt| writer.push(spelt, &mut text));
                text
            }
            Kind::Char => types().collect(),
            Kind::Subword(subword) => subword.decode(ids),
        }
    }

    fn push(&self, line: &str, out: &mut Encoded) -> Result<(), Stop> {
        if let Kind::Subword(subword) = &self.kind {
            subword.each_piece(line, |id, text| {
                out.ids.push(id);
                if Some(id) == self.vocabulary.unk() {
                    out.oov += 1;
                    out.spelling_bits += self.spelling().bits(text);
                }
            });
            return Ok(());
        }
        if let Kind::Raw(rule) = &self.kind {
            let vocabulary = &self.vocabulary;
            return rule.each_type(line, vocabulary, |spelt| self.push_type(spelt, out));
        }
        let content = if self.unit() == Unit::Word { without_marks(line) } else { line };
        out.marked += u64::from(content.len() < line.len());
        each_type(content, self.unit(), |word| self.push_type(word, out))
    }

    fn push_type(&self, word: &str, out: &mut Encoded) -> Result<(), Stop> {
        let (known, unk) = (self.vocabulary.id(word), self.vocabulary.unk());
        if (known.is_some() && known == unk) || (known.is_none() && is_unknown(word)) {
            out.unspelt += 1;
        } else if known.is_none() && unk.is_some() {
            out.oov += 1;
            out.spelling_bits += self.spelling().bits(word.as_bytes());
        }
        out.ids.push(known.or(unk).ok_or_else(|| Stop(word.to_owned()))?);
        Ok(())
    }

    /// The spelling of the words of the vocabulary.
    fn spelling(&self) -> &Spelling {
        self.spelling.get_or_init(|| {
            let no_words = self.no_words();
            let words = self.vocabulary.words().zip(0..);
            Spelling::new(words.filter(|(_, id)| !no_words.contains(id)).map(|(word, _)| word))
        })
    }
}

/// The ids of a text, and how many of them stand for words outside the vocabulary.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Encoded {
    /// The tokens.
    pub ids: Vec<u32>,
    /// How many tokens became `<unk>`.
    pub oov: u64,
    /// Bits that it takes to spell these, by the [`Spelling`] of the vocabulary.
    pub spelling_bits: f64,
    /// Unknown words that the text itself has as `<unk>`.
    pub unspelt: u64,
    /// Lines of which marks of a sentence's begin or end were left out.
    pub marked: u64,
}

/// A word that could not be encoded; the caller knows the place.
struct Stop(String);

impl Stop {
    fn at(self, path: &Path, line: u64) -> Error {
        Error::UnknownWord { path: path.into(), line, word: self.0 }
    }
}

/// What a tokenizer makes of the first line of a text, for people.
fn subword_note(
    subword: &Subword,
    vocabulary: &Vocabulary,
    source: &Source,
    path: &Path,
) -> Result<String, Error> {
    const MOST: usize = 12;
    let mut lines = source.open()?;
    let mut sample = Vec::new();
    while let Some(line) = lines.next()? {
        subword.each_piece(line, |id, _| sample.extend(vocabulary.word(id)));
        if !sample.is_empty() {
            break;
        }
    }
    sample.truncate(MOST);
    let kind = subword.tokenizer().algorithm().name();
    let (types, sample) = (vocabulary.len(), sample.join(" "));
    Ok(format!("{}: {kind}, {types} pieces: {sample} …", path.display()))
}

/// What a token of a text is, and a note where its look and what was asked for disagree, or decide.
fn resolve(source: &Source, options: &Options) -> Result<(Unit, Option<String>), Error> {
    if options.unit != Unit::Word {
        return Ok((options.unit, None));
    }
    let look = raw::look(source)?;
    let (raw, name) = (Unit::Raw(options.case), source.path().display());
    let mark = look.mark.as_deref();
    let by_mark = |what: &str| mark.map(|mark| format!("{name}: {what} (it has {mark:?})"));
    Ok(match options.text {
        Text::Raw => (raw, by_mark("read as raw text, but looks tokenised")),
        Text::Tokenised if look.is_raw => {
            let note = "read as tokenised text, but looks raw: punctuation or capitals make words of their own";
            (Unit::Word, Some(format!("{name}: {note} (--text raw)")))
        }
        Text::Auto if look.is_raw => (raw, None),
        Text::Auto => (Unit::Word, by_mark("tokenised text, cut at white space")),
        Text::Tokenised => (Unit::Word, None),
    })
}

/// The types of a text, and how often each foreign spelling of the unknown word came.
fn count(
    source: &Source,
    unit: Unit,
    unk: Option<&str>,
    limits: Limits,
) -> Result<(Counts, BTreeMap<String, u64>), Error> {
    let (mut counts, mut foreign) = (Counts::default(), BTreeMap::new());
    let mut lines = source.open()?;
    while let Some(line) = lines.next()? {
        let content = if unit == Unit::Word { without_marks(line) } else { line };
        let counted = each_type(content, unit, |word| {
            let is_unknown = unk == Some(word) || is_unknown(word);
            if is_unknown && word != UNK {
                *foreign.entry(word.to_owned()).or_insert(0) += 1;
            }
            let is_long = word.len() > MOST_BYTES;
            if is_long && !limits.are_set() {
                return Err(word.len());
            }
            counts.add(if is_unknown || is_long { UNK } else { word });
            Ok(())
        });
        if let Err(bytes) = counted {
            let (path, line) = (source.path().into(), lines.number());
            return Err(Error::LongWord { path, line, bytes, most: MOST_BYTES });
        }
        counts.add(EOS);
    }
    lines.extent()?;
    Ok((counts, foreign))
}

/// Marks of a sentence's begin and end, in lower case.
const MARKS: [&str; 5] = ["<s>", "</s>", "<bos>", EOS, "<|endoftext|>"];

/// A line of words without marks such as `<s>` and `</s>`, in capitals or not, at its ends, with which some programs mark
/// what the line end says already.
pub fn without_marks(line: &str) -> &str {
    let is_mark = |word: &str| MARKS.iter().any(|mark| mark.eq_ignore_ascii_case(word));
    let mut rest = line.trim();
    let mut found = false;
    loop {
        let first = rest.split_whitespace().next().filter(|word| is_mark(word));
        let last = rest.split_whitespace().next_back().filter(|word| is_mark(word));
        rest = match (first, last) {
            (Some(mark), _) => rest[mark.len()..].trim_start(),
            (None, Some(mark)) => rest[..rest.len() - mark.len()].trim_end(),
            (None, None) => return if found { rest } else { line },
        };
        found = true;
    }
}

/// The words or the characters of a line.
fn each_type<E>(
    line: &str,
    unit: Unit,
    mut take: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    if unit == Unit::Char {
        let mut bytes = [0; 4];
        return line.chars().try_for_each(|char| take(char.encode_utf8(&mut bytes)));
    }
    line.split_whitespace().try_for_each(take)
}
