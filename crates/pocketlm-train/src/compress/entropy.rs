//! Entropy coding of the packed file: fewer bytes to send and to keep, the same model to the bit.
//!
//! Static range coding (rANS; Duda 2014) of every array that shrinks by it: `docs/format.md`, section 14. Han, Mao &
//! Dally, *Deep compression* (2016) end with such a step, with Huffman codes.

use super::context::{Apply, Context};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::recipe::Entropy;

impl Apply for Entropy {
    fn apply(&self, model: &mut Checkpoint, _: &Context) -> Result<()> {
        model.config.forms.entropy = true;
        Ok(())
    }
}
