//! `pocketlm keyboard`

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use console::{Key, Term, measure_text_width, style, truncate_str};
use pocketlm::Model;
use pocketlm::correct::Correction;
use pocketlm::keyboard::{Keyboard, Strip};
use pocketlm::personal::Personal;

use super::correct::Typist;
use crate::ending::Usage;
use crate::model::ModelArg;

/// Words of the strip.
const WORDS: usize = 3;

/// Try a model as a keyboard: words as you type, slips mended, your own words learnt.
///
/// Tab takes the marked word, and the left and right arrows mark another one. A space mends a slip where that is sure;
/// backspace then takes it back. Enter ends a line, whose words are learnt; Escape ends the command.
///
/// Example: pocketlm keyboard -m small.plm --words me.jsonl
#[derive(clap::Args)]
#[command(override_usage = "pocketlm keyboard [-m <MODEL>] [OPTIONS]")]
pub struct Args {
    #[command(flatten)]
    model: ModelArg,
    /// File of your words, read now and written after every line; without it they are forgotten at the end.
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,
    /// Learn nothing.
    #[arg(long)]
    private: bool,
    #[command(flatten)]
    typist: Typist,
}

impl Args {
    /// Types until the user has enough.
    pub fn run(self) -> Result<()> {
        let loaded = self.model.open(&[])?;
        let term = Term::stdout();
        if !term.is_term() || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            let what = "keyboard needs a terminal; in a script take pocketlm complete or correct";
            return Err(Usage(what.into()).into());
        }
        let (personal, damage) = match &self.words {
            Some(path) => Personal::open(path)?,
            None => (Personal::new(), None),
        };
        if let Some(damage) = damage {
            note!("{damage}");
        }
        let mut keyboard = Keyboard::new(&loaded.model, personal)?;
        keyboard.set_learning(!self.private);
        keyboard.set_typing(self.typist.typing()?);
        if let Some(lexicon) = self.typist.lexicon(&loaded.model)? {
            keyboard.set_lexicon(lexicon);
        }
        let mut line = Line::new(keyboard)?;
        while self.step(&term, &mut line)? {}
        Ok(())
    }

    /// Shows the line and takes a key; false at the end.
    fn step(&self, term: &Term, line: &mut Line<'_>) -> Result<bool> {
        show(term, line).context("the terminal cannot be written")?;
        let key = term.read_key_raw().context("the terminal cannot be read")?;
        match line.press(key)? {
            After::On => {}
            After::Sent(text) => {
                term.write_str(&format!("\r\x1b[J{text}\n"))?;
                if let Some(path) = &self.words {
                    line.keyboard.personal().save(path)?;
                }
            }
            After::End => {
                term.write_str("\r\x1b[J")?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Writes the line, the strip under it, and puts the cursor behind the text.
fn show(term: &Term, line: &Line<'_>) -> std::io::Result<()> {
    let columns = usize::from(term.size().1).max(20);
    let text = end_of(&line.text, columns - 3);
    let strip = truncate_str(&line.strip_text(), columns - 1, "…").into_owned();
    let column = 2 + measure_text_width(text);
    // From the line's beginning on all is cleared; the strip is written, and the cursor goes up again.
    term.write_str(&format!("\r\x1b[J> {text}\n{strip}\x1b[A\r\x1b[{column}C"))
}

/// The end of a text that fits into so many columns.
fn end_of(text: &str, columns: usize) -> &str {
    let starts = text.char_indices().map(|(at, _)| at);
    let fits = |at: &usize| measure_text_width(&text[*at..]) <= columns;
    &text[starts.chain([text.len()]).find(fits).unwrap_or(text.len())..]
}

/// What comes after a key.
#[derive(Debug, PartialEq)]
enum After {
    On,
    Sent(String),
    End,
}

/// A correction that was made and can be taken back.
struct Mended {
    typed: String,
    word: String,
    /// The space or mark after it.
    after: char,
}

/// The line that is being typed.
struct Line<'m> {
    keyboard: Keyboard<&'m Model>,
    text: String,
    strip: Strip,
    /// The place of the marked word.
    marked: usize,
    mended: Option<Mended>,
    /// Forms whose correction was taken back.
    kept: HashSet<String>,
    /// Whether the space at the end came with a word that was taken.
    gave: bool,
    milliseconds: f64,
}

impl<'m> Line<'m> {
    fn new(keyboard: Keyboard<&'m Model>) -> Result<Self> {
        let mut line = Self {
            keyboard,
            text: String::new(),
            strip: Strip::default(),
            marked: 0,
            mended: None,
            kept: HashSet::new(),
            gave: false,
            milliseconds: 0.0,
        };
        line.refresh()?;
        Ok(line)
    }

    fn refresh(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.strip = self.keyboard.strip(&self.text, WORDS)?;
        self.milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        if self.kept.contains(&self.strip.typed) {
            self.strip.correction = None;
        }
        self.marked = 0;
        Ok(())
    }

    fn press(&mut self, key: Key) -> Result<After> {
        match key {
            Key::Escape | Key::CtrlC | Key::Char('\u{4}') => return Ok(After::End),
            Key::ArrowRight | Key::ArrowLeft => {
                let by = if key == Key::ArrowRight { 1 } else { WORDS - 1 };
                self.marked = (self.marked + by) % self.strip.words.len().max(1);
                return Ok(After::On);
            }
            Key::Enter => return self.send(),
            Key::Tab => self.take(),
            Key::Backspace => self.erase(),
            Key::Char(letter) if !letter.is_control() => self.put(letter),
            _ => return Ok(After::On),
        }
        self.refresh()?;
        Ok(After::On)
    }

    fn put(&mut self, letter: char) {
        self.mended = None;
        let is_mark = matches!(letter, '.' | ',' | '!' | '?' | ';' | ':');
        if std::mem::take(&mut self.gave) && is_mark {
            // The mark belongs to the word, the space behind the mark.
            self.text.pop();
            self.text.extend([letter, ' ']);
            return;
        }
        if is_mark || letter == ' ' {
            self.mend(letter);
        }
        self.text.push(letter);
    }

    /// Puts the correction, if there is one, in the place of what is typed.
    fn mend(&mut self, after: char) {
        let Some(Correction { word, .. }) = self.strip.correction.take() else { return };
        let typed = std::mem::take(&mut self.strip.typed);
        self.text.truncate(self.text.len() - typed.len());
        self.text.push_str(&word);
        self.mended = Some(Mended { typed, word, after });
    }

    fn take(&mut self) {
        let Some(offer) = self.strip.words.get(self.marked) else { return };
        self.text.truncate(self.text.len() - self.strip.typed.len());
        self.text.push_str(&offer.word);
        self.text.push(' ');
        (self.gave, self.mended) = (true, None);
    }

    fn erase(&mut self) {
        self.gave = false;
        match self.mended.take() {
            Some(Mended { typed, word, after }) => {
                self.text.truncate(self.text.len() - word.len() - after.len_utf8());
                self.text.push_str(&typed);
                self.text.push(after);
                self.kept.insert(typed);
            }
            None => drop(self.text.pop()),
        }
    }

    fn send(&mut self) -> Result<After> {
        self.mend(' ');
        (self.gave, self.mended) = (false, None);
        let text = std::mem::take(&mut self.text);
        let text = text.trim_end();
        if !text.is_empty() {
            self.keyboard.learn(text)?;
        }
        self.refresh()?;
        Ok(if text.is_empty() { After::On } else { After::Sent(text.to_owned()) })
    }

    /// The strip as text: the marked word in reverse, a correction with an arrow, a word of the user with a dot.
    fn strip_text(&self) -> String {
        let mends = self.strip.correction.as_ref().map(|correction| &*correction.word);
        let words = self.strip.words.iter().enumerate().map(|(at, offer)| {
            let before = if mends == Some(&offer.word) { "→ " } else { "" };
            let after = if offer.is_own { " ·" } else { "" };
            let text = format!(" {before}{}{after} ", offer.word);
            if at == self.marked { style(text).reverse().to_string() } else { text }
        });
        let undo = self.mended.as_ref().map(|mended| format!(" ↩ {} ", mended.typed));
        let all: Vec<String> = undo.into_iter().chain(words).collect();
        let time = style(format!("{:.1} ms", self.milliseconds)).dim();
        format!("  {}   {time}", all.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/frontier/1mb.plm")).unwrap()
    }

    fn line(model: &Model) -> Line<'_> {
        Line::new(Keyboard::new(model, Personal::new()).unwrap()).unwrap()
    }

    fn type_in(line: &mut Line<'_>, text: &str) {
        for letter in text.chars() {
            assert_eq!(line.press(Key::Char(letter)).unwrap(), After::On);
        }
    }

    fn words<'l>(line: &'l Line<'_>) -> Vec<&'l str> {
        line.strip.words.iter().map(|offer| &*offer.word).collect()
    }

    #[test]
    fn words_are_taken_by_tab_and_marked_by_arrows() {
        let model = model();
        let mut line = line(&model);
        type_in(&mut line, "the company sa");
        assert_eq!(words(&line), ["said", "says", "say"]);
        for key in [Key::ArrowRight, Key::ArrowRight, Key::ArrowRight, Key::ArrowLeft, Key::Tab] {
            line.press(key).unwrap();
        }
        assert_eq!(line.text, "the company say ");
        type_in(&mut line, ",");
        assert_eq!(line.text, "the company say, ");
        assert!(line.strip_text().contains(" ms"));
    }

    #[test]
    fn a_slip_is_mended_at_the_space_and_taken_back_for_good() {
        let model = model();
        let mut line = line(&model);
        type_in(&mut line, "we are not sure abuot");
        assert!(line.strip_text().contains("→ about"));
        type_in(&mut line, " ");
        assert_eq!(line.text, "we are not sure about ");
        assert!(line.strip_text().contains("↩ abuot"));
        line.press(Key::Backspace).unwrap();
        assert_eq!(line.text, "we are not sure abuot ");
        type_in(&mut line, "not sure abuot ");
        assert_eq!(line.text, "we are not sure abuot not sure abuot ");
        line.press(Key::Backspace).unwrap();
        assert_eq!(line.text, "we are not sure abuot not sure abuot");
    }

    #[test]
    fn a_line_that_is_sent_is_learnt() {
        let model = model();
        let mut line = line(&model);
        assert_eq!(line.press(Key::Enter).unwrap(), After::On);
        type_in(&mut line, "see Zsuzsi and Zsuzsi ");
        let sent = After::Sent("see Zsuzsi and Zsuzsi".into());
        assert_eq!(line.press(Key::Enter).unwrap(), sent);
        type_in(&mut line, "see Zs");
        assert_eq!(words(&line)[0], "Zsuzsi");
        for (key, after) in [(Key::Home, After::On), (Key::CtrlC, After::End)] {
            assert_eq!(line.press(key).unwrap(), after);
        }
    }

    #[test]
    fn any_keys_do_no_harm() {
        let model = model();
        let mut line = line(&model);
        let keys = [Key::Tab, Key::Backspace, Key::ArrowLeft, Key::Enter, Key::Unknown, Key::Del];
        let mut seed = 1_u32;
        for _ in 0..2000 {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12345);
            let at = (seed >> 16) as usize;
            let letter = "eatoin shr,.'é文😀\t\u{7}".chars().nth(at % 18).unwrap();
            let key = keys.get(at % 40).cloned().unwrap_or(Key::Char(letter));
            line.press(key).unwrap();
        }
    }

    #[test]
    fn the_end_of_a_long_line_is_shown() {
        assert_eq!(end_of("abc", 5), "abc");
        assert_eq!(end_of("abcdef", 4), "cdef");
        assert_eq!(end_of("文文文", 4), "文文");
        assert_eq!(end_of("", 4), "");
    }
}
