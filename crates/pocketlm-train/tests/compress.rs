//! Compression from recipe to packed bytes: what is promised is kept, what the runtime reads is what the trainer
//! computes with, and fine-tuning goes on where it was.

mod common;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use common::sit;
use pocketlm::{CellKind, Model, Precision, Session, Sparsity};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::compress::{Context, StepReport, compress, packed_loss};
use pocketlm_train::corpus::Corpus;
use pocketlm_train::cuda::Device;
use pocketlm_train::error::Error;
use pocketlm_train::grammar;
use pocketlm_train::matrix::Structure;
use pocketlm_train::pack::pack;
use pocketlm_train::recipe::CompressionRecipe;
use pocketlm_train::recipe::{Draft, Recipe, Step};
use pocketlm_train::train::evaluate;
use pocketlm_train::train::{Options, Trainer};
use tempfile::TempDir;

fn corpus() -> Corpus {
    grammar::corpus(3, 6_000).unwrap()
}

fn recipe(more: &str) -> Recipe {
    let text = format!(
        "[model]\nembedding = 12\nhidden = [16, 12]\n\
         [train]\nbatch = 10\nsteps = 12\nepochs = 2\ndropout = 0.1\nlr = 1.0\n{more}"
    );
    Draft::base("zaremba-small").unwrap().file("test", &text).unwrap().finish().unwrap()
}

fn options(folder: &Path) -> Options {
    Options { out: folder.to_owned(), seed: 1, save_every: Duration::MAX, device: Device::Cpu }
}

fn trained(corpus: &Corpus, more: &str) -> (TempDir, Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start(corpus, recipe(more), options(folder.path())).unwrap();
    assert!(sit(&mut trainer, usize::MAX));
    let model = Checkpoint::load(folder.path()).unwrap();
    (folder, model)
}

fn run(
    model: Checkpoint,
    corpus: &Corpus,
    steps: &str,
    work: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<(Checkpoint, Vec<StepReport>), Error> {
    let recipe = CompressionRecipe::parse("test", steps).unwrap();
    let (corpus, device) = (Some(corpus), Device::Cpu);
    let context = Context { corpus, work, device, step: 0, stop, observe: &|_| () };
    compress(model, &recipe, &context, &mut |_| ())
}

fn compressed(model: Checkpoint, corpus: &Corpus, steps: &str) -> (Checkpoint, Vec<StepReport>) {
    let work = tempfile::tempdir().unwrap();
    run(model, corpus, steps, work.path(), &|| false).unwrap()
}

const RECIPES: &[&str] = &[
    "[[step]]\nmethod = \"prune\"\nmatrices = [\"*\"]\nsparsity = 0.6\n",
    "[[step]]\nmethod = \"prune\"\nmatrices = [\"softmax\", \"embedding\"]\nsparsity = 0.5\npattern = \"panels\"\n",
    "[[step]]\nmethod = \"prune\"\nmatrices = [\"*\"]\nsparsity = 0.7\nscope = \"global\"\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int8\"\n",
    "[[step]]\nmethod = \"low-rank\"\nmatrices = [\"softmax\", \"cell.*.input\", \"embedding\"]\nrank = 5\n",
    "[[step]]\nmethod = \"low-rank\"\nmatrices = [\"*\"]\nenergy = 0.9\nweighted = true\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"softmax.left\"]\nprecision = \"int4\"\n\
     [[step]]\nmethod = \"prune\"\nmatrices = [\"softmax.right\"]\nsparsity = 0.3\n",
    "[[step]]\nmethod = \"shared-low-rank\"\nrank = 7\n",
    "[[step]]\nmethod = \"shared-low-rank\"\nrank = 7\nweighted = true\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.*\"]\nprecision = \"f16\"\n",
    "[[step]]\nmethod = \"tensor-train\"\nmatrices = [\"softmax\", \"embedding\"]\nrank = 6\n\
     [[step]]\nmethod = \"tensor-train\"\nmatrices = [\"cell.*.recurrent\"]\nratio = 0.6\ncores = 2\n",
    "[[step]]\nmethod = \"diagonal-low-rank\"\nmatrices = [\"cell.*.recurrent\"]\nratio = 0.6\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.*.left\", \"cell.*.right\"]\nprecision = \"int8\"\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.*.diagonal\"]\nprecision = \"f16\"\n",
    "[[step]]\nmethod = \"kronecker\"\nmatrices = [\"softmax\", \"cell.*\"]\nratio = 0.5\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.*\"]\nprecision = \"f16\"\n",
    "[[step]]\nmethod = \"block-circulant\"\nmatrices = [\"softmax\", \"embedding\", \"cell.*\"]\nblock = 4\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.*\"]\nprecision = \"int4\"\n",
    "[[step]]\nmethod = \"toeplitz-like\"\nmatrices = [\"cell.*\", \"softmax\"]\nrank = 3\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.0.*\"]\nprecision = \"int8\"\n",
    "[[step]]\nmethod = \"block-low-rank\"\nmatrices = [\"softmax\", \"embedding\"]\nratio = 0.6\ngroups = 2\n\
     [[step]]\nmethod = \"low-rank\"\nmatrices = [\"cell.*\"]\nrank = 9\nweighted = true\nfisher = true\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"softmax.left.0\"]\nprecision = \"int8\"\n",
    "[[step]]\nmethod = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 9\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int4\"\ncompensate = true\n",
    "[[step]]\nmethod = \"quantise\"\nmatrices = [\"embedding\", \"softmax\"]\nprecision = \"product4\"\n\
     [[step]]\nmethod = \"low-rank\"\nmatrices = [\"cell.0.input\"]\nrank = 9\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.*\"]\nprecision = \"product8\"\n",
    "[[step]]\nmethod = \"entropy\"\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"softmax\", \"embedding\"]\nprecision = \"ternary\"\n",
    "[[step]]\nmethod = \"learned-scales\"\nmatrices = [\"softmax\", \"cell.0.*\"]\nprecision = \"int3\"\n\
     [[step]]\nmethod = \"learned-scales\"\nmatrices = [\"embedding\"]\nprecision = \"ternary\"\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.1.*\"]\nprecision = \"int8\"\n",
    "[[step]]\nmethod = \"rate-distortion\"\nmatrices = [\"*\"]\nbits = 3\n",
    "[[step]]\nmethod = \"rate-distortion\"\nmatrices = [\"softmax\", \"cell.0.*\"]\nbits = 4.5\n\
     [[step]]\nmethod = \"quantise\"\nmatrices = [\"embedding\"]\nprecision = \"int8\"\n",
    "[[step]]\nmethod = \"remove-units\"\nunits = [\"cell.*\", \"embedding\"]\nfraction = 0.3\n",
    "[[step]]\nmethod = \"quantise\"\nmatrices = [\"cell.*\"]\nprecision = \"int8\"\n\
     [[step]]\nmethod = \"low-rank\"\nmatrices = [\"embedding\"]\nrank = 9\n\
     [[step]]\nmethod = \"remove-units\"\nfraction = 0.4\nscope = \"global\"\nsaliency = \"taylor\"\n",
];

/// The runtime's weights are the trainer's, bit for bit where they are stored as they are; and so, but for the
/// rounding of activations, are its losses.
#[test]
fn the_packed_model_is_the_one_that_was_compressed() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    for steps in RECIPES {
        let (model, reports) = compressed(Checkpoint::load(folder.path()).unwrap(), &corpus, steps);
        let (packed, loss) = packed_as_it_is(&model, &corpus, steps);
        let reported = reports.last().unwrap().valid_perplexity.unwrap();
        assert!((reported.ln() - loss).abs() < 1e-12);
        assert!(packed.recipe().contains("[[step]]") && packed.recipe().contains("[train]"));
    }
    // Their own tests are below.
    let trains = ["fine-tune", "variational-dropout"];
    for method in Step::NAMES.iter().filter(|method| !trains.contains(method)) {
        let is_own = |recipe: &&str| recipe.contains(&format!("method = \"{method}\""));
        let mut all =
            RECIPES.iter().copied().chain(pocketlm::Structure::ALL.into_iter().filter_map(step));
        assert!(all.any(|recipe| is_own(&recipe)), "{method}");
    }
}

/// The packed model, whose weights and loss are the trainer's; and its loss.
fn packed_as_it_is(model: &Checkpoint, corpus: &Corpus, steps: &str) -> (Model, f64) {
    let bytes = pack(model, None, Vec::new()).unwrap();
    let packed = Model::from_bytes(bytes.clone()).unwrap();
    packed.verify().unwrap();
    weights_agree(model, &packed, steps);
    let eos = corpus.encoder.vocabulary().eos();
    let ours = evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap();
    let theirs = packed_loss(bytes, model, &corpus.valid).unwrap();
    let is_integer = |name: &str| Precision::from_name(name).is_none_or(Precision::is_integer);
    let tolerance =
        if packed.matrices().iter().any(|info| is_integer(&info.precision)) { 0.02 } else { 1e-5 };
    assert!((ours.nll / theirs - 1.0).abs() < tolerance, "{steps}: {} {theirs}", ours.nll);
    (packed, theirs)
}

/// A step that gives a structure to the matrices of the cells.
fn step(structure: pocketlm::Structure) -> Option<&'static str> {
    use pocketlm::Structure::*;
    Some(match structure {
        // A uRNN has its unitary matrices from the start.
        Dense | Unitary => return None,
        LowRank => "method = \"low-rank\"\nmatrices = [\"cell.*.input\"]\nrank = 3",
        BlockLowRank => {
            "method = \"block-low-rank\"\nmatrices = [\"softmax\"]\nratio = 0.6\ngroups = 2"
        }
        DiagonalLowRank => {
            "method = \"diagonal-low-rank\"\nmatrices = [\"embedding\", \"cell.*.input\"]\nrank = 2"
        }
        TensorTrain => {
            "method = \"tensor-train\"\nmatrices = [\"cell.*.input\"]\nratio = 0.6\ncores = 2"
        }
        BlockCirculant => "method = \"block-circulant\"\nmatrices = [\"cell.*.input\"]\nblock = 4",
        ToeplitzLike => "method = \"toeplitz-like\"\nmatrices = [\"cell.*.input\"]\nrank = 2",
    })
}

/// Every cell with every structure, and with every precision of every sparsity that can have it: what is packed is what
/// the trainer computes with, and the file says so by name.
#[test]
fn every_cell_has_every_form() {
    let corpus = corpus();
    let mut found = BTreeSet::new();
    for cell in CellKind::ALL {
        let model = format!("[model]\ncell = \"{cell}\"\nembedding = 6\nhidden = [8]\n");
        let train = "[train]\nbatch = 10\nsteps = 12\nepochs = 1\nlr = 0.1\noptimizer = \"adam\"\n";
        let recipe = Draft::base("zaremba-small").unwrap();
        let recipe = recipe.file("test", &(model + train)).unwrap().finish().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trainer = Trainer::start(&corpus, recipe, options(folder.path()));
        assert!(sit(&mut trainer.unwrap(), usize::MAX));
        let structures = pocketlm::Structure::ALL.into_iter().filter_map(step);
        let structures = structures.map(|step| format!("[[step]]\n{step}\n"));
        let leaves = Sparsity::ALL.into_iter().flat_map(|s| Precision::ALL.map(|p| (s, p)));
        let leaves = leaves.filter(|(s, p)| s.takes(*p)).map(|(sparsity, precision)| {
            let prune = format!(
                "[[step]]\nmethod = \"prune\"\nmatrices = [\"*\"]\nsparsity = 0.3\n\
                 pattern = \"{sparsity}\"\n"
            );
            let prune = if sparsity == Sparsity::None { "" } else { &prune };
            format!("{prune}[[step]]\nmethod = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"{precision}\"\n")
        });
        for steps in structures.chain(leaves) {
            let model = Checkpoint::load(folder.path()).unwrap();
            let (packed, _) =
                packed_as_it_is(&compressed(model, &corpus, &steps).0, &corpus, &steps);
            for info in packed.matrices() {
                found.extend([info.structure, info.sparsity, info.precision]);
            }
            assert_eq!(packed.configuration().unwrap().cell, cell);
        }
    }
    let names = pocketlm::Structure::ALL.map(|one| one.name()).into_iter();
    let names = names.chain(Sparsity::ALL.map(Sparsity::name));
    for name in names.chain(Precision::ALL.map(Precision::name)) {
        assert!(found.contains(name), "no packed model has {name}");
    }
}

fn weights_agree(model: &Checkpoint, packed: &Model, steps: &str) {
    let words: Vec<&str> = model.encoder.vocabulary().words().collect();
    for entry in model.parameters.entries().iter().filter(|entry| !entry.vector) {
        let structure = model.config.forms.structures.get(&entry.name);
        let structured = !matches!(structure, None | Some(Structure::LearnedScales(_)));
        let numbers = &model.parameters.data[entry.range.clone()];
        let mut row = vec![0.0; entry.columns];
        for (at, ours) in numbers.chunks(entry.columns).enumerate() {
            let by_word = ["embedding", "softmax"].contains(&&*entry.name);
            let place =
                if by_word { packed.vocabulary().id(words[at]).unwrap() as usize } else { at };
            packed.row(&entry.name, place, &mut row).unwrap();
            for (a, b) in ours.iter().zip(&row) {
                let same =
                    if structured { (a - b).abs() <= 1e-5 * (1.0 + a.abs()) } else { a == b };
                assert!(same, "{steps}: {} row {at}: {a} {b}", entry.name);
            }
        }
    }
}

#[test]
fn full_rank_changes_nothing_and_lower_ranks_lose_more() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    let valid = |steps: &str| {
        let model = Checkpoint::load(folder.path()).unwrap();
        let (_, reports) = compressed(model, &corpus, steps);
        let perplexity = |report: &StepReport| report.valid_perplexity.unwrap();
        (perplexity(&reports[0]), perplexity(reports.last().unwrap()))
    };
    let low_rank = |rank: usize| {
        format!("[[step]]\nmethod = \"low-rank\"\nmatrices = [\"cell.*\"]\nrank = {rank}\n")
    };
    let (before, full) = valid(&low_rank(12));
    assert!((before / full - 1.0).abs() < 1e-5, "{before} {full}");
    let (_, half) = valid(&low_rank(6));
    let (_, one) = valid(&low_rank(1));
    assert!(full < half && half < one, "{full} {half} {one}");
}

#[test]
fn a_tied_model_shares_its_projections_with_the_embedding() {
    let corpus = corpus();
    let tied = Draft::of(&recipe("")).set("hidden", "[12, 12]").unwrap().set("tied", "true");
    let folder = tempfile::tempdir().unwrap();
    let recipe = tied.unwrap().finish().unwrap();
    let mut trainer = Trainer::start(&corpus, recipe, options(folder.path())).unwrap();
    assert!(sit(&mut trainer, usize::MAX));
    let valid = |rank: usize, weighted: bool| {
        let model = Checkpoint::load(folder.path()).unwrap();
        let steps = format!(
            "[[step]]\nmethod = \"shared-low-rank\"\nrank = {rank}\nweighted = {weighted}\n"
        );
        let (model, reports) = compressed(model, &corpus, &steps);
        assert_eq!(model.config.recipe.model.embedding, rank);
        let perplexity = |at: usize| reports[at].valid_perplexity.unwrap();
        (perplexity(0), perplexity(1))
    };
    let (before, after) = valid(12, false);
    assert!((after / before - 1.0).abs() < 1e-4, "{before} became {after}");
    let (_, less) = valid(9, false);
    let (_, weighted) = valid(9, true);
    assert!(less < 1.5 * before && weighted < 1.5 * before, "{before} {less} {weighted}");
}

#[test]
fn retraining_keeps_the_zeros_and_wins_back_what_pruning_lost() {
    let corpus = corpus();
    let (_folder, model) = trained(&corpus, "");
    let steps = "[[step]]\nmethod = \"prune\"\nmatrices = [\"softmax\", \"cell.*\"]\nsparsity = 0.8\n\
                 [[step]]\nmethod = \"fine-tune\"\nepochs = 2\nlr = 0.5\n";
    let (model, reports) = compressed(model, &corpus, steps);
    let valid: Vec<f64> = reports.iter().map(|r| r.valid_perplexity.unwrap()).collect();
    assert!(valid[2] < valid[1], "{valid:?}");
    let softmax = model.leaves.find("softmax").unwrap();
    let zeros = model.leaves.data[softmax.range.clone()].iter().filter(|&&x| x == 0.0).count();
    assert_eq!(zeros, (softmax.range.len() as f64 * 0.8).round() as usize);
}

#[test]
fn the_group_lasso_makes_units_that_can_go() {
    let corpus = corpus();
    let (_folder, model) = trained(&corpus, "");
    let steps = "[[step]]\nmethod = \"fine-tune\"\nepochs = 3\nlr = 0.5\ngroup_lasso = 0.05\n\
                 [[step]]\nmethod = \"remove-units\"\nbelow = 0.05\n\
                 [[step]]\nmethod = \"fine-tune\"\nepochs = 1\nlr = 0.5\n";
    let (model, reports) = compressed(model, &corpus, steps);
    let valid: Vec<f64> = reports.iter().map(|r| r.valid_perplexity.unwrap()).collect();
    let hidden = &model.config.recipe.model.hidden;
    assert!(hidden[0] < 16 || hidden[1] < 12, "{hidden:?}");
    assert!(valid[2] < 1.05 * valid[1], "{hidden:?} {valid:?}");
    assert!(reports[2].bytes < reports[1].bytes);
    assert_eq!(model.config.recipe.train.group_lasso, 0.0);
}

/// Fine-tuning moves weights and scales, and the file has the codes and scales that it arrived at.
#[test]
fn learned_scales_win_back_what_rounding_lost_and_the_file_has_them() {
    let corpus = corpus();
    let (_folder, model) = trained(&corpus, "");
    let scales = |model: &Checkpoint| {
        let entry = model.leaves.find("softmax.scales").unwrap();
        model.leaves.data[entry.range.clone()].to_vec()
    };
    let steps = "[[step]]\nmethod = \"learned-scales\"\nmatrices = [\"*\"]\nprecision = \"int2\"\n";
    let (model, rounded) = compressed(model, &corpus, steps);
    let before = scales(&model);
    let steps = "[[step]]\nmethod = \"fine-tune\"\nepochs = 2\nlr = 0.5\n";
    let (model, tuned) = compressed(model, &corpus, steps);
    assert_ne!(scales(&model), before);
    let valid = |reports: &[StepReport]| reports.last().unwrap().valid_perplexity.unwrap();
    assert!(valid(&tuned) < valid(&rounded), "{} {}", valid(&tuned), valid(&rounded));
    let packed = Model::from_bytes(pack(&model, None, Vec::new()).unwrap()).unwrap();
    weights_agree(&model, &packed, "learned scales");
    let matrices = packed.matrices().into_iter().filter(|info| info.structure != "vector");
    let forms = matrices.map(|info| (info.structure, info.precision));
    assert!(forms.into_iter().all(|form| form == ("dense".into(), "int2".into())));
    let wide = pack(&model, Some(Precision::F32), Vec::new()).unwrap();
    let theirs = packed_loss(wide, &model, &corpus.valid).unwrap();
    let eos = corpus.encoder.vocabulary().eos();
    let ours = evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap();
    assert!((ours.nll / theirs - 1.0).abs() < 1e-5, "{} {theirs}", ours.nll);
}

fn by_rate(matrices: &str, size: &str) -> String {
    format!("[[step]]\nmethod = \"rate-distortion\"\nmatrices = [{matrices}]\n{size}\n")
}

/// The file keeps to its bytes, fewer of them win nothing, and training goes on through the rounding.
#[test]
fn a_budget_of_bytes_is_kept_and_training_goes_on() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    let model = || Checkpoint::load(folder.path()).unwrap();
    let error = |size: &str| {
        let work = tempfile::tempdir().unwrap();
        run(model(), &corpus, &by_rate("\"*\"", size), work.path(), &|| false)
            .err()
            .unwrap()
            .to_string()
    };
    let message = error("bytes = 500");
    let least = message.split("the smallest possible is ").nth(1).unwrap();
    let least: usize = least.split(',').next().unwrap().parse().unwrap();
    let valid = |reports: &[StepReport]| reports.last().unwrap().valid_perplexity.unwrap();
    let mut before = 0.0;
    for budget in [2 * least, least * 5 / 4] {
        let (small, reports) =
            compressed(model(), &corpus, &by_rate("\"*\"", &format!("bytes = {budget}")));
        let bytes = pack(&small, None, Vec::new()).unwrap();
        assert!(bytes.len() <= budget, "{} of {budget}", bytes.len());
        // Figures of quality still go into the header.
        assert!(bytes.len() + 256 + budget / 50 >= budget, "{} of {budget}", bytes.len());
        let packed = Model::from_bytes(bytes).unwrap();
        weights_agree(&small, &packed, "a budget of bytes");
        assert!(
            valid(&reports) > 0.995 * before,
            "{} at {budget}, {before} before",
            valid(&reports)
        );
        before = valid(&reports);
    }
    let (small, _) = compressed(model(), &corpus, &by_rate("\"*\"", "bits = 1.5"));
    let saved = tempfile::tempdir().unwrap();
    small.save(saved.path()).unwrap();
    let small = Checkpoint::load(saved.path()).unwrap();
    let eos = corpus.encoder.vocabulary().eos();
    // On the training text: the little model has nothing more to learn of the other.
    let loss = |model: &Checkpoint| {
        evaluate(&model.network, &model.parameters, &corpus.train, eos).unwrap().nll
    };
    let rounded = loss(&small);
    let steps = "[[step]]\nmethod = \"fine-tune\"\nepochs = 1\nlr = 0.3\n";
    let (small, _) = compressed(small, &corpus, steps);
    assert!(loss(&small) < rounded, "{} {rounded}", loss(&small));
    let packed = Model::from_bytes(pack(&small, None, Vec::new()).unwrap()).unwrap();
    weights_agree(&small, &packed, "a tuned one");
}

const VARIATIONAL: &str = "[[step]]\nmethod = \"variational-dropout\"\nmatrices = [\"softmax\", \"cell.*\"]\n\
     log_variance = -5.0\nthreshold = 2.0\nepochs = 3\noptimizer = \"adam\"\nlr = 0.01\n";

/// Training finds weights to do without, and what is left is a plain model with zeros that stay.
#[test]
fn variational_dropout_finds_weights_that_can_go() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    let tune = "[[step]]\nmethod = \"fine-tune\"\nepochs = 1\noptimizer = \"sgd\"\nlr = 0.5\n";
    let zeros = |model: &Checkpoint| -> Vec<f64> {
        let share = |name: &str| {
            let numbers = &model.leaves.data[model.leaves.find(name).unwrap().range.clone()];
            numbers.iter().filter(|&&x| x == 0.0).count() as f64 / numbers.len() as f64
        };
        ["softmax", "cell.0.input", "embedding"].map(share).to_vec()
    };
    for prior in ["ard", "log-uniform"] {
        let steps = format!("{VARIATIONAL}prior = \"{prior}\"\n");
        let model = Checkpoint::load(folder.path()).unwrap();
        let (model, reports) = compressed(model, &corpus, &steps);
        let found = zeros(&model);
        assert!(found[0] > 0.1 && found[1] > 0.1 && found[2] == 0.0, "{prior}: {found:?}");
        assert!(model.config.forms.structures.is_empty());
        let valid: Vec<f64> = reports.iter().map(|r| r.valid_perplexity.unwrap()).collect();
        assert!(valid[1] < 1.1 * valid[0], "{prior}: {valid:?}");
        let (model, _) = compressed(model, &corpus, tune);
        assert_eq!(zeros(&model), found);
    }
}

/// The noise of an update depends on its number, so that a training goes on with what it would have drawn; and of
/// its models the last is kept, which has the most zeros.
#[test]
fn variational_dropout_stopped_and_resumed_is_uninterrupted() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    let model = || Checkpoint::load(folder.path()).unwrap();
    let (whole, _) = compressed(model(), &corpus, VARIATIONAL);
    let work = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    let stop = || {
        count.set(count.get() + 1);
        count.get() % 37 == 0
    };
    let mut sittings = 1;
    let resumed = loop {
        match run(model(), &corpus, VARIATIONAL, work.path(), &stop) {
            Ok((resumed, _)) => break resumed,
            Err(Error::Stopped { .. }) => sittings += 1,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(sittings > 3);
    assert_eq!(resumed.leaves.data, whole.leaves.data);
    let metrics = fs::read_to_string(work.path().join("step-1/metrics.jsonl")).unwrap();
    let kept = metrics.lines().filter(|line| line.contains("\"best\":true")).count();
    assert_eq!(kept, 3, "{metrics}");
}

#[test]
fn removing_nothing_changes_nothing() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    let before = Checkpoint::load(folder.path()).unwrap();
    let steps = "[[step]]\nmethod = \"remove-units\"\nunits = [\"*\"]\nbelow = 1e-6\n";
    let (model, _) = compressed(Checkpoint::load(folder.path()).unwrap(), &corpus, steps);
    assert_eq!(model.leaves.data, before.leaves.data);
}

#[test]
fn gradual_pruning_reaches_its_share() {
    let corpus = corpus();
    let (_folder, model) = trained(&corpus, "");
    let steps = "[[step]]\nmethod = \"fine-tune\"\nepochs = 2\nlr = 0.5\n\
                 [step.prune]\nmatrices = [\"softmax\"]\nsparsity = 0.75\nevery = 10\n";
    let (model, _) = compressed(model, &corpus, steps);
    let softmax = model.leaves.find("softmax").unwrap();
    let zeros = model.leaves.data[softmax.range.clone()].iter().filter(|&&x| x == 0.0).count();
    assert_eq!(zeros, (softmax.range.len() as f64 * 0.75).round() as usize);
}

const REGROWTH: &str =
    "[train.regrowth]\nmatrices = [\"softmax\", \"cell.*\"]\nsparsity = 0.6\nevery = 7\n";

/// Which numbers of the softmax and of a cell are kept.
fn kept(model: &Checkpoint) -> Vec<bool> {
    let names = ["softmax", "cell.1.recurrent"];
    let ranges = names.map(|name| model.leaves.find(name).unwrap().range.clone());
    ranges.into_iter().flatten().map(|at| model.leaves.data[at] != 0.0).collect()
}

#[test]
fn regrowth_keeps_the_share_and_changes_what_is_kept() {
    let corpus = corpus();
    let start = tempfile::tempdir().unwrap();
    sit(&mut Trainer::start(&corpus, recipe(REGROWTH), options(start.path())).unwrap(), 1);
    let first = kept(&Checkpoint::load(start.path()).unwrap());
    let (_folder, model) = trained(&corpus, REGROWTH);
    let last = kept(&model);
    let count = |kept: &[bool]| kept.iter().filter(|&&kept| kept).count();
    assert_eq!(count(&first), count(&last));
    assert!((count(&last) as f64 - 0.4 * last.len() as f64).abs() < 2.0);
    let changed = first.iter().zip(&last).filter(|(a, b)| a != b).count();
    assert!(changed > last.len() / 10, "{changed} of {}", last.len());
    let eos = corpus.encoder.vocabulary().eos();
    let valid = evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap();
    let (_folder, dense) = trained(&corpus, "");
    let reference = evaluate(&dense.network, &dense.parameters, &corpus.valid, eos).unwrap();
    assert!(valid.perplexity < 2.0 * reference.perplexity, "{valid:?} {reference:?}");

    // A trained model begins with its largest numbers.
    let steps = format!(
        "[[step]]\nmethod = \"fine-tune\"\nepochs = 1\nlr = 0.5\n{}",
        REGROWTH.replace("train", "step")
    );
    let (tuned, _) = compressed(dense, &corpus, &steps);
    assert_eq!(count(&kept(&tuned)), count(&last));
}

#[test]
fn regrowth_stopped_and_resumed_is_uninterrupted() {
    let corpus = corpus();
    let (whole, _) = trained(&corpus, REGROWTH);
    let folder = tempfile::tempdir().unwrap();
    let start = Trainer::start(&corpus, recipe(REGROWTH), options(folder.path()));
    let mut finished = sit(&mut start.unwrap(), 10);
    for updates in [4, 7, 500] {
        assert!(!finished);
        let mut trainer = Trainer::resume(&corpus, options(folder.path())).unwrap();
        finished = sit(&mut trainer, updates);
    }
    assert!(finished);
    let model = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert!(model(whole.path()) == model(folder.path()));
}

const FROM_SCRATCH: &str = "\
    [[form]]\nmethod = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 6\n\
    [[form]]\nmethod = \"tensor-train\"\nmatrices = [\"cell.0.input\"]\ncores = 2\nrank = 8\n\
    [[form]]\nmethod = \"block-circulant\"\nmatrices = [\"cell.1.input\"]\nblock = 4\n\
    [[form]]\nmethod = \"toeplitz-like\"\nmatrices = [\"cell.1.recurrent\"]\nrank = 2\n\
    [[form]]\nmethod = \"quantise\"\nmatrices = [\"embedding\"]\nprecision = \"int8\"\n\
    [train.prune]\nmatrices = [\"cell.0.recurrent\"]\nsparsity = 0.5\nevery = 7\n";

#[test]
fn a_factored_model_learns_from_scratch() {
    let corpus = corpus();
    let (_folder, model) = trained(&corpus, FROM_SCRATCH);
    let eos = corpus.encoder.vocabulary().eos();
    let valid = evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap();
    let (_folder, dense) = trained(&corpus, "");
    let reference = evaluate(&dense.network, &dense.parameters, &corpus.valid, eos).unwrap();
    assert!(valid.perplexity < 2.0 * reference.perplexity, "{valid:?} {reference:?}");
    assert!(model.leaves.data.len() < dense.leaves.data.len());
}

#[test]
fn in_every_form_stopped_and_resumed_is_uninterrupted() {
    let corpus = corpus();
    let (whole, _) = trained(&corpus, FROM_SCRATCH);
    let folder = tempfile::tempdir().unwrap();
    let start = Trainer::start(&corpus, recipe(FROM_SCRATCH), options(folder.path()));
    let mut finished = sit(&mut start.unwrap(), 10);
    for updates in [23, 40, 500] {
        assert!(!finished);
        let mut trainer = Trainer::resume(&corpus, options(folder.path())).unwrap();
        finished = sit(&mut trainer, updates);
    }
    assert!(finished);
    let bytes = |folder: &TempDir| fs::read(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(bytes(&folder), bytes(&whole));
}

#[test]
fn a_stopped_compression_goes_on_to_the_same_bytes() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    let steps = "[[step]]\nmethod = \"prune\"\nmatrices = [\"softmax\"]\nsparsity = 0.5\n\
                 [[step]]\nmethod = \"fine-tune\"\nepochs = 1\nlr = 0.5\n\
                 [[step]]\nmethod = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int8\"\n";
    let model = || Checkpoint::load(folder.path()).unwrap();
    let (whole, _) = compressed(model(), &corpus, steps);
    let work = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    let stop = || {
        count.set(count.get() + 1);
        count.get() == 20
    };
    let stopped = run(model(), &corpus, steps, work.path(), &stop);
    assert!(matches!(stopped, Err(Error::Stopped { .. })));
    let (resumed, _) = run(model(), &corpus, steps, work.path(), &|| false).unwrap();
    let bytes = |model| pack(model, None, Vec::new()).unwrap();
    assert_eq!(bytes(&resumed), bytes(&whole));
}

/// The step is remembered through the others and in a checkpoint, and changes the bytes of the file alone.
#[test]
fn an_entropy_coded_file_is_smaller_and_the_same_model() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    let model = || Checkpoint::load(folder.path()).unwrap();
    let tune = "[[step]]\nmethod = \"fine-tune\"\nepochs = 1\nlr = 0.1\n";
    let entropy = "[[step]]\nmethod = \"entropy\"\n";
    let (plain, _) = compressed(model(), &corpus, tune);
    let (coded, reports) = compressed(model(), &corpus, &format!("{entropy}{tune}"));
    let saved = tempfile::tempdir().unwrap();
    coded.save(saved.path()).unwrap();
    let coded = Checkpoint::load(saved.path()).unwrap();
    let [plain, coded] = [plain, coded].map(|model| pack(&model, None, Vec::new()).unwrap());
    assert!(coded.len() < plain.len(), "{} became {}", plain.len(), coded.len());
    assert!(reports[1].bytes < reports[0].bytes);
    assert_eq!(reports[1].valid_perplexity, reports[0].valid_perplexity);
    let [plain, coded] = [plain, coded].map(|bytes| Model::from_bytes(bytes).unwrap());
    let ids = || 0..plain.vocabulary().len() as u32;
    let [a, b] = [&plain, &coded].map(|model| Session::new(model).evaluate(ids()).unwrap().nll);
    assert_eq!(a.to_bits(), b.to_bits());
}

#[test]
fn a_plan_foretells_the_bytes() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, "");
    let fewer_units = "[[step]]\nmethod = \"remove-units\"\nfraction = 0.25\n";
    for steps in [RECIPES[3], RECIPES[5], fewer_units] {
        let model = Checkpoint::load(folder.path()).unwrap();
        let recipe = CompressionRecipe::parse("test", steps).unwrap();
        let outline = recipe.check(&model.outline(), Some(&corpus)).unwrap();
        let foretold = outline.bytes(|entry| entry.range.len()).unwrap();
        let (_, reports) = compressed(model, &corpus, steps);
        let bytes: usize = reports.last().unwrap().matrices.iter().map(|m| m.bytes).sum();
        assert_eq!(foretold, bytes, "{steps}");
    }
}
