//! Lists of hypotheses in the formats that recognisers write, one utterance at a time.
//!
//! | format | a line |
//! | --- | --- |
//! | JSON lines | an utterance: `{"id": …, "ref": …, "hyps": [best first], "score": […], "am": […], "lm": […]}`, all but `hyps` optional |
//! | tab-separated | a hypothesis: name of the utterance, score, text; or name, acoustic score, score of the language model, text; or name, text |
//! | Kaldi | a hypothesis: `UTTERANCE-N` and its words, with the costs in files of their own, one `UTTERANCE-N cost` a line |
//!
//! Scores are the better the greater, Kaldi's costs the smaller. Lines of one utterance follow one another.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// The most bytes of a line: far more than ten thousand hypotheses.
const LONGEST: u64 = 1 << 28;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An object a line.
    Json,
    /// Columns between tabs.
    Tabs,
    /// Kaldi's text, with files of costs beside it.
    Kaldi,
}

/// Which scores of its recogniser a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// None but the order.
    Order,
    /// One for everything.
    Total,
    /// The acoustic one, and the logarithm of what the recogniser's own language model says.
    Parts,
    /// One for everything, and its parts.
    Both,
}

impl Scores {
    /// Whether the recogniser's own language model can be told apart.
    pub fn has_parts(self) -> bool {
        matches!(self, Self::Parts | Self::Both)
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Order => "no scores",
            Self::Total => "a score",
            Self::Parts => "an acoustic score and one of the language model",
            Self::Both => "a score and its parts",
        }
    }
}

/// A hypothesis as the recogniser gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Its words.
    pub text: String,
    /// The recogniser's score: the total where there is one, else the acoustic one, else −ln of its place from 1.
    pub score: f64,
    /// What the recogniser's own language model says, 0 where it is not told apart.
    pub first_lm: f64,
}

/// What was said once, and what may have been heard, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// Its name.
    pub id: String,
    /// What was really said, where the list has it.
    pub reference: Option<String>,
    /// At least one.
    pub hypotheses: Vec<Heard>,
}

/// Where a list lies.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The list; `-` is standard input.
    pub list: PathBuf,
    /// Its format, where that is not to be guessed from the first line.
    pub format: Option<Format>,
    /// Kaldi's acoustic costs.
    pub acoustic_costs: Option<PathBuf>,
    /// Kaldi's costs of the language model.
    pub lm_costs: Option<PathBuf>,
}

/// The lines of a file that are not blank, with their numbers.
pub(super) struct Lines {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    number: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let input: Box<dyn BufRead + Send> = if path == Path::new("-") {
            Box::new(BufReader::new(stdin()))
        } else {
            Box::new(BufReader::new(File::open(path).map_err(Error::io(path))?))
        };
        Ok(Self { path: path.to_owned(), input, number: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<String>> {
        loop {
            let mut line = Vec::new();
            let mut limited = self.input.by_ref().take(LONGEST);
            limited.read_until(b'\n', &mut line).map_err(Error::io(&self.path))?;
            if line.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            if line.len() as u64 == LONGEST {
                return self.fault("the line is longer than 256 MiB: give each utterance its own");
            }
            let Ok(line) = String::from_utf8(line) else {
                return self.fault("not UTF-8: convert the file, for example with iconv");
            };
            let line = line.strip_prefix('\u{feff}').filter(|_| self.number == 1).unwrap_or(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if !line.trim().is_empty() {
                return Ok(Some(line.to_owned()));
            }
        }
    }

    pub(super) fn fault<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::Line { path: self.path.clone(), line: self.number, what: what.into() })
    }
}

/// The name at the head of a line, and the rest.
pub(super) fn split_id(line: &str) -> (&str, &str) {
    let line = line.trim();
    let (id, text) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (id, text.trim())
}

/// An utterance as an object.
#[derive(Deserialize)]
struct Object {
    id: Option<serde_json::Value>,
    #[serde(rename = "ref", alias = "reference")]
    reference: Option<String>,
    #[serde(alias = "hypotheses")]
    hyps: Vec<String>,
    #[serde(alias = "scores")]
    score: Option<Vec<f64>>,
    am: Option<Vec<f64>>,
    lm: Option<Vec<f64>>,
}

/// One line of a list of hypotheses.
struct Row {
    id: String,
    text: String,
    score: Option<f64>,
    parts: Option<(f64, f64)>,
}

/// A list, read utterance by utterance: one is held at a time.
pub struct Lists {
    lines: Lines,
    format: Format,
    /// Kaldi's costs.
    costs: Option<(Lines, Lines)>,
    /// The line that was read and not used yet.
    line: Option<String>,
    /// The hypothesis that was read and belongs to the next utterance.
    row: Option<Row>,
    /// What the first utterance had, and the line that it ended in.
    scores: Option<(Scores, u64)>,
}

impl Lists {
    /// Opens a list and looks at its first line.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Line`] if there is no line in it.
    pub fn open(places: &Places) -> Result<Self> {
        let mut lines = Lines::open(&places.list)?;
        let Some(line) = lines.next()? else {
            return lines.fault("there is no hypothesis in it: give one utterance or more");
        };
        let guess = || match line.trim_start().starts_with('{') {
            true => Format::Json,
            false if line.contains('\t') => Format::Tabs,
            false => Format::Kaldi,
        };
        let format = places.format.unwrap_or_else(guess);
        let costs = match (&places.acoustic_costs, &places.lm_costs) {
            (Some(acoustic), Some(lm)) => Some((Lines::open(acoustic)?, Lines::open(lm)?)),
            _ => None,
        };
        Ok(Self { lines, format, costs, line: Some(line), row: None, scores: None })
    }

    /// What scores the list has, once an utterance has been read.
    pub fn scores(&self) -> Scores {
        self.scores.map_or(Scores::Order, |(scores, _)| scores)
    }

    /// The next utterance.
    ///
    /// # Errors
    /// [`Error::Line`] with the line, what is wrong there and how to mend it.
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Utterance>> {
        let found = match self.format {
            Format::Json => self.object()?,
            Format::Tabs | Format::Kaldi => self.rows()?,
        };
        let Some((utterance, scores)) = found else { return Ok(None) };
        if utterance.hypotheses.is_empty() {
            return self.lines.fault("no hypothesis: give at least one, which may be empty");
        }
        let is_number = |heard: &Heard| heard.score.is_finite() && heard.first_lm.is_finite();
        if let Some(at) = utterance.hypotheses.iter().position(|heard| !is_number(heard)) {
            let number = at + 1;
            return self.lines.fault(format!(
                "a score of hypothesis {number} of {:?} is not a finite number: leave that hypothesis out, or mend the \
                 recogniser's output",
                utterance.id
            ));
        }
        let &mut (first, line) = self.scores.get_or_insert((scores, self.lines.number));
        if scores != first {
            return self.lines.fault(format!(
                "{} where line {line} has {}: give every utterance the same scores",
                scores.describe(),
                first.describe()
            ));
        }
        Ok(Some(utterance))
    }

    fn line(&mut self) -> Result<Option<String>> {
        match self.line.take() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next(),
        }
    }

    fn object(&mut self) -> Result<Option<(Utterance, Scores)>> {
        let Some(line) = self.line()? else { return Ok(None) };
        let object: Object = match serde_json::from_str(&line) {
            Ok(object) => object,
            Err(error) => {
                return self.lines.fault(format!(
                    "not an utterance in JSON ({error}): a line is {{\"id\": …, \"ref\": …, \"hyps\": […], \"score\": \
                     […]}} with a finite number for each hypothesis"
                ));
            }
        };
        let n = object.hyps.len();
        let lists = [("score", &object.score), ("am", &object.am), ("lm", &object.lm)];
        for (name, list) in lists {
            let found = list.as_ref().map_or(n, Vec::len);
            if found != n {
                return self.lines.fault(format!(
                    "{n} hypotheses and {found} numbers in {name:?}: give one each"
                ));
            }
        }
        let scores = match lists.map(|(_, list)| list.is_some()) {
            [true, true, true] => Scores::Both,
            [true, ..] => Scores::Total,
            [_, true, true] => Scores::Parts,
            [_, false, false] => Scores::Order,
            _ => {
                return self.lines.fault(
                    "\"am\" and \"lm\" belong together: give both, or the total as \"score\"",
                );
            }
        };
        let lm = object.lm.filter(|_| scores.has_parts()).unwrap_or_else(|| vec![0.0; n]);
        let own = object.score.or(object.am).unwrap_or_else(|| (1..=n).map(by_place).collect());
        let heard = object.hyps.into_iter().zip(own).zip(lm);
        let hypotheses =
            heard.map(|((text, score), first_lm)| Heard { text, score, first_lm }).collect();
        let id = match object.id {
            Some(serde_json::Value::String(id)) => id,
            Some(other) => other.to_string(),
            None => self.lines.number.to_string(),
        };
        Ok(Some((Utterance { id, reference: object.reference, hypotheses }, scores)))
    }

    /// The lines of one utterance.
    fn rows(&mut self) -> Result<Option<(Utterance, Scores)>> {
        let Some(first) = self.next_row()? else { return Ok(None) };
        let scores = first.scores();
        let id = first.id.clone();
        let mut rows = vec![first];
        while let Some(row) = self.next_row()? {
            if row.id != id {
                self.row = Some(row);
                break;
            }
            if row.scores() != scores {
                return self.lines.fault(format!(
                    "{} where the line before has {}: give every hypothesis the same columns",
                    row.scores().describe(),
                    scores.describe()
                ));
            }
            rows.push(row);
        }
        let heard = rows.into_iter().zip(1..).map(|(row, place)| {
            let (acoustic, first_lm) = row.parts.unwrap_or_default();
            let score = match scores {
                Scores::Order => by_place(place),
                Scores::Parts => acoustic,
                Scores::Total | Scores::Both => row.score.unwrap_or_default(),
            };
            Heard { text: row.text, score, first_lm }
        });
        Ok(Some((Utterance { id, reference: None, hypotheses: heard.collect() }, scores)))
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        if let Some(row) = self.row.take() {
            return Ok(Some(row));
        }
        let Some(line) = self.line()? else { return Ok(None) };
        match self.format {
            Format::Tabs => self.tabs(&line).map(Some),
            _ => self.kaldi(&line).map(Some),
        }
    }

    fn tabs(&self, line: &str) -> Result<Row> {
        let number = |text: &str| {
            match text.trim().parse::<f64>() {
            Ok(number) => Ok(number),
            Err(_) => self.lines.fault(format!(
                "{text:?} is no number: the columns are name, score, text; or name, acoustic score, score of the \
                 language model, text"
            )),
        }
        };
        let columns: Vec<&str> = line.split('\t').collect();
        let row = |id: &str, text: &str, score, parts| {
            Ok(Row { id: id.to_owned(), text: text.to_owned(), score, parts })
        };
        match columns[..] {
            [id, text] => row(id, text, None, None),
            [id, score, text] => row(id, text, Some(number(score)?), None),
            [id, acoustic, lm, text] => row(id, text, None, Some((number(acoustic)?, number(lm)?))),
            _ => self.lines.fault(format!(
                "{} columns: give 2 to 4 between tabs: name, scores, text",
                columns.len()
            )),
        }
    }

    fn kaldi(&mut self, line: &str) -> Result<Row> {
        let (key, text) = split_id(line);
        let Some((id, _)) = key.rsplit_once('-') else {
            return self.lines.fault(format!(
                "{key:?} does not end in -N: a line is UTTERANCE-N and the words of its N-th hypothesis"
            ));
        };
        let parts = match &mut self.costs {
            Some((acoustic, lm)) => Some((-cost(acoustic, key)?, -cost(lm, key)?)),
            None => None,
        };
        Ok(Row { id: id.to_owned(), text: text.to_owned(), score: None, parts })
    }
}

/// The next cost of a file, which must be that of the hypothesis `key`.
fn cost(lines: &mut Lines, key: &str) -> Result<f64> {
    let Some(line) = lines.next()? else {
        return lines.fault(format!("the file ends before the cost of {key:?}"));
    };
    let (own, value) = split_id(&line);
    if own != key {
        return lines.fault(format!(
            "the cost of {own:?} where that of {key:?} is next: give the costs in the order of the hypotheses"
        ));
    }
    match value.parse() {
        Ok(cost) => Ok(cost),
        Err(_) => lines.fault(format!("{value:?} is no number: a line is {key} and its cost")),
    }
}

impl Row {
    fn scores(&self) -> Scores {
        match (self.score.is_some(), self.parts.is_some()) {
            (false, false) => Scores::Order,
            (true, false) => Scores::Total,
            (false, true) => Scores::Parts,
            (true, true) => Scores::Both,
        }
    }
}

/// What stands for the score of the hypothesis at a place of a list without any.
fn by_place(place: usize) -> f64 {
    -(place as f64).ln()
}
