//! Where a figure was measured: commit, processor, threads.

use serde::Serialize;

/// Stored beside every figure.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Commit that the program was built from, `+changes` if the tree differed from it.
    pub commit: &'static str,
    /// Processor model.
    pub cpu: String,
    /// Processors of the machine.
    pub cores: usize,
    /// Threads used.
    pub threads: usize,
    /// Operating system and architecture.
    pub platform: String,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        Self {
            commit: env!("POCKETLM_COMMIT"),
            cpu: cpu().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            threads: rayon::current_num_threads(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

/// The model's name, with family, model and stepping, since virtual machines give vague names.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line =
            text.lines().find(|line| line.split(':').next().is_some_and(|k| k.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let (family, model) = (field("cpu family")?, field("model")?);
    Some(format!("{} (family {family}, model {model})", field("model name")?))
}

/// Greatest resident memory of this process so far, in bytes.
pub fn peak_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
