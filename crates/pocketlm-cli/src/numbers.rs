//! Numbers of the command line, with their limits.

use std::time::Duration;

/// Most minutes and seconds that can be asked for: a thousand years.
const MOST_SECONDS: f64 = 3.2e10;

fn duration(text: &str, unit: f64, name: &str) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|number| (0.0..=MOST_SECONDS / unit).contains(number));
    let most = MOST_SECONDS / unit;
    let number: f64 =
        number.ok_or_else(|| format!("give a number of {name} from 0 to {most:e}"))?;
    Ok(Duration::from_secs_f64(number * unit))
}

/// A number of minutes.
pub fn minutes(text: &str) -> Result<Duration, String> {
    duration(text, 60.0, "minutes")
}

/// A number of seconds, more than none.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = duration(text, 1.0, "seconds")?;
    if seconds.is_zero() { Err("give more than 0".to_owned()) } else { Ok(seconds) }
}

/// How many threads: up to as many as a machine may have use for.
pub fn threads(text: &str) -> Result<usize, String> {
    up_to(1024, text)
}

/// How many texts at once.
pub fn texts(text: &str) -> Result<usize, String> {
    up_to(65_536, text)
}

/// How many suggestions.
pub fn suggestions(text: &str) -> Result<usize, String> {
    up_to(1_000_000, text)
}

/// How many of anything else.
pub fn count(text: &str) -> Result<usize, String> {
    up_to(usize::MAX, text)
}

fn up_to(most: usize, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("give a whole number from 1 to {most}"))
}
