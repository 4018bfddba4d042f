//! Grammars written as text.

use super::entropy::{expectations, nats, steps, words};
use super::prediction::{Conflict, Table};
use super::{Alternative, Grammar, Rule, Symbol};
use std::collections::{BTreeSet, HashMap};

/// Why a text is not a grammar whose entropy can be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A line is not of the form `Rule = weight symbol … | …`.
    #[error("line {line}: write a rule as `Rule = 2 Other word | 1 word`; {reason}")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A rule is named but not defined.
    #[error("line {line}: there is no rule `{name}`; add a line that defines it")]
    Undefined {
        /// The line that names it, counted from 1.
        line: usize,
        /// Its name.
        name: String,
    },
    /// The grammar is not LL(1), hence maybe ambiguous.
    #[error("rule `{rule}`: two alternatives can go on with `{word}`; put what they share first")]
    Ambiguous {
        /// The rule.
        rule: String,
        /// The word (`<eos>` for the end of the sentence) that does not tell them apart.
        word: String,
    },
    /// Derivations do not end, or not soon enough to have an expected length.
    #[error("the expected length of a sentence is infinite; give recursion a lower weight")]
    Endless,
}

impl Grammar {
    /// Reads a grammar: one rule a line, `#` starts a comment.
    ///
    /// `Rule = 3 the Noun Verb | 1 Name Verb`: alternatives with their weights, which are scaled
    /// to probabilities. What starts with an upper-case letter is a rule, all else is a word. An
    /// alternative may have no symbol. The first rule derives sentences.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let lines: Vec<_> = text
            .lines()
            .zip(1..)
            .map(|(line, number)| (line.split('#').next().unwrap_or("").trim(), number))
            .filter(|(line, _)| !line.is_empty())
            .map(|(line, number)| Line::parse(line, number))
            .collect::<Result<_, _>>()?;
        let (words, rules) = resolve(&lines)?;
        build(words, rules)
    }
}

fn build(names: Vec<String>, rules: Vec<Rule>) -> Result<Grammar, Error> {
    let table = Table::new(&rules, names.len()).map_err(|Conflict { rule, word }| {
        let word = names.get(word).map_or(crate::corpus::EOS, String::as_str);
        Error::Ambiguous { rule: rules[rule].name.clone(), word: word.to_owned() }
    })?;
    expectations(&rules, steps).ok_or(Error::Endless)?;
    let first = |values: Option<Vec<f64>>| Ok(values.ok_or(Error::Endless)?[0]);
    let entropy = first(expectations(&rules, nats))?;
    let length = first(expectations(&rules, words))? + 1.0;
    Ok(Grammar { words: names, rules, table, entropy, length })
}

/// A rule as it is written.
struct Line<'a> {
    number: usize,
    name: &'a str,
    alternatives: Vec<(f64, Vec<&'a str>)>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str, number: usize) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Syntax { line: number, reason: reason.to_owned() };
        let (name, body) = line.split_once('=').ok_or_else(|| bad("there is no `=`"))?;
        let name = name.trim();
        if !is_rule(name) || name.contains(char::is_whitespace) {
            return Err(bad("its name must be one word with an upper-case first letter"));
        }
        let alternatives = body.split('|').map(|part| alternative(part, number));
        Ok(Self { number, name, alternatives: alternatives.collect::<Result<_, _>>()? })
    }

    fn symbols(&self) -> impl Iterator<Item = &'a str> {
        self.alternatives.iter().flat_map(|(_, body)| body.iter().copied())
    }
}

fn alternative(text: &str, line: usize) -> Result<(f64, Vec<&str>), Error> {
    let mut symbols = text.split_whitespace();
    let weight = symbols.next().and_then(|weight| weight.parse().ok());
    match weight.filter(|&weight: &f64| weight > 0.0 && weight.is_finite()) {
        Some(weight) => Ok((weight, symbols.collect())),
        None => {
            let reason = format!("`{}` does not start with a weight above zero", text.trim());
            Err(Error::Syntax { line, reason })
        }
    }
}

fn is_rule(symbol: &str) -> bool {
    symbol.starts_with(char::is_uppercase)
}

/// Replaces names by places.
fn resolve(lines: &[Line]) -> Result<(Vec<String>, Vec<Rule>), Error> {
    let mut places = HashMap::new();
    for (line, place) in lines.iter().zip(0..) {
        if places.insert(line.name, place).is_some() {
            let reason = format!("`{}` is defined twice", line.name);
            return Err(Error::Syntax { line: line.number, reason });
        }
    }
    if lines.is_empty() {
        return Err(Error::Syntax { line: 1, reason: "there is no rule".to_owned() });
    }
    let words: BTreeSet<_> = lines.iter().flat_map(Line::symbols).filter(|s| !is_rule(s)).collect();
    let words: Vec<&str> = words.into_iter().collect();
    let rules = lines.iter().map(|line| rule(line, &places, &words)).collect::<Result<_, _>>()?;
    Ok((words.into_iter().map(str::to_owned).collect(), rules))
}

fn rule(line: &Line, places: &HashMap<&str, usize>, words: &[&str]) -> Result<Rule, Error> {
    let symbol = |symbol: &&str| match (is_rule(symbol), places.get(symbol)) {
        (true, Some(&place)) => Ok(Symbol::Rule(place)),
        (true, None) => Err(Error::Undefined { line: line.number, name: symbol.to_string() }),
        // Every word of every line is in the sorted list.
        (false, _) => Ok(Symbol::Word(words.partition_point(|word| word < symbol))),
    };
    let total: f64 = line.alternatives.iter().map(|(weight, _)| weight).sum();
    let alternatives = line.alternatives.iter().map(|(weight, body)| {
        let body = body.iter().map(symbol).collect::<Result<_, _>>()?;
        Ok(Alternative { probability: weight / total, body })
    });
    Ok(Rule { name: line.name.to_owned(), alternatives: alternatives.collect::<Result<_, _>>()? })
}
