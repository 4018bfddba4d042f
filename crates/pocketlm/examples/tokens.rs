//! The tokens that a model makes of standard input: a line for each line, a space between two.
//!
//!     cargo run --release -p pocketlm --example tokens MODEL.plm < text
//!
//! Other programs can so count what the model counts.

use std::io::{BufRead, BufWriter, Write};

use pocketlm::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: tokens MODEL.plm < text")?;
    let model = Model::open(path)?;
    let vocabulary = model.vocabulary();
    let (mut out, mut buffer) = (BufWriter::new(std::io::stdout().lock()), Vec::new());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words = vocabulary.tokens(&line).map(|token| vocabulary.resolve(token));
        for (at, id) in words.enumerate() {
            let word = vocabulary.word(id?, &mut buffer).unwrap_or_default();
            write!(out, "{}{word}", if at > 0 { " " } else { "" })?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}
