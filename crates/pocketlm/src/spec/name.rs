//! The names of matrices and biases.

use core::fmt::{self, Display, Formatter};
use core::str::FromStr;

use crate::error::{Error, Result};

/// The name of a matrix, bias or gain of a recurrent model. It is written and read as files and recipes have it:
/// `cell.0.input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatrixName {
    /// `embedding`: a row for each type.
    Embedding,
    /// `cell.k.…`: a part of layer k, from the input up.
    Cell(usize, Part),
    /// `projection`: from what the last layer gives to what the output layer takes.
    Projection,
    /// `softmax`: a row for each type.
    Softmax,
    /// `softmax.bias`: a number for each type.
    SoftmaxBias,
}

/// What a layer of cells consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `input`: what the gates take of the layer's input.
    Input,
    /// `recurrent`: what they take of what the layer gave before.
    Recurrent,
    /// `projection`: from the units to what the layer gives.
    Projection,
    /// `mogrifier.j`: round j in which input and state gate each other.
    Mogrifier(usize),
    /// `bias` of the gates.
    Bias,
    /// `gain`: what the normalised gates are multiplied by.
    Gain,
}

impl MatrixName {
    /// Whether it has a row for each type.
    #[must_use]
    pub fn is_by_word(self) -> bool {
        matches!(self, Self::Embedding | Self::Softmax | Self::SoftmaxBias)
    }
}

impl Display for MatrixName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => f.write_str("embedding"),
            Self::Cell(layer, part) => write!(f, "cell.{layer}.{part}"),
            Self::Projection => f.write_str("projection"),
            Self::Softmax => f.write_str("softmax"),
            Self::SoftmaxBias => f.write_str("softmax.bias"),
        }
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("input"),
            Self::Recurrent => f.write_str("recurrent"),
            Self::Projection => f.write_str("projection"),
            Self::Mogrifier(round) => write!(f, "mogrifier.{round}"),
            Self::Bias => f.write_str("bias"),
            Self::Gain => f.write_str("gain"),
        }
    }
}

impl FromStr for MatrixName {
    type Err = Error;

    /// # Errors
    /// [`Error::Matrix`] if no model has a matrix or bias of this name.
    fn from_str(name: &str) -> Result<Self> {
        read(name).ok_or_else(|| Error::matrix(name, "is no matrix or bias of any model"))
    }
}

fn read(name: &str) -> Option<MatrixName> {
    Some(match name {
        "embedding" => MatrixName::Embedding,
        "projection" => MatrixName::Projection,
        "softmax" => MatrixName::Softmax,
        "softmax.bias" => MatrixName::SoftmaxBias,
        _ => {
            let (layer, part) = name.strip_prefix("cell.")?.split_once('.')?;
            MatrixName::Cell(count(layer)?, read_part(part)?)
        }
    })
}

fn read_part(part: &str) -> Option<Part> {
    Some(match part {
        "input" => Part::Input,
        "recurrent" => Part::Recurrent,
        "projection" => Part::Projection,
        "bias" => Part::Bias,
        "gain" => Part::Gain,
        _ => Part::Mogrifier(count(part.strip_prefix("mogrifier.")?)?),
    })
}

/// A count as it is written: no sign, no zeros in front, so that no two names are one.
fn count(text: &str) -> Option<usize> {
    let is_plain = text == "0" || text.starts_with(|first| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_read_as_they_are_written() {
        let parts = [
            Part::Input,
            Part::Recurrent,
            Part::Projection,
            Part::Mogrifier(12),
            Part::Bias,
            Part::Gain,
        ];
        let cells = parts.map(|part| MatrixName::Cell(10, part));
        let others = [
            MatrixName::Embedding,
            MatrixName::Projection,
            MatrixName::Softmax,
            MatrixName::SoftmaxBias,
        ];
        for name in cells.into_iter().chain(others) {
            assert_eq!(name.to_string().parse::<MatrixName>().unwrap(), name);
        }
    }

    #[test]
    fn nothing_else_is_a_name() {
        for text in [
            "",
            "cell",
            "cell.0",
            "cell.00.input",
            "cell.+1.bias",
            "cell.1.mogrifier",
            "cell..input",
            "softmax.left",
            "cell.0.mogrifier.01",
            "cell.99999999999999999999.bias",
        ] {
            assert!(text.parse::<MatrixName>().is_err(), "{text}");
        }
    }
}
