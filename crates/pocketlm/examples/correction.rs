//! Measures correction on a seeded corpus of slips: `correction VALID.txt TEST.txt WORDS CASES NAME=MODEL.plm[+LEXICON.plm] ...`
//! prints a JSON object for each NAME. The texts are raw or tokenised, as the models have them. CASES is a file to write:
//! for other correctors, what was typed in TEST and what was meant, a tab between the two.
//!
//! WORDS words of three or more ASCII letters count, known to a model or not, of lines from all over a text. A tenth of them get one slip of a
//! typist who is not that of `Typing::default`: half of the slips are any letter of the keyboard's row above or below or
//! beside, a sixth each a swap, a letter left out and a letter doubled. The context is the text as it was meant.
//!
//! The two costs of an unknown word, `Typing::word` and `Typing::letter`, are those that make what was meant in VALID
//! likeliest; the threshold is the least that breaks 0.5 % of the right words of VALID. TEST is measured with both. Each
//! NAME has its own, so that no ranking has a better fit than another.

use std::error::Error;
use std::fmt::Write;
use std::time::Instant;

use pocketlm::correct::{Lexicon, Speller, Typing};
use pocketlm::{Model, Random, Session};

/// A word that was typed, and what came of it.
struct Case {
    /// What was typed and what was meant.
    pair: [String; 2],
    best: String,
    /// The probability of the best word and of all words, where the typed form is none of them.
    sure: f64,
    all: f64,
    /// What the typed form has, and whether a list of words has it.
    own: f64,
    is_known: bool,
    letters: f64,
}

impl Case {
    fn is_slip(&self) -> bool {
        self.pair[0] != self.pair[1]
    }

    fn is_right(&self) -> bool {
        self.best == self.pair[1]
    }

    /// What all words and the typed form have together, with an unknown word so much dearer.
    fn total(&self, [word, letter]: [f64; 2]) -> (f64, f64) {
        let dearer = if self.is_known { 0.0 } else { word + letter * self.letters };
        let own = self.own * (-dearer).exp();
        (own, self.all + own)
    }

    fn confidence(&self, costs: [f64; 2]) -> f64 {
        self.sure / self.total(costs).1
    }
}

fn slip(word: &str, random: &mut Random) -> String {
    const ROWS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];
    let mut letters: Vec<char> = word.chars().collect();
    let at = random.bits() as usize % letters.len();
    match random.bits() % 6 {
        0..=2 => {
            let small = letters[at].to_ascii_lowercase();
            let row = ROWS.iter().position(|row| row.contains(small)).unwrap_or(1);
            let x = ROWS[row].find(small).unwrap_or(0) as i64;
            let y = (row as i64 + (random.bits() % 3) as i64 - 1).clamp(0, 2) as usize;
            let x = (x + (random.bits() % 3) as i64 - 1).clamp(0, ROWS[y].len() as i64 - 1);
            let hit: char = ROWS[y].as_bytes()[x as usize].into();
            letters[at] = if small == letters[at] { hit } else { hit.to_ascii_uppercase() };
        }
        3 => {
            // A capital stays where it is: the shift key was not mistaken.
            let (a, b) = (letters[at.max(1) - 1], letters[at.max(1)]);
            let of = |letter: char, case: char| match case.is_ascii_uppercase() {
                true => letter.to_ascii_uppercase(),
                false => letter.to_ascii_lowercase(),
            };
            (letters[at.max(1) - 1], letters[at.max(1)]) = (of(b, a), of(a, b));
        }
        4 => drop(letters.remove(at)),
        _ => letters.insert(at + 1, letters[at].to_ascii_lowercase()),
    }
    letters.into_iter().collect()
}

fn run(
    model: &Model,
    lexicon: Option<&Lexicon>,
    text: &str,
    words: usize,
    seed: u64,
) -> Result<(Vec<Case>, Vec<f64>), Box<dyn Error>> {
    let (mut random, mut session) = (Random::new(seed), Session::new(model));
    let (mut cases, mut times) = (Vec::new(), Vec::new());
    let (vocabulary, typing) = (model.vocabulary(), Typing::default());
    let speller = Speller { typing: &typing, lexicon, own: &[] };
    // Texts come in order of their sources: each is to have its part.
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let stride = (text.len() / (words * 7)).max(1);
    for at in (0..stride).flat_map(|first| (first..lines.len()).step_by(stride)) {
        let line = lines[at];
        if cases.len() >= words {
            break;
        }
        session.reset();
        for token in vocabulary.tokens(line) {
            let word = token.text;
            if word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                let is_slip = random.unit() < 0.1;
                let typed = if is_slip { slip(word, &mut random) } else { word.into() };
                let start = Instant::now();
                let found = session.correct_with(&speller, &typed, 1)?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
                let (best, sure) = match found.words.into_iter().next() {
                    Some(best) => (best.word, best.probability),
                    None => (String::new(), 0.0),
                };
                let small = typed.to_lowercase();
                let has = |of: &Model| {
                    [&typed, &small].iter().any(|word| of.vocabulary().id(word).is_some())
                };
                cases.push(Case {
                    best,
                    sure,
                    all: 1.0 - found.as_typed,
                    own: found.as_typed,
                    is_known: has(model) || lexicon.is_some_and(|lexicon| has(lexicon.words())),
                    letters: typed.len() as f64,
                    pair: [typed, word.to_owned()],
                });
            }
            session.feed(vocabulary.resolve(token)?)?;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok((cases, times))
}

/// The share of right words that a correction may break.
const BROKEN: f64 = 0.005;

/// The costs of an unknown word, beyond those of `Typing::default`, that make what was meant likeliest.
fn fit(valid: &[Case]) -> [f64; 2] {
    let loss = |costs: [f64; 2]| -> f64 {
        let of = |case: &Case| {
            let (own, total) = case.total(costs);
            let meant = match (case.is_slip(), case.is_right()) {
                (false, _) => own,
                (true, true) => case.sure,
                // Some other word, which has not been kept.
                (true, false) => case.all - case.sure,
            };
            -(meant / total).max(1e-6).ln()
        };
        valid.iter().map(of).sum()
    };
    let grid =
        |from: f64, step: f64, steps: u32| (0..steps).map(move |i| from + step * f64::from(i));
    let default = Typing::default();
    let (word, letter) = (f64::from(default.word), f64::from(default.letter));
    let all =
        grid(-8.0, 1.0, 33).flat_map(|w| grid(0.0, 0.2, 20).map(move |l| [w - word, l - letter]));
    all.min_by(|&a, &b| loss(a).total_cmp(&loss(b))).unwrap_or_default()
}

/// The least confidence above which at most a share of the right words is replaced.
fn threshold(cases: &[Case], costs: [f64; 2], most: f64) -> f64 {
    let right = cases.iter().filter(|case| !case.is_slip());
    let mut sure: Vec<f64> = right.map(|case| case.confidence(costs)).collect();
    sure.sort_by(|a, b| b.total_cmp(a));
    sure.get((sure.len() as f64 * most) as usize).copied().unwrap_or(0.0)
}

fn report(valid: &[Case], test: &[Case]) -> String {
    let costs = fit(valid);
    let least = threshold(valid, costs, BROKEN);
    let share = |of: &dyn Fn(&Case) -> bool, hit: &dyn Fn(&Case) -> bool| {
        let all = test.iter().filter(|case| of(case)).count();
        test.iter().filter(|case| of(case) && hit(case)).count() as f64 / all as f64
    };
    let mended_above =
        |least: f64| share(&Case::is_slip, &|c| c.is_right() && c.confidence(costs) > least);
    let mended = mended_above(least);
    // Rankings compare where they break as many right words.
    let [quarter, half] =
        [BROKEN / 2.0, BROKEN].map(|most| mended_above(threshold(test, costs, most)));
    let broken = share(&|c| !c.is_slip(), &|c| c.confidence(costs) > least);
    let first = share(&Case::is_slip, &Case::is_right);
    let sure = share(&|c| c.confidence(costs) > 0.9, &|c| c.is_slip() && c.is_right());
    let default = Typing::default();
    let [word, letter] = [costs[0] + f64::from(default.word), costs[1] + f64::from(default.letter)];
    format!(
        r#""word": {word:.2}, "letter": {letter:.2}, "threshold": {least:.4}, "mended": {mended:.4}, "broken": {broken:.5}, "mended_at_0.25": {quarter:.4}, "mended_at_0.5": {half:.4}, "first": {first:.4}, "right_above_0.9": {sure:.4}"#
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [valid, test, words, cases, rankings @ ..] = &arguments[..] else {
        return Err(
            "give the texts valid and test, a number of words, a file to write, and NAME=MODEL"
                .into(),
        );
    };
    let (valid, test) = (std::fs::read_to_string(valid)?, std::fs::read_to_string(test)?);
    let words = words.parse()?;
    let mut rows = Vec::new();
    for ranking in rankings {
        let (name, files) = ranking.split_once('=').ok_or("a ranking is NAME=MODEL")?;
        let (model, lexicon) = match files.split_once('+') {
            Some((model, lexicon)) => (model, Some(lexicon)),
            None => (files, None),
        };
        let model = Model::open(model)?;
        let lexicon = match lexicon {
            Some(path) => Some(Lexicon::new(Model::open(path)?, &model)?),
            None => None,
        };
        let (on_valid, _) = run(&model, lexicon.as_ref(), &valid, words, 7)?;
        let (on_test, times) = run(&model, lexicon.as_ref(), &test, words, 11)?;
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        rows.push(format!(
            "\"{name}\": {{\"words\": {}, \"slips\": {}, {}, \"p50_ms\": {:.3}, \"p99_ms\": {:.3}}}",
            times.len(),
            on_test.iter().filter(|case| case.is_slip()).count(),
            report(&on_valid, &on_test),
            at(0.5),
            at(0.99)
        ));
        let mut lines = String::new();
        for case in &on_test {
            writeln!(lines, "{}", case.pair.join("\t"))?;
        }
        std::fs::write(cases, lines)?;
    }
    println!("{{{}}}", rows.join(",\n"));
    Ok(())
}
