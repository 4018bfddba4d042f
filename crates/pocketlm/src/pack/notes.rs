//! What a file says of its model besides the model.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::format::container::write as container;
use crate::format::{Perplexity, Provenance};

/// Where a model comes from, and how good it is: stored in the file for those who ask.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notes {
    /// The recipe that made the model, any text.
    pub recipe: String,
    /// Where the model comes from.
    pub provenance: Provenance,
    /// Perplexities that were measured on the packed model, all finite.
    pub perplexity: Vec<Perplexity>,
}

impl Notes {
    /// The metadata, but for the checksum: `model` is what describes the model, then come types, `<eos>` and
    /// `<unk>`, whether words are marked as names, and the notes.
    pub(crate) fn metadata(
        &self,
        model: Vec<(&'static str, String)>,
        (types, eos, unk): (usize, u32, Option<u32>),
        has_names: bool,
    ) -> Vec<(&'static str, String)> {
        let unk = unk.map_or("null".to_string(), |unk| unk.to_string());
        let names = if has_names { ",\"names\":\"vocabulary.names\"" } else { "" };
        let vocabulary = format!(
            "{{\"types\":{types},\"eos\":{eos},\"unk\":{unk},\"text\":\"vocabulary.text\",\
             \"blocks\":\"vocabulary.blocks\"{names}}}"
        );
        let Provenance { training_data, tool, licence } = &self.provenance;
        let provenance = container::object(&[
            ("training_data", training_data),
            ("tool", tool),
            ("licence", licence),
        ]);
        let perplexity = self.perplexity.iter().map(|Perplexity { data, tokens, value }| {
            let mut text = String::from("{\"data\":");
            crate::json::write_string(&mut text, data);
            text + &format!(",\"tokens\":{tokens},\"value\":{value}}}")
        });
        let perplexity: Vec<_> = perplexity.collect();
        let mut fields = vec![
            ("format", "pocketlm".into()),
            ("format_version", crate::format::PLAIN_VERSION.to_string()),
        ];
        fields.extend(model);
        fields.extend([
            ("vocabulary", vocabulary),
            ("recipe", self.recipe.clone()),
            ("provenance", provenance),
            ("perplexity", format!("[{}]", perplexity.join(","))),
        ]);
        fields
    }
}
