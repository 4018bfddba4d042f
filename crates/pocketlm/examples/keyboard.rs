//! The least that a keyboard needs: `keyboard MODEL.plm "text so far" "typed prefix"` prints the three likeliest
//! words. Build it as for a phone, without what only computers need:
//! `cargo build --profile phone -p pocketlm --no-default-features --features std --example keyboard`.

use std::error::Error;

use pocketlm::{Model, Session};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, text, prefix] = &arguments[..] else {
        return Err("give a model, the text so far and the letters typed".into());
    };
    let model = Model::open(path)?;
    let mut session = Session::new(&model);
    session.feed_text(text)?;
    for suggestion in session.suggest_prefix(prefix, 3)?.iter() {
        println!("{} {:.3}", suggestion.word, suggestion.probability);
    }
    Ok(())
}
