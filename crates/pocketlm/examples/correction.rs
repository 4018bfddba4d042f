//! Measures correction on a seeded corpus of slips: `correction MODEL.plm TRAIN.txt VALID.txt TEST.txt NAMES.txt [WORDS [CASES]]`
//! prints JSON. The texts are tokenised, a line each. CASES is a file to write: for other correctors, what was typed in
//! TEST and what was meant, a tab between the two; of a word outside the vocabulary both are the same.
//!
//! A tenth of the words (of letters, three or more, known to the model) get one slip of a typist who is not that of
//! `Typing::default`: half of them any letter of the keyboard's row above or below or beside, a sixth each a swap, a
//! letter left out and a letter doubled. The context is the text as it was meant. What breaks right words is counted on
//! the other nine tenths, and on words outside the vocabulary: those of the text, and for each `<unk>` of the text such a
//! word of NAMES, a text of any kind, drawn as often as it stands there. A threshold is the least that breaks 0.5 % of the right words of VALID; TEST is measured at it.

use std::collections::HashMap;
use std::error::Error;
use std::time::Instant;

use pocketlm::correct::{Typing, slips};
use pocketlm::{Model, Random, Session};

/// What a corrector would replace a word by, and how sure it is.
struct Case {
    /// What was typed and what was meant.
    pair: [String; 2],
    is_slip: bool,
    is_right: bool,
    confidence: f64,
}

type Run = ([Vec<Case>; 2], Vec<f64>);

fn slip(word: &str, random: &mut Random) -> String {
    const ROWS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];
    let mut letters: Vec<char> = word.chars().collect();
    let at = random.bits() as usize % letters.len();
    match random.bits() % 6 {
        0..=2 => {
            let row = ROWS.iter().position(|row| row.contains(letters[at])).unwrap_or(1);
            let x = ROWS[row].find(letters[at]).unwrap_or(0) as i64;
            let y = (row as i64 + (random.bits() % 3) as i64 - 1).clamp(0, 2) as usize;
            let x = (x + (random.bits() % 3) as i64 - 1).clamp(0, ROWS[y].len() as i64 - 1);
            letters[at] = ROWS[y].as_bytes()[x as usize].into();
        }
        3 => letters.swap(at.max(1) - 1, at.max(1)),
        4 => drop(letters.remove(at)),
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().collect()
}

fn run(
    model: &Model,
    counts: &HashMap<String, f64>,
    (text, names): (&str, &[&str]),
    words: usize,
    seed: u64,
) -> Result<Run, Box<dyn Error>> {
    let (mut random, mut session) = (Random::new(seed), Session::new(model));
    let (mut cases, mut times) = ([Vec::new(), Vec::new()], Vec::new());
    for line in text.lines() {
        session.reset();
        for word in line.split_whitespace() {
            let is_word = word.len() > 2
                && word.bytes().all(|byte| byte.is_ascii_lowercase())
                && model.vocabulary().id(word).is_some();
            let is_foreign = word.len() > 2
                && word.bytes().all(|byte| byte.is_ascii_lowercase())
                && model.vocabulary().id(word).is_none();
            if (is_word || is_foreign || word == "<unk>") && times.len() < words {
                let typed = if is_foreign {
                    word.into()
                } else if !is_word {
                    names[random.bits() as usize % names.len()].into()
                } else if random.unit() < 0.1 {
                    slip(word, &mut random)
                } else {
                    word.into()
                };
                let start = Instant::now();
                let found = session.correct(&typed, 1)?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
                let best = found.words.first().map_or("", |best| &best.word);
                let is_slip = is_word && typed != word;
                let meant = if is_slip { word.to_owned() } else { typed.clone() };
                let case = |best: &str, confidence| Case {
                    pair: [typed.clone(), meant.clone()],
                    is_slip,
                    is_right: best == word,
                    confidence,
                };
                let sure = found.words.first().map_or(0.0, |best| best.probability);
                cases[0].push(case(best, sure));
                let (best, confidence) = unigram(model, counts, &typed);
                cases[1].push(case(&best, confidence));
            }
            session.feed_text(word)?;
        }
        if times.len() >= words {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok((cases, times))
}

/// The same candidates and costs ranked by how often a word was in the training text.
fn unigram(model: &Model, counts: &HashMap<String, f64>, typed: &str) -> (String, f64) {
    let typing = Typing::default();
    let (mut buffer, mut sum, mut best) = (Vec::new(), 0.0, (String::new(), 0.0));
    let unknown = counts.get("<unk>").copied().unwrap_or(1.0);
    let mut own = unknown * (-f64::from(typing.letter) * typed.len() as f64).exp();
    for slip in slips(model.vocabulary(), &typing, typed) {
        let word = model.vocabulary().word(slip.id, &mut buffer).unwrap_or_default();
        let joint = counts.get(word).copied().unwrap_or(0.5) * f64::from(-slip.cost).exp();
        if word == typed {
            own = joint;
            continue;
        }
        sum += joint;
        if joint > best.1 {
            best = (word.to_owned(), joint);
        }
    }
    (best.0, best.1 / (sum + own))
}

/// The least confidence above which at most 0.5 % of the right words are replaced.
fn threshold(cases: &[Case]) -> f64 {
    let mut sure: Vec<f64> = cases.iter().filter(|c| !c.is_slip).map(|c| c.confidence).collect();
    sure.sort_by(|a, b| b.total_cmp(a));
    sure.get(sure.len() / 200).copied().unwrap_or(0.0)
}

fn report(valid: &[Case], test: &[Case]) -> String {
    let least = threshold(valid);
    let share = |of: &dyn Fn(&Case) -> bool, hit: &dyn Fn(&Case) -> bool| {
        let all = test.iter().filter(|case| of(case)).count();
        test.iter().filter(|case| of(case) && hit(case)).count() as f64 / all as f64
    };
    let mended = share(&|c| c.is_slip, &|c| c.is_right && c.confidence > least);
    let broken = share(&|c| !c.is_slip, &|c| c.confidence > least);
    let first = share(&|c| c.is_slip, &|c| c.is_right);
    let sure = share(&|c| c.confidence > 0.9, &|c| c.is_slip && c.is_right);
    format!(
        r#"{{"threshold": {least:.4}, "mended": {mended:.4}, "broken": {broken:.5}, "first": {first:.4}, "right_above_0.9": {sure:.4}}}"#
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, train, valid, test, names, rest @ ..] = &arguments[..] else {
        return Err("give a model and the texts train, valid, test and names".into());
    };
    let words = rest.first().map_or(Ok(10_000), |words| words.parse())?;
    let model = Model::open(model)?;
    let mut counts = HashMap::new();
    for word in std::fs::read_to_string(train)?.split_whitespace() {
        *counts.entry(word.to_owned()).or_insert(0.0) += 1.0;
    }
    let names = std::fs::read_to_string(names)?;
    let is_name = |word: &&str| {
        let is_word = word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        let small = word.to_lowercase();
        is_word && model.vocabulary().id(&small).is_none()
    };
    let names: Vec<&str> = names.split_whitespace().filter(is_name).collect();
    if names.is_empty() {
        return Err("NAMES has no word outside the vocabulary".into());
    }
    let (valid, _) = run(&model, &counts, (&std::fs::read_to_string(valid)?, &names), words, 7)?;
    let (test, times) = run(&model, &counts, (&std::fs::read_to_string(test)?, &names), words, 11)?;
    if let Some(path) = rest.get(1) {
        let cases = test[0].iter().map(|case| case.pair.join("\t") + "\n");
        std::fs::write(path, cases.collect::<String>())?;
    }
    let slips = test[0].iter().filter(|case| case.is_slip).count();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!(
        "{{\"words\": {}, \"slips\": {slips}, \"context\": {}, \"unigram\": {}, \"p50_ms\": {:.3}, \"p99_ms\": {:.3}}}",
        times.len(),
        report(&valid[0], &test[0]),
        report(&valid[1], &test[1]),
        at(0.5),
        at(0.99)
    );
    Ok(())
}
