//! Reading ARPA files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use pocketlm::Unit;
use pocketlm::ngram::{MAX_ORDER, Order, Table};

use super::{BEGIN, END};
use crate::corpus::{EOS, UNK};
use crate::error::{Error, Result};
use crate::ngram::links::{Node, child};

/// Reads an ARPA file of words. N-grams of one length may come in any order.
///
/// `</s>` becomes `<eos>`, and so does `<s>` as a context.
///
/// # Errors
/// [`Error::Arpa`] with the line and what is wrong there; [`Error::Io`].
pub fn read(path: &Path) -> Result<Table> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut lines = Lines { path, reader: BufReader::new(file), line: String::new(), number: 0 };
    let counts = header(&mut lines)?;
    let mut table = Table {
        words: Vec::new(),
        eos: 0,
        unk: None,
        unit: Unit::Word,
        orders: vec![Order::default(); counts.len()],
    };
    let mut ids = HashMap::new();
    for (at, &count) in counts.iter().enumerate() {
        lines.heading(&format!("\\{}-grams:", at + 1))?;
        match at {
            0 => ids = unigrams(&mut lines, count, &mut table)?,
            _ => section(&mut lines, at + 1, count, &ids, &mut table)?,
        }
    }
    lines.heading("\\end\\")?;
    Ok(table)
}

/// The lines of a file, one at a time.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    line: String,
    number: u64,
}

impl Lines<'_> {
    fn fault<T>(&self, what: impl Into<String>) -> Result<T> {
        self.fault_at(self.number, what)
    }

    fn fault_at<T>(&self, line: u64, what: impl Into<String>) -> Result<T> {
        Err(Error::Arpa { path: self.path.into(), line, what: what.into() })
    }

    /// Goes to the next line; `wanted` is what the file ends without.
    fn next(&mut self, wanted: &str) -> Result<&str> {
        self.line.clear();
        self.number += 1;
        match self.reader.read_line(&mut self.line) {
            Ok(0) => self.fault(format!(
                "the file ends here without {wanted}: it is cut off, or no ARPA file"
            )),
            Ok(_) => Ok(self.line.trim()),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                self.fault("not UTF-8; convert it, for example with `iconv -f latin1 -t utf-8`")
            }
            Err(error) => Err(Error::io(self.path)(error)),
        }
    }

    /// Goes to the next line that is not blank, which must be `heading`.
    fn heading(&mut self, heading: &str) -> Result<()> {
        while self.next(&format!("`{heading}`"))?.is_empty() {}
        let found = self.line.trim();
        if found == heading {
            return Ok(());
        }
        let more = "or more n-grams than the file's head says, or fewer";
        self.fault(format!(
            "{found:?} stands where `{heading}` should: sections out of order, {more}"
        ))
    }
}

/// The counts that the file's head gives.
fn header(lines: &mut Lines) -> Result<Vec<usize>> {
    // Anything may stand before the head.
    while lines.next("`\\data\\`")? != "\\data\\" {}
    let mut counts = Vec::new();
    loop {
        let line = lines.next("its n-grams")?;
        if line.is_empty() {
            if !counts.is_empty() {
                return Ok(counts);
            }
            continue;
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
                    .fault(format!("`ngram {wanted}=COUNT` or a blank line should stand here"));
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

/// Splits a line into its probability, `n` words and back-off weight.
fn entry(line: &str, n: usize) -> Parsed<Entry<'_>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if !(n + 1..=n + 2).contains(&fields.len()) {
        let found = fields.len();
        return Err(format!("{found} fields instead of a number, {n} words and maybe a number"));
    }
    let number = |field: &str| match field.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((value * std::f64::consts::LN_10) as f32),
        _ => Err(format!("{field:?} is not a finite number")),
    };
    let probability = number(fields[0])?;
    if probability > 0.0 {
        return Err(format!("the logarithm {} is above 0: a probability above 1", fields[0]));
    }
    let backoff = fields.get(n + 1).map_or(Ok(0.0), |field| number(field))?;
    Ok(Entry { probability, words: fields[1..=n].to_vec(), backoff })
}

/// Reads the single words: the vocabulary. Returns the id of each.
fn unigrams(lines: &mut Lines, count: usize, table: &mut Table) -> Result<HashMap<String, u32>> {
    let mut found: Vec<(String, f32, f32, u64)> = Vec::new();
    for read in 0..count {
        let line = lines.next("all of its words")?.to_owned();
        let entry = match entry(&line, 1) {
            Ok(entry) => entry,
            Err(what) => return lines.fault(of_count(read, count, &what)),
        };
        found.push((entry.words[0].to_owned(), entry.probability, entry.backoff, lines.number));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let (word, first) = (&pair[0].0, pair[0].3);
        return lines.fault_at(pair[1].3, format!("`{word}` comes twice, first in line {first}"));
    }
    let begin = found.iter().position(|(word, ..)| word == BEGIN).map(|at| found.remove(at));
    if let Some((.., line)) = found.iter().find(|(word, ..)| word == EOS) {
        return lines.fault_at(*line, format!("`{EOS}` is what {END} is called here: rename it"));
    }
    let Some(end) = found.iter().position(|(word, ..)| word == END) else {
        return lines.fault(format!("the section ends without {END}, the end of a sentence"));
    };
    found[end].0 = EOS.into();
    found[end].2 = begin.map_or(0.0, |(.., weight, _)| weight);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let ids: HashMap<_, _> = found.iter().map(|f| f.0.clone()).zip(0..).collect();
    (table.eos, table.unk) = (ids[EOS], ids.get(UNK).copied());
    let order = &mut table.orders[0];
    order.words = (0..found.len() as u32).collect();
    order.probabilities = found.iter().map(|f| f.1).collect();
    order.backoffs = found.iter().map(|f| f.2).collect();
    table.words = found.into_iter().map(|f| f.0).collect();
    if table.orders.len() == 1 {
        table.orders[0].backoffs.clear();
    }
    Ok(ids)
}

/// What is wrong with entry `read` of `count`.
fn of_count(read: usize, count: usize, what: &str) -> String {
    format!("{what} (n-gram {} of the {count} that the file's head says)", read + 1)
}

/// One n-gram, to be sorted into its place.
struct Found {
    parent: usize,
    word: u32,
    probability: f32,
    backoff: f32,
    line: u64,
}

/// Reads the n-grams of `n` words, `n` at least 2.
fn section(
    lines: &mut Lines,
    n: usize,
    count: usize,
    ids: &HashMap<String, u32>,
    table: &mut Table,
) -> Result<()> {
    let mut found = Vec::new();
    for read in 0..count {
        let line = lines.next(&format!("all of its {n}-grams"))?.to_owned();
        let parsed = entry(&line, n).and_then(|entry| {
            let (parent, word) = place(&entry.words, ids, table)?;
            let Entry { probability, backoff, .. } = entry;
            if n == table.orders.len() && backoff != 0.0 {
                return Err("a back-off weight at the highest order".into());
            }
            Ok(Found { parent, word, probability, backoff, line: lines.number })
        });
        match parsed {
            Ok(entry) => found.push(entry),
            Err(what) => return lines.fault(of_count(read, count, &what)),
        }
    }
    found.sort_by_key(|entry| (entry.parent, entry.word));
    let same = |pair: &&[Found]| (pair[0].parent, pair[0].word) == (pair[1].parent, pair[1].word);
    if let Some([first, second]) = found.windows(2).find(same) {
        let what = format!("the same n-gram as in line {}", first.line);
        return lines.fault_at(second.line, what);
    }
    fill(&found, n, table);
    Ok(())
}

/// The node of the context that all but the last of `words` make, and the id of the last.
fn place(words: &[&str], ids: &HashMap<String, u32>, table: &Table) -> Parsed<(usize, u32)> {
    let last = words.len() - 1;
    let id = |(at, word): (usize, &&str)| match *word {
        BEGIN if at == 0 => Ok(table.eos),
        END if at == last => Ok(table.eos),
        BEGIN | END => Err(format!("`{word}` in the midst of an n-gram")),
        word => ids.get(word).copied().ok_or_else(|| format!("`{word}` is not among the 1-grams")),
    };
    let ids = words.iter().enumerate().map(id).collect::<Parsed<Vec<_>>>()?;
    let mut node = Node { order: 1, at: ids[0] as usize };
    for &id in &ids[1..last] {
        node = child(table, node, id).ok_or_else(|| {
            let context = words[..last].join(" ");
            format!("its context `{context}` is not among the {last}-grams")
        })?;
    }
    Ok((node.at, ids[last]))
}

/// Puts sorted n-grams into the table.
fn fill(found: &[Found], n: usize, table: &mut Table) {
    let mut ends = vec![0; table.orders[n - 2].len() + 1];
    found.iter().for_each(|entry| ends[entry.parent + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    table.orders[n - 2].children = ends;
    let is_highest = n == table.orders.len();
    let order = &mut table.orders[n - 1];
    order.words = found.iter().map(|entry| entry.word).collect();
    order.probabilities = found.iter().map(|entry| entry.probability).collect();
    if !is_highest {
        order.backoffs = found.iter().map(|entry| entry.backoff).collect();
    }
}
