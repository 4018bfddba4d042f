//! Training on a GPU: the twin of [`Network`](crate::network::Network) on a device.
//!
//! A window is the seam. Before it the host sends weights, tokens, masks and state, after it the gradient of the dense
//! matrices, the losses and the state come back; whatever makes the weights and uses the gradient (matrix forms,
//! clipping, optimiser, means) stays where it is. The host draws the masks, so a training sees the same noise on either
//! device, and its checkpoint goes on on either.
//!
//! Where nothing but the optimiser stands between a gradient and the next weights, both stay on the device between two
//! saves ([`Twin::hold`]): sending them would take as long as the window.
//!
//! What talks to the GPU is the feature `cuda`; the driver, cuBLAS and NVRTC are found when they are asked for, so none
//! is needed to build it. The kernels
//! are one text, `kernels.cu`, which NVRTC compiles then. The operations of a window are noted as a graph when its
//! shape comes again, since there are hundreds of small ones.

#![cfg_attr(
    not(feature = "cuda"),
    allow(dead_code, reason = "what is compiled for the emulator of the tests alone")
)]

mod accelerator;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(test)]
mod emulator;
mod held;
mod kernels;
mod pass;
mod plan;
mod room;
#[cfg(test)]
mod tests;
mod twin;

use std::fmt;
use std::str::FromStr;

pub use self::twin::{Tokens, Twin};

/// What a training runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first GPU that the NVIDIA driver shows.
    Cuda {
        /// Whether products may round their factors to 10 bits of mantissa (TF32), which is faster.
        tf32: bool,
    },
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda { tf32: false } => "cuda",
            Self::Cuda { tf32: true } => "cuda-tf32",
        })
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda { tf32: false }),
            "cuda-tf32" => Ok(Self::Cuda { tf32: true }),
            _ => Err("there are cpu, cuda and cuda-tf32".to_owned()),
        }
    }
}
