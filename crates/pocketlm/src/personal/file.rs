//! A user's words as text: JSON lines, a header first.
//!
//! `{"pocketlm":"personal","version":1,"weights":[0.1,0.2],"crc32":123}`, then a line for each word,
//! `{"word":"Zsuzsi","count":2.5,"seen":3}` with `"kind":"added"` or `"blocked"` where the user said so, then one for
//! each pair, `{"after":"see","word":"Zsuzsi","count":1}`. Counts are faded to the present. `crc32` is the checksum of
//! what follows the header's line; a header without it, as of a file that was written by hand, is taken too.

use alloc::format;
use alloc::string::String;
#[cfg(feature = "std")]
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{CAPACITY, Kind, Pair, Personal, WEIGHTS, is_word};
use crate::error::{Error, Result};
use crate::format::checksum::Crc32;
use crate::json::{self, Value, write_string};

const VERSION: usize = 1;
/// Bytes of the longest file that is read: no [`Personal`] of the usual capacity makes one.
#[cfg(feature = "std")]
const MOST_BYTES: u64 = 16 << 20;

impl Personal {
    /// Everything as JSON lines, for a backup or another device.
    #[must_use]
    pub fn export(&self) -> String {
        let mut lines = String::new();
        for &place in &self.order {
            let word = &self.words[place as usize];
            lines.push_str("{\"word\":");
            write_string(&mut lines, &word.text);
            let count = word.count / self.word_unit;
            lines.push_str(&format!(",\"count\":{count},\"seen\":{}", word.seen));
            match word.kind {
                Kind::Typed => {}
                Kind::Added => lines.push_str(",\"kind\":\"added\""),
                Kind::Blocked => lines.push_str(",\"kind\":\"blocked\""),
            }
            lines.push_str("}\n");
        }
        for pair in &self.pairs {
            lines.push_str("{\"after\":");
            write_string(&mut lines, &self.words[pair.first as usize].text);
            lines.push_str(",\"word\":");
            write_string(&mut lines, &self.words[pair.second as usize].text);
            lines.push_str(&format!(",\"count\":{}}}\n", pair.count / self.pair_unit));
        }
        let sum = Crc32::new().update(lines.as_bytes()).finish();
        let [words, pairs] = self.weights;
        format!(
            "{{\"pocketlm\":\"personal\",\"version\":{VERSION},\"weights\":[{words},{pairs}],\"crc32\":{sum}}}\n{lines}"
        )
    }

    /// Reads what [`export`](Self::export) wrote, with room for [`CAPACITY`] bytes.
    ///
    /// # Errors
    /// [`Error::Personal`] with the line that is not as it should be.
    pub fn import(text: &str) -> Result<Self> {
        let (header, lines) = text.split_once('\n').unwrap_or((text, ""));
        let mut personal = Self::with_capacity(usize::MAX);
        let crc32 = personal.read_header(header)?;
        if crc32.is_some_and(|crc32| crc32 != Crc32::new().update(lines.as_bytes()).finish()) {
            return Err(fault(1, "its checksum is not that of what follows: it is damaged"));
        }
        for (at, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            personal.read_line(at + 2, line)?;
        }
        personal.pairs.sort_unstable_by_key(|pair| (pair.first, pair.second));
        let twice = personal
            .pairs
            .windows(2)
            .any(|p| (p[0].first, p[0].second) == (p[1].first, p[1].second));
        if twice {
            return Err(fault(2, "a pair comes twice"));
        }
        personal.capacity = CAPACITY;
        if !personal.words.is_empty() {
            let newest = personal.words.len() as u32 - 1;
            personal.make_room(newest);
        }
        Ok(personal)
    }

    fn read_header(&mut self, line: &str) -> Result<Option<u32>> {
        let header = parse(1, line)?;
        if header.get("pocketlm").and_then(Value::string) != Some("personal") {
            return Err(fault(1, "is no header of a user's words: {\"pocketlm\":\"personal\", …}"));
        }
        if header.get("version").and_then(Value::number) != Some(VERSION) {
            return Err(fault(1, "is of another version: take a newer pocketlm"));
        }
        if let Some(weights) = header.get("weights") {
            let numbers = weights.array().unwrap_or_default().iter().map(Value::float);
            let numbers: Option<Vec<f64>> = numbers.collect();
            let Some([words, pairs]) = numbers.as_deref() else {
                return Err(fault(1, "`weights` are not two numbers"));
            };
            self.weights =
                [*words, *pairs].map(|weight| (weight as f32).clamp(WEIGHTS.start, WEIGHTS.end));
        }
        match header.get("crc32") {
            None => Ok(None),
            Some(sum) => {
                let sum = sum.number().and_then(|sum| u32::try_from(sum).ok());
                sum.map(Some).ok_or_else(|| fault(1, "`crc32` is no checksum"))
            }
        }
    }

    fn read_line(&mut self, at: usize, line: &str) -> Result<()> {
        let value = parse(at, line)?;
        let text = value.get("word").and_then(Value::string).filter(|text| is_word(text));
        let text = text.ok_or_else(|| fault(at, "`word` is missing or can be no word"))?;
        let count = value.get("count").map_or(Some(1.0), Value::float).map(|count| count as f32);
        let count = count.filter(|count| (0.0..1e6).contains(count));
        let count = count.ok_or_else(|| fault(at, "`count` is no number from 0 to a million"))?;
        if let Some(after) = value.get("after") {
            let known = |text: &str| self.search(text).ok().map(|at| self.order[at]);
            let pair = after.string().and_then(known).zip(known(text));
            let (first, second) =
                pair.ok_or_else(|| fault(at, "is a pair of words of which one has no line above"))?;
            self.pairs.push(Pair { first, second, count });
            return Ok(());
        }
        if self.search(text).is_ok() {
            return Err(fault(at, "has a word that stands above already"));
        }
        let kind = match value.get("kind").map(|kind| kind.string()) {
            None => Kind::Typed,
            Some(Some("added")) => Kind::Added,
            Some(Some("blocked")) => Kind::Blocked,
            Some(_) => return Err(fault(at, "`kind` is not added or blocked")),
        };
        let seen = value.get("seen").map_or(Some(1), Value::number);
        let seen = seen.ok_or_else(|| fault(at, "`seen` is no whole number"))?;
        let place = self.place(text);
        let word = &mut self.words[place as usize];
        (word.count, word.kind) = (count, kind);
        word.seen = u16::try_from(seen).unwrap_or(u16::MAX);
        Ok(())
    }

    /// Writes it to a file, which is there whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`] with what the operating system said.
    #[cfg(feature = "std")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        crate::file::write_file(path, self.export().as_bytes())
    }

    /// Reads it from a file; of a user without one, nothing yet. A damaged file is renamed, so that typing goes on: the
    /// second value then says what was wrong and where the file is now.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read or renamed.
    #[cfg(feature = "std")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<(Self, Option<String>)> {
        use std::io::Read;
        let path = path.as_ref();
        let failed = |error: std::io::Error| Error::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((Self::new(), None));
            }
            file => file.map_err(failed)?,
        };
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let text = core::str::from_utf8(&bytes).map_err(|_| fault(1, "is not UTF-8"));
        let error = match text.and_then(Self::import) {
            Ok(personal) => return Ok((personal, None)),
            Err(error) => error,
        };
        let aside = aside(path);
        std::fs::rename(path, &aside).map_err(failed)?;
        let what = format!(
            "{}: {error}; it was renamed to {} and a new one begins",
            path.display(),
            aside.display()
        );
        Ok((Self::new(), Some(what)))
    }
}

/// A name for a damaged file that no other has.
#[cfg(feature = "std")]
fn aside(path: &std::path::Path) -> std::path::PathBuf {
    let name = |n: usize| {
        let mut name = std::ffi::OsString::from(path);
        name.push(format!(".damaged-{n}"));
        std::path::PathBuf::from(name)
    };
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

fn parse(at: usize, line: &str) -> Result<Value<'_>> {
    let value = json::parse(line).map_err(|found| fault(at, found.problem))?;
    if value.object().is_none() {
        return Err(fault(at, "is no JSON object"));
    }
    Ok(value)
}

fn fault(line: usize, problem: &'static str) -> Error {
    Error::Personal { line, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(text: &str) -> Personal {
        let mut personal = Personal::new();
        let mut last = None;
        for word in text.split(' ') {
            last = personal.count(last, word);
        }
        personal.add("added");
        personal.block("a \"b\"");
        personal.block("a\"b");
        personal
    }

    #[test]
    fn what_is_written_is_read() {
        let personal = made("we see Zsuzsi and we see her");
        let read = Personal::import(&personal.export()).unwrap();
        assert_eq!(read.export(), Personal::import(&read.export()).unwrap().export());
        assert!(read.is_blocked("a\"b") && !read.is_blocked("a \"b\""));
        assert_eq!(read.own_words().collect::<Vec<_>>(), personal.own_words().collect::<Vec<_>>());
        assert_eq!(read.pairs.len(), personal.pairs.len());
    }

    #[test]
    fn faults_are_named_by_their_line() {
        let header = "{\"pocketlm\":\"personal\",\"version\":1}\n";
        let cases = [
            ("", 1),
            ("{\"version\":1}", 1),
            ("{\"pocketlm\":\"personal\",\"version\":9}", 1),
            ("{\"pocketlm\":\"personal\",\"version\":1,\"crc32\":1}\n{\"word\":\"a\"}", 1),
            ("{\"pocketlm\":\"personal\",\"version\":1,\"weights\":[1]}", 1),
            (&format!("{header}{{\"word\":\"a b\"}}"), 2),
            (&format!("{header}{{\"word\":\"a\"}}\n{{\"word\":\"a\"}}"), 3),
            (&format!("{header}\n{{\"word\":\"a\",\"count\":-1}}"), 3),
            (&format!("{header}{{\"word\":\"a\",\"kind\":\"odd\"}}"), 2),
            (&format!("{header}{{\"after\":\"a\",\"word\":\"b\"}}"), 2),
            (&format!("{header}{{\"word\":\"a\"}}\nnot json"), 3),
        ];
        for (text, want) in cases {
            match Personal::import(text) {
                Err(Error::Personal { line, .. }) => assert_eq!(line, want, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(Personal::import(header).is_ok());
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let path = std::env::temp_dir().join(format!("pocketlm-personal-{}", std::process::id()));
        let (personal, note) = Personal::open(&path).unwrap();
        assert!(note.is_none() && personal == Personal::new());
        made("we see Zsuzsi").save(&path).unwrap();
        assert!(Personal::open(&path).unwrap().1.is_none());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 4]).unwrap();
        let (personal, note) = Personal::open(&path).unwrap();
        assert_eq!(personal, Personal::new());
        let aside = aside(&path).with_extension("damaged-1");
        assert!(note.unwrap().contains("damaged-1"));
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), &text[..text.len() - 4]);
        std::fs::remove_file(aside).unwrap();
        assert!(!path.exists());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}", cut in 0..400usize) {
            let _ = Personal::import(&text);
            let whole = made("we see Zsuzsi and we see her").export();
            let cut = whole.floor_char_boundary(cut.min(whole.len()));
            let _ = Personal::import(&whole[..cut]);
        }
    }
}
