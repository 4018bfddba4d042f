//! How a training shows that it is alive: a bar, plain lines, JSON lines, or nothing.

use std::io::IsTerminal;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use pocketlm_train::train::Event;

/// What to show on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A bar, redrawn.
    Bar,
    /// A line for each epoch.
    Plain,
    /// Every epoch's event as a JSON line.
    Json,
    /// Nothing.
    None,
}

impl Mode {
    /// A bar on a terminal, plain lines elsewhere.
    pub fn default_for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Bar } else { Self::Plain }
    }
}

/// Shows the events of a training.
pub struct Progress {
    mode: Mode,
    bar: ProgressBar,
    first: Option<(u64, f64)>,
}

const PARTS: f64 = 1000.0;

impl Progress {
    /// For a training of `epochs` epochs.
    pub fn new(mode: Mode, epochs: usize) -> Self {
        let bar = if mode == Mode::Bar {
            ProgressBar::new((epochs as f64 * PARTS) as u64)
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{bar:24} {msg}, {eta} left");
        bar.set_style(style.expect("the template is right"));
        Self { mode, bar, first: None }
    }

    /// Shows which share of the text teachers have been asked about.
    pub fn ask(&self, share: f64) {
        self.bar.set_message(format!("asking the teachers: {:.0} %", 100.0 * share));
    }

    /// Shows one event.
    pub fn observe(&mut self, event: &Event) {
        let (tokens, seconds) = *self.first.get_or_insert((event.tokens, event.seconds));
        let speed = (event.tokens - tokens) as f64 / (event.seconds - seconds).max(1e-9);
        let text = format!(
            "epoch {}/{}: {} perplexity {:.2}, {:.0} tokens/s, learning rate {:.4}",
            event.epoch, event.epochs, event.split, event.perplexity, speed, event.lr
        );
        match (self.mode, event.best) {
            (Mode::Bar, best) => {
                if best.is_some() {
                    self.bar.println(&text);
                }
                let done = (event.epoch as f64 - 1.0 + event.fraction) * PARTS;
                self.bar.set_position(done as u64);
                self.bar.set_message(text);
            }
            (Mode::Plain, Some(_)) => note!("{text}, {:.0} s", event.seconds),
            (Mode::Json, Some(_)) => {
                note!("{}", serde_json::to_string(event).expect("an event is JSON"));
            }
            _ => {}
        }
    }
}

/// A line on standard error for the end of an epoch of a training within a larger work.
pub fn show_epoch(event: &Event) {
    if let Some(line) = epoch_line(event) {
        note!("{line}");
    }
}

/// What [`show_epoch`] says of an event, if it is the end of an epoch.
pub fn epoch_line(event: &Event) -> Option<String> {
    event.best?;
    let remaining = (event.epochs - event.epoch) as f64;
    let minutes = event.seconds / event.epoch as f64 * remaining / 60.0;
    let left = if remaining > 0.0 { format!(", {minutes:.0} min left") } else { String::new() };
    Some(format!(
        "  epoch {}/{}: {} perplexity {:.2}, learning rate {:.4}, {:.0} s{left}",
        event.epoch, event.epochs, event.split, event.perplexity, event.lr, event.seconds
    ))
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
