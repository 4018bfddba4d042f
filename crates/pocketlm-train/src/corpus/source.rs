//! Where text comes from: files, parts of files, memory; always read line by line.

use super::error::Error;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The names of the three splits, in the order in which they are reported.
pub const SPLITS: [&str; 3] = ["train", "valid", "test"];

/// A text that can be read line by line as often as needed.
///
/// A line ends at a line feed (a carriage return before it belongs to the line end); what
/// follows the last line feed is a line too, unless it is empty. A byte order mark at the start
/// of a file is skipped. Only one line is in memory at a time.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    text: Option<Arc<str>>,
    lines: Range<u64>,
}

impl Source {
    /// A whole file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), text: None, lines: 0..u64::MAX }
    }

    /// A text in memory; `name` stands for the file in messages.
    pub fn text(name: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Self { path: name.into(), text: Some(text.into()), lines: 0..u64::MAX }
    }

    /// One split, `train`, `valid` or `test`, of a folder or of a single file.
    ///
    /// In a folder it is `train.txt`, `valid.txt` or `test.txt`. A single file is cut by its
    /// lines: the last 5 % (at least one line) are the test split, the 5 % before them the
    /// validation split, and what comes before is the training split. The parts are contiguous
    /// since neighbouring lines of running text are not independent.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::NoSplit`], [`Error::TooFewLines`], [`Error::Empty`],
    /// [`Error::Read`].
    pub fn split(path: &Path, split: &'static str) -> Result<Self, Error> {
        if is_folder(path)? {
            return split_of_folder(path, split);
        }
        let [train, valid, test] = splits_of_file(path)?;
        Ok(match split {
            "train" => train,
            "valid" => valid,
            _ => test,
        })
    }

    /// Training, validation and test split of a folder or of a single file, as
    /// [`Source::split`] finds them.
    ///
    /// # Errors
    /// As [`Source::split`].
    pub fn splits(path: &Path) -> Result<[Self; 3], Error> {
        if !is_folder(path)? {
            return splits_of_file(path);
        }
        let [train, valid, test] = SPLITS.map(|split| split_of_folder(path, split));
        Ok([train?, valid?, test?])
    }

    /// The file, or the name that stands for it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn open(&self) -> Result<Lines<'_>, Error> {
        let mut reader: Box<dyn BufRead + Send + '_> = match &self.text {
            Some(text) => Box::new(text.as_bytes()),
            None => {
                let file = File::open(&self.path).map_err(Error::reading(&self.path))?;
                Box::new(BufReader::with_capacity(1 << 16, file))
            }
        };
        let mark = skip_mark(&mut reader).map_err(Error::reading(&self.path))?;
        let mut extent = Extent { bytes: 0, lines: 0, digest: Sha256::new() };
        if self.lines.start == 0 {
            extent.add(mark);
        }
        let offset = mark.len() as u64;
        Ok(Lines { source: self, reader, buffer: Vec::new(), number: 0, offset, extent })
    }
}

const MARK: &[u8] = "\u{feff}".as_bytes();

fn skip_mark(reader: &mut impl BufRead) -> std::io::Result<&'static [u8]> {
    let found = if reader.fill_buf()?.starts_with(MARK) { MARK } else { &[] };
    reader.consume(found.len());
    Ok(found)
}

fn is_folder(path: &Path) -> Result<bool, Error> {
    Ok(std::fs::metadata(path).map_err(Error::reading(path))?.is_dir())
}

fn split_of_folder(folder: &Path, split: &'static str) -> Result<Source, Error> {
    let file = |name| folder.join(format!("{name}.txt"));
    if file(split).is_file() {
        return Ok(Source::file(file(split)));
    }
    let found = SPLITS.into_iter().filter(|name| file(name).is_file()).collect();
    Err(Error::NoSplit { path: folder.into(), split, found })
}

fn splits_of_file(path: &Path) -> Result<[Source; 3], Error> {
    let lines = count_lines(path)?;
    let held_out = (lines / 20).max(1);
    let Some(train) = lines.checked_sub(2 * held_out).filter(|&train| train > 0) else {
        return Err(match lines {
            0 => Error::Empty { path: path.into() },
            _ => Error::TooFewLines { path: path.into(), lines },
        });
    };
    let ranges = [0..train, train..train + held_out, train + held_out..lines];
    Ok(ranges.map(|lines| Source { lines, ..Source::file(path) }))
}

fn count_lines(path: &Path) -> Result<u64, Error> {
    let source = Source::file(path);
    let mut lines = source.open()?;
    while lines.advance()? {}
    Ok(lines.number)
}

/// The lines of a source, one at a time.
pub(super) struct Lines<'a> {
    source: &'a Source,
    reader: Box<dyn BufRead + Send + 'a>,
    buffer: Vec<u8>,
    number: u64,
    offset: u64,
    extent: Extent,
}

impl Lines<'_> {
    /// The next line without its end, or `None` at the end of the source.
    pub(super) fn next(&mut self) -> Result<Option<&str>, Error> {
        while self.number < self.source.lines.start {
            if !self.advance()? {
                break;
            }
        }
        if self.number >= self.source.lines.end || !self.advance()? {
            return Ok(None);
        }
        self.extent.add(&self.buffer);
        self.extent.lines += 1;
        match std::str::from_utf8(&self.buffer) {
            Ok(line) => Ok(Some(without_end(line))),
            Err(error) => Err(Error::NotUtf8 {
                path: self.source.path.clone(),
                line: self.number,
                offset: self.offset - (self.buffer.len() - error.valid_up_to()) as u64,
            }),
        }
    }

    /// The number of the line that [`Lines::next`] gave last, counted from 1 in the whole file.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What was read.
    pub(super) fn extent(self) -> Result<Extent, Error> {
        match self.extent.lines {
            0 => Err(Error::Empty { path: self.source.path.clone() }),
            _ => Ok(self.extent),
        }
    }

    fn advance(&mut self) -> Result<bool, Error> {
        self.buffer.clear();
        let read = self.reader.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(Error::reading(&self.source.path))?;
        self.offset += read as u64;
        self.number += u64::from(read > 0);
        Ok(read > 0)
    }
}

/// A line without its line feed and the carriage return before that.
pub(super) fn without_end(line: &str) -> &str {
    let Some(line) = line.strip_suffix('\n') else { return line };
    line.strip_suffix('\r').unwrap_or(line)
}

/// How much text was read, and its digest.
pub(super) struct Extent {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    digest: Sha256,
}

impl Extent {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
    }

    pub(super) fn sha256(self) -> String {
        hex(&self.digest.finalize())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
