//! N-gram models: interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998), pruned and quantised for the
//! device, and read from and written to ARPA files.
//!
//! A model is a [`Table`] of the runtime, whose ids are the ranks of the words. It is estimated as KenLM's `lmplz`
//! does (Heafield et al. 2013, *Scalable modified Kneser-Ney language model estimation*, section 3), with which it
//! shares these conventions:
//!
//! - Each line is a sentence of its own: its first words have the contexts `<s>`, `<s> w`, …, and what stands in the
//!   line before is no context. `<eos>` plays both parts: as a token it is `</s>`, as a context `<s>`.
//! - N-grams below the highest order are counted by how many different tokens stand before them, those that begin
//!   with `<s>` by how often they come.
//! - Single words are interpolated with the uniform distribution over the vocabulary, whose size is that of the
//!   closed vocabulary (`<eos>` and, if there is one, `<unk>` included, `<s>` not). `lmplz` always counts an `<unk>`
//!   of its own; here it is a type like any other, seen as often as the text has it.

pub mod arpa;
mod count;
mod discount;
mod estimate;
mod links;
pub mod mix;
mod prune;
mod quantise;

pub use discount::Discounts;
pub use estimate::{Estimate, Settings, estimate};
pub use links::{Off, renormalise};
pub use pocketlm::ngram::{MAX_ORDER, Order, Table};
pub use quantise::{quantise, round_each};
