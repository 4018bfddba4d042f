//! What is done with every input that stands for a recipe: by the fuzzer, and by the ordinary tests with the seeds.

use pocketlm_train::recipe::CompressionRecipe;
use pocketlm_train::recipe::Draft;
use pocketlm_train::sweep::Sweep;

/// Types of the vocabulary whose forms are asked for.
const TYPES: usize = 100;

/// Reads the input as a recipe of a training, of a compression and of a sweep. Returns whether it is any of them.
pub fn exercise(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let base = Draft::base("zaremba-small").expect("a base model");
    let recipe = base.clone().file("recipe", text).and_then(Draft::finish);
    if let Ok(recipe) = &recipe {
        // What is written is read back as it was.
        let written = toml::to_string(recipe).expect("a recipe is TOML");
        let again = base.file("written", &written).and_then(Draft::finish);
        assert_eq!(&again.expect("what was written is a recipe"), recipe);
        if recipe.model.hidden.iter().chain([&recipe.model.embedding]).sum::<usize>() < 1000 {
            let _ = recipe.forms(TYPES);
        }
    }
    let compression = CompressionRecipe::parse("recipe", text);
    let sweep = Sweep::parse("recipe", text, &|_| Ok(("included".to_owned(), String::new())));
    recipe.is_ok() || compression.is_ok() || sweep.is_ok()
}
