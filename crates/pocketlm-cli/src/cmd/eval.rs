//! `pocketlm eval`

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;
use comfy_table::Table;
use pocketlm_train::cuda::Device;
use serde::Serialize;
use serde_json::json;

use crate::cmd::train::DeviceArgs;
use crate::evaluation::{Row, WHOLE, mixed_rows, rows};
use crate::machine::Machine;
use crate::table::table;
use crate::typing;

/// Measure the perplexity of models on a text.
///
/// Also recall (how often the next token was the likeliest, or among the three likeliest), unknown words and speed.
/// Perplexity and recall count every token: words, <unk> and the <eos> of each line. The columns of words leave out
/// <unk>, <eos> and what has no text of its own in raw text; a prediction of these is a miss there.
///
/// Bits per byte are what it takes to send the text: besides the model's bits those of spelling each unknown word, by
/// a model of characters made from the vocabulary. So models with different vocabularies compare. Words that the text
/// itself has as <unk> cannot be spelt; a note counts them.
///
/// With --typing, how many keys suggestions save when the text is typed with them: shares of the keys saved by a list of
/// one and of three suggestions; of the words among them before the first letter, and among three after 1, 2 and 3
/// letters; and of the words that are never among three.
///
/// Example: pocketlm eval runs/small --data data/ptb --split valid --split test
///
/// Example: pocketlm eval small.plm --mix ngram.plm --weight 0.3 --data data/ptb
#[derive(clap::Args)]
pub struct Args {
    /// Models: .plm files or folders of checkpoints.
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// Text: a folder with test.txt, or one file, which is measured whole.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Split to measure (default: test). Of a single file, the lines that a training would take for it.
    #[arg(long, value_enum)]
    split: Vec<Split>,
    /// Mix each model with this one, which must have the same words; `pocketlm mix` makes one file of both.
    #[arg(long, value_name = "MODEL")]
    mix: Option<PathBuf>,
    /// Weight of the second model in the mixture: 0 to 1, or auto for the one that makes the valid split likeliest.
    #[arg(long, default_value = "auto", requires = "mix", value_parser = weight)]
    weight: Weight,
    /// Type the text with the model's suggestions instead, and count the keys that they save.
    #[arg(long, conflicts_with_all = ["mix", "device"])]
    typing: bool,
    /// Learn what was typed before, as the keyboard of one user does: own words, those of late, and pairs of words. One row
    /// without it and one with it for each model.
    #[arg(long, requires = "typing")]
    personal: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The share of a second model; none to choose it.
#[derive(Clone, Copy, Debug)]
struct Weight(Option<f64>);

fn weight(text: &str) -> Result<Weight, String> {
    if text == "auto" { Ok(Weight(None)) } else { share(text).map(|share| Weight(Some(share))) }
}

/// A number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "give a number from 0 to 1".to_owned())
}

/// A split of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    Train,
    Valid,
    Test,
}

impl Split {
    /// As results name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

/// What is measured where no split is named: the test split of a folder, the whole of a file.
pub fn usual_split(data: &Path) -> &'static str {
    if data.is_dir() { Split::Test.name() } else { WHOLE }
}

impl Args {
    /// Evaluates every model on every split.
    pub fn run(self) -> Result<()> {
        if self.mix.is_some() && self.device.device != Device::Cpu {
            bail!("--mix runs on the processor: leave out --device");
        }
        let splits: Vec<_> = match &self.split[..] {
            [] => vec![usual_split(&self.data)],
            splits => splits.iter().map(|split| split.name()).collect(),
        };
        if self.typing {
            return self.typing(&splits);
        }
        if self.mix.is_some() && self.weight.0.is_none() && splits == [WHOLE] {
            bail!(
                "--weight auto needs a validation split: give a folder, or a number for --weight"
            );
        }
        let mut all = Vec::new();
        for model in &self.models {
            all.extend(match &self.mix {
                None => rows(model, &self.data, &splits, self.device.device)?,
                Some(second) => mixed_rows(model, second, self.weight.0, &self.data, &splits)?,
            });
        }
        if self.json {
            return print_json(&all);
        }
        say!("{}", as_table(&all));
        note_unspelt(&all);
        Ok(())
    }

    /// Types every split with every model.
    fn typing(&self, splits: &[&'static str]) -> Result<()> {
        let mut all = Vec::new();
        for model in &self.models {
            all.extend(typing::rows(model, &self.data, splits, false)?);
            if self.personal {
                all.extend(typing::rows(model, &self.data, splits, true)?);
            }
        }
        if self.json {
            return print_json(&all);
        }
        say!("{}", typing_table(&all));
        Ok(())
    }
}

/// One row by itself, several with the machine.
fn print_json<T: Serialize>(rows: &[T]) -> Result<()> {
    let text = match rows {
        [row] => serde_json::to_string_pretty(row)?,
        rows => {
            serde_json::to_string_pretty(&json!({ "results": rows, "machine": Machine::here() }))?
        }
    };
    say!("{text}");
    Ok(())
}

fn typing_table(rows: &[typing::Row]) -> Table {
    let header = [
        "model", "split", "words", "keys", "saved@1", "saved@3", "hit@1", "hit@3", "1 letter", "2",
        "3", "never", "us/list",
    ];
    let mut table = table(&header, 2);
    for row in rows {
        let typing = &row.typing;
        let shares = [typing.saved_at_1, typing.saved_at_3, typing.hits_at_1[0]].into_iter();
        let shares = shares.chain(typing.hits_at_3).chain([typing.never]).map(percent);
        let counts = [typing.words, typing.keys].map(|count| count.to_string());
        let learns = if row.learns { " + personal" } else { "" };
        let name = [format!("{}{learns}", row.model.display()), row.split.to_owned()];
        let time = [format!("{:.0}", typing.microseconds)];
        table.add_row(name.into_iter().chain(counts).chain(shares).chain(time));
    }
    table
}

fn as_table(rows: &[Row]) -> Table {
    let header = [
        "model",
        "split",
        "tokens",
        "perplexity",
        "bits/token",
        "bits/byte",
        "recall@1",
        "recall@3",
        "recall@1 words",
        "recall@3 words",
        "oov",
        "unknown",
        "tokens/s",
    ];
    let mut table = table(&header, 2);
    for row in rows {
        let quality = &row.evaluation;
        table.add_row([
            row.name(),
            row.split.to_owned(),
            quality.tokens.to_string(),
            format!("{:.2}", quality.perplexity),
            format!("{:.3}", quality.bits_per_token),
            format!("{:.3}", quality.bits_per_byte),
            percent(quality.recall_at_1),
            percent(quality.recall_at_3),
            percent(quality.word_recall_at_1),
            percent(quality.word_recall_at_3),
            quality.oov.to_string(),
            percent(quality.unknown_share),
            format!("{:.0}", row.tokens_per_second),
        ]);
    }
    table
}

/// Says of each split how many unknown words have no spelling.
fn note_unspelt(rows: &[Row]) {
    let mut splits: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.evaluation.unspelt > 0) {
        if !splits.contains(&row.split) {
            splits.push(row.split);
            note!(
                "note: {} ({}): words that the text itself has as <unk>, so that they cannot be spelt: {}; bits/byte \
                 compare only among models of this text",
                row.data.display(),
                row.split,
                row.evaluation.unspelt
            );
        }
    }
}

/// `27.4 %`
pub fn percent(share: f64) -> String {
    if share.is_nan() { "–".to_owned() } else { format!("{:.1} %", 100.0 * share) }
}
