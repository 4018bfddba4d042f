//! What `overhead.py` compares the other languages with: `measure MODEL.plm TEXT BATCHES` prints the bits of the text's
//! score, then for each call how many microseconds it takes, the least of some batches.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use pocketlm::{Model, Session};

/// Calls of a batch.
const CALLS: u32 = 200;

/// Prints the microseconds that a call takes.
fn measure(
    name: &str,
    batches: u32,
    mut call: impl FnMut(u32) -> pocketlm::Result<()>,
) -> pocketlm::Result<()> {
    let mut best = f64::INFINITY;
    for _ in 0..batches {
        let begin = Instant::now();
        for at in 0..CALLS {
            call(at)?;
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    }
    println!("{name} {best:.4}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, text, batches] = &arguments[..] else {
        return Err("give a model, a text and a number of batches".into());
    };
    let (model, batches) = (Model::open(path)?, batches.parse()?);
    let mut session = Session::new(&model);
    println!("score {:016x}", (-session.score(text)?.nll).to_bits());
    let types = model.vocabulary().len() as u32;
    measure("feed", batches, |at| session.feed(at % types))?;
    measure("suggest", batches, |_| {
        session.suggest(3)?.iter().for_each(|found| {
            black_box(found);
        });
        Ok(())
    })?;
    measure("score_text", batches, |_| {
        session.score(text).map(|score| {
            black_box(score);
        })
    })?;
    Ok(())
}
