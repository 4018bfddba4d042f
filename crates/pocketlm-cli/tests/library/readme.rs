fn print_next_words(path: &std::path::Path, text: &str) -> Result<(), pocketlm::Error> {
    let model = pocketlm::Model::open(path)?; // mapped into memory, nothing is copied
    let mut session = pocketlm::Session::new(&model); // allocates all that it will ever need
    session.feed_text(text)?;
    for suggestion in session.suggest(3)?.iter() {
        println!("{:.3} {}", suggestion.probability, suggestion.word);
    }
    Ok(())
}
