//! Parameters and optimiser that stay on a device between two saves.

use super::accelerator::Buffer;
use super::kernels::Kernels;
use super::twin::{Twin, copy};
use crate::error::Result;
use crate::linear::Parameters;
use crate::train::optimizer::Optimizer;

/// Sums of squares that are brought back.
const SUMS: usize = 1024;

/// What is held beside the weights, which are the parameters then.
pub struct Held {
    /// Adam's, as long as the parameters.
    moments: Option<[Buffer; 2]>,
    sums: Buffer,
}

impl Twin {
    /// Keeps the parameters and the moments of their optimiser on the device from now on, where they are not held there
    /// already: windows are trained without sending weights, and [`norm`](Self::norm) and [`update`](Self::update) do
    /// what is done between them. [`fetch`](Self::fetch) brings them back; sending weights ends it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn hold(&mut self, parameters: &Parameters, optimizer: &Optimizer) -> Result<()> {
        if self.held.is_some() {
            return Ok(());
        }
        let send = |to: &Buffer, from: &[f32]| {
            self.device.upload(to.all(), &mut |numbers| copy(numbers, from))
        };
        send(&self.weights, &parameters.data)?;
        let buffer = |length| Buffer::new(&self.device, length);
        let moments = match &optimizer.moments {
            Some((first, second)) => {
                let buffers = [buffer(first.len())?, buffer(second.len())?];
                send(&buffers[0], first)?;
                send(&buffers[1], second)?;
                Some(buffers)
            }
            None => None,
        };
        self.held = Some(Held { moments, sums: buffer(SUMS)? });
        Ok(())
    }

    /// Euclidean norm of the gradient of the last window.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When nothing is held, as [`update`](Self::update) does.
    pub fn norm(&self) -> Result<f64> {
        let held = self.held.as_ref().expect("parameters are held");
        Kernels(&*self.device).squares(held.sums.all(), self.gradient.all())?;
        let mut norm = 0.0;
        self.device.download(held.sums.all(), &mut |sums| {
            norm = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>().sqrt();
        })?;
        Ok(norm)
    }

    /// [`Optimizer::update`] of the parameters that are held, by the gradient of the last window.
    ///
    /// # Errors
    /// When the device fails.
    pub fn update(&mut self, optimizer: &mut Optimizer, scale: f64, lr: f64) -> Result<()> {
        let held = self.held.as_ref().expect("parameters are held");
        let moments = held.moments.as_ref().map(|[first, second]| [first.all(), second.all()]);
        let (numbers, rule) =
            ((self.weights.all(), self.gradient.all()), optimizer.rule(scale, lr));
        Kernels(&*self.device).update(&rule, numbers, moments)
    }

    /// Brings back the parameters and the moments that are held, if any are.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fetch(&self, parameters: &mut Parameters, optimizer: &mut Optimizer) -> Result<()> {
        let Some(held) = &self.held else { return Ok(()) };
        let fetch = |from: &Buffer, to: &mut [f32]| {
            self.device.download(from.all(), &mut |numbers| copy(to, numbers))
        };
        fetch(&self.weights, &mut parameters.data)?;
        if let (Some([first, second]), Some(to)) = (&held.moments, &mut optimizer.moments) {
            fetch(first, &mut to.0)?;
            fetch(second, &mut to.1)?;
        }
        Ok(())
    }
}
