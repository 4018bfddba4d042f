//! Models from elsewhere against the program that made them, PyTorch, whose numbers `tests/oracle/import_export.py` wrote
//! down; files that are broken, contradict themselves or are of another kind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::import::{Fate, Import, Options, Words, import};
use pocketlm_train::network::State;
use pocketlm_train::settings::CellKind;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/fixtures/import").join(name)
}

fn expected() -> BTreeMap<String, Value> {
    serde_json::from_str(&fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

fn read(name: &str, options: &Options) -> Import {
    let file = fixture(&format!("{name}.safetensors"));
    import(&file, Some(&fixture("vocab.txt")), options).unwrap()
}

/// The numbers of a list.
fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// The logits after each id of one stream.
fn logits(model: &Checkpoint, ids: &[u32], state: &mut State) -> Vec<f32> {
    let mut window = model.network.window(ids.len(), 1);
    model.network.forward(&model.parameters, ids, state, &mut window, None);
    model.network.logits(&model.parameters, &window)
}

#[test]
fn logits_are_those_of_pytorch() {
    let all = expected();
    assert_eq!(all.len(), 9);
    for (name, expected) in all {
        let Import { checkpoint, layout, report } = read(&name, &Options::default());
        assert_eq!(layout, expected["layout"], "{name}");
        let ids: Vec<u32> = numbers(&expected["ids"]).iter().map(|&id| id as u32).collect();
        let got = logits(&checkpoint, &ids, &mut checkpoint.network.zero_state(1));
        let wanted: Vec<f64> =
            expected["logits"].as_array().unwrap().iter().flat_map(numbers).collect();
        assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!((f64::from(*got) - wanted).abs() < 1e-5, "{name}: {got} {wanted}");
        }
        assert!(
            report.iter().all(|line| line.fate != Fate::Missing || line.note.contains("tied")),
            "{name}"
        );
    }
}

#[test]
fn shapes_say_what_a_model_is() {
    let shape = |name| read(name, &Options::default()).checkpoint.config.recipe.model;
    let awd = shape("awd");
    assert_eq!((awd.cell, awd.hidden, awd.tied), (CellKind::Lstm, vec![14, 11, 8], true));
    let projected = shape("lstm_projected");
    assert_eq!((projected.cell_projection, projected.hidden), (8, vec![12, 12]));
    assert_eq!(shape("gru_trained").cell, CellKind::Gru);
    assert!(!shape("lstm").tied && shape("lstm_tied_trained").tied);
}

#[test]
fn every_tensor_is_accounted_for() {
    let report = read("lstm_tied_trained", &Options::default()).report;
    let bytes = fs::read(fixture("lstm_tied_trained.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for name in tensors.names() {
        assert!(report.iter().any(|line| line.name == name && line.fate == Fate::Read), "{name}");
    }
    let missing: Vec<_> = report.iter().filter(|line| line.fate == Fate::Missing).collect();
    assert_eq!((missing.len(), report.len()), (1, tensors.len() + 1));
    let passed = read("awd", &Options::default()).report;
    let passed: Vec<_> = passed.iter().filter(|line| line.fate == Fate::Passed).collect();
    assert_eq!((passed.len(), &*passed[0].name), (1, "decoder.weight"));
}

/// A fixture's tensors, to be changed.
struct File {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    folder: TempDir,
}

impl File {
    fn of(name: &str) -> Self {
        let bytes = fs::read(fixture(&format!("{name}.safetensors"))).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let floats = |view: TensorView| {
            let numbers =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            (view.shape().to_vec(), numbers.collect())
        };
        let tensors = tensors.tensors().into_iter().map(|(name, view)| (name, floats(view)));
        Self { tensors: tensors.collect(), folder: tempfile::tempdir().unwrap() }
    }

    fn add(&mut self, name: &str, shape: &[usize]) -> &mut Self {
        self.tensors.insert(name.into(), (shape.to_vec(), vec![0.25; shape.iter().product()]));
        self
    }

    fn rename(&mut self, from: &str, to: &str) -> &mut Self {
        let tensor = self.tensors.remove(from).unwrap();
        self.tensors.insert(to.into(), tensor);
        self
    }

    fn path(&self) -> PathBuf {
        let views = self.tensors.iter().map(|(name, (shape, data))| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(data)).unwrap())
        });
        let path = self.folder.path().join("model.safetensors");
        fs::write(&path, serialize(views, None).unwrap()).unwrap();
        path
    }

    fn read(&self, options: &Options) -> pocketlm_train::error::Result<Import> {
        import(&self.path(), Some(&fixture("vocab.txt")), options)
    }

    /// The message of a file that must not be read.
    fn fails(&self, options: &Options, parts: &[&str]) {
        let message = self.read(options).err().expect("an error").to_string();
        for part in parts {
            assert!(message.contains(part), "no {part:?} in {message:?}");
        }
    }
}

/// A fixture without one of its tensors.
fn without(name: &str, tensor: &str) -> File {
    let mut file = File::of(name);
    file.tensors.remove(tensor).unwrap();
    file
}

#[test]
fn names_of_wrappers_and_of_dropped_weights() {
    let mut file = File::of("lstm");
    let names: Vec<_> = file.tensors.keys().cloned().collect();
    for name in names {
        file.rename(&name, &format!("module.{name}"));
    }
    let read = file.read(&Options::default()).unwrap();
    assert_eq!(read.layout, "pytorch");
    let mut file = File::of("awd");
    file.add("rnns.0.module.weight_hh_l0", &[56, 14]);
    let report = file.read(&Options::default()).unwrap().report;
    let line = report.iter().find(|line| line.name == "rnns.0.module.weight_hh_l0").unwrap();
    assert_eq!(line.fate, Fate::Passed);
    file.add("encoder_again.weight", &[29, 8])
        .fails(&Options::default(), &["encoder_again.weight", "--pass-over"]);
    let options = Options { pass_over: vec!["encoder_again".into()], ..Options::default() };
    file.read(&options).unwrap();
    let mut file = File::of("awd");
    let names: Vec<_> = file.tensors.keys().cloned().collect();
    for name in names {
        let half = if name.starts_with("decoder") { "1" } else { "0" };
        file.rename(&name, &format!("{half}.{name}"));
    }
    file.add("0.encoder_dp.emb.weight", &[29, 8]);
    assert_eq!(file.read(&Options::default()).unwrap().layout, "awd");
}

/// A CIFG has the shapes of a GRU; who imports one says so, or it has a projection.
#[test]
fn three_gates_are_what_they_are_told_to_be() {
    let told = |cell| Options { cell, ..Options::default() };
    let file = File::of("gru_trained");
    let cell = |options: &Options| file.read(options).unwrap().checkpoint.config.recipe.model.cell;
    assert_eq!(cell(&told(None)), CellKind::Gru);
    assert_eq!(cell(&told(Some(CellKind::Cifg))), CellKind::Cifg);
    file.fails(&told(Some(CellKind::Lstm)), &["3 gates", "a lstm has 4"]);
    // What of a CIFG is f, g, o: its biases are summed in all three.
    let cifg = file.read(&told(Some(CellKind::Cifg))).unwrap().checkpoint;
    let bias = cifg.parameters.find("cell.0.bias").unwrap();
    let sum = |k: usize| file.tensors["rnn.bias_ih_l0"].1[k] + file.tensors["rnn.bias_hh_l0"].1[k];
    assert_eq!(bias.columns, 36);
    assert!((0..36).all(|k| cifg.parameters.data[bias.range.start + k] == sum(k)));
}

#[test]
fn missing_biases_are_zero() {
    let mut file = without("gru_trained", "rnn.bias_hh_l0");
    file.tensors.remove("decoder.bias").unwrap();
    let Import { checkpoint, report, .. } = file.read(&Options::default()).unwrap();
    let missing: Vec<_> = report.iter().filter(|line| line.fate == Fate::Missing).collect();
    assert_eq!(missing.len(), 2);
    assert!(missing.iter().all(|line| line.note == "taken as zero"));
    let own = &file.tensors["rnn.bias_ih_l0"].1;
    let bias = checkpoint.parameters.find("cell.0.bias").unwrap().range.clone();
    assert_eq!(checkpoint.parameters.data[bias.clone()][..36], own[..]);
    assert!(checkpoint.parameters.data[bias][36..].iter().all(|&x| x == 0.0));
}

#[test]
fn shapes_that_contradict_each_other() {
    let options = Options::default();
    let with = |name: &str, tensor: &str, shape: &[usize], parts: &[&str]| {
        let mut file = File::of(name);
        assert!(file.tensors.contains_key(tensor), "{tensor}");
        file.add(tensor, shape).fails(&options, parts);
    };
    with(
        "lstm",
        "rnn.weight_ih_l0",
        &[40, 7],
        &["rnn.weight_ih_l0 as [40, 7]", "encoder.weight needs [40, 6]"],
    );
    with(
        "lstm",
        "rnn.weight_ih_l1",
        &[40, 9],
        &["rnn.weight_ih_l1", "rnn.weight_hh_l0 needs [40, 10]"],
    );
    with("lstm", "rnn.weight_hh_l0", &[40, 11], &["40 rows in rnn.weight_ih_l0", "of 11 units"]);
    with("lstm", "rnn.bias_ih_l1", &[30], &["rnn.bias_ih_l1 as [30]", "needs [40]"]);
    with("lstm", "decoder.weight", &[29, 9], &["decoder.weight as [29, 9]", "needs [29, 10]"]);
    with("lstm", "decoder.bias", &[28], &["decoder.bias as [28]"]);
    with("lstm", "encoder.weight", &[29], &["encoder.weight as [29]", "2 dimensions"]);
    with("lstm", "encoder.weight", &[0, 6], &["encoder.weight as [0, 6]"]);
    with(
        "lstm_projected",
        "rnn.weight_hr_l0",
        &[7, 12],
        &["rnn.weight_hr_l0 as [7, 12]", "needs [8, 12]"],
    );
    with("lstm", "rnn.weight_ih_l1", &[10, 10], &["a plain RNN"]);
    without("lstm", "decoder.weight")
        .fails(&options, &["no weight of an output layer of its own", "of width 6"]);
    without("lstm_projected", "rnn.weight_hr_l1").fails(&options, &["48 rows in rnn.weight_ih_l1"]);
    without("lstm", "rnn.weight_hh_l0").fails(&options, &["has no weight_hh of layer 0"]);
    let mut file = File::of("awd");
    for part in ["weight_ih_l0", "weight_hh_l0_raw", "bias_ih_l0", "bias_hh_l0"] {
        file.tensors.remove(&format!("rnns.1.module.{part}")).unwrap();
    }
    file.fails(&options, &["has rnns.2.module.weight_ih_l0, but no layer right before it"]);
    let mut file = File::of("awd");
    file.add("rnns.18446744073709551615.module.weight_hh_l1", &[8, 2]);
    file.fails(&options, &["no layer right before it"]);
    let mut file = File::of("lstm");
    file.add("rnn.weight_ih_l0_reverse", &[40, 6]).fails(&options, &["bidirectional"]);
    let mut file = File::of("lstm");
    file.rename("encoder.weight", "module.encoder.weight").add("encoder.weight", &[29, 6]);
    file.fails(&options, &["two tensors for the weight of an embedding"]);
}

#[test]
fn numbers_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY] {
        for name in ["encoder.weight", "rnn.weight_hh_l1", "rnn.bias_hh_l0", "decoder.bias"] {
            let mut file = File::of("lstm");
            file.tensors.get_mut(name).unwrap().1[3] = bad;
            file.fails(&Options::default(), &[name, "not finite (at 3)"]);
        }
    }
}

#[test]
fn names_of_no_layout() {
    let options = Options::default();
    let mut file = File::of("lstm");
    file.rename("encoder.weight", "wte.weight");
    file.fails(
        &options,
        &["no known layout", "wte.weight", "awd:", "icefall:", "huggingface:", "pytorch:"],
    );
    let other = Options { layout: Some("icefall".into()), ..Options::default() };
    File::of("awd")
        .fails(&other, &["layout icefall", "decoder.bias", "pytorch, awd, icefall, huggingface"]);
    let other = Options { layout: Some("keras".into()), ..Options::default() };
    File::of("awd").fails(&other, &["\"keras\"", "pytorch, awd, icefall, huggingface"]);
    let file = File { tensors: BTreeMap::new(), folder: tempfile::tempdir().unwrap() };
    file.fails(&options, &["it has no tensors"]);
}

#[test]
fn words_that_are_not_those_of_the_model() {
    let file = File::of("lstm");
    let list = file.folder.path().join("short.txt");
    fs::write(&list, "a\n<eos>\n").unwrap();
    let read = |words: Option<&Path>| {
        import(&file.path(), words, &Options::default()).err().unwrap().to_string()
    };
    let message = read(Some(&list));
    assert!(message.contains("short.txt: has 2 words") && message.contains("29 rows"), "{message}");
    assert!(read(None).contains("--vocab FILE"));
    let options = Options {
        words: Words { eos: Some("end".into()), ..Words::default() },
        ..Options::default()
    };
    file.fails(&options, &["vocab.txt", "\"end\"", "--eos"]);
    // The list of k2, with ids and another name for the end.
    import(&file.path(), Some(&fixture("tokens.txt")), &Options::default()).unwrap();
}

#[test]
fn files_that_are_cut_or_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture("lstm.safetensors")).unwrap();
    let message = |bytes: &[u8]| {
        let path = folder.path().join("model.pt");
        fs::write(&path, bytes).unwrap();
        let read = import(&path, Some(&fixture("vocab.txt")), &Options::default());
        read.err().expect("an error").to_string()
    };
    for end in [0, 5, 8, 100, whole.len() - 1] {
        assert!(message(&whole[..end]).contains("is cut or no safetensors file"), "{end}");
    }
    for pickled in [&b"PK\x03\x04rest"[..], b"\x80\x02}q\x00."] {
        let message = message(pickled);
        assert!(message.contains("torch.load") && message.contains("save_file"), "{message}");
    }
    // A header that promises more than any memory holds.
    let mut vast = whole.clone();
    vast[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(message(&vast).contains("no safetensors file"));
}
