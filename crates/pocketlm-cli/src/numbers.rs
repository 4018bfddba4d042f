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

/// A number of bytes: `500000`, `500kB`, `1.5MB`, `1MiB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        _ => return Err("give bytes, or a unit of kB, MB, GB, KiB or MiB: 500kB".to_owned()),
    };
    let number: Option<f64> = number.parse().ok().map(|number: f64| number * unit);
    let fits = number.filter(|bytes| (1.0..=1e15).contains(bytes));
    fits.map(|bytes| bytes as usize).ok_or_else(|| "give a size above 0: 500kB, 1.5MB".to_owned())
}

/// A time as microseconds: `200us`, `0.2ms`, `1s`.
pub fn micros(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "us" | "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return Err("give a time with its unit: 200us, 0.2ms".to_owned()),
    };
    let number: Option<f64> = number.parse().ok().map(|number: f64| number * unit);
    let fits = number.filter(|micros| (1e-3..=1e12).contains(micros));
    fits.ok_or_else(|| "give a time above 0: 200us, 0.2ms".to_owned())
}

fn up_to(most: usize, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("give a whole number from 1 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::{bytes, micros};

    #[test]
    fn times_have_a_unit() {
        assert_eq!([micros("200us"), micros("0.25 ms"), micros("1s")], [200.0, 250.0, 1e6].map(Ok));
        for text in ["200", "", "0us", "-1us", "us", "1 h", "nanus"] {
            assert!(micros(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_the_usual_units() {
        let cases =
            [("500000", 500_000), ("500kB", 500_000), ("1.5 MB", 1_500_000), ("1MiB", 1 << 20)];
        for (text, want) in cases {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for text in ["", "0", "MB", "1 XB", "-1", "1e3", "nan", "1.2.3kB", "99999999999 GB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
