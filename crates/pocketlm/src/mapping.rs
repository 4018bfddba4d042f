//! Memory-mapped files: the only unsafe code of this crate.
#![allow(unsafe_code)]

use alloc::string::ToString;
use core::ops::Deref;
use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};

/// A file mapped read-only; page-aligned, so more than 64-byte aligned.
#[derive(Debug)]
pub(crate) struct Mapping(memmap2::Mmap);

impl Mapping {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fault = |error: std::io::Error| Error::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let file = File::open(path).map_err(fault)?;
        // SAFETY: the mapping is read-only and shared. Nobody may shorten or rewrite the file while
        // it is open: pocketlm itself always writes a new file and renames it over the old one,
        // and `Model::open` asks the same of others in its documentation.
        let map = unsafe { memmap2::MmapOptions::new().map(&file) }.map_err(fault)?;
        // A file of many megabytes in pages of 4 KB has more of them than the processor keeps addresses of, and every
        // one is a fault at opening. A system that cannot or will not give larger ones reads the file as ever.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self(map))
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
