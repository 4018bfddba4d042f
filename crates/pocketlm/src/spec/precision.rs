//! How many bits each number of a matrix has, and what takes them: the registry of precisions.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use pocketlm_kernels::grouped::Code;

use super::named;

/// What multiplies by the numbers of a precision. From it follow the arrays in which they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// [`float32`](pocketlm_kernels::float32): the numbers themselves.
    Float32,
    /// [`float16`](pocketlm_kernels::float16): the same.
    Float16,
    /// [`int8`](pocketlm_kernels::int8): bytes, and a scale of 4 bytes for each row.
    Int8,
    /// [`grouped`](pocketlm_kernels::grouped): codes of a few bits, and a scale of 2 bytes for each row and group of
    /// columns; for a codebook also its levels.
    Codes(Code),
    /// The same, for each of so many planes of one bit, whose products are added.
    Planes(usize),
    /// [`float16`](pocketlm_kernels::float16): for every so many columns of a row the number of one of 256 vectors, and
    /// these vectors.
    Vectors(usize),
}

/// A precision for each line: its name, and its kernels.
macro_rules! precisions {
    ($($(#[$doc:meta])* $value:ident = $name:literal, $kernels:expr;)*) => {
        named! {
            /// How many bits each number of a matrix has.
            Precision {
                $($(#[$doc])* $value = $name,)*
            }
        }

        impl Precision {
            /// What multiplies by its numbers.
            #[must_use]
            pub const fn kernels(self) -> Kernels {
                match self {
                    $(Self::$value => $kernels),*
                }
            }
        }
    };
}

precisions! {
    /// 4 bytes.
    F32 = "f32", Kernels::Float32;
    /// 2 bytes.
    F16 = "f16", Kernels::Float16;
    /// 1 byte, and a scale of 4 bytes for each row.
    Int8 = "int8", Kernels::Int8;
    /// 5 bits, and a scale of 2 bytes for each row and group of 64 columns.
    Int5 = "int5", Kernels::Codes(Code::Int5);
    /// Half a byte, and scales as int5.
    Int4 = "int4", Kernels::Codes(Code::Int4);
    /// Sixteen levels of the matrix's own, found by k-means: half a byte, and scales as int5.
    Codebook = "codebook", Kernels::Codes(Code::Codebook);
    /// 3 bits, and scales as int5.
    Int3 = "int3", Kernels::Codes(Code::Int3);
    /// 2 bits (−3, −1, 1, 3), and scales as int5.
    Int2 = "int2", Kernels::Codes(Code::Int2);
    /// −1, 0 or 1 in 2 bits, and scales as int5.
    Ternary = "ternary", Kernels::Codes(Code::Ternary);
    /// A sum of three scaled signs: 3 bits, and three scales of 2 bytes for each row and group of 128 columns.
    Binary3 = "binary3", Kernels::Planes(3);
    /// A sum of two scaled signs: 2 bits, and two such scales.
    Binary2 = "binary2", Kernels::Planes(2);
    /// One of 256 vectors for every 4 columns of a row: 2 bits, and 512 bytes a column for the vectors.
    Product4 = "product4", Kernels::Vectors(4);
    /// One for every 8 columns: 1 bit, and the same.
    Product8 = "product8", Kernels::Vectors(8);
}

impl Precision {
    /// Bits of each number, scales and the like not counted.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self.kernels() {
            Kernels::Float32 => 32,
            Kernels::Float16 => 16,
            Kernels::Int8 => 8,
            Kernels::Codes(code) => code.bits(),
            Kernels::Planes(count) => count,
            Kernels::Vectors(width) => 8 / width,
        }
    }

    /// What the names of its arrays have after the matrix's, in the order in which a description lists them.
    #[must_use]
    pub const fn arrays(self) -> &'static [&'static str] {
        match self.kernels() {
            Kernels::Float32 | Kernels::Float16 => &[""],
            Kernels::Codes(Code::Codebook) => &["", ".scales", ".levels"],
            Kernels::Int8 | Kernels::Codes(_) | Kernels::Planes(_) => &["", ".scales"],
            Kernels::Vectors(_) => &["", ".centroids"],
        }
    }

    /// Columns that share a scale where some of a row do: as many as pocketlm writes, files may have others.
    #[must_use]
    pub const fn group(self) -> Option<usize> {
        match self.kernels() {
            Kernels::Codes(code) => Some(code.usual_group()),
            Kernels::Planes(_) => Some(Code::Binary.usual_group()),
            Kernels::Float32 | Kernels::Float16 | Kernels::Int8 | Kernels::Vectors(_) => None,
        }
    }

    /// The code of a precision whose numbers are evenly spaced multiples of a scale for each group of columns.
    #[must_use]
    pub const fn even_code(self) -> Option<Code> {
        match self.kernels() {
            Kernels::Codes(code) if code.steps().is_some() => Some(code),
            _ => None,
        }
    }

    /// Whether its numbers are whole multiples of scales that can be chosen freely: int8 and the
    /// [even codes](Self::even_code). Rounding to one of them can be compensated, and its scales can be learned.
    #[must_use]
    pub const fn takes_scales(self) -> bool {
        matches!(self.kernels(), Kernels::Int8) || self.even_code().is_some()
    }

    /// The names of those that `is_meant` takes, for messages: `f32, f16 or int8`.
    #[must_use]
    pub fn list(is_meant: fn(Self) -> bool) -> String {
        let all = Self::ALL.into_iter().filter(|&precision| is_meant(precision));
        let names: Vec<_> = all.map(Self::name).collect();
        match names.split_last() {
            Some((last, [])) => String::from(*last),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    /// Whether its products are exact in whole numbers, the same on every machine.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        matches!(self.kernels(), Kernels::Int8 | Kernels::Codes(_) | Kernels::Planes(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_its_own() {
        for precision in Precision::ALL {
            assert_eq!(Precision::from_name(precision.name()), Some(precision));
        }
        assert_eq!(Precision::from_name("int9"), None);
    }
}
