//! What a keyboard needs: `keyboard MODEL.plm "text so far"` prints the three likeliest words for the text's last word; with
//! the features `correct` and `keyboard` also what may have been meant, and the strip with the user's words. Build it as for
//! a phone, with what the keyboard uses:
//! `cargo build --profile phone -p pocketlm --no-default-features --features std,raw,correct --example keyboard`.

use std::error::Error;

use pocketlm::{Model, Session};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, text] = &arguments[..] else {
        return Err("give a model and the text so far".into());
    };
    let model = Model::open(path)?;
    let mut session = Session::new(&model);
    session.complete(text, 3, |word, probability| println!("{word} {probability:.3}"))?;
    #[cfg(feature = "correct")]
    correct(&mut session, text)?;
    #[cfg(feature = "keyboard")]
    strip(&model, text)?;
    Ok(())
}

/// What the last word may have been meant to be.
#[cfg(feature = "correct")]
fn correct(session: &mut Session<&Model>, text: &str) -> pocketlm::Result<()> {
    let typed = text.rsplit(' ').next().unwrap_or_default();
    session.reset();
    session.feed_text(text.strip_suffix(typed).unwrap_or_default())?;
    let found = session.correct(typed, 3)?;
    found.words.iter().for_each(|word| println!("{} {:.3}", word.word, word.probability));
    Ok(())
}

/// All that a keyboard shows; what is typed is learnt.
#[cfg(feature = "keyboard")]
fn strip(model: &Model, text: &str) -> pocketlm::Result<()> {
    use pocketlm::keyboard::Keyboard;
    use pocketlm::personal::Personal;

    let (personal, fault) = Personal::open("words.jsonl")?;
    fault.iter().for_each(|fault| eprintln!("{fault}"));
    let mut keyboard = Keyboard::new(model, personal)?;
    for offer in keyboard.strip(text, 3)?.words {
        println!("{} {:.3}", offer.word, offer.probability);
    }
    keyboard.learn(text)?;
    keyboard.personal().save("words.jsonl")
}
