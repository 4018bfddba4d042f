//! How marks lean on their neighbours.

use alloc::string::String;

/// The sides on which a mark has no space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glue {
    /// Before it.
    pub left: bool,
    /// After it.
    pub right: bool,
}

/// What is on neither side.
const NONE: Glue = Glue { left: false, right: false };

impl Glue {
    /// How a mark leans usually, by its first character.
    #[must_use]
    pub fn usual(mark: &str) -> Self {
        let Some(first) = mark.chars().next() else { return NONE };
        let (left, right) = match first {
            '.' | ',' | ';' | ':' | '!' | '?' | '…' | ')' | ']' | '}' | '»' | '”' | '’' | '%'
            | '°' | '"' | '\'' | '、' | '。' | '，' | '．' | '！' | '？' | '：' | '；' | '）'
            | '」' | '』' | '】' | '›' | '؟' | '،' | '؛' | '।' => (true, false),
            '(' | '[' | '{' | '«' | '“' | '‘' | '„' | '‚' | '‹' | '¿' | '¡' | '$' | '€' | '£'
            | '¥' | '#' | '@' | '（' | '「' | '『' | '【' => (false, true),
            '-' if mark.len() > 1 => (false, false),
            '-' | '‐' | '‑' | '/' | '–' | '—' => (true, true),
            _ => (false, false),
        };
        Self { left, right }
    }

    /// Appends the type of a mark that leans so.
    pub(super) fn spell(self, mark: &str, out: &mut String) {
        let marks = if self == Self::usual(mark) {
            ("", "")
        } else if self == NONE {
            ("~", "~")
        } else {
            (if self.left { "_" } else { "" }, if self.right { "_" } else { "" })
        };
        [marks.0, mark, marks.1].into_iter().for_each(|part| out.push_str(part));
    }
}

/// Whether a segment is a mark: neither letter, digit nor underscore is in it.
pub(super) fn is_mark(segment: &str) -> bool {
    !segment.chars().any(|char| char.is_alphanumeric() || char == '_')
}

/// Whether a mark may open as well as close: straight quotes.
pub(super) fn is_quote(mark: &str) -> bool {
    mark.starts_with(['"', '\''])
}

/// Whether a mark, and closing ones after it, ends a sentence. An ellipsis does not: what follows goes on as often.
pub(super) fn ends_sentence(mark: &str) -> bool {
    matches!(mark, "." | "!" | "?" | "。" | "！" | "？" | "؟" | "।")
        || (mark.len() > 1 && mark.starts_with(['!', '?']))
}

/// The text of a type and, for a mark, how it leans.
#[must_use]
pub fn inner(spelt: &str) -> (&str, Option<Glue>) {
    let plain = || (spelt, is_mark(spelt).then(|| Glue::usual(spelt)));
    if spelt.chars().all(|char| char == '~') {
        return plain();
    }
    if let Some(inner) = spelt.strip_prefix('~').and_then(|rest| rest.strip_suffix('~')) {
        return if is_mark(inner) && !inner.is_empty() { (inner, Some(NONE)) } else { plain() };
    }
    let (rest, left) = spelt.strip_prefix('_').map_or((spelt, false), |rest| (rest, true));
    let (rest, right) = rest.strip_suffix('_').map_or((rest, false), |rest| (rest, true));
    if (left || right) && !rest.is_empty() && is_mark(rest) {
        return (rest, Some(Glue { left, right }));
    }
    plain()
}
