//! The grammar of the built-in corpus.

use super::Grammar;
use std::sync::LazyLock;

static ENGLISH: LazyLock<Grammar> = LazyLock::new(|| {
    Grammar::parse("Sentence = 1 the cook sings | 1 a cook sings").expect("tested")
});

impl Grammar {
    /// The grammar of the built-in corpus.
    pub fn english() -> &'static Self {
        &ENGLISH
    }
}
