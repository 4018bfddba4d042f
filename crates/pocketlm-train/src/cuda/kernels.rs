//! The kernels of `kernels.cu`, each as a function that checks its lengths.

use super::accelerator::{Accelerator, Argument, Part, THREADS};
use crate::error::Result;
use crate::settings::CellKind;
use crate::train::optimizer::{EPSILON, Rule};

/// A device's kernels.
#[derive(Clone, Copy)]
pub struct Kernels<'a>(pub &'a dyn Accelerator);

/// What a cell's step forward works on, of all streams: `[batch, hidden]` but for `gates` `[batch, blocks * hidden]`
/// and the bias `[blocks * hidden]`; `memory` and `squashed` are empty for a GRU.
pub struct Step<'a> {
    pub gates: Part<'a>,
    pub bias: Part<'a>,
    pub before: Part<'a>,
    pub memory: Part<'a>,
    pub squashed: Part<'a>,
    pub output: Part<'a>,
}

/// The same on the way back; `squashed` is empty for a GRU.
pub struct BackStep<'a> {
    pub gates: Part<'a>,
    pub before: Part<'a>,
    pub squashed: Part<'a>,
    pub d_output: Part<'a>,
    pub carry: Part<'a>,
}

/// What a softmax works on: logits `[rows, vocabulary]` without bias, targets `[rows]`, and where the losses go.
pub struct Logits<'a> {
    pub logits: Part<'a>,
    pub bias: Part<'a>,
    pub targets: Part<'a>,
    pub losses: Part<'a>,
}

/// The augmented loss: products `[rows, vocabulary]` of the targets' embeddings with all others, its weight and the
/// inverse of its temperature.
pub struct Near<'a> {
    pub products: Part<'a>,
    pub weight: f32,
    pub inverse: f32,
}

/// What the top layer gave, before and after its mask; the factors of the penalties; numbers of a step.
pub struct Top<'a> {
    pub dropped: Part<'a>,
    pub output: Part<'a>,
    pub activation: f32,
    pub temporal: f32,
    pub step: usize,
}

/// Rows of a gradient that are given: their types `[rows]`, negative where there are no more; the places of each in
/// `order` `[rows]`, from `starts` `[rows + 1]` on.
pub struct Groups<'a> {
    pub types: Part<'a>,
    pub starts: Part<'a>,
    pub order: Part<'a>,
}

impl Kernels<'_> {
    /// One thread for each of `total` numbers, of which there may be none: a grid of no blocks would be an error.
    fn each(&self, kernel: &'static str, total: usize, arguments: &[Argument]) -> Result<()> {
        if total == 0 {
            return Ok(());
        }
        self.0.launch(kernel, total.div_ceil(THREADS), arguments)
    }

    /// `to = 0`
    pub fn zero(&self, to: Part) -> Result<()> {
        self.each("zero", to.length, &[to.into(), to.length.into()])
    }

    /// `to = from mask`
    pub fn masked(&self, to: Part, from: Part, mask: Option<Part>) -> Result<()> {
        self.with_mask("masked", to, from, mask)
    }

    /// `to += from mask`
    pub fn add_masked(&self, to: Part, from: Part, mask: Option<Part>) -> Result<()> {
        self.with_mask("add_masked", to, from, mask)
    }

    fn with_mask(
        &self,
        kernel: &'static str,
        to: Part,
        from: Part,
        mask: Option<Part>,
    ) -> Result<()> {
        assert_eq!(to.length, from.length);
        let arguments =
            [to.into(), from.into(), mask.into(), mask_length(mask).into(), to.length.into()];
        self.each(kernel, to.length, &arguments)
    }

    /// Sums of squares that add up to that of all numbers, as many as `sums` is long.
    pub fn squares(&self, sums: Part, numbers: Part) -> Result<()> {
        let blocks = sums.length;
        let arguments = [sums.into(), numbers.into(), blocks.into(), numbers.length.into()];
        self.0.launch("squares", blocks, &arguments)
    }

    /// An update of the parameters by their gradient; `moments` are those of Adam.
    pub fn update(
        &self,
        rule: &Rule,
        (parameters, gradient): (Part, Part),
        moments: Option<[Part; 2]>,
    ) -> Result<()> {
        let total = parameters.length;
        assert_eq!(gradient.length, total);
        let mut arguments = vec![parameters.into(), gradient.into()];
        let kernel = match rule {
            Rule::Sgd { shrink, step } => {
                arguments.extend([*shrink, *step].map(Argument::from));
                "sgd"
            }
            Rule::Adam(rule) => {
                let moments = moments.expect("Adam has moments");
                assert_eq!(moments.map(|moment| moment.length), [total; 2]);
                arguments.extend(moments.map(Argument::from));
                arguments.extend([rule.betas, rule.rests].concat().into_iter().map(Argument::from));
                let rest = [rule.scale, rule.l2, rule.keep, rule.step, rule.root_correction];
                arguments.extend(rest.map(Argument::from));
                arguments.push((EPSILON as f32).into());
                "adam"
            }
        };
        arguments.push(total.into());
        self.each(kernel, total, &arguments)
    }

    /// Rows of `matrix` `[types, width]` for `tokens` `[rows]`, times the masks of words `[types]` and of places.
    pub fn embed(
        &self,
        out: Part,
        (matrix, width): (Part, usize),
        tokens: Part,
        (words, mask): (Option<Part>, Option<Part>),
    ) -> Result<()> {
        assert_eq!(out.length, tokens.length * width);
        assert!(words.is_none_or(|words| words.length * width == matrix.length));
        let arguments = [
            out.into(),
            matrix.into(),
            tokens.into(),
            words.into(),
            mask.into(),
            mask_length(mask).into(),
            width.into(),
            out.length.into(),
        ];
        self.each("embed", out.length, &arguments)
    }

    /// Sums the rows of `d` `[rows, width]` of each type, times its word's mask, into its row of the gradient, or adds
    /// them to it.
    pub fn embedding_gradient(
        &self,
        (gradient, add): (Part, bool),
        (d, width): (Part, usize),
        words: Option<Part>,
        groups: &Groups,
    ) -> Result<()> {
        let rows = groups.types.length;
        assert_eq!((groups.starts.length, groups.order.length), (rows + 1, rows));
        assert_eq!(d.length, rows * width);
        assert!(words.is_none_or(|words| words.length * width == gradient.length));
        let arguments = [
            gradient.into(),
            d.into(),
            words.into(),
            groups.types.into(),
            groups.starts.into(),
            groups.order.into(),
            width.into(),
            usize::from(add).into(),
        ];
        self.0.launch("embedding_gradient", rows, &arguments)
    }

    /// A cell's step.
    pub fn cell_forward(&self, kind: CellKind, hidden: usize, step: &Step) -> Result<()> {
        let total = step.output.length;
        let memory = if kind.has_memory() { total } else { 0 };
        assert_eq!((step.before.length, step.memory.length), (total, memory));
        assert_eq!((step.squashed.length, step.bias.length), (memory, kind.blocks() * hidden));
        assert_eq!(step.gates.length, kind.blocks() * total);
        let kernel = match kind {
            CellKind::Lstm => "lstm_forward",
            CellKind::Cifg => "cifg_forward",
            CellKind::Gru => "gru_forward",
            CellKind::Urnn => unreachable!("refused before"),
        };
        let arguments = [
            step.gates.into(),
            step.bias.into(),
            step.before.into(),
            step.memory.into(),
            step.squashed.into(),
            step.output.into(),
            hidden.into(),
            total.into(),
        ];
        self.each(kernel, total, &arguments)
    }

    /// A cell's step back.
    pub fn cell_backward(&self, kind: CellKind, hidden: usize, step: &BackStep) -> Result<()> {
        let total = step.d_output.length;
        let memory = if kind.has_memory() { total } else { 0 };
        assert_eq!((step.before.length, step.carry.length), (total, total));
        assert_eq!((step.squashed.length, step.gates.length), (memory, kind.blocks() * total));
        let kernel = match kind {
            CellKind::Lstm => "lstm_backward",
            CellKind::Cifg => "cifg_backward",
            CellKind::Gru => "gru_backward",
            CellKind::Urnn => unreachable!("refused before"),
        };
        let arguments = [
            step.gates.into(),
            step.before.into(),
            step.squashed.into(),
            step.d_output.into(),
            step.carry.into(),
            hidden.into(),
            total.into(),
        ];
        self.each(kernel, total, &arguments)
    }

    /// The sums `[columns]` of `rows` `[.., columns]`, set or added.
    pub fn column_sums(&self, sums: Part, rows: Part, add: bool) -> Result<()> {
        let columns = sums.length;
        assert!(rows.length.is_multiple_of(columns));
        let arguments = [
            sums.into(),
            rows.into(),
            (rows.length / columns).into(),
            columns.into(),
            usize::from(add).into(),
        ];
        self.0.launch("column_sums", columns.div_ceil(32), &arguments)
    }

    /// The losses, and `scale` times the gradient of their sum and of the augmented loss in place of the logits.
    pub fn softmax_gradient(&self, at: &Logits, near: Option<&Near>, scale: f32) -> Result<()> {
        at.check();
        assert!(near.is_none_or(|near| near.products.length == at.logits.length));
        let (weight, inverse) = near.map_or((0.0, 0.0), |near| (near.weight, near.inverse));
        let arguments = [
            at.logits.into(),
            at.bias.into(),
            near.map(|near| near.products).into(),
            at.targets.into(),
            at.losses.into(),
            at.bias.length.into(),
            scale.into(),
            weight.into(),
            inverse.into(),
        ];
        self.0.launch("softmax_gradient", at.targets.length, &arguments)
    }

    /// The losses, and how many other types were at least as likely.
    pub fn softmax_rank(&self, at: &Logits, ranks: Part) -> Result<()> {
        at.check();
        assert_eq!(ranks.length, at.targets.length);
        let arguments = [
            at.logits.into(),
            at.bias.into(),
            at.targets.into(),
            at.losses.into(),
            ranks.into(),
            at.bias.length.into(),
        ];
        self.0.launch("softmax_rank", at.targets.length, &arguments)
    }

    /// `d` goes back through the mask of the top layer's output and takes up the gradients of its penalties.
    pub fn penalise(&self, d: Part, mask: Option<Part>, top: &Top) -> Result<()> {
        assert_eq!((top.dropped.length, top.output.length), (d.length, d.length));
        let arguments = [
            d.into(),
            top.dropped.into(),
            mask.into(),
            mask_length(mask).into(),
            top.output.into(),
            top.activation.into(),
            top.temporal.into(),
            top.step.into(),
            d.length.into(),
        ];
        self.each("penalise", d.length, &arguments)
    }
}

impl Logits<'_> {
    fn check(&self) {
        assert_eq!(self.logits.length, self.targets.length * self.bias.length);
        assert_eq!(self.losses.length, self.targets.length);
    }
}

/// What a kernel divides by, so never zero.
fn mask_length(mask: Option<Part>) -> usize {
    mask.map_or(1, |mask| mask.length)
}
