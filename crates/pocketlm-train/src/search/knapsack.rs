//! The multiple-choice knapsack (Sinha & Zoltners 1979): of each group one item, so that the losses sum to as little as
//! may be while bytes and time stay within their limits. Exact.
//!
//! Groups are taken in turn. Of the choices for those so far only the ones remain that no other one is as good as in loss,
//! bytes and time; that cannot break a limit whatever follows; and that can still come below the best solution known, by
//! the bound of the Lagrangian relaxation, in which a byte has a price and every later group takes what is cheapest.

/// What one choice for a matrix does to the model, beside another one that all are counted from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// By how much the loss of a token rises, in nats.
    pub loss: f64,
    /// Bytes of the file more.
    pub bytes: i64,
    /// Microseconds a word more.
    pub micros: f64,
}

/// What the items may sum to at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes.
    pub bytes: i64,
    /// Microseconds; infinite for none.
    pub micros: f64,
}

/// The sums of a choice for each group.
pub fn sum(groups: &[Vec<Item>], chosen: &[usize]) -> Item {
    let zero = Item { loss: 0.0, bytes: 0, micros: 0.0 };
    groups.iter().zip(chosen).fold(zero, |sum, (group, &at)| plus(sum, group[at]))
}

fn plus(a: Item, b: Item) -> Item {
    Item { loss: a.loss + b.loss, bytes: a.bytes + b.bytes, micros: a.micros + b.micros }
}

/// The best choice within the limits: the number of an item in each group; none where no choice keeps them.
pub fn solve(groups: &[Vec<Item>], limits: Limits) -> Option<Vec<usize>> {
    if groups.iter().any(Vec::is_empty) {
        return None;
    }
    let relaxed = Relaxed::new(groups, limits);
    let mut layers: Vec<Vec<State>> = Vec::new();
    let mut states = vec![State::default()];
    for (at, group) in groups.iter().enumerate() {
        let rest = &relaxed.rest[at + 1];
        let mut next = Vec::new();
        for (parent, state) in states.iter().enumerate() {
            next.extend(group.iter().enumerate().map(|(choice, item)| State {
                sum: plus(state.sum, *item),
                parent,
                choice,
            }));
        }
        next.retain(|state| relaxed.is_open(state.sum, rest));
        layers.push(states);
        states = undominated(next);
    }
    let best = states.iter().min_by(|a, b| a.sum.loss.total_cmp(&b.sum.loss))?;
    let (mut chosen, mut state) = (Vec::new(), best);
    for layer in layers.iter().rev() {
        chosen.push(state.choice);
        state = &layer[state.parent];
    }
    chosen.reverse();
    Some(chosen)
}

/// The best choices within the limits, the best first: as many as are asked for, where there are so many (Lawler 1972:
/// the others differ from the best one in some first group, and of those that do in a given one the best is found as
/// before).
pub fn several(groups: &[Vec<Item>], limits: Limits, count: usize) -> Vec<Vec<usize>> {
    let whole = || groups.iter().map(|group| (0..group.len()).collect()).collect();
    let mut open: Vec<Subset> = Subset::solved(groups, limits, whole(), 0).into_iter().collect();
    let mut found = Vec::new();
    while found.len() < count {
        let least = (0..open.len()).min_by(|&a, &b| open[a].loss.total_cmp(&open[b].loss));
        let Some(at) = least else { break };
        let best = open.swap_remove(at);
        for group in best.fixed..groups.len() {
            let mut allowed = best.allowed.clone();
            for (allowed, &chosen) in allowed.iter_mut().zip(&best.chosen).take(group) {
                *allowed = vec![chosen];
            }
            allowed[group].retain(|&item| item != best.chosen[group]);
            open.extend(Subset::solved(groups, limits, allowed, group));
        }
        found.push(best.chosen);
    }
    found
}

/// Choices from some of the items of each group, and the best of them.
struct Subset {
    allowed: Vec<Vec<usize>>,
    /// The groups before this one have one item each.
    fixed: usize,
    chosen: Vec<usize>,
    loss: f64,
}

impl Subset {
    fn solved(
        groups: &[Vec<Item>],
        limits: Limits,
        allowed: Vec<Vec<usize>>,
        fixed: usize,
    ) -> Option<Self> {
        let own = |(group, allowed): (&Vec<Item>, &Vec<usize>)| {
            allowed.iter().map(|&at| group[at]).collect::<Vec<_>>()
        };
        let own: Vec<Vec<Item>> = groups.iter().zip(&allowed).map(own).collect();
        let chosen = solve(&own, limits)?;
        let loss = sum(&own, &chosen).loss;
        let chosen = chosen.iter().zip(&allowed).map(|(&at, allowed)| allowed[at]).collect();
        Some(Self { allowed, fixed, chosen, loss })
    }
}

/// A choice for the groups so far.
#[derive(Clone, Copy, Debug)]
struct State {
    sum: Item,
    /// The choice for the groups before the last.
    parent: usize,
    choice: usize,
}

impl Default for State {
    fn default() -> Self {
        Self { sum: Item { loss: 0.0, bytes: 0, micros: 0.0 }, parent: 0, choice: 0 }
    }
}

/// Those that no other one is as good as in all three.
fn undominated(mut states: Vec<State>) -> Vec<State> {
    states.sort_by(|a, b| {
        let (a, b) = (a.sum, b.sum);
        a.bytes.cmp(&b.bytes).then(a.loss.total_cmp(&b.loss)).then(a.micros.total_cmp(&b.micros))
    });
    // Of those with fewer bytes: losses that rise while times fall.
    let mut stairs: Vec<(f64, f64)> = Vec::new();
    states.retain(|state| {
        let Item { loss, micros, .. } = state.sum;
        let at = stairs.partition_point(|stair| stair.0 <= loss);
        if at > 0 && stairs[at - 1].1 <= micros {
            return false;
        }
        let end = at + stairs[at..].partition_point(|stair| stair.1 >= micros);
        stairs.splice(at..end, [(loss, micros)]);
        true
    });
    states
}

/// The least that the groups from one on can come to.
#[derive(Clone, Copy, Default)]
struct Rest {
    bytes: i64,
    micros: f64,
    /// Loss and bytes at their price.
    cost: f64,
}

/// The problem with a price for bytes in place of their limit.
struct Relaxed {
    limits: Limits,
    price: f64,
    rest: Vec<Rest>,
    /// The least loss of a choice that is known to keep the limits.
    known: f64,
}

impl Relaxed {
    fn new(groups: &[Vec<Item>], limits: Limits) -> Self {
        let (mut price, mut known) = (0.0, f64::INFINITY);
        let (mut low, mut high) = (0.0, f64::INFINITY);
        for _ in 0..64 {
            let total = sum(groups, &cheapest(groups, price));
            if total.bytes <= limits.bytes && total.micros <= limits.micros {
                known = known.min(total.loss);
            }
            if total.bytes <= limits.bytes {
                high = price
            } else {
                low = price
            }
            price = match (low, high) {
                (_, f64::INFINITY) => (2.0 * price).max(1e-12),
                (low, high) => f64::midpoint(low, high),
            };
        }
        if !high.is_finite() {
            price = 0.0;
        }
        let mut rest = vec![Rest::default()];
        for group in groups.iter().rev() {
            let after = rest[rest.len() - 1];
            let least = |of: &dyn Fn(&Item) -> f64| group.iter().map(of).fold(f64::MAX, f64::min);
            rest.push(Rest {
                bytes: after.bytes + group.iter().map(|item| item.bytes).min().unwrap_or(0),
                micros: after.micros + least(&|item| item.micros),
                cost: after.cost + least(&|item| item.loss + price * item.bytes as f64),
            });
        }
        rest.reverse();
        Self { limits, price, rest, known }
    }

    /// Whether a choice so far can still become the best.
    fn is_open(&self, sum: Item, rest: &Rest) -> bool {
        let room = self.limits.bytes - sum.bytes;
        let bound = sum.loss + rest.cost - self.price * room as f64;
        // A bound that rounding has lifted closes nothing.
        let slack = 1e-9 * (1.0 + self.known.abs() + self.price * (room as f64).abs());
        rest.bytes <= room
            && sum.micros + rest.micros <= self.limits.micros + 1e-9
            && (self.known.is_infinite() || bound <= self.known + slack)
    }
}

/// Of each group what costs least at a price of a byte.
fn cheapest(groups: &[Vec<Item>], price: f64) -> Vec<usize> {
    let cost = |item: &Item| item.loss + price * item.bytes as f64;
    let least = |group: &Vec<Item>| {
        let all = 0..group.len();
        all.min_by(|&a, &b| {
            let order = cost(&group[a]).total_cmp(&cost(&group[b]));
            order.then(group[a].bytes.cmp(&group[b].bytes))
        })
    };
    groups.iter().filter_map(least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All choices that keep the limits, the best first.
    fn all(groups: &[Vec<Item>], limits: Limits) -> Vec<(f64, Vec<usize>)> {
        let mut found = vec![Vec::new()];
        for group in groups {
            let longer = |head: &Vec<usize>| {
                let own = |at| head.iter().copied().chain([at]).collect::<Vec<usize>>();
                (0..group.len()).map(own).collect::<Vec<_>>()
            };
            found = found.iter().flat_map(longer).collect();
        }
        let mut kept: Vec<_> = found
            .into_iter()
            .map(|chosen| (sum(groups, &chosen), chosen))
            .filter(|(sum, _)| sum.bytes <= limits.bytes && sum.micros <= limits.micros + 1e-9)
            .map(|(sum, chosen)| (sum.loss, chosen))
            .collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept
    }

    fn item() -> impl Strategy<Value = Item> {
        // Few different numbers, so that there are ties; below zero too.
        (-20i32..60, -40i64..100, -4i32..20).prop_map(|(loss, bytes, micros)| Item {
            loss: f64::from(loss) / 8.0,
            bytes,
            micros: f64::from(micros) / 2.0,
        })
    }

    fn problem() -> impl Strategy<Value = (Vec<Vec<Item>>, Limits)> {
        let groups = prop::collection::vec(prop::collection::vec(item(), 1..6), 1..6);
        (groups, -100i64..300, prop_oneof![Just(f64::INFINITY), (-10.0..60.0)])
            .prop_map(|(groups, bytes, micros)| (groups, Limits { bytes, micros }))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn the_solution_is_the_best_of_all((groups, limits) in problem()) {
            let best = all(&groups, limits).into_iter().next();
            let found = solve(&groups, limits);
            prop_assert_eq!(found.is_some(), best.is_some());
            if let (Some(found), Some((least, _))) = (found, best) {
                let own = sum(&groups, &found);
                prop_assert!((own.loss - least).abs() < 1e-9, "{} {least}", own.loss);
                prop_assert!(own.bytes <= limits.bytes && own.micros <= limits.micros + 1e-9);
            }
        }

        #[test]
        fn several_are_the_best_ones_in_their_order((groups, limits) in problem()) {
            let all = all(&groups, limits);
            let found = several(&groups, limits, 5);
            prop_assert_eq!(found.len(), all.len().min(5));
            for (found, (loss, _)) in found.iter().zip(&all) {
                prop_assert!((sum(&groups, found).loss - loss).abs() < 1e-9);
            }
            let mut different = found.clone();
            different.sort();
            different.dedup();
            prop_assert_eq!(different.len(), found.len());
        }
    }

    #[test]
    fn no_groups_have_one_choice() {
        let limits = Limits { bytes: 0, micros: f64::INFINITY };
        assert_eq!(several(&[], limits, 3), vec![Vec::<usize>::new()]);
    }

    /// A model of many layers: more combinations than could be tried.
    #[test]
    fn thirty_groups_of_thirty_items_are_solved() {
        let item = |group: usize, at: usize| Item {
            loss: ((group * 7919 + 13) % 101) as f64 / (1.0 + at as f64).powi(2),
            bytes: (at * (100 + (group * 104_729) % 900)) as i64,
            micros: 0.0,
        };
        let groups: Vec<Vec<Item>> =
            (0..30).map(|group| (0..30).map(|at| item(group, at)).collect()).collect();
        let limits = Limits { bytes: 60_000, micros: f64::INFINITY };
        let found = solve(&groups, limits).unwrap();
        let whole = sum(&groups, &found);
        assert!(whole.bytes <= limits.bytes);
        // No single exchange within the limit gains anything.
        for (group, items) in groups.iter().enumerate() {
            for other in items {
                let own = items[found[group]];
                let fits = whole.bytes - own.bytes + other.bytes <= limits.bytes;
                assert!(!fits || other.loss >= own.loss);
            }
        }
    }
}
