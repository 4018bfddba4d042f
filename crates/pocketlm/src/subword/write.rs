//! What a file holds of a tokenizer: `docs/format.md`, section 16.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::bytes;

use super::open::SMALL;
use super::{Rules, Tokenizer};
use crate::format::container::Dtype;
use crate::format::container::write::Leaf;

/// The entry of the metadata, and the arrays.
pub(crate) fn parts(tokenizer: &Tokenizer) -> (String, Vec<Leaf>) {
    let algorithm = tokenizer.algorithm().name();
    let start = format!("{{\"algorithm\":\"{algorithm}\",\"control\":{:?}", tokenizer.control());
    match tokenizer.rules() {
        Rules::ByteLevel { merges, prefix_space } => {
            let entry =
                format!("{start},\"prefix_space\":{prefix_space},\"merges\":\"subwords.merges\"}}");
            (entry, vec![pairs(merges, tokenizer.types())])
        }
        Rules::Bpe(rules) | Rules::Unigram(rules) => {
            let charsmap =
                if rules.charsmap.is_empty() { "" } else { ",\"charsmap\":\"subwords.charsmap\"" };
            let entry = format!(
                "{start},\"user\":{:?},\"byte_fallback\":{},\"prefix_space\":{},\"single_spaces\":{},\
                 \"scores\":\"subwords.scores\"{charsmap}}}",
                rules.user, rules.byte_fallback, rules.prefix_space, rules.single_spaces
            );
            let mut leaves =
                vec![Leaf::f32("subwords.scores", &[rules.scores.len()], &rules.scores)];
            if !rules.charsmap.is_empty() {
                let shape = [rules.charsmap.len()];
                leaves.push(Leaf::new(
                    "subwords.charsmap",
                    Dtype::U8,
                    &shape,
                    rules.charsmap.clone(),
                ));
            }
            (entry, leaves)
        }
    }
}

fn pairs(merges: &[[u32; 2]], types: usize) -> Leaf {
    let shape = [merges.len(), 2];
    let ids = merges.as_flattened();
    if types <= SMALL {
        let small = ids.iter().flat_map(|&id| (id as u16).to_le_bytes()).collect();
        return Leaf::new("subwords.merges", Dtype::U16, &shape, small);
    }
    Leaf::new("subwords.merges", Dtype::U32, &shape, bytes::of_u32(ids).to_vec())
}
