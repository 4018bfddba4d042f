//! What teachers say of each token of a text, kept in a file.
//!
//! A header (what the file is, whose words, how many), then records of equal size: a group of tokens with the likeliest
//! types of each, rising, and their probabilities, and the record's checksum. Records are added in order, so that a
//! file that was cut short goes on where its last whole record ends. A probability `q` is the number
//! `round(-ln(q) * 4096)` in 16 bits: right to 0.012 %, from 1 down to 1e-7.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

const MAGIC: &[u8; 16] = b"pocketlm lesson1";
const HEADER: u64 = 16 + 32 + 8 + 4 + 4 + 4;
/// Steps of the logarithm to a nat.
const STEPS: f32 = 4096.0;
const CHECKSUM: usize = 8;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    /// Hash of the teachers, their weights and the text.
    pub(super) origin: [u8; 32],
    /// Tokens of the text.
    pub(super) tokens: usize,
    /// Types kept for each.
    pub(super) keep: usize,
    /// Tokens of a record; the last may be filled up.
    pub(super) group: usize,
    /// Types of the vocabulary, which say how wide an id is.
    pub(super) types: usize,
}

impl Layout {
    fn id_bytes(&self) -> usize {
        if self.types <= 1 << 16 { 2 } else { 4 }
    }

    fn token_bytes(&self) -> usize {
        self.keep * (self.id_bytes() + 2)
    }

    fn record_bytes(&self) -> usize {
        self.group * self.token_bytes() + CHECKSUM
    }

    /// Records of the whole text.
    pub(super) fn groups(&self) -> usize {
        self.tokens.div_ceil(self.group)
    }

    fn header(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend(self.origin);
        header.extend((self.tokens as u64).to_le_bytes());
        for number in [self.keep, self.group, self.types] {
            header.extend((number as u32).to_le_bytes());
        }
        header
    }
}

/// The file, open.
pub(super) struct Cache {
    path: PathBuf,
    file: File,
    layout: Layout,
    /// Whole records.
    done: usize,
    bytes: Vec<u8>,
}

impl Cache {
    /// Opens the file at `path`, or begins it; its records are checked.
    ///
    /// # Errors
    /// When it is another file, of other teachers or another text, or damaged.
    pub(super) fn open(path: &Path, layout: Layout) -> Result<Self> {
        let io = Error::io(path);
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut cache = Self {
            path: path.to_owned(),
            file: open.map_err(io)?,
            layout,
            done: 0,
            bytes: Vec::new(),
        };
        let length = cache.file.metadata().map_err(Error::io(path))?.len();
        cache.check_header(length)?;
        cache.check_records(length)?;
        Ok(cache)
    }

    fn refuse(&self, what: &str) -> Error {
        Error::checkpoint(
            &self.path,
            format!("{what}: remove it, or name another file in train.distillation.cache"),
        )
    }

    fn check_header(&mut self, length: u64) -> Result<()> {
        let want = self.layout.header();
        let mut found = vec![0; want.len().min(length as usize)];
        self.file.read_exact(&mut found).map_err(Error::io(&self.path))?;
        if found == want {
            return Ok(());
        }
        // A header that is cut short is the file's own; anything else is somebody's.
        if !want.starts_with(&found) {
            let is_ours = found.starts_with(MAGIC);
            return Err(self.refuse(if is_ours {
                "holds what other teachers say, or of another text"
            } else {
                "is no file of teachers"
            }));
        }
        self.file.seek(SeekFrom::Start(0)).map_err(Error::io(&self.path))?;
        self.file.write_all(&want).map_err(Error::io(&self.path))
    }

    fn check_records(&mut self, length: u64) -> Result<()> {
        let size = self.layout.record_bytes();
        let whole = (length.saturating_sub(HEADER) / size as u64) as usize;
        let mut record = vec![0; size];
        for group in 0..whole.min(self.layout.groups()) {
            self.file.read_exact(&mut record).map_err(Error::io(&self.path))?;
            let (body, sum) = record.split_at(size - CHECKSUM);
            if checksum(body) != sum {
                return Err(self.refuse(&format!("is damaged in record {group}")));
            }
            self.done = group + 1;
        }
        Ok(())
    }

    /// Records that are there.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// Bytes that are missing.
    pub(super) fn missing(&self) -> u64 {
        ((self.layout.groups() - self.done) * self.layout.record_bytes()) as u64
    }

    /// Adds the next record: of each token of the group the ids, rising, and the probabilities.
    pub(super) fn add(&mut self, ids: &[u32], probabilities: &[f32]) -> Result<()> {
        let Layout { keep, group, .. } = self.layout;
        assert_eq!(ids.len(), group * keep, "a whole group");
        self.bytes.clear();
        for (ids, probabilities) in ids.chunks(keep).zip(probabilities.chunks(keep)) {
            for id in ids {
                self.bytes.extend_from_slice(&id.to_le_bytes()[..self.layout.id_bytes()]);
            }
            for q in probabilities {
                let code = (-q.ln() * STEPS).round().clamp(0.0, f32::from(u16::MAX)) as u16;
                self.bytes.extend_from_slice(&code.to_le_bytes());
            }
        }
        self.bytes.extend(checksum(&self.bytes));
        let at = HEADER + self.done as u64 * self.layout.record_bytes() as u64;
        let written = self.file.seek(SeekFrom::Start(at));
        written.and_then(|_| self.file.write_all(&self.bytes)).map_err(Error::io(&self.path))?;
        self.done += 1;
        Ok(())
    }

    /// Appends what it holds of the tokens `start..start + count`.
    pub(super) fn read(
        &mut self,
        start: usize,
        count: usize,
        ids: &mut Vec<u32>,
        probabilities: &mut Vec<f32>,
    ) -> Result<()> {
        let Layout { keep, group, .. } = self.layout;
        let (mut start, mut left) = (start, count);
        while left > 0 {
            let within = (group - start % group).min(left);
            self.read_bytes(start, within)?;
            for token in self.bytes.chunks(self.layout.token_bytes()) {
                let (own, codes) = token.split_at(keep * self.layout.id_bytes());
                let id = |bytes: &[u8]| {
                    let mut wide = [0; 4];
                    wide[..bytes.len()].copy_from_slice(bytes);
                    u32::from_le_bytes(wide)
                };
                ids.extend(own.chunks(self.layout.id_bytes()).map(id));
                let q = |code: &[u8]| {
                    (-f32::from(u16::from_le_bytes([code[0], code[1]])) / STEPS).exp()
                };
                probabilities.extend(codes.chunks(2).map(q));
            }
            (start, left) = (start + within, left - within);
        }
        Ok(())
    }

    /// The bytes of tokens that lie in one record.
    fn read_bytes(&mut self, start: usize, count: usize) -> Result<()> {
        let Layout { group, .. } = self.layout;
        let (record, within) = (start / group, start % group);
        let at = HEADER as usize
            + record * self.layout.record_bytes()
            + within * self.layout.token_bytes();
        self.bytes.resize(count * self.layout.token_bytes(), 0);
        let found = self.file.seek(SeekFrom::Start(at as u64));
        found.and_then(|_| self.file.read_exact(&mut self.bytes)).map_err(Error::io(&self.path))
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    Sha256::digest(bytes)[..CHECKSUM].try_into().expect("a hash is longer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const LAYOUT: Layout = Layout { origin: [7; 32], tokens: 7, keep: 2, group: 3, types: 70_000 };

    fn lesson(group: usize) -> (Vec<u32>, Vec<f32>) {
        let ids = (0..6).map(|i| (group * 10_000 + i) as u32).collect();
        (ids, (0..6).map(|i| 0.4 / (i + group + 1) as f32).collect())
    }

    fn filled(path: &Path) {
        let mut cache = Cache::open(path, LAYOUT).unwrap();
        for group in cache.done()..LAYOUT.groups() {
            let (ids, probabilities) = lesson(group);
            cache.add(&ids, &probabilities).unwrap();
        }
    }

    #[test]
    fn what_is_written_is_read_across_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        filled(&path);
        let bytes = HEADER as usize + LAYOUT.groups() * LAYOUT.record_bytes();
        assert_eq!(fs::read(&path).unwrap().len(), bytes);
        let mut cache = Cache::open(&path, LAYOUT).unwrap();
        let (mut ids, mut probabilities) = (Vec::new(), Vec::new());
        cache.read(2, 4, &mut ids, &mut probabilities).unwrap();
        let [first, second] = [0, 1].map(lesson);
        assert_eq!(ids, [&first.0[4..], &second.0[..]].concat());
        for (got, want) in probabilities.iter().zip([&first.1[4..], &second.1[..]].concat()) {
            assert!((got / want - 1.0).abs() < 1.3e-4, "{got} {want}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_goes_on_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        filled(&path);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            filled(&path);
            assert_eq!(fs::read(&path).unwrap(), whole, "cut at {length}");
        }
    }

    #[test]
    fn foreign_and_damaged_files_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        filled(&path);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[HEADER as usize + 4] ^= 1;
        let mut other = whole.clone();
        other[20] ^= 1;
        let cases = [
            (b"some text\n".to_vec(), "no file of teachers"),
            (damaged, "damaged in record 0"),
            (other, "other teachers"),
        ];
        for (bytes, want) in cases {
            fs::write(&path, &bytes).unwrap();
            let message = Cache::open(&path, LAYOUT).err().unwrap().to_string();
            assert!(message.contains(want) && message.contains("remove it"), "{message}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }
}
