//! Reading ARPA files.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use pocketlm::ngram::{MAX_ORDER, Order, Table};
use pocketlm::{MAX_WORD, Unit};

use super::contexts::{Gram, fill};
use super::lines::{Lines, fields};
use super::{BEGIN, END};
use crate::corpus::{EOS, UNK, is_unknown};
use crate::error::Result;

/// log10 p of the unknown word where a file has none: what KenLM takes.
pub const FLOOR: f64 = -100.0;

/// How an ARPA file is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The word that stands for unknown ones, where it is not to be found by its spelling.
    pub unknown: Option<&'a str>,
    /// Adds no `<unk>` where the file has no unknown word.
    pub closed: bool,
}

/// Where a model's unknown word comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is `<unk>`, or the word that was asked for.
    Given,
    /// This word of the file has its spelling.
    Spelled(String),
    /// The file has none: `<unk>` was added, with [`FLOOR`].
    Added,
    /// The file has none, and none was added.
    None,
}

/// What an ARPA file gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// The model, its numbers those of the file.
    pub table: Table,
    /// Where its unknown word comes from.
    pub unknown: Unknown,
    /// N-grams that were left out because a mark of a sentence's begin or end stands where no text has one.
    pub left_out: usize,
    /// N-grams that were added because longer ones continue them.
    pub added: usize,
}

/// Reads an ARPA file of words, packed by gzip or not, as KenLM does. N-grams of one length may come in any order.
///
/// `</s>` becomes `<eos>`, and so does `<s>` as a context. N-grams with one of these within are left out. A context that
/// the file lacks is added with its probability by backing off and the weight 1. The unknown word is the one that
/// `options` name, else `<unk>`, else `[unk]` or `<unknown>`, each in capitals or not; a file that has none gets an
/// `<unk>` of the log10 p of [`FLOOR`], so that every text has a score.
///
/// # Errors
/// [`Error::Line`](crate::error::Error::Line) with the line and what is wrong there;
/// [`Error::Io`](crate::error::Error::Io).
pub fn read(path: &Path, options: Options) -> Result<Import> {
    parse(Lines::open(path)?, options)
}

/// [`read`] from what `reader` gives, which errors call `path`.
///
/// # Errors
/// As [`read`].
pub fn read_from(reader: impl BufRead, path: &Path, options: Options) -> Result<Import> {
    parse(Lines::new(reader, path)?, options)
}

fn parse(mut lines: Lines, options: Options) -> Result<Import> {
    let counts = header(&mut lines)?;
    let table = Table {
        words: Vec::new(),
        eos: 0,
        unk: None,
        unit: Unit::Word,
        names: Vec::new(),
        orders: vec![Order::default(); counts.len()],
    };
    let mut import = Import { table, unknown: Unknown::Given, left_out: 0, added: 0 };
    let mut ids = HashMap::new();
    for (at, &count) in counts.iter().enumerate() {
        heading(&mut lines, &format!("\\{}-grams:", at + 1))?;
        match at {
            0 => ids = unigrams(&mut lines, count, options, &mut import)?,
            _ => section(&mut lines, at + 1, count, &ids, &mut import)?,
        }
    }
    heading(&mut lines, "\\end\\")?;
    Ok(import)
}

/// Goes to the next line that is not blank, which must be `heading`.
fn heading(lines: &mut Lines, heading: &str) -> Result<()> {
    let found = lines.next_filled(&format!("`{heading}`"))?;
    if found == heading {
        return Ok(());
    }
    let more = "or more n-grams than the file's head says, or fewer";
    let what = format!("{found:?} stands where `{heading}` should: sections out of order, {more}");
    lines.fault(what)
}

/// The counts that the file's head gives.
fn header(lines: &mut Lines) -> Result<Vec<usize>> {
    // Anything may stand before the head.
    while lines.next("`\\data\\`")? != "\\data\\" {}
    let mut counts = Vec::new();
    loop {
        let line = lines.next_filled("its n-grams")?;
        if line.starts_with('\\') && !counts.is_empty() {
            lines.put_back();
            return Ok(counts);
        }
        let count = line.strip_prefix("ngram ").and_then(|rest| {
            let (order, count) = rest.split_once('=')?;
            let order: usize = order.trim().parse().ok()?;
            Some((order, count.trim().parse::<usize>().ok()?))
        });
        match count {
            Some((order, count)) if order == counts.len() + 1 && order <= MAX_ORDER => {
                counts.push(count);
            }
            Some((order, _)) if order > MAX_ORDER => {
                return lines.fault(format!("order {order}, but {MAX_ORDER} is the highest here"));
            }
            _ => {
                let wanted = counts.len() + 1;
                return lines
                    .fault(format!("`ngram {wanted}=COUNT` or a section should stand here"));
            }
        }
    }
}

/// What a line gives, or what is wrong with it.
type Parsed<T> = std::result::Result<T, String>;

/// One line of a section.
struct Entry<'l> {
    probability: f32,
    words: Vec<&'l str>,
    backoff: f32,
}

/// A logarithm to base 10 in nats.
fn number(field: &str) -> Parsed<f32> {
    let value = match field.parse::<f64>() {
        Ok(value) if value.is_finite() => (value * std::f64::consts::LN_10) as f32,
        _ => return Err(format!("{field:?} is not a finite number")),
    };
    if value.is_finite() { Ok(value) } else { Err(format!("{field:?} is too large for an f32")) }
}

/// Splits a line into its probability, `n` words and back-off weight.
fn entry(line: &str, n: usize) -> Parsed<Entry<'_>> {
    let fields: Vec<&str> = fields(line).collect();
    if !(n + 1..=n + 2).contains(&fields.len()) {
        let found = fields.len();
        return Err(format!("{found} fields instead of a number, {n} words and maybe a number"));
    }
    let words = fields[1..=n].to_vec();
    // Nothing predicts the begin of a sentence, so that any number may stand there.
    let is_unused = words == [BEGIN] && fields[0].parse::<f64>().is_ok();
    let probability = if is_unused { 0.0 } else { number(fields[0])? };
    if probability > 0.0 {
        return Err(format!("the logarithm {} is above 0: a probability above 1", fields[0]));
    }
    let backoff = fields.get(n + 1).map_or(Ok(0.0), |field| number(field))?;
    Ok(Entry { probability, words, backoff })
}

/// Calls `each` with the `count` entries of the section of `n` words and the line of each.
fn entries(
    lines: &mut Lines,
    n: usize,
    count: usize,
    mut each: impl FnMut(Entry<'_>, u64) -> Parsed<()>,
) -> Result<()> {
    let wanted = format!("all of its {n}-grams");
    for read in 1..=count {
        let line = lines.next_filled(&wanted)?.to_owned();
        let parsed = match line.starts_with('\\') {
            true => Err(format!("`{line}` stands in the place of an n-gram")),
            false => entry(&line, n).and_then(|entry| each(entry, lines.number())),
        };
        if let Err(what) = parsed {
            return lines
                .fault(format!("{what} (n-gram {read} of the {count} that the file's head says)"));
        }
    }
    Ok(())
}

/// One word of the file.
struct Word {
    text: String,
    probability: f32,
    backoff: f32,
    line: u64,
}

/// Reads the single words: the vocabulary. Returns the id of each.
fn unigrams(
    lines: &mut Lines,
    count: usize,
    options: Options,
    import: &mut Import,
) -> Result<HashMap<String, u32>> {
    let mut found: Vec<Word> = Vec::new();
    entries(lines, 1, count, |Entry { probability, words, backoff }, line| {
        if words[0].len() > MAX_WORD {
            return Err(format!("the word has more than {MAX_WORD} bytes"));
        }
        found.push(Word { text: words[0].to_owned(), probability, backoff, line });
        Ok(())
    })?;
    found.sort_by(|a, b| (&a.text, a.line).cmp(&(&b.text, b.line)));
    if let Some([first, second]) = found.windows(2).find(|pair| pair[0].text == pair[1].text) {
        let what = format!("`{}` comes twice, first in line {}", first.text, first.line);
        return lines.fault_at(second.line, what);
    }
    let begin = found.iter().position(|word| word.text == BEGIN).map(|at| found.remove(at));
    if let Some(word) = found.iter().find(|word| word.text == EOS) {
        return lines
            .fault_at(word.line, format!("`{EOS}` is what {END} is called here: rename it"));
    }
    let Some(end) = found.iter().position(|word| word.text == END) else {
        return lines.fault(format!("the section ends without {END}, the end of a sentence"));
    };
    found[end].text = EOS.into();
    found[end].backoff = begin.map_or(0.0, |word| word.backoff);
    let unknown = match unknown(&mut found, options) {
        Ok((word, unknown)) => {
            import.unknown = unknown;
            word
        }
        Err(what) => return lines.fault(what),
    };
    found.sort_by(|a, b| a.text.cmp(&b.text));
    let ids: HashMap<_, _> = found.iter().map(|word| word.text.clone()).zip(0..).collect();
    let table = &mut import.table;
    (table.eos, table.unk) = (ids[EOS], unknown.map(|word| ids[&word]));
    let order = &mut table.orders[0];
    order.words = (0..found.len() as u32).collect();
    order.probabilities = found.iter().map(|word| word.probability).collect();
    order.backoffs = found.iter().map(|word| word.backoff).collect();
    table.words = found.into_iter().map(|word| word.text).collect();
    if table.orders.len() == 1 {
        table.orders[0].backoffs.clear();
    }
    Ok(ids)
}

/// The unknown word among those `found`, added there if it must be, and where it comes from.
fn unknown(found: &mut Vec<Word>, options: Options) -> Parsed<(Option<String>, Unknown)> {
    let has = |wanted: &str| found.iter().any(|word| word.text == wanted);
    if let Some(wanted) = options.unknown {
        let missing = || format!("`{wanted}`, the unknown word, is not among the 1-grams");
        // As an id it is the end of lines.
        let is_word = has(wanted) && wanted != EOS;
        return is_word.then(|| (Some(wanted.into()), Unknown::Given)).ok_or_else(missing);
    }
    if has(UNK) {
        return Ok((Some(UNK.into()), Unknown::Given));
    }
    if let Some(word) = found.iter().find(|word| is_unknown(&word.text)) {
        let word = word.text.clone();
        return Ok((Some(word.clone()), Unknown::Spelled(word)));
    }
    if options.closed {
        return Ok((None, Unknown::None));
    }
    let probability = (FLOOR * std::f64::consts::LN_10) as f32;
    found.push(Word { text: UNK.into(), probability, backoff: 0.0, line: 0 });
    Ok((Some(UNK.into()), Unknown::Added))
}

/// Reads the n-grams of `n` words, `n` at least 2.
fn section(
    lines: &mut Lines,
    n: usize,
    count: usize,
    ids: &HashMap<String, u32>,
    import: &mut Import,
) -> Result<()> {
    let mut found = Vec::new();
    let Import { table, left_out, .. } = import;
    entries(lines, n, count, |Entry { probability, words, backoff }, line| {
        if n == table.orders.len() && backoff != 0.0 {
            return Err("a back-off weight at the highest order".into());
        }
        match tokens(&words, ids, table.eos)? {
            Some(words) => found.push(Gram { words, probability, backoff, line }),
            None => *left_out += 1,
        }
        Ok(())
    })?;
    found.sort_by_key(|gram| (gram.words, gram.line));
    if let Some([first, second]) = found.windows(2).find(|pair| pair[0].words == pair[1].words) {
        let what = format!("the same n-gram as in line {}", first.line);
        return lines.fault_at(second.line, what);
    }
    import.added += fill(&found, n, table);
    Ok(())
}

/// The ids of an n-gram's words, zeros behind them; nothing if a mark stands where no sentence has one.
fn tokens(
    words: &[&str],
    ids: &HashMap<String, u32>,
    eos: u32,
) -> Parsed<Option<[u32; MAX_ORDER]>> {
    let is_misplaced = |(at, word): (usize, &&str)| {
        (*word == BEGIN && at > 0) || (*word == END && at + 1 < words.len())
    };
    if words.iter().enumerate().any(is_misplaced) {
        return Ok(None);
    }
    let mut tokens = [0; MAX_ORDER];
    for (token, &word) in tokens.iter_mut().zip(words) {
        *token = match word {
            BEGIN | END => eos,
            word => *ids.get(word).ok_or_else(|| format!("`{word}` is not among the 1-grams"))?,
        };
    }
    Ok(Some(tokens))
}
