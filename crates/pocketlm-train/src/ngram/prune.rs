//! Leaving out what is hardly missed (Stolcke 1998, *Entropy-based pruning of backoff language models*).

use pocketlm::ngram::{Order, Table};

use super::links::{Links, Node, children, normalise};

/// Leaves out each n-gram whose loss, alone, raises the perplexity by less than the share `threshold`, then sets the
/// back-off weights so that all distributions sum to one. N-grams that others continue stay.
///
/// The probability of a context is how often it comes, `contexts`, among `tokens` tokens. (Stolcke takes that of the
/// model, but the lower orders of a Kneser-Ney model are no marginals: Chelba et al. 2010, *Study on interaction
/// between entropy pruning and Kneser-Ney smoothing*.)
pub(super) fn prune(table: &mut Table, contexts: &[Vec<f64>], tokens: f64, threshold: f64) {
    let links = Links::new(table);
    let mut kept: Vec<Vec<bool>> = table.orders.iter().map(|o| vec![true; o.len()]).collect();
    for order in (1..table.orders.len()).rev() {
        for (at, &count) in contexts[order - 1].iter().enumerate() {
            let (node, mass) = (Node { order, at }, count / tokens);
            for (child, rise) in rises(table, &links, node, mass) {
                let continued = children(table, Node { order: order + 1, at: child })
                    .any(|longer| kept[order + 1][longer]);
                kept[order][child] = continued || rise >= threshold;
            }
        }
    }
    drop(links);
    for order in 1..table.orders.len() {
        let (below, above) = table.orders.split_at_mut(order);
        keep(&mut below[order - 1], &mut above[0], &kept[order]);
    }
    normalise(table, 0.0);
}

/// Each continuation of `node`, and by which share the perplexity rises without it (Stolcke 1998, equations 3, 5, 6).
fn rises(table: &Table, links: &Links, node: Node, mass: f64) -> Vec<(usize, f64)> {
    let longer = &table.orders[node.order];
    let context = links.of(node);
    let pair = |child: usize| {
        let own = f64::from(longer.probabilities[child]);
        (child, own, links.log_probability(table, context, longer.words[child]))
    };
    let pairs: Vec<_> = children(table, node).map(pair).collect();
    let shorter = 1.0 - pairs.iter().map(|&(.., below)| below.exp()).sum::<f64>();
    let weight = f64::from(table.orders[node.order - 1].backoffs[node.at]);
    // What the context leaves to words that it has not seen.
    let left = weight.exp() * shorter;
    let rise = |&(child, own, below): &(usize, f64, f64)| {
        let new = ((left + own.exp()) / (shorter + below.exp())).ln();
        let change = own.exp() * (below + new - own) + left * (new - weight);
        (child, (-mass * change).exp_m1())
    };
    pairs.iter().map(rise).collect()
}

/// Leaves out the n-grams `longer` that are not `kept`, and mends the children of those before.
fn keep(shorter: &mut Order, longer: &mut Order, kept: &[bool]) {
    let mut places = Vec::with_capacity(kept.len() + 1);
    let mut count = 0;
    for &kept in kept {
        places.push(count);
        count += u32::from(kept);
    }
    places.push(count);
    shorter.children.iter_mut().for_each(|end| *end = places[*end as usize]);
    retain(&mut longer.words, kept);
    retain(&mut longer.probabilities, kept);
    retain(&mut longer.backoffs, kept);
    // Whatever is left out has no continuations, so the ranges of the others stay next to one another.
    if let Some(&end) = longer.children.last() {
        retain(&mut longer.children, kept);
        longer.children.push(end);
    }
}

fn retain<T>(list: &mut Vec<T>, kept: &[bool]) {
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        // Lists that the highest order does not have are empty; `children` has one element more.
        kept.get(at - 1).copied().unwrap_or(false)
    });
}
