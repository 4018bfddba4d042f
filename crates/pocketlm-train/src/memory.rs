//! Refuses what no machine like this one can hold, before it is asked for.

use crate::error::{Error, Result};

/// Taken for the memory of a machine that does not say how much it has.
const UNKNOWN: u128 = 1 << 40;

/// Checks that `bytes` of memory can be had for what `field` decides.
///
/// # Errors
/// [`Error::Config`] naming `field`, with both sizes.
pub fn check(field: &str, what: &str, bytes: u128) -> Result<()> {
    let memory = total().unwrap_or(UNKNOWN);
    if bytes <= memory && is_to_be_had(bytes) {
        return Ok(());
    }
    let (needed, memory) = (size(bytes), size(memory));
    let what = format!(
        "makes {what} of {needed}, which this process cannot have: the machine has {memory} of memory"
    );
    Err(Error::config(field, what))
}

/// Whether the system gives so much memory to this process, which may be less than the machine has. Nothing of it is
/// touched.
fn is_to_be_had(bytes: u128) -> bool {
    let mut probe: Vec<u8> = Vec::new();
    usize::try_from(bytes).is_ok_and(|bytes| probe.try_reserve_exact(bytes).is_ok())
}

/// Bytes of memory of this machine, where it says so.
fn total() -> Option<u128> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u128 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// `1.5 GB`
fn size(bytes: u128) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_said_with_both_sizes() {
        check("model.hidden", "weights", 4096).unwrap();
        let message = check("model.hidden", "weights", 1 << 100).unwrap_err().to_string();
        assert!(message.starts_with("model.hidden makes weights of 1267650600"), "{message}");
        assert_eq!([size(999), size(1_500_000_000)], ["999 bytes", "1.5 GB"]);
    }
}
