//! The JSON of a configuration.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::json::Value;
use crate::spec::{CellKind, Configuration, Unit};

impl Configuration {
    /// The configuration as JSON, as it stands in a packed model's metadata.
    #[must_use]
    pub fn to_json(&self) -> String {
        let hidden: Vec<_> = self.hidden.iter().map(|width| format!("{width}")).collect();
        let layer_norm = if self.layer_norm { ",\"layer_norm\":true" } else { "" };
        let mogrifier = match self.mogrifier {
            0 => String::new(),
            rounds => format!(",\"mogrifier\":{rounds}"),
        };
        format!(
            "{{\"cell\":\"{}\",\"embedding\":{},\"hidden\":[{}],\"cell_projection\":{},\
             \"projection\":{},\"tied\":{},\"unit\":\"{}\"{layer_norm}{mogrifier}}}",
            self.cell.name(),
            self.embedding,
            hidden.join(","),
            self.cell_projection,
            self.projection,
            self.tied,
            self.unit.name(),
        )
    }

    /// Reads it from there.
    pub(crate) fn from_json(value: &Value<'_>) -> Result<Self> {
        let fault = |field: &str| {
            Error::metadata(format!("configuration.{field}"), "is missing or of the wrong kind")
        };
        let count = |field| value.get(field).and_then(Value::number).ok_or_else(|| fault(field));
        let text = |field| value.get(field).and_then(Value::string);
        let hidden = value
            .get("hidden")
            .and_then(Value::array)
            .map(|widths| widths.iter().map(Value::number).collect::<Option<Vec<_>>>());
        let configuration = Self {
            cell: text("cell").and_then(CellKind::from_name).ok_or_else(|| fault("cell"))?,
            embedding: count("embedding")?,
            hidden: hidden.flatten().ok_or_else(|| fault("hidden"))?,
            cell_projection: count("cell_projection")?,
            projection: count("projection")?,
            tied: value.get("tied").and_then(Value::bool).ok_or_else(|| fault("tied"))?,
            unit: text("unit").and_then(Unit::from_name).ok_or_else(|| fault("unit"))?,
            layer_norm: match value.get("layer_norm") {
                None => false,
                Some(flag) => flag.bool().ok_or_else(|| fault("layer_norm"))?,
            },
            mogrifier: match value.get("mogrifier") {
                None => 0,
                Some(rounds) => rounds.number().ok_or_else(|| fault("mogrifier"))?,
            },
        };
        configuration.check()?;
        Ok(configuration)
    }
}
