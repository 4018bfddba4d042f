//! The word lists of the built-in corpus, inflected and sorted into categories.

use std::collections::BTreeMap;

/// The words of each category with their weights; categories are named as the rules name them,
/// such as `Noun[kitchen,she]`.
pub(super) type Categories = BTreeMap<String, Vec<(String, f64)>>;

/// The topics in order, and the words of all categories.
pub(super) fn read(text: &str) -> (Vec<String>, Categories) {
    let mut lexicon = Lexicon::default();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (key, rest) in lines.map(|line| line.split_once(' ').unwrap_or((line, ""))) {
        lexicon.line(key, rest.trim());
    }
    (lexicon.topics, lexicon.categories)
}

#[derive(Default)]
struct Lexicon {
    topics: Vec<String>,
    activities: usize,
    categories: Categories,
}

impl Lexicon {
    fn line(&mut self, key: &str, rest: &str) {
        let topic = self.topics.last().cloned().unwrap_or_default();
        let (name, listed) = rest.split_once(' ').unwrap_or((rest, ""));
        match key {
            "topic" => {
                self.topics.push(rest.to_owned());
                self.activities = 0;
            }
            "he" | "she" => self.beings(&topic, key, "they", rest),
            "animals" => self.beings(&topic, "it", "them", rest),
            "names" => self.names(&topic, rest),
            "places" => self.nouns(&format!("Place[{topic}]"), rest),
            "marks" => self.nouns(&format!("Landmark[{topic}]"), rest),
            "tools" => self.nouns(&format!("Tool[{topic}]"), rest),
            "activity" => self.activity(&topic, rest),
            "nouns" => self.both_numbers(name, listed),
            "words" => self.split_by_sound(name, "", ranked(listed.split_whitespace())),
            "verbs" => {
                let forms = |number: &str| format!("{name}[{number}]");
                self.verbs([forms("sg"), forms("pl"), format!("{name}ing")], listed);
            }
            // The first line of the shared part: a heading.
            _ => {}
        }
    }

    fn add(&mut self, category: String, words: impl IntoIterator<Item = (String, f64)>) {
        self.categories.entry(category).or_default().extend(words);
    }

    fn nouns(&mut self, category: &str, listed: &str) {
        self.add(category.to_owned(), ranked(listed.split_whitespace().map(singular)));
    }

    fn both_numbers(&mut self, name: &str, listed: &str) {
        self.nouns(&format!("{name}[sg]"), listed);
        self.add(format!("{name}[pl]"), ranked(listed.split_whitespace().map(plural)));
    }

    fn beings(&mut self, topic: &str, one: &str, many: &str, listed: &str) {
        let singulars = ranked(listed.split_whitespace().map(singular));
        self.split_by_sound("Noun", &format!("[{topic},{one}]"), singulars);
        self.add(format!("Noun[{topic},{many}]"), ranked(listed.split_whitespace().map(plural)));
    }

    fn names(&mut self, topic: &str, listed: &str) {
        for (list, pronoun) in listed.split(';').zip(["he", "she"]) {
            self.nouns(&format!("Name[{topic},{pronoun}]"), list);
        }
    }

    fn activity(&mut self, topic: &str, listed: &str) {
        self.activities += 1;
        let place = format!("{topic},{}", self.activities);
        let mut parts = listed.split(';');
        let mut part = || parts.next().unwrap_or("");
        let verbs = [format!("Verb[{place},sg]"), format!("Verb[{place},pl]")];
        let [third, base] = verbs;
        self.verbs([third, base, format!("Verbing[{place}]")], part());
        let things = part();
        let singulars = ranked(things.split_whitespace().map(singular));
        self.split_by_sound("Thing", &format!("[{place},sg]"), singulars);
        self.add(format!("Thing[{place},pl]"), ranked(things.split_whitespace().map(plural)));
        self.split_by_sound("Kind", &format!("[{place}]"), ranked(part().split_whitespace()));
    }

    fn verbs(&mut self, [third, base, ing]: [String; 3], listed: &str) {
        let verbs = || listed.split_whitespace();
        self.add(third, ranked(verbs().map(plural)));
        self.add(base, ranked(verbs().map(singular)));
        self.add(ing, ranked(verbs().map(progressive)));
    }

    /// Adds the words to `Name[…]`, and to `NameC[…]` or `NameV[…]` by the article they take.
    fn split_by_sound(&mut self, name: &str, index: &str, words: Vec<(String, f64)>) {
        for (word, weight) in &words {
            // Of the words of the lexicon the letter tells the sound.
            let sound = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { 'V' } else { 'C' };
            self.add(format!("{name}{sound}{index}"), [(word.clone(), *weight)]);
        }
        self.add(format!("{name}{index}"), words);
    }
}

/// Words with weights that fall slowly with their rank, as those of a topic do (Zipf's law, with
/// the offset of Mandelbrot).
fn ranked(words: impl IntoIterator<Item = impl Into<String>>) -> Vec<(String, f64)> {
    let weights = (0..).map(|rank| 1.0 / f64::from(rank + 2));
    words.into_iter().map(Into::into).zip(weights).collect()
}

/// A noun in the singular, a verb in its base form.
fn singular(listed: &str) -> &str {
    listed.split('/').next().unwrap_or(listed)
}

/// A noun in the plural; and the third person of a verb, which is spelt by the same rule.
fn plural(listed: &str) -> String {
    if let Some(irregular) = listed.split('/').nth(1) {
        return irregular.to_owned();
    }
    let vowel_before_y = ["ay", "ey", "oy", "uy"].iter().any(|end| listed.ends_with(end));
    match listed.strip_suffix('y') {
        Some(stem) if !vowel_before_y => format!("{stem}ies"),
        _ if ["s", "x", "z", "ch", "sh"].iter().any(|end| listed.ends_with(end)) => {
            format!("{listed}es")
        }
        _ => format!("{listed}s"),
    }
}

/// The -ing form of a verb.
fn progressive(listed: &str) -> String {
    if let Some(irregular) = listed.split('/').nth(2) {
        return irregular.to_owned();
    }
    let stem = listed.strip_suffix('e').filter(|stem| !stem.ends_with('e'));
    format!("{}ing", stem.unwrap_or(listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_inflected() {
        assert_eq!(
            ["cook", "daisy", "donkey", "dress", "box", "loaf/loaves"].map(plural),
            ["cooks", "daisies", "donkeys", "dresses", "boxes", "loaves"]
        );
        assert_eq!(
            ["bake", "carry", "hum/hums/humming", "see"].map(progressive),
            ["baking", "carrying", "humming", "seeing"]
        );
    }

    #[test]
    fn articles_follow_the_sound() {
        let (_, categories) = read("topic farm\nactivity move; egg bale; dry old\n");
        assert_eq!(categories["ThingV[farm,1,sg]"], [("egg".to_owned(), 0.5)]);
        assert_eq!(categories["KindC[farm,1]"], [("dry".to_owned(), 0.5)]);
        assert_eq!(categories["Thing[farm,1,pl]"].len(), 2);
    }
}
