//! Where text comes from: files, parts of files, memory; always read line by line.

use super::error::Error;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
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
    text: Option<Arc<[u8]>>,
    part: Part,
}

/// Which lines of a text belong to a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Share { cut: Cut, split: usize },
}

/// How a single file is cut into three: in blocks of lines, of which the tenth of every twenty is for validation, the
/// twentieth for testing, and the others for training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Lines of the file.
    pub lines: u64,
    /// Lines of a block; the last one may have fewer.
    pub block: u64,
}

/// Blocks of a round.
const ROUND: u64 = 20;
/// Rounds of a long file: each of the smaller splits is taken from that many places.
const ROUNDS: u64 = 10;

impl Cut {
    fn new(lines: u64) -> Self {
        Self { lines, block: (lines / (ROUND * ROUNDS)).max(1) }
    }

    /// The split, by its place in [`SPLITS`], of a line counted from 0.
    fn split(self, line: u64) -> usize {
        if self.lines < ROUND {
            // Too short for a round: the last line tests, the one before it validates.
            return (line + 3).saturating_sub(self.lines) as usize;
        }
        match line / self.block % ROUND {
            9 => 1,
            19 => 2,
            _ => 0,
        }
    }

    /// Lines of each split, in the order of [`SPLITS`].
    pub fn counts(self) -> [u64; 3] {
        let mut counts = [0; 3];
        (0..self.lines).for_each(|line| counts[self.split(line)] += 1);
        counts
    }
}

impl Part {
    fn has(self, line: u64) -> bool {
        match self {
            Self::All => true,
            Self::Share { cut, split } => cut.split(line) == split,
        }
    }
}

impl Source {
    /// A whole file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), text: None, part: Part::All }
    }

    /// A whole file; what can be read only once, such as a pipe, is taken into memory.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Read`].
    pub fn whole(path: &Path) -> Result<Self, Error> {
        if std::fs::metadata(path).map_err(Error::reading(path))?.is_file() {
            return Ok(Self::file(path));
        }
        let mut text = Vec::new();
        let file = File::open(path);
        let read = file.and_then(|mut file| file.read_to_end(&mut text));
        read.map_err(Error::reading(path))?;
        Ok(Self { text: Some(text.into()), ..Self::file(path) })
    }

    /// A text in memory; `name` stands for the file in messages.
    pub fn text(name: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        let text: Arc<str> = text.into();
        Self { path: name.into(), text: Some(text.into()), part: Part::All }
    }

    /// One split, `train`, `valid` or `test`, of a folder or of a single file.
    ///
    /// In a folder it is `train.txt`, `valid.txt` or `test.txt`. A single file is cut into
    /// blocks of lines, of every twenty of which one is for validation and one for testing
    /// ([`Cut`]): 5 % each. Blocks are long in a long file, since neighbouring lines of running
    /// text are not independent; they come from ten places, since the end of a text is often
    /// another kind of text than its beginning.
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

    /// A text to measure on: a split of a folder, or the whole of a single file.
    ///
    /// # Errors
    /// As [`Source::split`] and [`Source::whole`].
    pub fn measured(path: &Path, split: &'static str) -> Result<Self, Error> {
        if is_folder(path)? { split_of_folder(path, split) } else { Self::whole(path) }
    }

    /// How a single file was cut into this split; none for a file of its own.
    pub fn cut(&self) -> Option<Cut> {
        match self.part {
            Part::All => None,
            Part::Share { cut, .. } => Some(cut),
        }
    }

    /// Training, validation and test split of a folder or of a single file, as
    /// [`Source::split`] finds them; without the last where a folder has no `test.txt`.
    ///
    /// # Errors
    /// As [`Source::split`].
    pub fn splits(path: &Path) -> Result<Vec<Self>, Error> {
        if !is_folder(path)? {
            return Ok(splits_of_file(path)?.into());
        }
        let all = SPLITS.into_iter().filter(|&name| name != "test" || is_there(path, name));
        all.map(|split| split_of_folder(path, split)).collect()
    }

    /// The file, or the name that stands for it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Calls `take` with each line, without its end.
    ///
    /// # Errors
    /// Those of reading.
    pub fn each_line(&self, mut take: impl FnMut(&str)) -> Result<(), Error> {
        let mut lines = self.open()?;
        while let Some(line) = lines.next()? {
            take(line);
        }
        Ok(())
    }

    pub(super) fn open(&self) -> Result<Lines<'_>, Error> {
        let mut reader: Box<dyn BufRead + Send + '_> = match &self.text {
            Some(text) => Box::new(&text[..]),
            None => {
                let file = File::open(&self.path).map_err(Error::reading(&self.path))?;
                Box::new(BufReader::with_capacity(1 << 16, file))
            }
        };
        if let Some(kind) = reader.fill_buf().ok().and_then(foreign) {
            return Err(Error::Foreign { path: self.path.clone(), kind });
        }
        let mark = skip_mark(&mut reader).map_err(Error::reading(&self.path))?;
        let mut extent = Extent { bytes: 0, lines: 0, digest: Sha256::new() };
        if self.part.has(0) {
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

/// What a file is that begins so, where that is no text, with the mend.
pub(crate) fn foreign(begin: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 7] = [
        (b"\x1f\x8b", "compressed by gzip: unpack it first (gunzip)"),
        (b"PK\x03\x04", "a zip archive: unpack it first (unzip)"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first (unzstd)"),
        (b"\xfd7zXZ", "compressed by xz: unpack it first (unxz)"),
        (b"BZh", "compressed by bzip2: unpack it first (bunzip2)"),
        (b"\xff\xfe", "UTF-16: convert it (iconv -f utf-16 -t utf-8)"),
        (b"\xfe\xff", "UTF-16: convert it (iconv -f utf-16 -t utf-8)"),
    ];
    // Without a byte order mark every second byte of western text is 0.
    let has_zeros = |at: usize| {
        begin.get(..8).is_some_and(|first| {
            first.iter().enumerate().all(|(place, &byte)| (byte == 0) == (place % 2 == at))
        })
    };
    if has_zeros(1) {
        return Some("UTF-16: convert it (iconv -f utf-16le -t utf-8)");
    }
    if has_zeros(0) {
        return Some("UTF-16: convert it (iconv -f utf-16be -t utf-8)");
    }
    let found = KINDS.into_iter().find(|(mark, _)| begin.starts_with(mark));
    // `BZh` alone could be a word.
    found
        .filter(|(mark, _)| *mark != b"BZh" || begin.get(4..7) == Some(b"1AY"))
        .map(|(_, kind)| kind)
}

fn is_folder(path: &Path) -> Result<bool, Error> {
    Ok(std::fs::metadata(path).map_err(Error::reading(path))?.is_dir())
}

fn file_of(folder: &Path, split: &str) -> PathBuf {
    folder.join(format!("{split}.txt"))
}

fn is_there(folder: &Path, split: &str) -> bool {
    file_of(folder, split).is_file()
}

fn split_of_folder(folder: &Path, split: &'static str) -> Result<Source, Error> {
    if is_there(folder, split) {
        return Ok(Source::file(file_of(folder, split)));
    }
    Err(Error::no_split(folder, split))
}

fn splits_of_file(path: &Path) -> Result<[Source; 3], Error> {
    let source = Source::whole(path)?;
    let lines = count_lines(&source)?;
    match lines {
        0 => return Err(Error::Empty { path: path.into() }),
        1 | 2 => return Err(Error::TooFewLines { path: path.into(), lines }),
        _ => {}
    }
    let cut = Cut::new(lines);
    Ok([0, 1, 2].map(|split| Source { part: Part::Share { cut, split }, ..source.clone() }))
}

fn count_lines(source: &Source) -> Result<u64, Error> {
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
        loop {
            if !self.advance()? {
                return Ok(None);
            }
            if self.source.part.has(self.number - 1) {
                break;
            }
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

/// In hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
