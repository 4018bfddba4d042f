//! The words of a model from elsewhere, in the order of its ids.

use std::path::Path;

use serde_json::Value;

use crate::corpus::{EOS, Encoder, Error as Fault, UNK, Unit, Vocabulary, is_unknown};
use crate::error::{Error, Result};

/// What the end of a line is called, the likeliest first.
const ENDS: [&str; 7] = [EOS, "</s>", "<sos/eos>", "<eos/sos>", "[EOS]", "<|endoftext|>", "\n"];

/// How the words of a file are to be taken.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// What a token is; a tokenizer's file says it itself.
    pub unit: Unit,
    /// The word that ends a line, where it is none of the usual ones.
    pub eos: Option<String>,
    /// The word that stands for unknown ones, where it is none of the usual ones.
    pub unk: Option<String>,
}

/// Reads a list of words: one a line in the order of ids, `WORD ID` lines as of Kaldi and k2, a JSON list, a JSON object
/// from words to ids, a `tokenizer.json`, or a SentencePiece model.
///
/// # Errors
/// When it is none of these, holds a word twice, or lacks ids, or no word ends a line.
pub fn encoder(path: &Path, words: &Words) -> Result<Encoder> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let fault = |reason: &str| Error::checkpoint(path, reason.to_owned());
    let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(Encoder::tokenized(path)?) };
    let list = match serde_json::from_str(text) {
        Ok(Value::Object(object)) if object.contains_key("model") => {
            return Ok(Encoder::tokenized(path)?);
        }
        Ok(Value::Object(object)) => {
            let pairs = object.iter().map(|(word, id)| Some((word.clone(), id.as_u64()?)));
            let pairs: Option<Vec<_>> = pairs.collect();
            ordered(pairs.ok_or_else(|| fault("maps words to what is no number"))?)
                .ok_or_else(|| fault("does not give each id from 0 on to one word"))?
        }
        Ok(Value::Array(list)) => {
            let words = list.iter().map(|word| word.as_str().map(str::to_owned));
            let words: Option<Vec<_>> = words.collect();
            words.ok_or_else(|| fault("lists what is no word"))?
        }
        _ => lines(path, text)?,
    };
    named(list, words, path)
}

/// The words of a text: of pairs with ids if every line is one, else its lines.
fn lines(path: &Path, text: &str) -> Result<Vec<String>> {
    let pair = |line: &str| {
        let (word, id) = line.trim_end().rsplit_once([' ', '\t'])?;
        Some((word.trim_end().to_owned(), id.parse().ok()?))
    };
    let pairs: Option<Vec<(String, u64)>> = text.lines().map(pair).collect();
    if let Some(words) = pairs.filter(|pairs| !pairs.is_empty()).and_then(ordered) {
        return Ok(words);
    }
    // Words may have any characters but a line feed; what ends a line may be missing until it is named.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.is_empty() {
        return Err(Fault::Empty { path: path.into() }.into());
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    let is_returned = text.split('\n').all(|line| line.len() > 1 && line.ends_with('\r'));
    let cut = |line: &str| line[..line.len() - usize::from(is_returned)].to_owned();
    Ok(text.split('\n').map(cut).collect())
}

/// Words by their ids, if these are 0 to one less than there are.
fn ordered(mut pairs: Vec<(String, u64)>) -> Option<Vec<String>> {
    pairs.sort_by_key(|(_, id)| *id);
    let is_whole = pairs.iter().zip(0..).all(|((_, id), place)| *id == place);
    is_whole.then(|| pairs.into_iter().map(|(word, _)| word).collect())
}

/// An encoder of words, of which the special ones get the names that they have here.
fn named(mut list: Vec<String>, words: &Words, path: &Path) -> Result<Encoder> {
    let is_apart = |word: &String| words.unit == Unit::Word && word.contains([' ', '\t']);
    if let Some(at) = list.iter().position(is_apart) {
        let what = format!(
            "has white space in {:?} (word {at}): give each word a line of its own, or words with their ids from 0",
            list[at]
        );
        return Err(Error::checkpoint(path, what));
    }
    let place = |name: &str| list.iter().position(|word| word == name);
    let given = |name: &Option<String>, flag: &str| match name {
        Some(name) => place(name).map(Some).ok_or_else(|| {
            Error::checkpoint(path, format!("has no word {name:?}, which {flag} names"))
        }),
        None => Ok(None),
    };
    let eos = given(&words.eos, "--eos")?.or_else(|| ENDS.iter().find_map(|name| place(name)));
    let unk = given(&words.unk, "--unk")?
        .or_else(|| place(UNK))
        .or_else(|| list.iter().position(|word| is_unknown(word)));
    let eos = eos.ok_or_else(|| {
        let what = "has no word that ends a line (<eos>, </s>, <sos/eos> …): name it by --eos WORD";
        Error::checkpoint(path, what)
    })?;
    list[eos] = EOS.to_owned();
    if let Some(unk) = unk {
        list[unk] = UNK.to_owned();
    }
    let vocabulary = Vocabulary::from_words(list, path)?;
    Ok(match words.unit {
        Unit::Raw(case) => Encoder::raw(case, vocabulary, Default::default()),
        unit => Encoder::closed(unit, vocabulary),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str, words: &Words) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        std::fs::write(&path, content).unwrap();
        let encoder = encoder(&path, words)?;
        Ok(encoder.vocabulary().words().map(str::to_owned).collect())
    }

    #[test]
    fn every_form_of_a_list_gives_the_same_words() {
        let forms = [
            "the\n</s>\n[UNK]\ncat\n",
            "the\r\n</s>\r\n[UNK]\r\ncat\r\n",
            "cat 3\nthe 0\n</s> 1\n[UNK] 2\n",
            "the\t0\n</s>\t1\n[UNK]\t2\ncat\t3",
            r#"["the", "</s>", "[UNK]", "cat"]"#,
            r#"{"cat": 3, "the": 0, "</s>": 1, "[UNK]": 2}"#,
        ];
        for form in forms {
            assert_eq!(read(form, &Words::default()).unwrap(), ["the", "<eos>", "<unk>", "cat"]);
        }
    }

    #[test]
    fn special_words_may_have_any_name() {
        let words = Words { eos: Some(".".into()), unk: Some("rare".into()), ..Words::default() };
        assert_eq!(read("a\n.\nrare\n", &words).unwrap(), ["a", "<eos>", "<unk>"]);
        let message = |content: &str, words: &Words| read(content, words).unwrap_err().to_string();
        assert!(message("a\nb\n", &Words::default()).contains("--eos"));
        assert!(message("a\n<eos>\n", &words).contains("no word \".\""));
        assert!(message("a 7\n<eos> 9\n", &Words::default()).contains("white space in \"a 7\""));
        assert!(message("a\n<eos>\na\n", &Words::default()).contains("twice"));
        assert!(message(r#"{"a": 0, "<eos>": 2}"#, &Words::default()).contains("each id"));
    }
}
