//! Runs small recurrent language models from one file: next words, probabilities, scores, samples.
//!
//! A model is trained and packed elsewhere (`pocketlm train`, `pocketlm pack`). This crate opens the packed
//! file `NAME.plm` by mapping it into memory, copies nothing, and uses it with a fixed amount of memory that is
//! allocated once.
//!
//! # A worked example
//!
//! ```
//! use pocketlm::{Model, Random, Sampler, Sampling, Session};
//! # use pocketlm::pack::Packer;
//! # use pocketlm::{CellKind, Configuration, Precision, Unit};
//! # let path = std::env::temp_dir().join(format!("pocketlm-guide-{}.plm", std::process::id()));
//! # let words = ["<eos>", "<unk>", "the", "then", "cat", "sat"];
//! # let configuration = Configuration { cell: CellKind::Lstm, embedding: 4, hidden: vec![8],
//! #     cell_projection: 0, projection: 0, tied: false, unit: Unit::Word, layer_norm: false, mogrifier: 0 };
//! # let mut packer = Packer::new(configuration.clone(), &words, "<eos>", Some("<unk>"))?;
//! # for m in configuration.matrices(6) {
//! #     let weights: Vec<f32> = (0..m.rows * m.columns).map(|i| (i % 7) as f32 * 0.1).collect();
//! #     packer.matrix(m.name, &weights, Precision::Int8)?;
//! # }
//! # for b in configuration.biases(6) { packer.bias(b.name, &vec![0.1; b.rows])?; }
//! # pocketlm::pack::write_file(&path, &packer.finish()?)?;
//! let model = Model::open(&path)?;
//! let mut session = Session::new(&model);
//!
//! // Suggest: the three likeliest words after what was fed, then only those that start with what is typed.
//! session.feed_text("the cat")?;
//! for suggestion in session.suggest(3)?.iter() {
//!     println!("{} {:.3}", suggestion.word, suggestion.probability);
//! }
//! assert!(session.suggest_prefix("th", 3)?.iter().all(|found| found.word.starts_with("th")));
//!
//! // Branch: a state is a plain value.
//! let here = session.state().clone();
//! session.feed_text("sat")?;
//! let after = session.log_probability("the")?; // in nats
//! session.set_state(&here)?;
//!
//! // Score whole texts, one or many; words outside the vocabulary are counted in `oov`.
//! let score = session.score("the cat sat")?;
//! println!("{} tokens, perplexity {:.1}", score.tokens, score.perplexity());
//! let scores = model.score_batch(&["the cat sat", "the sat cat"])?;
//! assert!((scores[0].nll - score.nll).abs() < 1e-4);
//!
//! // Evaluate a split: state carried through, the first token predicted from <eos>.
//! let split = "the cat sat\nthe cat\n";
//! let ids = model.vocabulary().lines(split).map(|token| model.vocabulary().resolve(token));
//! let ids = ids.collect::<Result<Vec<u32>, _>>()?;
//! session.reset();
//! println!("perplexity {:.1}", session.evaluate(ids.iter().copied())?.perplexity());
//! session.reset();
//! let (_, recall) = session.evaluate_with_recall(ids)?;
//! println!("the likeliest word was the right one {:.1} % of the time", 100.0 * recall.at(1));
//!
//! // Draw a text. The same seed draws the same text.
//! let mut sampler = Sampler::new(&model, Sampling { temperature: 0.8, ..Sampling::default() })?;
//! let mut random = Random::new(1);
//! let mut word = Vec::new();
//! session.reset();
//! for _ in 0..5 {
//!     let token = session.sample(&mut sampler, &mut random)?;
//!     print!("{} ", model.vocabulary().word(token, &mut word).unwrap_or_default());
//!     session.feed(token)?;
//! }
//! # drop(model);
//! # std::fs::remove_file(&path).unwrap();
//! # Ok::<(), pocketlm::Error>(())
//! ```
//!
//! Writing models: [`pack`].
//!
//! # What a model computes
//!
//! A token's row of `embedding` `[V, E]` goes through the layers. Layer `k` with `H` units has `cell.k.input`
//! W `[G·H, I]`, `cell.k.recurrent` U `[G·H, R]` and `cell.k.bias` b; R is H, or the width P of the recurrent
//! projection `cell.k.projection` `[P, H]`, which then makes what is fed back and given on.
//!
//! | cell | gates in the rows | step, with z = W x + U h + b |
//! | --- | --- | --- |
//! | LSTM | i, f, g, o | c = σ(f)·c + σ(i)·tanh(g); h = σ(o)·tanh(c) |
//! | CIFG | f, g, o | c = σ(f)·c + (1 − σ(f))·tanh(g); h = σ(o)·tanh(c) |
//! | GRU | r, z, n | n = tanh(W_n x + b_n + r·(U_n h + b_hn)); h = (1 − z)·n + z·h; b is `[4H]`: b_r, b_z, b_n, b_hn |
//!
//! With `layer_norm`, each block of H numbers of W x + U h (for the GRU also U_n h apart from W_n x) has its mean
//! taken off and is divided by its deviation over the units (of variance + 1e-5), then multiplied by
//! `cell.k.gain` before the bias is added. With `mogrifier` rounds, x and h gate each other before each step:
//! v₋₁ = x, v₀ = h, and round i from 1 makes vᵢ = 2 σ(M vᵢ₋₁)·vᵢ₋₂ with M = `cell.k.mogrifier.{i-1}`; the step takes
//! the last v of each kind.
//!
//! What the last layer gives goes through the optional output `projection` `[Q, top]`, then through `softmax`
//! `[V, Q or top]` (tied models use `embedding`) and `softmax.bias` to logits over all V types.
//! `<eos>` ends every line, and the first token of anything is predicted from `<eos>` with a state of zeros.
//!
//! N-gram models need no matrices: [`ngram`].
//!
//! [Precisions](Precision) with [whole numbers](Precision::is_integer) are specified to the bit ([`pocketlm_kernels`]),
//! so every machine gives the same numbers.
//!
//! # Quirks
//!
//! * Ids are ranks in the byte order of the words, so the words that start with a prefix are a range of ids. The
//!   trainer's ids differ: go through [`Vocabulary`].
//! * `<eos>`, `<unk>` and words spelled `<s>` or `</s>` are never suggested unless [`Session::hide`] says otherwise, but
//!   keep their share of the probability.
//! * Entropy-coded files ([`pack::entropy_coded`]) are smaller, but their arrays are decoded into memory at opening
//!   instead of being used in place.
//! * A model file must not be rewritten in place while it is open ([`Model::open`]); replace it by renaming.
//! * Big-endian machines are not supported.
//!
//! # Features
//!
//! * `std` (default): [`Model::open`] and [`pack::write_file`]. Without it the crate is `no_std` and needs `alloc`.
//! * `personal` (default): what one user types, beside a model: [`personal`].
//! * `raw` (default): models of raw text. `subword` (default): models of subwords, and whole words from them.
//! * `pack` (default): the writer. A device that only runs models leaves it out.
//! * `correct` (default): [`Session::correct`], which mends slips of typing.
//! * `keyboard` (default): what a keyboard shows and learns, of all these: [`keyboard`].
//! * `threads`: a session that is used within a rayon pool (`pool.install(|| session.suggest(3))`) shares large
//!   products out among its threads. Everywhere else it takes no thread but the caller's. No number changes.
//! * `serde`: the types of [`spec`] that have a name are written and read by it.
//!
//! # Bibliography
//!
//! * Hochreiter and Schmidhuber, *Long short-term memory* (1997); Gers et al., *Learning to forget* (2000): the cell.
//! * Sak, Senior and Beaufays, *Long short-term memory based recurrent neural network architectures for large
//!   vocabulary speech recognition* (2014), equations 7 to 13: the recurrent projection.
//! * Cho et al., *Learning phrase representations using RNN encoder-decoder* (2014): the GRU.
//! * Ba, Kiros and Hinton, *Layer normalization* (2016); Melis, Kočiský and Blunsom, *Mogrifier LSTM* (2020).
//! * Greff et al., *LSTM: a search space odyssey* (2015), CIFG: coupled gates.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod batch;
mod cell;
#[cfg(feature = "correct")]
pub mod correct;
mod entropy;
mod error;
mod exponential;
#[cfg(all(feature = "std", any(feature = "pack", feature = "personal")))]
mod file;
pub mod format;
mod info;
mod json;
#[cfg(feature = "keyboard")]
pub mod keyboard;
mod leaves;
#[cfg(feature = "std")]
mod mapping;
mod matrix;
mod mixture;
mod model;
mod modrelu;
mod network;
pub mod ngram;
mod normalise;
mod output;
#[cfg(feature = "pack")]
pub mod pack;
#[cfg(feature = "personal")]
pub mod personal;
mod random;
pub mod raw;
mod recall;
mod recurrent;
mod rescore;
mod sample;
mod score;
mod session;
pub mod spec;
mod state;
mod storage;
mod stream;
#[cfg(feature = "subword")]
pub mod subword;
mod suggest;
mod text;
#[cfg(feature = "threads")]
mod threads;
mod vocabulary;

pub use error::{Error, Result, Shown};
pub use format::{Perplexity, Provenance};
pub use info::{ArrayInfo, CodedBytes, MatrixInfo};
pub use mixture::{MAX_PARTS, Part as MixturePart};
pub use model::{Model, ModelBytes};
pub use random::Random;
pub use recall::{Ranking, Recall};
pub use rescore::{Hypothesis, Rescored, Weights};
pub use sample::{Sampler, Sampling};
pub use score::Score;
pub use session::{SUGGESTIONS, Session};
pub use spec::{
    CellKind, Configuration, Expected, MatrixName, Part, Precision, Sparsity, Structure, Unit,
};
pub use state::State;
pub use suggest::{Suggestion, Suggestions};
pub use text::Token;
pub use vocabulary::{MAX_WORD, Vocabulary};
