//! Writing ARPA files.

use std::io::{self, Write};
use std::path::Path;

use pocketlm::ngram::Table;

use super::lines::GAPS;
use super::{BEGIN, END};
use crate::error::{Error, Result};
use crate::ngram::links::{Node, children};

/// Whether the model can be written as the ARPA file `path`.
///
/// # Errors
/// [`Error::Line`] if a word cannot stand in such a file.
pub fn check(table: &Table, path: &Path) -> Result<()> {
    // Other white space is part of a word, for KenLM as for `read`.
    let bad = |word: &&String| word.contains(GAPS) || [BEGIN, END].contains(&word.as_str());
    if let Some(word) = table.words.iter().find(bad) {
        let what = format!(
            "the word {word:?} cannot be written: fields of an ARPA file end at white space, and <s> and </s> have \
             a meaning there"
        );
        return Err(Error::Line { path: path.into(), line: 0, what });
    }
    Ok(())
}

/// Writes the model as the text of an ARPA file: n-grams in the order of their words' bytes, numbers with ten digits,
/// so that reading gives the same f32 in nats.
///
/// # Errors
/// Those of `out`.
pub fn write(table: &Table, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "\\data\\")?;
    for (at, order) in table.orders.iter().enumerate() {
        // The begin of a sentence is one more word.
        writeln!(out, "ngram {}={}", at + 1, order.len() + usize::from(at == 0))?;
    }
    for order in 1..=table.orders.len() {
        writeln!(out, "\n\\{order}-grams:")?;
        if order == 1 {
            unigrams(table, &mut out)?;
        } else {
            section(table, order, &mut out)?;
        }
    }
    writeln!(out, "\n\\end\\")
}

fn unigrams(table: &Table, out: &mut impl Write) -> io::Result<()> {
    let order = &table.orders[0];
    let eos = table.eos as usize;
    let begin = order.backoffs.get(eos).map_or(0.0, |&weight| weight);
    writeln!(out, "0\t{BEGIN}\t{}", number(begin))?;
    for (at, &probability) in order.probabilities.iter().enumerate() {
        let word = if at == eos { END } else { &table.words[at] };
        let weight = order.backoffs.get(at).filter(|_| at != eos).map_or(0.0, |&weight| weight);
        writeln!(out, "{}\t{word}\t{}", number(probability), number(weight))?;
    }
    Ok(())
}

fn section(table: &Table, order: usize, out: &mut impl Write) -> io::Result<()> {
    let mut contexts = vec![(Node { order: 1, at: 0 }, Vec::new())];
    contexts.clear();
    for at in 0..table.words.len() {
        contexts.push((Node { order: 1, at }, vec![at as u32]));
        walk(table, order, &mut contexts, out)?;
    }
    Ok(())
}

/// Writes all n-grams of `order` tokens that continue the only one in `stack`.
fn walk(
    table: &Table,
    order: usize,
    stack: &mut Vec<(Node, Vec<u32>)>,
    out: &mut impl Write,
) -> io::Result<()> {
    while let Some((node, words)) = stack.pop() {
        if node.order == order {
            entry(table, node, &words, out)?;
            continue;
        }
        let longer = &table.orders[node.order].words;
        for at in children(table, node).rev() {
            let words = [&words[..], &[longer[at]]].concat();
            stack.push((Node { order: node.order + 1, at }, words));
        }
    }
    Ok(())
}

fn entry(table: &Table, node: Node, words: &[u32], out: &mut impl Write) -> io::Result<()> {
    let order = &table.orders[node.order - 1];
    write!(out, "{}", number(order.probabilities[node.at]))?;
    for (at, &id) in words.iter().enumerate() {
        let word = match id == table.eos {
            true if at == 0 => BEGIN,
            true => END,
            false => &table.words[id as usize],
        };
        write!(out, "{}{word}", if at == 0 { '\t' } else { ' ' })?;
    }
    match order.backoffs.get(node.at) {
        Some(&weight) => writeln!(out, "\t{}", number(weight)),
        None => writeln!(out),
    }
}

/// A number of nats as logarithm to base 10, with ten digits.
fn number(nats: f32) -> String {
    if nats == 0.0 {
        return "0".into();
    }
    let value = f64::from(nats) / std::f64::consts::LN_10;
    let decimals = (9.0 - value.abs().log10().floor()).clamp(0.0, 60.0);
    format!("{value:.*}", decimals as usize)
}
