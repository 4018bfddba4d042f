//! The lines of an ARPA file, compressed or not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::corpus::foreign;
use crate::error::{Error, Result};

/// The longest line, in bytes: six words of 4,096 bytes and two numbers have far less.
const LONGEST: u64 = 1 << 20;

/// What separates the fields of a line, as KenLM has it. Every other white space is part of a word.
pub(super) const GAPS: [char; 5] = [' ', '\t', '\r', '\0', '\n'];

/// The lines of a file, one at a time.
pub(super) struct Lines<'a> {
    path: &'a Path,
    reader: Box<dyn BufRead + 'a>,
    is_compressed: bool,
    line: String,
    number: u64,
    /// Whether the present line is to come once more.
    is_put_back: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Self::new(BufReader::new(file), path)
    }

    /// The lines of `reader`, which errors call `path`; unpacks what gzip made.
    pub(super) fn new(mut reader: impl BufRead + 'a, path: &'a Path) -> Result<Self> {
        let head = reader.fill_buf().map_err(Error::io(path))?;
        let is_compressed = head.starts_with(&[0x1f, 0x8b]);
        // What gzip made is unpacked here.
        let foreign = foreign(head).filter(|_| !is_compressed);
        let reader: Box<dyn BufRead + 'a> = match is_compressed {
            true => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
            false => Box::new(reader),
        };
        let line = String::new();
        let mut lines = Self { path, reader, is_compressed, line, number: 0, is_put_back: false };
        if let Some(kind) = foreign {
            return lines.fault_at(1, format!("is no plain text but {kind}"));
        }
        if lines.read()? == 0 {
            lines.number = 0;
        } else if lines.line.starts_with('\u{feff}') {
            lines.line.drain(..'\u{feff}'.len_utf8());
        }
        // The end of an empty file is found again.
        lines.is_put_back = lines.number > 0;
        Ok(lines)
    }

    /// The number of the present line, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn fault<T>(&self, what: impl Into<String>) -> Result<T> {
        self.fault_at(self.number, what)
    }

    pub(super) fn fault_at<T>(&self, line: u64, what: impl Into<String>) -> Result<T> {
        Err(Error::Line { path: self.path.into(), line, what: what.into() })
    }

    /// Reads a line and its end; nothing at the end of the file.
    fn read(&mut self) -> Result<usize> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.reader).take(LONGEST).read_line(&mut self.line);
        match read {
            Ok(bytes) if bytes as u64 == LONGEST => {
                self.fault("the line has more than a megabyte: this is no ARPA file")
            }
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.fault("not UTF-8; convert it, for example with `iconv -f latin1 -t utf-8`")
            }
            Err(error) if self.is_compressed => self.fault(format!(
                "the compressed data is damaged or cut off ({error}): copy it anew"
            )),
            Err(error) => Err(Error::io(self.path)(error)),
        }
    }

    /// Goes to the next line; `wanted` is what the file ends without.
    pub(super) fn next(&mut self, wanted: &str) -> Result<&str> {
        if !std::mem::take(&mut self.is_put_back) && self.read()? == 0 {
            return self.fault(format!(
                "the file ends here without {wanted}: it is cut off, or no ARPA file"
            ));
        }
        Ok(self.line.trim_matches(GAPS))
    }

    /// Goes to the next line that is not blank.
    pub(super) fn next_filled(&mut self, wanted: &str) -> Result<&str> {
        while self.next(wanted)?.is_empty() {}
        Ok(self.line.trim_matches(GAPS))
    }

    /// Lets the present line come once more.
    pub(super) fn put_back(&mut self) {
        self.is_put_back = true;
    }
}

/// The fields of a line.
pub(super) fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(GAPS).filter(|field| !field.is_empty())
}
