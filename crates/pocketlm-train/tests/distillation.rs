//! Learning from teachers: what it does, that it is reproducible, and what it refuses.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::sit;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::Corpus;
use pocketlm_train::cuda::Device;
use pocketlm_train::grammar;
use pocketlm_train::pack::pack_in_memory;
use pocketlm_train::recipe::{Draft, Recipe};
use pocketlm_train::train::{Options, Taught, Trainer, evaluate};
use tempfile::TempDir;

fn corpus(seed: u64) -> Corpus {
    grammar::corpus(seed, 6_000).unwrap()
}

fn recipe(settings: &[(&str, &str)]) -> Recipe {
    let small = [
        ("embedding", "12"),
        ("hidden", "[16]"),
        ("batch", "10"),
        ("steps", "12"),
        ("epochs", "3"),
        ("dropout", "0"),
    ];
    let base = Draft::base("zaremba-small").unwrap();
    let set = |draft: Draft, &(key, value): &(&str, &str)| draft.set(key, value).unwrap();
    small.iter().chain(settings).fold(base, set).finish().unwrap()
}

fn options(out: &Path) -> Options {
    Options { out: out.to_owned(), seed: 1, save_every: Duration::MAX, device: Device::Cpu }
}

fn trained(corpus: &Corpus, settings: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start(corpus, recipe(settings), options(folder.path())).unwrap();
    assert!(sit(&mut trainer, usize::MAX));
    folder
}

/// A larger model of the text.
fn teacher(corpus: &Corpus) -> TempDir {
    trained(corpus, &[("embedding", "32"), ("hidden", "[48]"), ("epochs", "8")])
}

fn set(teachers: &[&Path], more: &str) -> String {
    let names: Vec<String> = teachers.iter().map(|path| format!("'{}'", path.display())).collect();
    format!("{{ teachers = [{}]{more} }}", names.join(", "))
}

fn perplexity(corpus: &Corpus, folder: &TempDir) -> f64 {
    let model = Checkpoint::load(folder.path()).unwrap();
    let eos = corpus.encoder.vocabulary().eos();
    evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap().perplexity
}

fn model(folder: &TempDir) -> Vec<u8> {
    fs::read(folder.path().join("model.safetensors")).unwrap()
}

/// Of the text itself the student sees nothing but what it is fed.
#[test]
fn teachers_alone_teach() {
    let corpus = corpus(3);
    let teacher = teacher(&corpus);
    let distillation = set(&[teacher.path()], ", share = 0, keep = 1000");
    let student = trained(&corpus, &[("distillation", &*distillation), ("epochs", "8")]);
    let alone = trained(&corpus, &[("epochs", "8")]);
    let [student, alone] = [student, alone].map(|folder| perplexity(&corpus, &folder));
    assert!(student < 1.1 * alone, "{student} {alone}");
}

#[test]
fn the_text_alone_is_a_share_of_one() {
    let corpus = corpus(3);
    let distillation = "{ ngram = 2, share = 1.0 }";
    let with = trained(&corpus, &[("distillation", distillation)]);
    assert!(model(&with) == model(&trained(&corpus, &[])));
}

/// A checkpoint and its packed file say the same, in another order of ids.
#[test]
fn a_packed_teacher_says_what_its_checkpoint_says() {
    let corpus = corpus(3);
    let teacher = teacher(&corpus);
    let packed = teacher.path().join("packed.plm");
    let bytes = pack_in_memory(&Checkpoint::load(teacher.path()).unwrap()).unwrap();
    fs::write(&packed, bytes).unwrap();
    let want = perplexity(&corpus, &teacher);
    for path in [teacher.path(), &packed] {
        let out = tempfile::tempdir().unwrap();
        let recipe = recipe(&[("distillation", &set(&[path], ", keep = 7"))]);
        let mut trainer = Trainer::start(&corpus, recipe, options(out.path())).unwrap();
        let mut found = 0.0;
        let begin = &mut |taught: &Taught| found = taught.perplexity;
        assert!(trainer.prepare(&|| false, begin, &mut |_| ()).unwrap());
        // The pieces begin with a state of 64 words, the evaluation has that of the whole text.
        assert!((found / want - 1.0).abs() < 1e-2, "{}: {found} {want}", path.display());
    }
}

#[test]
fn stopped_and_resumed_is_uninterrupted() {
    let corpus = corpus(3);
    let teacher = teacher(&corpus);
    let distillation = set(&[teacher.path()], ", ngram = 3, keep = 5, last_share = 1.0");
    let settings = [("distillation", &*distillation), ("random_steps", "true")];
    let whole = trained(&corpus, &settings);
    let folder = tempfile::tempdir().unwrap();
    // While the teachers are asked, amid an epoch, and with a file that was cut.
    sit(&mut Trainer::start(&corpus, recipe(&settings), options(folder.path())).unwrap(), 1);
    sit(&mut Trainer::resume(&corpus, options(folder.path())).unwrap(), 60);
    let file = folder.path().join("teachers.bin");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(sit(&mut Trainer::resume(&corpus, options(folder.path())).unwrap(), usize::MAX));
    assert!(model(&folder) == model(&whole));
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn what_cannot_teach_is_refused_before_the_training() {
    let text = corpus(3);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.txt");
    fs::write(&other, "the dog sees a cat\n".repeat(200)).unwrap();
    let stranger = teacher(&Corpus::open(&other, &Default::default()).unwrap());
    let refused = |distillation: &str| {
        let recipe = recipe(&[("distillation", distillation)]);
        let out = folder.path().join("out");
        let _ = fs::remove_dir_all(&out);
        let error = Trainer::start(&text, recipe, options(&out)).err().unwrap().to_string();
        assert!(!out.join("config.json").exists(), "it began: {error}");
        error
    };
    let error = refused(&set(&[stranger.path()], ""));
    assert!(error.contains("same vocabulary"), "{error}");
    let error = refused("{ teachers = ['nowhere.plm'] }");
    assert!(error.contains("nowhere.plm"), "{error}");
    let torn = folder.path().join("torn.plm");
    fs::write(&torn, b"no model").unwrap();
    let error = refused(&set(&[&torn], ""));
    assert!(error.contains("torn.plm"), "{error}");
}

#[test]
fn a_file_of_other_teachers_is_not_used() {
    let corpus = corpus(3);
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let settings = |order: usize| format!("{{ ngram = {order}, cache = '{}' }}", cache.display());
    let start = |order, out: &str| {
        let recipe = recipe(&[("distillation", &settings(order))]);
        Trainer::start(&corpus, recipe, options(&folder.path().join(out))).unwrap()
    };
    sit(&mut start(2, "one"), 20);
    let before = fs::read(&cache).unwrap();
    let error = start(3, "two").run(&|| false, &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("other teachers") && error.contains("remove it"), "{error}");
    assert!(fs::read(&cache).unwrap() == before);
    // The same teachers share it.
    sit(&mut start(2, "three"), 20);
    assert!(fs::read(&cache).unwrap() == before);
}
