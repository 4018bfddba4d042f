//! Serde for precisions and sparsities by their names.

/// Serde for types that have a name.
macro_rules! by_name {
    ($module:ident, $type:ty) => {
        pub(crate) mod $module {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub fn serialize<S: Serializer>(value: &$type, out: S) -> Result<S::Ok, S::Error> {
                out.serialize_str(value.name())
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                let name = String::deserialize(from)?;
                <$type>::from_name(&name).ok_or_else(|| {
                    let all: Vec<_> = <$type>::ALL.iter().map(|value| value.name()).collect();
                    D::Error::custom(format!("{name:?} is not one of {}", all.join(", ")))
                })
            }
        }
    };
}

by_name!(precision_name, pocketlm::pack::Precision);
by_name!(sparsity_name, pocketlm::pack::Sparsity);
