//! Cuts the lines of a text by the tokenizer of a packed model: `encode MODEL.plm TEXT IDS`.
//!
//! Writes for each line of TEXT its number of tokens and their ids, as little-endian u32, and prints the speed as JSON.
//! `tests/oracle/subwords.py compare` compares it with the Python packages that made the tokenizers.

use std::error::Error;
use std::time::Instant;

use pocketlm::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, text, ids] = &arguments[..] else {
        return Err("usage: encode MODEL.plm TEXT IDS".into());
    };
    let model = Model::open(model)?;
    let tokenizer = model.vocabulary().tokenizer().ok_or("the model has no subwords")?;
    let text = std::fs::read_to_string(text)?;
    let start = Instant::now();
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    for line in text.split('\n') {
        tokenizer.encode(line, &mut all);
        ends.push(all.len());
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut bytes = Vec::with_capacity(4 * (all.len() + ends.len()));
    let mut from = 0;
    for end in ends {
        bytes.extend(((end - from) as u32).to_le_bytes());
        bytes.extend(all[from..end].iter().flat_map(|id| id.to_le_bytes()));
        from = end;
    }
    std::fs::write(ids, bytes)?;
    println!(
        "{{\"tokens\": {}, \"mb_per_second\": {}}}",
        all.len(),
        text.len() as f64 / 1e6 / seconds
    );
    Ok(())
}
