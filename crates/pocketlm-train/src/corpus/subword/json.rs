//! `tokenizer.json`, as the crate `tokenizers` and Hugging Face write it: byte-level byte-pair encoding.

use super::Parts;
use pocketlm::subword::Rules;
use serde_json::Value;
use std::collections::HashMap;

/// Names of the special piece that ends a text, the first that is there.
const ENDS: [&str; 4] = ["<eos>", "<|endoftext|>", "</s>", "<|end_of_text|>"];

type Result<T> = std::result::Result<T, String>;

/// Reads the file.
pub(super) fn parts(bytes: &[u8]) -> Result<Parts> {
    let file: Value = serde_json::from_slice(bytes).map_err(|error| {
        format!("it is no JSON ({error}); take a whole tokenizer.json, or a SentencePiece *.model")
    })?;
    check_kinds(&file)?;
    let model = &file["model"];
    let vocabulary = model["vocab"].as_object().ok_or("its model has no table `vocab`")?;
    let mut ids: HashMap<&str, u32> = HashMap::new();
    for (name, id) in vocabulary {
        ids.insert(name, number(id).ok_or_else(|| format!("{name:?} has no id"))?);
    }
    let special = special(&file)?;
    ids.extend(special.iter().copied());
    let names = in_order(&ids)?;
    let control: Vec<u32> = special.iter().map(|&(_, id)| id).collect();
    let mut all = Vec::with_capacity(names.len());
    for (name, id) in names.iter().zip(0..) {
        let own =
            if control.contains(&id) { Some(name.as_bytes().to_vec()) } else { bytes_of(name) };
        all.push(own.ok_or_else(|| {
            format!(
                "its piece {name:?} has characters that stand for no byte: it is not byte-level"
            )
        })?);
    }
    let find = |name: &str| special.iter().find(|(other, _)| *other == name).map(|(_, id)| *id);
    Ok(Parts {
        names: names.into_iter().map(str::to_owned).collect(),
        bytes: all,
        eos: ENDS.into_iter().find_map(find),
        unk: find("<unk>"),
        control,
        rules: Rules::ByteLevel {
            merges: merges(&model["merges"], &ids)?,
            prefix_space: prefix_space(&file["pre_tokenizer"]),
        },
    })
}

/// Refuses everything but byte-level byte-pair encoding, by name.
fn check_kinds(file: &Value) -> Result<()> {
    let kind = |value: &Value| value["type"].as_str().unwrap_or("unnamed").to_owned();
    let model = &file["model"];
    // Old files do not name the model that has merges.
    if model["type"].as_str() != Some("BPE")
        && !(model["type"].is_null() && model["merges"].is_array())
    {
        let kind = kind(model);
        return Err(format!(
            "its model is of the kind {kind}; take byte-level BPE, or a SentencePiece *.model"
        ));
    }
    let normaliser = &file["normalizer"];
    if !normaliser.is_null() {
        let kind = kind(normaliser);
        return Err(format!(
            "its normalizer is of the kind {kind}; take byte-level BPE, which has none"
        ));
    }
    let before = byte_level(&file["pre_tokenizer"]);
    let Some(before) = before else {
        let kind = kind(&file["pre_tokenizer"]);
        return Err(format!(
            "its pre-tokenizer is of the kind {kind}; take one of the kind ByteLevel alone"
        ));
    };
    if before["use_regex"] == false {
        return Err("its pre-tokenizer does not cut text (use_regex is false)".into());
    }
    let is_set = |key: &&&str| {
        !matches!(&model[**key], Value::Null | Value::Bool(false))
            && model[**key].as_str() != Some("")
    };
    let options = [
        "dropout",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "byte_fallback",
        "ignore_merges",
    ];
    match options.iter().find(is_set) {
        Some(option) => Err(format!("its model has {option}, which byte-level BPE here does not")),
        None => Ok(()),
    }
}

/// The part of the kind ByteLevel, where it is the only one.
fn byte_level(before: &Value) -> Option<&Value> {
    let only = match before["type"].as_str()? {
        "Sequence" => match &before["pretokenizers"].as_array()?[..] {
            [only] => only,
            _ => return None,
        },
        _ => before,
    };
    (only["type"] == "ByteLevel").then_some(only)
}

fn prefix_space(before: &Value) -> bool {
    byte_level(before).is_some_and(|own| own["add_prefix_space"].as_bool().unwrap_or(true))
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// The added pieces, all of which must be special: others would be cut out of a text before all else.
fn special(file: &Value) -> Result<Vec<(&str, u32)>> {
    let mut all = Vec::new();
    for added in file["added_tokens"].as_array().into_iter().flatten() {
        let name = added["content"].as_str().ok_or("an added token has no content")?;
        let id =
            number(&added["id"]).ok_or_else(|| format!("its added token {name:?} has no id"))?;
        if added["special"] != true {
            return Err(format!(
                "its added token {name:?} is not special: train without added tokens"
            ));
        }
        all.push((name, id));
    }
    Ok(all)
}

/// The names in the order of their ids, which must have no holes.
fn in_order<'a>(ids: &HashMap<&'a str, u32>) -> Result<Vec<&'a str>> {
    let mut names = vec![None; ids.len()];
    for (name, &id) in ids {
        match names.get_mut(id as usize) {
            Some(place @ None) => *place = Some(*name),
            Some(Some(other)) => return Err(format!("{name:?} and {other:?} have the id {id}")),
            None => {
                return Err(format!(
                    "its ids have holes: {name:?} has the id {id} among {} pieces",
                    ids.len()
                ));
            }
        }
    }
    Ok(names.into_iter().flatten().collect())
}

/// Pairs of ids, the most urgent first: `"a b"`, or `["a", "b"]` in newer files.
fn merges(list: &Value, ids: &HashMap<&str, u32>) -> Result<Vec<[u32; 2]>> {
    let list = list.as_array().ok_or("its model has no list `merges`")?;
    let merge = |merge: &Value| {
        let (left, right) = match merge {
            Value::String(both) => both.split_once(' ')?,
            Value::Array(both) => match &both[..] {
                [left, right] => (left.as_str()?, right.as_str()?),
                _ => return None,
            },
            _ => return None,
        };
        Some([*ids.get(left)?, *ids.get(right)?])
    };
    let all = list
        .iter()
        .map(|pair| merge(pair).ok_or_else(|| format!("its merge {pair} is not of two pieces")));
    all.collect()
}

/// The bytes of a piece: each character stands for one, printable ones for themselves and the others for those from
/// U+0100 on, in order (Radford et al. 2019, `bytes_to_unicode` of their encoder).
fn bytes_of(piece: &str) -> Option<Vec<u8>> {
    let hidden: Vec<u8> = (0..=255).filter(|byte| !is_printable(*byte)).collect();
    let byte = |char| match u32::from(char) {
        code @ 0..=0xff => Some(code as u8).filter(|byte| is_printable(*byte)),
        code => hidden.get(code as usize - 0x100).copied(),
    };
    piece.chars().map(byte).collect()
}

/// The same the other way.
pub(in crate::corpus) fn letters(piece: &[u8]) -> String {
    let letter = |&byte: &u8| {
        let hidden = || (0..byte).filter(|byte| !is_printable(*byte)).count() as u32;
        let code = if is_printable(byte) { byte.into() } else { 0x100 + hidden() };
        char::from_u32(code).unwrap_or_default()
    };
    piece.iter().map(letter).collect()
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn every_byte_has_its_letter() {
        let all: Vec<u8> = (0..=255).collect();
        let letters = letters(&all);
        assert_eq!(bytes_of(&letters), Some(all));
        assert_eq!(
            letters.chars().collect::<std::collections::HashSet<_>>(),
            ByteLevel::alphabet().into_iter().collect()
        );
        assert_eq!(bytes_of("Ġa").as_deref(), Some(&b" a"[..]));
        assert_eq!(bytes_of("a b"), None);
    }
}
