//! The costs of a certain typist's slips, from pairs of what was typed and what was meant.

use super::search::Search;
use super::typing::{Typing, fold, plain};
use crate::exponential::{exp, ln_all};

/// What a slip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Neighbour,
    Other,
    Transposition,
    Doubled,
    Missing,
    Extra,
    Beside,
    Space,
    Accent,
}

/// Kinds but for accents, which are slips only where a letter can have one.
const KINDS: usize = Kind::Accent as usize;

/// How many slips of a kind a typist can make at a letter: the keys beside it, those elsewhere, itself; a space comes
/// after about five letters.
const CHOICES: [f64; KINDS] = [5.0, 20.0, 1.0, 1.0, 1.0, 20.0, 5.0, 0.2];

/// Slips that the typist from whom the fit starts counts for: what is rare in few pairs is not impossible.
const PRIOR: f64 = 20.0;

/// Rounds: the slips of a pair depend on what they cost.
const ROUNDS: usize = 3;

#[derive(Default)]
struct Counts {
    slips: [f64; KINDS],
    letters: f64,
    accents: f64,
    accented: f64,
    is_any_right: bool,
}

impl Typing {
    /// The costs that fit pairs of what was typed and what was meant, as a correction of `self`, which counts for some
    /// slips itself. Layout, bound and the costs of unknown words stay.
    ///
    /// If some pairs are of two equal words, the pairs say how often slips come; else only which, and they come as often
    /// as those of `self`. The pairs are gone through three times.
    #[must_use]
    pub fn fit<'p>(&self, pairs: impl Iterator<Item = (&'p str, &'p str)> + Clone) -> Self {
        (0..ROUNDS).fold(*self, |now, _| {
            let counts = Counts::of(&now, pairs.clone());
            self.at(&counts)
        })
    }

    fn costs(&mut self) -> [&mut f32; KINDS] {
        let Self {
            neighbour, other, transposition, doubled, missing, extra, beside, space, ..
        } = self;
        [neighbour, other, transposition, doubled, missing, extra, beside, space]
    }

    fn at(&self, counts: &Counts) -> Self {
        let mut new = *self;
        let prior = new.costs().map(|cost| exp(-f64::from(*cost)));
        let prior: [f64; KINDS] = core::array::from_fn(|kind| prior[kind] * CHOICES[kind]);
        let usual: f64 = prior.iter().sum();
        let slips: f64 = counts.slips.iter().sum();
        let often = match counts.is_any_right {
            true => (slips + PRIOR) / (counts.letters + PRIOR / usual),
            false => usual,
        };
        for (kind, cost) in new.costs().into_iter().enumerate() {
            let share = (counts.slips[kind] + PRIOR * prior[kind] / usual) / (slips + PRIOR);
            *cost = cost_of(often * share / CHOICES[kind]);
        }
        let accent = exp(-f64::from(self.accent));
        new.accent = cost_of((counts.accents + PRIOR * accent) / (counts.accented + PRIOR));
        new
    }
}

/// The cost of what has this probability, in hundredths of a nat, at least one of them.
fn cost_of(probability: f64) -> f32 {
    let mut cost = [probability as f32];
    ln_all(&mut cost);
    ((-cost[0] * 100.0 + 0.5) as i32).max(1) as f32 / 100.0
}

impl Counts {
    fn of<'p>(typing: &Typing, pairs: impl Iterator<Item = (&'p str, &'p str)>) -> Self {
        let (mut counts, typing) = (Self::default(), Typing { bound: f32::INFINITY, ..*typing });
        for (typed, meant) in pairs {
            let Some(mut search) = Search::of(&typing, typed) else { continue };
            for kind in search.trace(meant) {
                match kind {
                    Kind::Accent => counts.accents += 1.0,
                    kind => counts.slips[kind as usize] += 1.0,
                }
            }
            let letters = meant.chars().map(fold);
            counts.letters += letters.clone().count() as f64;
            counts.accented += letters.filter(|&letter| plain(letter) != letter).count() as f64;
            counts.is_any_right |= typed == meant;
        }
        counts.accented = counts.accented.max(counts.accents);
        counts
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn slips_are_named() {
        let kinds = |typed: &str, meant: &str| -> Vec<Kind> {
            let typing = Typing { bound: f32::INFINITY, ..Typing::default() };
            Search::of(&typing, typed).unwrap().trace(meant)
        };
        assert_eq!(kinds("the", "the"), []);
        assert_eq!(kinds("teh", "the"), [Kind::Transposition]);
        assert_eq!(kinds("tje", "the"), [Kind::Neighbour]);
        assert_eq!(kinds("tqe", "the"), [Kind::Other]);
        assert_eq!(kinds("te", "the"), [Kind::Missing]);
        // By default a letter left out is cheaper than one of a pair.
        assert_eq!(kinds("leter", "letter"), [Kind::Missing]);
        assert_eq!(kinds("thee", "the"), [Kind::Doubled]);
        assert_eq!(kinds("thqe", "the"), [Kind::Extra]);
        assert_eq!(kinds("thje", "the"), [Kind::Beside]);
        assert_eq!(kinds("Gergo", "Gergő"), [Kind::Accent]);
        assert_eq!(kinds("ofthe", "of the"), [Kind::Space]);
    }

    #[test]
    fn what_a_typist_does_becomes_cheap() {
        let usual = Typing::default();
        let pairs = [("teh", "the"), ("adn", "and"), ("taht", "that"), ("form", "from")];
        let many = core::iter::repeat_n(pairs, 20).flatten();
        let fitted = usual.fit(many.clone());
        assert!(fitted.transposition < usual.transposition && fitted.neighbour > usual.neighbour);
        assert_eq!(fitted, usual.fit(many.clone()));
        assert_eq!((fitted.letter, fitted.bound), (usual.letter, usual.bound));
        // With right words beside them slips are rare.
        let seldom = usual.fit(many.chain(core::iter::repeat_n(("sentence", "sentence"), 20_000)));
        assert!(seldom.transposition > fitted.transposition);
    }

    #[test]
    fn no_pairs_change_little() {
        let usual = Typing::default();
        let same = usual.fit(core::iter::empty());
        assert!((same.neighbour - usual.neighbour).abs() < 0.02);
        assert!(
            (same.space - usual.space).abs() < 0.02 && (same.accent - usual.accent).abs() < 0.02
        );
    }
}
