//! The weights of a hypothesis's scores that make the fewest word errors on a development list.
//!
//! Errors do not change smoothly with a weight, so there is no gradient to follow. But along one weight the total of a
//! hypothesis is a straight line, so which hypothesis is first changes at a few points only, and these are found exactly:
//! they are the corners of the upper envelope of the lines (Och 2003, *Minimum error rate training in statistical machine
//! translation*, section 5). Weights are searched in turn until none of them improves.
//!
//! The best weights of a short list are its own alone. So the search is also made on resampled lists, and the mean of all
//! that are found taken (Breiman 1996, *Bagging predictors*).

use pocketlm::Random;
use rayon::prelude::*;

/// The names of the weights, in their order.
pub const PARTS: [&str; 4] = ["first_lm_scale", "lm_scale", "insertion_penalty", "length_bonus"];
/// The one that is never negative.
const LM: usize = 1;

/// Rounds over all weights at most.
const ROUNDS: usize = 20;
/// Resampled lists whose weights are averaged, and the seed that they are drawn with.
const BAGS: usize = 32;
const SEED: u64 = 1;
/// The weights of the language model that searches start from.
const STARTS: [f64; 3] = [0.0, 1.0, 10.0];

/// A hypothesis of a development list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The recogniser's score.
    pub score: f64,
    /// What the weights are for: ln p of the recogniser's own language model, that of the new one, minus the number of
    /// words, the number of letters.
    pub parts: [f64; 4],
    /// Word errors.
    pub errors: u32,
}

impl Candidate {
    /// The score and the weighed parts together.
    pub fn total(&self, weights: &[f64; 4]) -> f64 {
        self.parts.iter().zip(weights).fold(self.score, |sum, (part, weight)| sum + part * weight)
    }

    /// The place of the first of the candidates with the greatest total, 0 if there is none.
    pub fn best(candidates: &[Self], weights: &[f64; 4]) -> usize {
        let mut best = (0, f64::NEG_INFINITY);
        for (at, candidate) in candidates.iter().enumerate() {
            let total = candidate.total(weights);
            if total > best.1 {
                best = (at, total);
            }
        }
        best.0
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    /// In the order of [`PARTS`].
    pub weights: [f64; 4],
    /// Word errors that they make on the development list.
    pub errors: u64,
}

/// Searches the weights that are `free`, from those of `start`; the others stay. The same lists give the same weights.
pub fn tune(lists: &[&[Candidate]], start: [f64; 4], free: [bool; 4]) -> Fitted {
    let starts = STARTS.iter().take(if free[LM] { STARTS.len() } else { 1 });
    let searches = starts.map(|&lm| {
        let mut weights = start;
        if free[LM] {
            weights[LM] = lm;
        }
        search(lists, weights, free)
    });
    let first = Fitted { weights: start, errors: errors(lists, &start) };
    searches.fold(first, |best, found| if found.errors < best.errors { found } else { best })
}

/// The mean of what [`tune`] finds on as many utterances drawn with replacement: it makes more errors here, fewer on other
/// lists. Where it does not even make fewer than `start`, what [`tune`] finds on the lists themselves.
pub fn tune_bagged(lists: &[&[Candidate]], start: [f64; 4], free: [bool; 4]) -> Fitted {
    let mut random = Random::new(SEED);
    let mut draw = || lists[(random.unit() * lists.len() as f64) as usize];
    let bags: Vec<Vec<&[Candidate]>> =
        (0..BAGS).map(|_| lists.iter().map(|_| draw()).collect()).collect();
    let found: Vec<_> = bags.par_iter().map(|bag| tune(bag, start, free).weights).collect();
    let mean = |part: usize| found.iter().map(|own| own[part]).sum::<f64>() / BAGS as f64;
    let weights = std::array::from_fn(|part| if free[part] { mean(part) } else { start[part] });
    let [first, bagged] =
        [start, weights].map(|weights| Fitted { weights, errors: errors(lists, &weights) });
    if bagged.errors < first.errors { bagged } else { tune(lists, start, free) }
}

fn search(lists: &[&[Candidate]], mut weights: [f64; 4], free: [bool; 4]) -> Fitted {
    let mut least = errors(lists, &weights);
    for _ in 0..ROUNDS {
        let before = least;
        for part in (0..PARTS.len()).filter(|&part| free[part]) {
            if let Some((weight, errors)) = Line::new(lists, &weights, part).best()
                && errors < least
            {
                (weights[part], least) = (weight, errors);
            }
        }
        if least == before {
            break;
        }
    }
    // What the middle of an interval gives, where rounding may have moved its ends.
    Fitted { weights, errors: errors(lists, &weights) }
}

fn errors(lists: &[&[Candidate]], weights: &[f64; 4]) -> u64 {
    let chosen = |list: &&[Candidate]| list.get(Candidate::best(list, weights)).map(|c| c.errors);
    lists.iter().filter_map(chosen).map(u64::from).sum()
}

/// Errors along one weight, the others fixed.
struct Line {
    /// Errors at the least weight.
    first: i64,
    /// Where they change, ascending, and by how much.
    changes: Vec<(f64, i64)>,
    least: f64,
}

impl Line {
    fn new(lists: &[&[Candidate]], weights: &[f64; 4], part: usize) -> Self {
        let least = if part == LM { 0.0 } else { f64::NEG_INFINITY };
        let (mut first, mut changes) = (0, Vec::new());
        for list in lists {
            let envelope = envelope(list, weights, part);
            first += envelope.first().map_or(0, |&(_, errors)| i64::from(errors));
            for pair in envelope.windows(2) {
                let change = i64::from(pair[1].1) - i64::from(pair[0].1);
                if pair[1].0 <= least {
                    first += change;
                } else if change != 0 {
                    changes.push((pair[1].0, change));
                }
            }
        }
        changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { first, changes, least }
    }

    /// The middle of the widest interval with the fewest errors, and these; `None` if errors never change.
    fn best(&self) -> Option<(f64, u64)> {
        let mut errors = self.first;
        let mut best: Option<(i64, f64, f64)> = None;
        let mut from = self.least;
        let ends = self.changes.iter().copied().chain([(f64::INFINITY, 0)]);
        for (to, change) in ends {
            let (middle, width) = middle(from, to);
            let is_better = |&(least, _, widest): &(i64, f64, f64)| {
                errors < least || (errors == least && width > widest)
            };
            if width > 0.0 && best.as_ref().is_none_or(is_better) {
                best = Some((errors, middle, width));
            }
            errors += change;
            from = to;
        }
        let (errors, middle, _) = best.filter(|_| !self.changes.is_empty())?;
        Some((middle, errors.unsigned_abs()))
    }
}

/// The middle of an interval and its width; of an endless one a little beyond its end.
fn middle(from: f64, to: f64) -> (f64, f64) {
    let beyond = |end: f64| 0.1 * end.abs().max(1.0);
    match (from.is_finite(), to.is_finite()) {
        (true, true) => (f64::midpoint(from, to), to - from),
        (true, false) => (from + beyond(from), 2.0 * beyond(from)),
        (false, true) => (to - beyond(to), 2.0 * beyond(to)),
        (false, false) => (0.0, f64::INFINITY),
    }
}

/// The candidates that are first as the weight of `part` grows: from which weight on, and their errors.
fn envelope(list: &[Candidate], weights: &[f64; 4], part: usize) -> Vec<(f64, u32)> {
    let mut fixed = *weights;
    fixed[part] = 0.0;
    let line =
        |candidate: &Candidate| (candidate.parts[part], candidate.total(&fixed), candidate.errors);
    let mut lines: Vec<_> = list.iter().map(line).collect();
    // Of equal slopes the highest counts, of equal lines the first.
    lines.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    lines.dedup_by(|later, earlier| later.0 == earlier.0);
    let mut hull: Vec<(f64, (f64, f64, u32))> = Vec::new();
    for line in lines {
        let mut from = f64::NEG_INFINITY;
        while let Some(&(start, top)) = hull.last() {
            from = (top.1 - line.1) / (line.0 - top.0);
            if from > start {
                break;
            }
            hull.pop();
            from = f64::NEG_INFINITY;
        }
        hull.push((from, line));
    }
    hull.into_iter().map(|(from, line)| (from, line.2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(score: f64, lm: f64, words: f64, errors: u32) -> Candidate {
        Candidate { score, parts: [0.0, lm, -words, 0.0], errors }
    }

    /// Three utterances whose right hypotheses are first for scales between 2 and 3 alone.
    fn lists() -> Vec<Vec<Candidate>> {
        vec![
            vec![candidate(0.0, -2.0, 3.0, 1), candidate(-2.0, -1.0, 3.0, 0)],
            vec![candidate(0.0, -2.0, 3.0, 0), candidate(-3.0, -1.0, 3.0, 2)],
            vec![candidate(0.0, -1.0, 3.0, 0)],
        ]
    }

    fn views(lists: &[Vec<Candidate>]) -> Vec<&[Candidate]> {
        lists.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn the_scale_that_is_right_everywhere_is_found() {
        let found = tune(&views(&lists()), [0.0; 4], [false, true, false, false]);
        assert_eq!(found, Fitted { weights: [0.0, 2.5, 0.0, 0.0], errors: 0 });
        // Nothing is free, or nothing helps.
        let fixed = tune(&views(&lists()), [0.0, 1.0, 0.0, 0.0], [false; 4]);
        assert_eq!(fixed, Fitted { weights: [0.0, 1.0, 0.0, 0.0], errors: 1 });
        assert_eq!(tune(&[], [0.5; 4], [true; 4]).weights, [0.5; 4]);
    }

    #[test]
    fn words_are_penalised_where_there_are_too_many() {
        let lists = vec![vec![candidate(0.0, -1.0, 5.0, 2), candidate(-1.0, -1.0, 3.0, 0)]; 2];
        let found = tune(&views(&lists), [0.0; 4], [false, false, true, false]);
        assert_eq!(found.errors, 0);
        assert!(found.weights[2] > 0.5);
    }

    #[test]
    fn the_mean_of_many_searches_is_right_too() {
        let many: Vec<_> = lists().into_iter().cycle().take(30).collect();
        let found = tune_bagged(&views(&many), [0.0; 4], [false, true, false, false]);
        assert_eq!(found.errors, 0);
        assert!(found.weights[1] > 2.0 && found.weights[1] < 3.0);
        assert_eq!(tune_bagged(&[], [0.5; 4], [true; 4]).weights, [0.5; 4]);
    }

    fn any_lists() -> impl Strategy<Value = Vec<Vec<Candidate>>> {
        let number = || (-20i32..20).prop_map(|n| f64::from(n) / 4.0);
        let candidate = (number(), [number(), number(), number(), number()], 0u32..9)
            .prop_map(|(score, parts, errors)| Candidate { score, parts, errors });
        prop::collection::vec(prop::collection::vec(candidate, 1..6), 1..8)
    }

    proptest! {
        /// Errors at the middle of every interval are those of the hypotheses that are first there.
        #[test]
        fn a_line_has_the_errors_of_its_weights(lists in any_lists(), part in 0usize..4) {
            let weights = [0.3, 0.7, -0.2, 0.1];
            let lists = views(&lists);
            let line = Line::new(&lists, &weights, part);
            let mut from = line.least;
            let mut count = line.first;
            for &(to, change) in line.changes.iter().chain(&[(f64::INFINITY, 0)]) {
                let (at, width) = middle(from, to);
                if width > 1e-6 {
                    let mut own = weights;
                    own[part] = at;
                    prop_assert_eq!(errors(&lists, &own) as i64, count);
                }
                count += change;
                from = to;
            }
        }

        #[test]
        fn searching_never_adds_errors(lists in any_lists()) {
            let start = [0.1, 0.5, 0.0, 0.2];
            let lists = views(&lists);
            for search in [tune, tune_bagged] {
                let found = search(&lists, start, [true; 4]);
                prop_assert!(found.errors <= errors(&lists, &start));
                prop_assert!(found.weights[LM] >= 0.0);
                prop_assert_eq!(found, search(&lists, start, [true; 4]));
            }
        }
    }
}
