//! Contracts: which inputs and outputs a graph has, for whom.
//!
//! To add one: a function that builds its graph, and its entry in [`CONTRACTS`].

use super::cell::State;
use super::graph::{Dim, int, ints, value};
use super::proto::{DataType, ValueInfoProto};
use super::weights::Builder;
use crate::export::Export;

/// Inputs, then outputs.
pub(super) type Ports = (Vec<ValueInfoProto>, Vec<ValueInfoProto>);

/// What a graph takes and gives.
pub struct Contract {
    /// What `--contract` calls it.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Builds the graph.
    pub(super) build: fn(&mut Builder) -> Ports,
    /// What its readers look for in the metadata, beside what every file has.
    pub(super) metadata: fn(&Export) -> Vec<(&'static str, String)>,
}

/// All contracts.
pub static CONTRACTS: [Contract; 3] = [
    Contract {
        name: "step",
        about: "a token and states in, log-probabilities of the next and states out",
        build: step,
        metadata: |export| vec![("num_layers", export.model.hidden.len().to_string())],
    },
    // icefall's graph without state.
    Contract {
        name: "icefall-offline",
        about: "whole sentences in, their negative log-likelihoods out, as sherpa-onnx rescores with",
        build: icefall_offline,
        metadata: |export| icefall(export, "rnnlm without state"),
    },
    // icefall's graph with state.
    Contract {
        name: "icefall-online",
        about: "a token and states of all layers in, log-probabilities and states out, as sherpa-onnx fuses with",
        build: icefall_online,
        metadata: online_metadata,
    },
];

const BATCH: Dim = Dim::Named("N");
const LENGTH: Dim = Dim::Named("L");

/// The state of layer `k` at the graph's border.
fn border(prefix: &str, k: usize, has_memory: bool) -> State {
    let memory = has_memory.then(|| format!("{prefix}c.{k}"));
    State { output: format!("{prefix}h.{k}"), memory }
}

/// One token of each stream.
fn step(builder: &mut Builder) -> Ports {
    let model = &builder.export.model;
    let float = |name: &str, width| value(name, DataType::Float, &[BATCH, Dim::Fixed(width)]);
    let mut inputs = vec![value("token", DataType::Int64, &[BATCH])];
    let words = builder.export.encoder.vocabulary().len();
    let mut outputs = vec![float("log_probabilities", words)];
    let mut x = builder.embed("token");
    for k in 0..model.hidden.len() {
        let [before, named] =
            ["", "next_"].map(|prefix| border(prefix, k, model.cell.has_memory()));
        let after = if builder.has_operator() {
            let steps = builder.unsqueeze(&x, 0);
            builder.layer(k, &steps, &before).1
        } else {
            builder.step(k, &x, &before)
        };
        builder.graph.name(&after.output, &named.output);
        for (state, ports) in [(&before, &mut inputs), (&named, &mut outputs)] {
            ports.push(float(&state.output, model.output_width(k)));
            ports.extend(state.memory.iter().map(|memory| float(memory, model.hidden[k])));
        }
        if let (Some(after), Some(named)) = (&after.memory, &named.memory) {
            builder.graph.name(after, named);
        }
        x = after.output;
    }
    let predicted = builder.predict(&x);
    builder.graph.name(&predicted, "log_probabilities");
    (inputs, outputs)
}

/// Sentences of any lengths side by side.
fn icefall_offline(builder: &mut Builder) -> Ports {
    let (ids, targets, is_scored) = sentences(builder);
    let (top, _) = network(builder, &ids, None);
    let rows = flat(builder, &top);
    let predicted = builder.predict(&rows);
    let graph = &mut builder.graph;
    let each = graph.longs(&[-1, 1]);
    let steps = graph.node("Transpose", &[&targets], vec![ints("perm", &[1, 0])]);
    let column = graph.node("Reshape", &[&steps, &each], Vec::new());
    let own = graph.node("GatherElements", &[&predicted, &column], vec![int("axis", 1)]);
    let shape = graph.node("Shape", &[&steps], Vec::new());
    let own = graph.node("Reshape", &[&own, &shape], Vec::new());
    let own = graph.node("Transpose", &[&own], vec![ints("perm", &[1, 0])]);
    let nothing = graph.float(0.0);
    let own = graph.node("Where", &[&is_scored, &own, &nothing], Vec::new());
    let axes = graph.longs(&[1]);
    let sum = graph.node("ReduceSum", &[&own, &axes], vec![int("keepdims", 0)]);
    let sum = graph.node("Neg", &[&sum], Vec::new());
    graph.name(&sum, "nll");
    let inputs = vec![
        value("x", DataType::Int64, &[BATCH, LENGTH]),
        value("x_lens", DataType::Int64, &[BATCH]),
    ];
    (inputs, vec![value("nll", DataType::Float, &[BATCH])])
}

/// From `x` and `x_lens`, each `[N, L + 1]`: what is read, from the start of a sentence on; what comes next, up to its
/// end; and which of that is of the sentence. What is behind its end does not matter.
fn sentences(builder: &mut Builder) -> (String, String, String) {
    let eos = builder.export.encoder.vocabulary().eos();
    let graph = &mut builder.graph;
    let (axes, column) = (graph.longs(&[1]), graph.longs(&[1, 1]));
    let end = graph.long(i64::from(eos));
    let streams = graph.node("Shape", &["x_lens"], Vec::new());
    let shape = graph.node("Concat", &[&streams, &axes], vec![int("axis", 0)]);
    let end_column = graph.node("Reshape", &[&end, &column], Vec::new());
    let ends = graph.node("Expand", &[&end_column, &shape], Vec::new());
    // Positions 0 to L, and the lengths as a column.
    let both = graph.node("Concat", &["x", &ends], vec![int("axis", 1)]);
    let size = graph.node("Shape", &[&both], Vec::new());
    let (zero, one) = (graph.long(0), graph.long(1));
    let length = graph.node("Gather", &[&size, &one], vec![int("axis", 0)]);
    let places = graph.node("Range", &[&zero, &length, &one], Vec::new());
    let lengths = graph.node("Unsqueeze", &["x_lens", &axes], Vec::new());
    let is_word = graph.node("Less", &[&places, &lengths], Vec::new());
    // Whatever number fills a line up becomes the end.
    let targets = graph.node("Where", &[&is_word, &both, &end], Vec::new());
    let whole = graph.node("Concat", &[&ends, &targets], vec![int("axis", 1)]);
    let [first, last] = [graph.longs(&[0]), graph.longs(&[-1])];
    let ids = graph.node("Slice", &[&whole, &first, &last, &axes], Vec::new());
    let beyond = graph.node("Greater", &[&places, &lengths], Vec::new());
    let is_scored = graph.node("Not", &[&beyond], Vec::new());
    (ids, targets, is_scored)
}

/// The one width of all states of icefall's graph; narrower ones are filled up.
fn widest(export: &Export) -> usize {
    let model = &export.model;
    let layers = 0..model.hidden.len();
    layers.map(|k| model.output_width(k).max(model.hidden[k])).max().unwrap_or(0)
}

/// A token of each hypothesis. Of several tokens the probabilities are those after the first, as icefall has it.
fn icefall_online(builder: &mut Builder) -> Ports {
    let (model, width) = (&builder.export.model, widest(builder.export));
    let layers = model.hidden.len();
    let states = (0..layers).map(|k| {
        let output = cut(builder, "h0", k, model.output_width(k), width);
        let has_memory = model.cell.has_memory();
        let memory = has_memory.then(|| cut(builder, "c0", k, model.hidden[k], width));
        State { output, memory }
    });
    let states: Vec<_> = states.collect();
    let (top, states) = network(builder, "x", Some(states));
    let zero = builder.graph.long(0);
    let first = builder.graph.node("Gather", &[&top, &zero], vec![int("axis", 0)]);
    let predicted = builder.predict(&first);
    builder.graph.name(&predicted, "log_softmax");
    let outputs: Vec<_> = states.iter().map(|state| Some(state.output.clone())).collect();
    let memories: Vec<_> = states.into_iter().map(|state| state.memory).collect();
    for (name, next, parts) in [("h0", "next_h0", outputs), ("c0", "next_c0", memories)] {
        let stacked = stack(builder, name, &parts, width);
        builder.graph.name(&stacked, next);
    }
    let state =
        |name| value(name, DataType::Float, &[Dim::Fixed(layers), BATCH, Dim::Fixed(width)]);
    let words = builder.export.encoder.vocabulary().len();
    let inputs = vec![value("x", DataType::Int64, &[BATCH, LENGTH]), state("h0"), state("c0")];
    let predicted = value("log_softmax", DataType::Float, &[BATCH, Dim::Fixed(words)]);
    (inputs, vec![predicted, state("next_h0"), state("next_c0")])
}

fn online_metadata(export: &Export) -> Vec<(&'static str, String)> {
    let mut all = icefall(export, "rnnlm with state");
    all.extend([
        ("num_layers", export.model.hidden.len().to_string()),
        ("hidden_size", widest(export).to_string()),
        ("embedding_dim", export.model.embedding.to_string()),
    ]);
    all
}

/// What icefall's scripts write of a model.
fn icefall(export: &Export, comment: &str) -> Vec<(&'static str, String)> {
    let eos = export.encoder.vocabulary().eos().to_string();
    vec![
        ("model_type", "rnnlm".into()),
        ("version", "1".into()),
        ("model_author", "pocketlm".into()),
        ("comment", comment.into()),
        ("sos_id", eos),
    ]
}

/// The state `[N, own]` of layer `k` out of all, `[layers, N, width]`.
fn cut(builder: &mut Builder, all: &str, k: usize, own: usize, width: usize) -> String {
    let layer = builder.graph.long(k as i64);
    let state = builder.graph.node("Gather", &[all, &layer], vec![int("axis", 0)]);
    if own == width {
        return state;
    }
    let [start, end, axis] = [0, own as i64, 1].map(|number| builder.graph.longs(&[number]));
    builder.graph.node("Slice", &[&state, &start, &end, &axis], Vec::new())
}

/// The states of all layers, filled up with zeros: `[layers, N, width]`; what came in where a layer has none.
fn stack(builder: &mut Builder, all: &str, parts: &[Option<String>], width: usize) -> String {
    let model = &builder.export.model;
    let mut stacked = Vec::new();
    for (k, part) in parts.iter().enumerate() {
        let Some(part) = part else { return all.to_owned() };
        let own = if all == "h0" { model.output_width(k) } else { model.hidden[k] };
        let filled = if own == width {
            part.clone()
        } else {
            let sides = builder.graph.longs(&[0, 0, 0, (width - own) as i64]);
            builder.graph.node("Pad", &[part, &sides], Vec::new())
        };
        stacked.push(builder.unsqueeze(&filled, 0));
    }
    let names: Vec<&str> = stacked.iter().map(String::as_str).collect();
    builder.graph.node("Concat", &names, vec![int("axis", 0)])
}

/// All layers over ids `[N, L]`, from these states or zero: the top outputs `[L, N, output]` and the states.
fn network(builder: &mut Builder, ids: &str, states: Option<Vec<State>>) -> (String, Vec<State>) {
    let model = &builder.export.model;
    let graph = &mut builder.graph;
    let steps = graph.node("Transpose", &[ids], vec![ints("perm", &[1, 0])]);
    let (all, width) = (graph.longs(&[-1]), graph.longs(&[model.embedding as i64]));
    let size = graph.node("Shape", &[&steps], Vec::new());
    let shape = graph.node("Concat", &[&size, &width], vec![int("axis", 0)]);
    let rows = graph.node("Reshape", &[&steps, &all], Vec::new());
    let rows = builder.embed(&rows);
    let mut x = builder.graph.node("Reshape", &[&rows, &shape], Vec::new());
    let mut after = Vec::new();
    for k in 0..model.hidden.len() {
        let state = match &states {
            Some(states) => states[k].clone(),
            None => {
                let memory = model.cell.has_memory().then_some(model.hidden[k]);
                State {
                    output: zeros(builder, &size, model.output_width(k)),
                    memory: memory.map(|units| zeros(builder, &size, units)),
                }
            }
        };
        let (outputs, state) = builder.layer(k, &x, &state);
        x = outputs;
        after.push(state);
    }
    (x, after)
}

/// Zeros `[N, width]`, where `size` is `[L, N]` as numbers.
fn zeros(builder: &mut Builder, size: &str, width: usize) -> String {
    let graph = &mut builder.graph;
    let (one, width) = (graph.longs(&[1]), graph.longs(&[width as i64]));
    let streams = graph.node("Gather", &[size, &one], vec![int("axis", 0)]);
    let shape = graph.node("Concat", &[&streams, &width], vec![int("axis", 0)]);
    graph.node("ConstantOfShape", &[&shape], Vec::new())
}

/// `[L, N, width]` as `[L * N, width]`.
fn flat(builder: &mut Builder, x: &str) -> String {
    let model = &builder.export.model;
    let width = model.output_width(model.hidden.len() - 1);
    let shape = builder.graph.longs(&[-1, width as i64]);
    builder.graph.node("Reshape", &[x, &shape], Vec::new())
}
