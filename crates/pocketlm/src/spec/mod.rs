//! What a model is, in words that files, the runtime, the writer and the trainer share: cells, units, precisions,
//! sparsities, structures, the names of matrices, and the configuration from which their shapes follow.
//!
//! Each of them is said here and nowhere else. Everything but what reads and writes text works with these types.

mod cell;
mod configuration;
mod name;
mod precision;
mod sparsity;
mod structure;
mod unit;

pub use cell::CellKind;
pub use configuration::{Configuration, Expected};
pub use name::{MatrixName, Part};
pub use precision::{Kernels, Precision};
pub use sparsity::Sparsity;
pub use structure::Structure;
pub use unit::{Case, Unit};

/// An enumeration whose values have names in files and recipes.
macro_rules! named {
    ($(#[$about:meta])* $type:ident { $($(#[$doc:meta])* $value:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $($(#[$doc])* $value,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$value),*];

            /// Its name in files and recipes.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $name),*
                }
            }

            /// What has this name, if something has.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$value),)*
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Name;
                impl serde::de::Visitor<'_> for Name {
                    type Value = $type;

                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str("a name")
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$type, E> {
                        let unknown = || E::unknown_variant(name, &[$($name),*]);
                        $type::from_name(name).ok_or_else(unknown)
                    }
                }
                from.deserialize_str(Name)
            }
        }
    };
}
use named;
