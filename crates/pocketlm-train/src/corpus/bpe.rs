//! Byte-pair encoding of open text.
//!
//! The byte-level variant of Radford et al. 2019 ("Language Models are Unsupervised Multitask
//! Learners", section 2.2) of the merges of Sennrich et al. 2016 (section 3.2): the base
//! alphabet is the 256 bytes, so every text can be written and nothing is out of vocabulary.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};

use pocketlm::subword::stretches;
use serde_json::{Map, Value, json};

use super::error::Error;
use super::source::Source;
use super::subword::letters;
use super::vocabulary::EOS;

/// The size of a byte-pair vocabulary where none is asked for.
pub const DEFAULT_BPE_VOCAB: usize = 4096;
const LEAST: usize = 257;

/// Learns the merges from a training text: what a `tokenizer.json` holds; `size` counts the 256 bytes and `<eos>`.
pub(super) fn train(source: &Source, size: usize, min_count: u64) -> Result<String, Error> {
    if size < LEAST {
        let reason = "the 256 bytes and <eos>";
        return Err(Error::MaxVocab { asked: size, least: LEAST, reason });
    }
    let mut counts: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    let mut lines = source.open()?;
    while let Some(line) = lines.next()? {
        for stretch in pieces(line).flat_map(stretches) {
            match counts.get_mut(stretch.as_bytes()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(stretch.as_bytes().to_vec(), 1)),
            }
        }
    }
    let mut merges = Merges::new(counts);
    merges.learn(size, min_count.max(1));
    Ok(merges.to_json())
}

/// Most bytes between two white spaces that are learnt from as one: the time of learning grows with their square.
const MOST_BYTES: usize = 1024;

/// A line, cut within what is longer than [`MOST_BYTES`] without white space.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut start = 0;
        let long = rest.char_indices().find(|(at, char)| {
            if char.is_whitespace() {
                start = at + char.len_utf8();
            }
            at - start.min(*at) >= MOST_BYTES
        });
        let (piece, after) = rest.split_at(long.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(piece)
    })
}

/// Two neighbouring pieces, by their ids.
type Pair = (u32, u32);

/// Pieces, and the merges that make them: the crate `tokenizers` (`BpeTrainer`) learns the same.
struct Merges {
    /// The bytes of each piece; `<eos>` is first.
    pieces: Vec<Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
    /// Each pair once, the most urgent first.
    merges: Vec<Pair>,
    /// The stretches of the text as pieces, and how often each comes.
    words: Vec<(Vec<u32>, i64)>,
    /// How often each pair comes.
    pairs: HashMap<Pair, i64>,
    /// Pairs to be merged: the most frequent first, of equals the one of the lowest ids, with the words to look at. Counts
    /// may have fallen since.
    queue: BinaryHeap<(i64, Reverse<Pair>, BTreeSet<usize>)>,
}

impl Merges {
    /// The 256 bytes, by the letters that stand for them.
    fn new(counts: BTreeMap<Vec<u8>, i64>) -> Self {
        let mut pieces: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        pieces.sort_by_key(|piece| letters(piece));
        pieces.insert(0, EOS.into());
        let ids: HashMap<Vec<u8>, u32> = pieces.iter().cloned().zip(0..).collect();
        let word = |(bytes, count): (Vec<u8>, i64)| {
            (bytes.iter().map(|&byte| ids[&vec![byte]]).collect(), count)
        };
        let words: Vec<(Vec<u32>, i64)> = counts.into_iter().map(word).collect();
        let (pairs, queue) = (HashMap::new(), BinaryHeap::new());
        let mut all = Self { pieces, ids, merges: Vec::new(), words, pairs, queue };
        let mut changes = Vec::new();
        for (at, (word, count)) in all.words.iter().enumerate() {
            changes.extend(word.windows(2).map(|pair| ((pair[0], pair[1]), *count, at)));
        }
        all.apply(changes);
        all
    }

    /// Merges the most frequent pair again and again until there are `size` pieces, or none comes `least` times.
    fn learn(&mut self, size: usize, least: u64) {
        while self.pieces.len() < size
            && let Some((count, Reverse(pair), places)) = self.queue.pop()
        {
            let now = self.pairs[&pair];
            if count != now {
                self.queue.push((now, Reverse(pair), places));
                continue;
            }
            if u64::try_from(count).is_ok_and(|count| count >= least) {
                self.merge(pair, &places);
            } else {
                return;
            }
        }
    }

    fn merge(&mut self, pair: Pair, places: &BTreeSet<usize>) {
        let [left, right] = [pair.0, pair.1].map(|id| &self.pieces[id as usize][..]);
        let joined = [left, right].concat();
        let new = *self.ids.entry(joined).or_insert_with_key(|joined| {
            self.pieces.push(joined.clone());
            self.pieces.len() as u32 - 1
        });
        self.merges.push(pair);
        let mut changes = Vec::new();
        for &at in places {
            let (word, count) = &mut self.words[at];
            replace(word, pair, new, |pair, change| changes.push((pair, change * *count, at)));
        }
        self.apply(changes);
    }

    /// Counts pairs that came or went in words, and puts those that came into the queue.
    fn apply(&mut self, changes: Vec<(Pair, i64, usize)>) {
        let mut places: HashMap<Pair, BTreeSet<usize>> = HashMap::new();
        for (pair, change, at) in changes {
            *self.pairs.entry(pair).or_default() += change;
            if change > 0 {
                places.entry(pair).or_default().insert(at);
            }
        }
        for (pair, places) in places {
            let count = self.pairs[&pair];
            if count > 0 {
                self.queue.push((count, Reverse(pair), places));
            }
        }
    }

    /// The file `tokenizer.json`, as Hugging Face has it.
    fn to_json(&self) -> String {
        let names: Vec<String> = self
            .pieces
            .iter()
            .enumerate()
            .map(|(id, piece)| if id == 0 { EOS.to_owned() } else { letters(piece) })
            .collect();
        let name = |id: u32| &names[id as usize];
        // Of a pair that was merged twice the last time counts.
        let mut seen = HashSet::new();
        let merges = self.merges.iter().rev().filter(|pair| seen.insert(**pair));
        let mut merges: Vec<Value> =
            merges.map(|&(left, right)| json!([name(left), name(right)])).collect();
        merges.reverse();
        let vocabulary: Map<String, Value> =
            names.iter().cloned().zip((0..).map(|id: u32| id.into())).collect();
        let byte_level = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        });
        let file = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [{
                "id": 0, "content": EOS, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            }],
            "normalizer": null,
            "pre_tokenizer": byte_level,
            "post_processor": null,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": false,
                "vocab": vocabulary,
                "merges": merges,
            },
        });
        format!("{file:#}")
    }
}

/// Makes one piece of each such pair of a word, from the left; `change` hears of the pairs with their neighbours that
/// went, by −1, and came, by 1.
fn replace(word: &mut Vec<u32>, pair: Pair, new: u32, mut change: impl FnMut(Pair, i64)) {
    let mut at = 0;
    while at + 1 < word.len() {
        if (word[at], word[at + 1]) == pair {
            if let Some(before) = at.checked_sub(1).map(|before| word[before]) {
                change((before, pair.0), -1);
                change((before, new), 1);
            }
            word[at] = new;
            word.remove(at + 1);
            if let Some(&after) = word.get(at + 1) {
                change((pair.1, after), -1);
                change((new, after), 1);
            }
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::models::TrainerWrapper;
    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::{AddedToken, Tokenizer};

    use super::*;

    /// What the crate `tokenizers` learns.
    fn theirs(lines: &[String], size: usize, min_count: u64) -> Value {
        let byte_level = || ByteLevel::new(false, true, true);
        let mut tokenizer = Tokenizer::new(BPE::default());
        tokenizer.with_pre_tokenizer(Some(byte_level())).with_decoder(Some(byte_level()));
        let trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(size)
            .min_frequency(min_count)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(vec![AddedToken::from(EOS, true)])
            .build();
        tokenizer.train(&mut TrainerWrapper::from(trainer), lines.iter().cloned()).unwrap();
        serde_json::from_str(&tokenizer.to_string(true).unwrap()).unwrap()
    }

    fn ours(lines: &[String], size: usize, min_count: u64) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.txt");
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        serde_json::from_str(&train(&Source::whole(&path).unwrap(), size, min_count).unwrap())
            .unwrap()
    }

    #[test]
    fn a_grammar_and_other_scripts_give_what_tokenizers_learns() {
        let folder = tempfile::tempdir().unwrap();
        crate::grammar::write_splits(folder.path(), 1, 20_000).unwrap();
        let text = std::fs::read_to_string(folder.path().join("train.txt")).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.extend((0..400).map(|i| {
            let words = [
                "don't",
                "été",
                "Wörter",
                "слова",
                "語言",
                "aaaa",
                "aaaaaaa",
                "  two",
                "x1y2",
                "😀😀",
                "<eos>",
            ];
            [words[i % 11], words[i * i % 11], words[i * 7 % 11]].join(" ")
        }));
        for (size, least) in [(257, 0), (300, 0), (700, 2), (4000, 5)] {
            assert!(ours(&lines, size, least) == theirs(&lines, size, least), "{size} {least}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_what_tokenizers_learns(
            lines in prop::collection::vec("[ab]{0,6}( [abcé']{0,5}){0,4}", 1..30),
            size in 257usize..330,
        ) {
            // Without a line there is no text.
            prop_assume!(lines.iter().any(|line| !line.trim().is_empty()));
            prop_assert_eq!(ours(&lines, size, 0), theirs(&lines, size, 0));
        }
    }

    #[test]
    fn long_runs_are_cut_and_nothing_is_lost() {
        let long = "é".repeat(3 * MOST_BYTES);
        for line in ["", "a b", &long, &format!("a {long} b {long}"), &" ".repeat(5000)] {
            let cut: Vec<&str> = pieces(line).collect();
            assert_eq!(cut.concat(), line);
            let longest = cut.iter().flat_map(|piece| piece.split_whitespace()).map(str::len).max();
            assert!(longest.unwrap_or(0) <= MOST_BYTES + 2, "{longest:?}");
        }
    }
}
