use std::path::Path;

use pocketlm::{Model, Session};

fn main() -> Result<(), pocketlm::Error> {
    let model = Model::open(Path::new("small.plm"))?; // mapped into memory, nothing is copied
    let mut session = Session::new(&model); // allocates all that it will ever need

    session.feed_text("the old")?;
    for suggestion in session.suggest(3)?.iter() {
        println!("{} {:.3}", suggestion.word, suggestion.probability);
    }
    // Only words that begin with what is typed; probabilities are relative to those words.
    for found in session.suggest_prefix("te", 3)?.iter() {
        println!("{} {:.3}", found.word, found.probability);
    }

    let here = session.state().clone(); // a plain value, so that hypotheses can branch
    session.feed_text("teacher")?;
    println!("{:.2} nats", session.log_probability("explains")?);
    session.set_state(&here)?;

    let score = session.score("the cook bakes the cake")?;
    println!("perplexity {:.1}", score.perplexity());
    Ok(())
}
