//! `pocketlm compare`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use comfy_table::Table;
use pocketlm::{Model, Session};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::compress::{Context, compress};
use pocketlm_train::corpus::Corpus;
use pocketlm_train::cuda::Device;
use pocketlm_train::pack::{pack, pack_in_memory};
use pocketlm_train::recipe::CompressionRecipe;
use pocketlm_train::train::Evaluation;
use serde::Serialize;

use crate::Usage;
use crate::cmd::bench::{rate, words};
use crate::cmd::eval::{Split, percent, usual_split};
use crate::cmd::pack::trainable;
use crate::cmd::train::{DeviceArgs, interruptible};
use crate::evaluation::{Row, check_measurable, packed_rows, rows, source};
use crate::input::{read_text, show_notes};
use crate::machine::Machine;
use crate::model::{Loaded, check_exists};
use crate::numbers::seconds;
use crate::output::Output;
use crate::plot::{self, Point};
use crate::progress::show_epoch;
use crate::table::table;

/// Compare models by size, quality and speed, and mark those that no other one beats.
///
/// A recipe of compression stands for the model that it makes of --base; its trainings are run too. Checkpoints count as
/// many bytes as they have when packed in their own forms, mostly f32. Speed is that of one thread, one word after the
/// other, as bench has it.
///
/// Example: pocketlm compare small.plm smaller.plm --data data/ptb --plot sizes.svg
///
/// Example: pocketlm compare int8.toml int4.toml --base runs/small --data data/ptb --sort perplexity
#[derive(clap::Args)]
pub struct Args {
    /// Models: .plm files, folders of checkpoints, or recipes (.toml) that compress --base.
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// Checkpoint that the recipes compress.
    #[arg(long, value_name = "CHECKPOINT")]
    base: Option<PathBuf>,
    /// Text to measure on: a folder with test.txt, or one file, which is measured whole. Recipes calibrate and train on
    /// it too.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Split to measure (default: test). Of a single file, the lines that a training would take for it.
    #[arg(long, value_enum)]
    split: Option<Split>,
    /// What the table is sorted by, the best first (default: models stay as they are given).
    #[arg(long, value_enum)]
    sort: Option<Sort>,
    /// Do not measure speed, so that the same models give the same output.
    #[arg(long, conflicts_with = "seconds")]
    no_speed: bool,
    /// Seconds to measure the speed of each model for.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    #[command(flatten)]
    device: DeviceArgs,
    /// Plot bytes against quality into this file.
    #[arg(long, value_name = "NAME.svg")]
    plot: Option<PathBuf>,
    /// Folder for the trainings of recipes, which the same command resumes there (default: CHECKPOINT.compare beside
    /// --base, removed at the end).
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Replace an existing plot.
    #[arg(long)]
    force: bool,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values.
    #[arg(long)]
    csv: bool,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Bytes,
    Perplexity,
    Speed,
}

/// One model.
#[derive(Serialize)]
struct Compared {
    #[serde(serialize_with = "crate::output::lossy")]
    model: PathBuf,
    /// Bytes of its file.
    bytes: usize,
    split: &'static str,
    sha256: String,
    #[serde(flatten)]
    quality: Evaluation,
    /// As `bench` measures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_second: Option<f64>,
    /// Whether no other one is as small and as good, and better in one of the two.
    frontier: bool,
}

/// A loss by which models can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Measure {
    Perplexity,
    /// Where models cut the text into different tokens, or know different words of it: their perplexities say nothing
    /// about each other.
    BitsPerByte,
}

impl Measure {
    fn among(rows: &[Compared]) -> Self {
        let read = |row: &Compared| (row.quality.tokens, row.quality.oov);
        match rows.windows(2).all(|pair| read(&pair[0]) == read(&pair[1])) {
            true => Self::Perplexity,
            false => Self::BitsPerByte,
        }
    }

    fn of(self, row: &Compared) -> f64 {
        match self {
            Self::Perplexity => row.quality.perplexity,
            Self::BitsPerByte => row.quality.bits_per_byte,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Perplexity => "perplexity",
            Self::BitsPerByte => "bits/byte",
        }
    }
}

/// What is compared.
enum Candidate {
    /// A checkpoint or a packed file.
    Model,
    Recipe(CompressionRecipe),
}

impl Args {
    /// Checks every model, then measures them all.
    pub fn run(self) -> Result<()> {
        if self.no_speed && self.sort == Some(Sort::Speed) {
            let what = "--sort speed needs the speed: leave out --no-speed";
            return Err(Usage(what.to_owned()).into());
        }
        let plot = self.plot.as_deref().map(|path| self.output(path)).transpose()?;
        let split = self.split.map_or_else(|| usual_split(&self.data), Split::name);
        source(&self.data, split)?;
        let candidates =
            self.models.iter().map(|path| self.check(path, split)).collect::<Result<Vec<_>>>()?;
        let corpus = self.corpus(&candidates, split)?;
        let work = self.work();
        let mut compared = Vec::new();
        for (at, (path, candidate)) in self.models.iter().zip(&candidates).enumerate() {
            compared.push(match candidate {
                Candidate::Model => self.measured(path, split)?,
                Candidate::Recipe(recipe) => {
                    let work = work.join((at + 1).to_string());
                    self.compressed((path, recipe), corpus.as_ref(), &work, split)?
                }
            });
        }
        if self.work.is_none() && self.base.is_some() {
            remove_trainings(&work, self.models.len())?;
        }
        let measure = Measure::among(&compared);
        mark_frontier(&mut compared, measure);
        if let Some(output) = &plot {
            let text = plot::frontier(&points(&compared, measure), &title(measure, split))?;
            output.write(|file| file.write_all(text.as_bytes()))?;
        }
        self.sort(&mut compared, measure);
        self.print(&compared, measure)
    }

    /// The file of the plot, which is none of what is read.
    fn output(&self, path: &Path) -> Result<Output> {
        plot::check_name(path)?;
        let output = Output::new(path, self.force)?;
        let models = self.models.iter().map(|model| Some(model.as_path()));
        let others = [Some(self.data.as_path()), self.base.as_deref()];
        output.check_inputs(&models.chain(others).collect::<Vec<_>>())?;
        Ok(output)
    }

    /// Where the trainings of recipes are kept.
    fn work(&self) -> PathBuf {
        let beside = |base: &Path| {
            let mut name = base.file_name().unwrap_or_default().to_owned();
            name.push(".compare");
            base.with_file_name(name)
        };
        let beside = || self.base.as_deref().map(beside).unwrap_or_default();
        self.work.clone().unwrap_or_else(beside)
    }

    /// Refuses what cannot be measured.
    fn check(&self, path: &Path, split: &'static str) -> Result<Candidate> {
        check_exists(path)?;
        if path.extension().is_none_or(|end| end != "toml") {
            self.check_measurable(path, split)?;
            return Ok(Candidate::Model);
        }
        if self.base.is_none() {
            let what = format!(
                "{}: a recipe needs a model to compress: add --base CHECKPOINT",
                path.display()
            );
            return Err(Usage(what).into());
        }
        let text = read_text(path)?;
        Ok(Candidate::Recipe(CompressionRecipe::parse(&path.display().to_string(), &text)?))
    }

    fn check_measurable(&self, path: &Path, split: &'static str) -> Result<()> {
        check_measurable(path, &self.data, split).with_context(|| {
            let (path, data) = (path.display(), self.data.display());
            format!("{path} cannot be measured on {data}: leave it out, or mend this")
        })
    }

    /// Refuses recipes that do not fit --base. The text for those that need it.
    fn corpus(&self, candidates: &[Candidate], split: &'static str) -> Result<Option<Corpus>> {
        let recipes = || {
            let all = self.models.iter().zip(candidates);
            all.filter_map(|(path, candidate)| match candidate {
                Candidate::Recipe(recipe) => Some((path, recipe)),
                Candidate::Model => None,
            })
        };
        let Some(path) = &self.base else { return Ok(None) };
        if recipes().next().is_none() {
            let what = "--base is compressed by recipes: name some (.toml), or leave it out";
            return Err(Usage(what.to_owned()).into());
        }
        let base = trainable(path)?;
        self.check_measurable(path, split)?;
        let mut steps = recipes().flat_map(|(_, recipe)| &recipe.step);
        let corpus = match steps.any(|step| step.settings().needs_text()) {
            true => Some(Corpus::open_with(&self.data, base.encoder.clone())?),
            false => None,
        };
        corpus.iter().for_each(show_notes);
        for (path, recipe) in recipes() {
            recipe.check(&base.outline(), corpus.as_ref()).map_err(|e| within(path, e.into()))?;
        }
        Ok(corpus)
    }

    /// Measures a checkpoint or a packed file.
    fn measured(&self, path: &Path, split: &'static str) -> Result<Compared> {
        note!("{}: measuring", path.display());
        if !path.is_dir() {
            let bytes = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
            let row = rows(path, &self.data, &[split], Device::Cpu)?;
            return self.row(row, bytes as usize, &Loaded::open(path)?.model);
        }
        let row = rows(path, &self.data, &[split], self.device.device)?;
        let packed = pack_in_memory(&Checkpoint::load(path)?)
            .with_context(|| format!("{} cannot be packed", path.display()))?;
        self.row(row, packed.len(), &Model::from_bytes(packed)?)
    }

    /// Makes the model of a recipe, and measures it.
    fn compressed(
        &self,
        (path, recipe): (&Path, &CompressionRecipe),
        corpus: Option<&Corpus>,
        work: &Path,
        split: &'static str,
    ) -> Result<Compared> {
        note!("{}: compressing", path.display());
        let base = trainable(self.base.as_deref().unwrap_or(path))?;
        let context = Context {
            corpus,
            work,
            device: self.device.device,
            step: 0,
            stop: &interruptible(),
            observe: &show_epoch,
        };
        let (compressed, _) = compress(base, recipe, &context, &mut |report| note!("  {report}"))
            .map_err(|error| within(path, error.into()))?;
        let packed = pack(&compressed, None, Vec::new()).map_err(|e| within(path, e.into()))?;
        let (bytes, model) = (packed.len(), Model::from_bytes(packed)?);
        self.row(packed_rows(path, &model, &self.data, &[split])?, bytes, &model)
    }

    fn row(&self, measured: Vec<Row>, bytes: usize, model: &Model) -> Result<Compared> {
        let row = measured.into_iter().next().context("one split makes one row")?;
        let tokens_per_second = match self.no_speed {
            true => None,
            false => Some(speed(model, self.seconds)?),
        };
        Ok(Compared {
            model: row.model,
            bytes,
            split: row.split,
            sha256: row.sha256,
            quality: row.evaluation,
            tokens_per_second,
            frontier: false,
        })
    }

    fn sort(&self, rows: &mut [Compared], measure: Measure) {
        let key = |row: &Compared| match self.sort {
            None => 0.0,
            Some(Sort::Bytes) => row.bytes as f64,
            Some(Sort::Perplexity) => measure.of(row),
            Some(Sort::Speed) => -row.tokens_per_second.unwrap_or(0.0),
        };
        rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
    }

    fn print(&self, rows: &[Compared], measure: Measure) -> Result<()> {
        if self.json {
            let machine = Machine::here();
            let object = serde_json::json!({
                "data": self.data.display().to_string(),
                "frontier_by": measure,
                "results": rows,
                "machine": machine,
            });
            say!("{}", serde_json::to_string_pretty(&object)?);
        } else if self.csv {
            print_csv(rows)?;
        } else {
            say!("{}", as_table(rows));
            say!();
            let name = measure.name();
            say!("* on the frontier: no other one here is both smaller and better (bytes, {name})");
        }
        let first = rows.first().map_or(0, |row| row.quality.oov);
        if measure == Measure::BitsPerByte {
            note!(
                "note: these models cut the text into different tokens, or know different words of it: compare bits/byte, not \
                 perplexity or recall"
            );
        }
        if rows.iter().any(|row| row.quality.oov != first) {
            note!(
                "note: these models do not know the same words: the more of them are read as <unk>, the easier the \
                 text is to predict"
            );
        }
        Ok(())
    }
}

/// Removes the trainings of so many models from a folder, and the folder if it held nothing else.
fn remove_trainings(work: &Path, models: usize) -> Result<()> {
    for at in 1..=models {
        let training = work.join(at.to_string());
        if training.is_dir() {
            std::fs::remove_dir_all(&training).with_context(|| training.display().to_string())?;
        }
    }
    // Stays if there is something of somebody else in it.
    let _ = std::fs::remove_dir(work);
    Ok(())
}

/// The error of a recipe, with its file where the error does not stop work that can be resumed.
fn within(path: &Path, error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(pocketlm_train::error::Error::Stopped { .. }) => error,
        _ => error.context(path.display().to_string()),
    }
}

/// Tokens a second on one thread, however many this command has.
fn speed(model: &Model, time: Duration) -> Result<f64> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.map_err(|error| anyhow!(error))?
        .install(|| Ok(rate(&words(&mut Session::new(model), time)?)))
}

/// Marks the models that no other one beats in one of the two without losing in the other.
fn mark_frontier(rows: &mut [Compared], measure: Measure) {
    let places: Vec<(usize, f64)> = rows.iter().map(|row| (row.bytes, measure.of(row))).collect();
    let beats = |a: &(usize, f64), b: &(usize, f64)| a.0 <= b.0 && a.1 <= b.1 && a != b;
    for (row, own) in rows.iter_mut().zip(&places) {
        row.frontier = !places.iter().any(|other| beats(other, own));
    }
}

fn points(rows: &[Compared], measure: Measure) -> Vec<Point> {
    let point = |row: &Compared| Point {
        name: row.model.display().to_string(),
        bytes: row.bytes as f64,
        loss: measure.of(row),
        on_frontier: row.frontier,
    };
    rows.iter().map(point).collect()
}

/// `perplexity (test)`
fn title(measure: Measure, split: &str) -> String {
    format!("{} ({split})", measure.name())
}

fn as_table(rows: &[Compared]) -> Table {
    let mut header =
        vec!["model", "split", "bytes", "perplexity", "bits/byte", "recall@1", "recall@3"];
    let with_speed = rows.iter().any(|row| row.tokens_per_second.is_some());
    header.extend(with_speed.then_some("tokens/s"));
    header.push("frontier");
    let mut table = table(&header, 2);
    for row in rows {
        let quality = &row.quality;
        let mut cells = vec![
            row.model.display().to_string(),
            row.split.to_owned(),
            row.bytes.to_string(),
            format!("{:.2}", quality.perplexity),
            format!("{:.3}", quality.bits_per_byte),
            percent(quality.recall_at_1),
            percent(quality.recall_at_3),
        ];
        cells.extend(row.tokens_per_second.map(|speed| format!("{speed:.0}")));
        cells.push(if row.frontier { "*" } else { "" }.to_owned());
        table.add_row(cells);
    }
    table
}

fn print_csv(rows: &[Compared]) -> Result<()> {
    say!(
        "model,split,bytes,tokens,perplexity,bits_per_byte,recall_at_1,recall_at_3,oov,tokens_per_second,frontier"
    );
    for row in rows {
        let quality = &row.quality;
        say!(
            "{},{},{},{},{},{},{},{},{},{},{}",
            quoted(&row.model.display().to_string()),
            row.split,
            row.bytes,
            quality.tokens,
            quality.perplexity,
            quality.bits_per_byte,
            quality.recall_at_1,
            quality.recall_at_3,
            quality.oov,
            row.tokens_per_second.map(|speed| speed.to_string()).unwrap_or_default(),
            row.frontier,
        );
    }
    Ok(())
}

/// A field as RFC 4180 has it.
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pocketlm_train::corpus::Split as Text;
    use pocketlm_train::train::Sums;

    fn row(bytes: usize, nll: f64) -> Compared {
        let text = Text { ids: vec![0], bytes: 1, ..Text::default() };
        Compared {
            model: "m".into(),
            bytes,
            split: "test",
            sha256: String::new(),
            quality: Evaluation::new(&Sums::without_ranks(nll), &text),
            tokens_per_second: None,
            frontier: false,
        }
    }

    #[test]
    fn the_frontier_is_what_nothing_beats() {
        let places = [(9, 1.0), (9, 2.0), (5, 2.0), (5, 2.0), (6, 3.0), (1, 9.0)];
        let mut rows: Vec<_> = places.into_iter().map(|(bytes, nll)| row(bytes, nll)).collect();
        mark_frontier(&mut rows, Measure::Perplexity);
        let marked: Vec<bool> = rows.iter().map(|row| row.frontier).collect();
        // Equals beat each other in nothing.
        assert_eq!(marked, [true, false, true, true, false, true]);
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("a b"), "a b");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
