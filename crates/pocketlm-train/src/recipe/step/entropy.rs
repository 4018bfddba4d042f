//! Entropy coding of the packed file: fewer bytes to send and to keep, the same model to the bit.
//!
//! Static range coding (rANS; Duda 2014) of every array that shrinks by it: `docs/format.md`, section 14. Han, Mao &
//! Dally, *Deep compression* (2016) end with such a step, with Huffman codes.

use serde::{Deserialize, Serialize};

use super::declare::Declare;
use crate::error::Result;
use crate::recipe::outline::Outline;

/// Packs the model entropy-coded. It has no keys, and its place among the steps does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entropy {}

impl Declare for Entropy {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        outline.forms.entropy = true;
        Ok(())
    }
}
