//! candle on one thread: all matrices Q8_0 (8 bits, one scale per 32 numbers of a row).
//!
//! `candle-peer quantise model.safetensors OUTPUT.gguf` writes the file, anything else is the
//! peers' protocol. Rows are padded with zeros to whole blocks, and a layer's two matrices stand side
//! by side, so that a step is one product.

#[path = "../../protocol.rs"]
mod protocol;

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;

use candle_core::quantized::gguf_file::{self, Content};
use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{D, Device, Module, Tensor};
use candle_nn::ops::{log_softmax, sigmoid};

use protocol::{Peer, Result};

const BLOCK: usize = 32;

struct Layer {
    weights: QMatMul,
    bias: Tensor,
    units: usize,
}

struct Candle {
    embedding: QTensor,
    layers: Vec<Layer>,
    softmax: QMatMul,
    softmax_bias: Tensor,
    /// h (padded) and c of each layer, both `[1, width]`.
    state: Vec<(Tensor, Tensor)>,
}

fn pad(tensor: &Tensor) -> candle_core::Result<Tensor> {
    let width = tensor.dim(D::Minus1)?;
    tensor.pad_with_zeros(D::Minus1, 0, width.next_multiple_of(BLOCK) - width)
}

fn quantise(input: &str, output: &str) -> Result<()> {
    let tensors = candle_core::safetensors::load(input, &Device::Cpu)?;
    let mut out: Vec<(String, QTensor)> = Vec::new();
    let mut add = |name: &str, tensor: &Tensor, kind| -> Result<()> {
        out.push((name.into(), QTensor::quantize(tensor, kind)?));
        Ok(())
    };
    for name in ["embedding", "softmax"] {
        add(name, &pad(&tensors[name])?, GgmlDType::Q8_0)?;
    }
    add("softmax.bias", &tensors["softmax.bias"], GgmlDType::F32)?;
    for k in (0..).take_while(|k| tensors.contains_key(&format!("cell.{k}.input"))) {
        let part = |name: &str| &tensors[&format!("cell.{k}.{name}")];
        let both = Tensor::cat(&[pad(part("input"))?, pad(part("recurrent"))?], 1)?;
        add(&format!("cell.{k}.weights"), &both, GgmlDType::Q8_0)?;
        add(&format!("cell.{k}.bias"), part("bias"), GgmlDType::F32)?;
    }
    let named: Vec<_> = out.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    Ok(gguf_file::write(&mut File::create(output)?, &[], &named)?)
}

fn open(path: &str) -> Result<Candle> {
    let mut file = BufReader::new(File::open(path)?);
    let content = Content::read(&mut file)?;
    let mut tensors: HashMap<String, QTensor> = HashMap::new();
    for name in content.tensor_infos.keys() {
        tensors.insert(name.clone(), content.tensor(&mut file, name, &Device::Cpu)?);
    }
    let mut take = |name: &str| tensors.remove(name).ok_or(format!("{path} has no {name}"));
    let mut layers = Vec::new();
    while let Ok(weights) = take(&format!("cell.{}.weights", layers.len())) {
        let bias = take(&format!("cell.{}.bias", layers.len()))?.dequantize(&Device::Cpu)?;
        let units = bias.dim(0)? / 4;
        layers.push(Layer { weights: QMatMul::from_qtensor(weights)?, bias, units });
    }
    Ok(Candle {
        embedding: take("embedding")?,
        layers,
        softmax: QMatMul::from_qtensor(take("softmax")?)?,
        softmax_bias: take("softmax.bias")?.dequantize(&Device::Cpu)?,
        state: Vec::new(),
    })
}

impl Layer {
    fn step(&self, x: &Tensor, h: &Tensor, c: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        let gates = self.weights.forward(&Tensor::cat(&[x, h], 1)?)?.broadcast_add(&self.bias)?;
        let gate = |i: usize| gates.narrow(1, i * self.units, self.units)?.contiguous();
        let (i, f) = (sigmoid(&gate(0)?)?, sigmoid(&gate(1)?)?);
        let (g, o) = (gate(2)?.tanh()?, sigmoid(&gate(3)?)?);
        let c = ((f * c)? + (i * g)?)?;
        Ok((pad(&(o * c.tanh()?)?)?, c))
    }
}

impl Peer for Candle {
    fn reset(&mut self) -> Result<()> {
        let zeros = |width| Tensor::zeros((1, width), candle_core::DType::F32, &Device::Cpu);
        let state = self.layers.iter().map(|layer| {
            Ok((zeros(layer.units.next_multiple_of(BLOCK))?, zeros(layer.units)?))
        });
        self.state = state.collect::<candle_core::Result<_>>()?;
        Ok(())
    }

    fn feed(&mut self, word: u32) -> Result<Vec<f32>> {
        let mut x = self.embedding.embedding(&Tensor::new(&[word], &Device::Cpu)?)?;
        for (layer, (h, c)) in self.layers.iter().zip(&mut self.state) {
            (*h, *c) = layer.step(&x, h, c)?;
            x = h.clone();
        }
        let logits = self.softmax.forward(&x)?.broadcast_add(&self.softmax_bias)?;
        Ok(log_softmax(&logits, D::Minus1)?.flatten_all()?.to_vec1()?)
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [command, input, output] if command == "quantise" => quantise(input, output),
        _ => protocol::run(&arguments, open),
    }
}
