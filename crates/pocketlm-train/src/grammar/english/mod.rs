//! The grammar of the built-in corpus: its rules and words, written out for every topic.

mod lexicon;

use super::Grammar;
use lexicon::Categories;
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::LazyLock;

static ENGLISH: LazyLock<Grammar> = LazyLock::new(|| {
    let text = written_out(include_str!("rules.txt"), include_str!("lexicon.txt"));
    // The text is part of the program, and a test reads it.
    Grammar::parse(&text).expect("the built-in grammar is a grammar")
});

impl Grammar {
    /// The grammar of the built-in corpus: see `english/rules.txt` beside this file.
    ///
    /// Verbs agree with subjects and pronouns with people across relative clauses, and the words
    /// of a sentence belong to one of twelve topics, so a model has to remember.
    pub fn english() -> &'static Self {
        &ENGLISH
    }
}

/// The rules with their variables replaced by every value, and the lexicon as more rules.
fn written_out(rules: &str, lexicon: &str) -> String {
    let (topics, categories) = lexicon::read(lexicon);
    let variables = Variables::new(topics);
    let rules: Vec<Template> = rules
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(|line| variables.rules(line))
        .collect();
    let rules = without_missing_sounds(rules, &categories);
    let bodies = rules.iter().flat_map(|rule| &rule.alternatives).map(|(_, body)| body.as_str());
    let named: HashSet<&str> = bodies.flat_map(str::split_whitespace).collect();
    let mut text = String::new();
    for rule in &rules {
        write_rule(&mut text, &rule.name, rule.alternatives.iter().map(|(w, body)| (*w, body)));
    }
    // Of many lists only some of the forms are needed.
    for (name, words) in categories.iter().filter(|(name, _)| named.contains(name.as_str())) {
        write_rule(&mut text, name, words.iter().map(|(word, weight)| (*weight, word)));
    }
    text
}

fn write_rule<'a>(text: &mut String, name: &str, parts: impl Iterator<Item = (f64, &'a String)>) {
    let parts: Vec<_> = parts.map(|(weight, body)| format!("{weight} {body}")).collect();
    let _ = writeln!(text, "{name} = {}", parts.join(" | "));
}

/// A rule whose variables have values.
struct Template {
    name: String,
    alternatives: Vec<(f64, String)>,
}

struct Variables(Vec<(&'static str, Vec<String>)>);

impl Variables {
    fn new(topics: Vec<String>) -> Self {
        let list = |values: &str| values.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let topics_or_any = [topics.clone(), list("any")].concat();
        Self(vec![
            ("T", topics),
            ("X", topics_or_any),
            ("G", list("1 2")),
            ("N", list("sg pl")),
            ("A", list("he she it they them")),
            ("P", list("he she they")),
            ("S", list("he she it")),
            ("Q", list("it them")),
        ])
    }

    /// The rules that a line stands for.
    fn rules(&self, line: &str) -> Vec<Template> {
        let expanded = self.expand(line, line.split_once(" =").map_or("", |(name, _)| name));
        expanded.into_iter().filter_map(|line| self.rule(&line)).collect()
    }

    fn rule(&self, line: &str) -> Option<Template> {
        let (name, body) = line.split_once(" =")?;
        let mut alternatives = Vec::new();
        for part in body.split(" |") {
            let (weight, symbols) = part.trim().split_once(' ').unwrap_or((part.trim(), ""));
            let expanded = self.expand(symbols, symbols);
            let share = weight.parse::<f64>().ok()? / expanded.len() as f64;
            alternatives.extend(expanded.into_iter().map(|body| (share, body)));
        }
        Some(Template { name: name.to_owned(), alternatives })
    }

    /// `text` once for all values of the variables that `part` of it has.
    fn expand(&self, text: &str, part: &str) -> Vec<String> {
        let mut texts = vec![text.to_owned()];
        for (variable, values) in self.0.iter().filter(|(variable, _)| holds(part, variable)) {
            let with = |text: &String, value: &String| substitute(text, variable, value);
            texts = texts
                .iter()
                .flat_map(|text| values.iter().map(|value| with(text, value)).collect::<Vec<_>>())
                .collect();
        }
        texts
    }
}

fn holds(text: &str, variable: &str) -> bool {
    indices(text).any(|index| index.trim_start_matches('#') == variable)
}

/// What stands in brackets.
fn indices(text: &str) -> impl Iterator<Item = &str> {
    let brackets = text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    brackets.flat_map(|bracket| bracket.split(','))
}

fn substitute(text: &str, variable: &str, value: &str) -> String {
    let number = if ["they", "them", "pl"].contains(&value) { "pl" } else { "sg" };
    let replace = |index: &str| match index.strip_prefix('#') {
        Some(of) if of == variable => number.to_owned(),
        None if index == variable => value.to_owned(),
        _ => index.to_owned(),
    };
    let mut parts = text.split('[');
    let mut replaced = parts.next().unwrap_or("").to_owned();
    for (bracket, rest) in parts.filter_map(|part| part.split_once(']')) {
        let inside: Vec<_> = bracket.split(',').map(replace).collect();
        let _ = write!(replaced, "[{}]{rest}", inside.join(","));
    }
    replaced
}

/// Leaves out the alternatives that need a word with a sound that no word of a category has,
/// and the rules that have no alternative left, until nothing changes.
fn without_missing_sounds(mut rules: Vec<Template>, categories: &Categories) -> Vec<Template> {
    loop {
        let names: HashSet<String> = rules.iter().map(|rule| rule.name.clone()).collect();
        let there = |symbol: &str| {
            let by_sound = symbol.split('[').next().is_some_and(|name| name.ends_with(['C', 'V']));
            !by_sound || names.contains(symbol) || categories.contains_key(symbol)
        };
        for rule in &mut rules {
            rule.alternatives.retain(|(_, body)| body.split_whitespace().all(there));
        }
        let before = rules.len();
        rules.retain(|rule| !rule.alternatives.is_empty());
        if rules.len() == before {
            return rules;
        }
    }
}
