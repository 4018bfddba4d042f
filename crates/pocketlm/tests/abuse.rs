//! Files that hide what nobody reads, that act on a terminal, that are no models, or that cost more than they hold.

mod common;

use common::malformed::{fault, joined, replaced, says, split};
use common::{Forms, Kind, Parts, configuration, tiny_parts};
use pocketlm::pack::{Factor, Form, Packer, Precision, Sparsity};
use pocketlm::{CellKind, Configuration, Error, Expected, Model, Session, Shown};

fn valid() -> Vec<u8> {
    tiny_parts().bytes(Precision::Int8)
}

/// The file with an array `name` of `bytes` behind all others.
fn with_array(name: &str, dtype: &str, bytes: &[u8]) -> Vec<u8> {
    let (header, data) = split(&valid());
    let (begin, end) = (data.len(), data.len() + bytes.len());
    let width = if dtype == "F32" { 4 } else { 1 };
    let shape = bytes.len() / width;
    let entry = format!(
        ",\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{begin},{end}]}}}}"
    );
    let header = format!("{}{entry}", header.strip_suffix('}').unwrap());
    joined(&header, &[&data, bytes].concat())
}

// ------------------------------------------------------------------------------ hidden payloads

#[test]
fn padding_is_less_than_a_line_of_bytes_after_an_array() {
    for (dtype, bytes) in
        [("U8", 64), ("U8", 128), ("U8", 1 << 20), ("U8", 0), ("F32", 4), ("U8", 63)]
    {
        // The data ends at a multiple of 64, so that none of these ends where padding does.
        let bytes = with_array("~pad.payload", dtype, &vec![7; bytes]);
        says(bytes, &["array `~pad.payload`", "is padding, but not U8"]);
    }
    // 36 words make biases that end within a line.
    let bytes = Parts::random(configuration(CellKind::Lstm, 0, 0, false), 36, 0.5, 1)
        .bytes(Precision::Int8);
    let (header, data) = split(&bytes);
    let at = header.find("~pad.").unwrap();
    let of = &header[at..];
    let dtype = at + of.find("\"U8\"").unwrap();
    let other = format!("{}\"I8\"{}", &header[..dtype], &header[dtype + 4..]);
    says(joined(&other, &data), &["array `~pad.", "is padding, but not U8"]);
}

#[test]
fn an_array_that_nothing_names_is_listed() {
    let bytes = with_array("more", "U8", &[1; 64]);
    let model = Model::from_bytes(bytes).unwrap();
    assert!(model.arrays().iter().any(|array| array.name == "more" && array.range.len() == 64));
}

#[test]
fn a_matrix_that_nobody_asked_for() {
    let more = r#"[{\"name\":\"evil\",\"rows\":1000000000000000000,\"columns\":3,\"structure\":\"who-knows\",\"sparsity\":\"none\",\"precision\":\"int8\",\"arrays\":[\"embedding\"]},{\"name\":\"embedding\""#;
    let bytes = replaced(&valid(), r#"[{\"name\":\"embedding\""#, more);
    says(bytes, &["matrix `evil`", "nothing asks for it"]);
    let parts = Parts::random(configuration(CellKind::Lstm, 0, 0, false), 40, 0.5, 1);
    let kind = Kind::LowRank((Sparsity::None, Precision::F32), (Sparsity::None, Precision::F32));
    let bytes = Forms::one(parts, kind).bytes();
    says(
        replaced(&bytes, r#"\"arrays\":[],"#, r#"\"arrays\":[\"softmax.bias\"],"#),
        &["has factors, and arrays besides"],
    );
}

#[test]
fn a_model_of_two_kinds() {
    let table = common::ngram::table(2, 36, 0, 1);
    let bytes = table.pack(&pocketlm::pack::Notes::default()).unwrap();
    for key in ["configuration", "matrices"] {
        let both = replaced(&bytes, "\"ngram\":", &format!("\"{key}\":\"{{}}\",\"ngram\":"));
        says(both, &["metadata `ngram`", "beside a recurrent model"]);
    }
}

// ------------------------------------------------------------------------- texts of a hostile file

#[test]
fn what_acts_on_a_terminal_is_escaped() {
    assert_eq!(Shown("a\u{1b}[2J").to_string(), "a\\u{1b}[2J");
    let text = "\u{7}\n\u{9b}31m\u{85}\u{202e}\u{2066}\u{200b}\u{feff}";
    let shown = Shown(text).to_string();
    assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{shown}");
    assert_eq!(Shown("l'été \"a\\b\" 漢").to_string(), "l'été \"a\\b\" 漢");
    // Names in errors.
    let bytes = with_array("\\u001b[31m\\u202e", "X9", &[0; 64]);
    let message = fault(bytes).to_string();
    assert!(message.contains("\\u{1b}[31m\\u{202e}"), "{message}");
    for error in [
        Error::File { path: "a\u{1b}b".into(), reason: "no".into() },
        Error::UnknownWord { word: "a\u{1b}b".into() },
        Error::Model {
            path: "x".into(),
            source: Box::new(Error::Unsupported { what: "a\u{1b}b".into() }),
        },
    ] {
        assert!(error.to_string().contains("a\\u{1b}b"), "{error}");
    }
}

// ---------------------------------------------------------------------------- files of other kinds

#[test]
fn files_that_are_no_models_say_what_they_look_like() {
    let text = "This is a text of some length, with a line\nand another.\n".repeat(3);
    says(text.clone().into_bytes(), &["not a .plm file", "looks like text"]);
    says("Árvíztűrő tükörfúrógép, és más\r\n".into(), &["not a .plm file", "looks like text"]);
    says("\\data\\\nngram 1=4\n".into(), &["not a .plm file", "an ARPA file", "pocketlm import"]);
    says([&text, "\n\\data\\\n"].concat().into_bytes(), &["an ARPA file"]);
    says([&[0x1f, 0x8b, 8, 0][..], &[0; 60]].concat(), &["not a .plm file", "gzip"]);
    says(vec![1; 100], &["not a .plm file", "eight bytes"]);
    let tensors = r#"{"weight":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}"#;
    let mut file = (tensors.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(tensors.as_bytes());
    file.extend_from_slice(&[0; 2]);
    says(file, &["not a .plm file", "safetensors", "pocketlm pack"]);
    let foreign = tensors.replacen('{', r#"{"__metadata__":{"format":"pt"},"#, 1);
    let mut file = (foreign.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(foreign.as_bytes());
    file.extend_from_slice(&[0; 2]);
    assert_eq!(fault(file), Error::NotPacked);
}

// ----------------------------------------------------------------- small files that cost much

/// A model of GRU layers over 64 words, whose matrices but the embedding `form` gives.
fn built(hidden: usize, layers: usize, form: impl Fn(&mut Packer, &Expected)) -> Vec<u8> {
    let configuration = Configuration {
        embedding: hidden,
        hidden: vec![hidden; layers],
        tied: true,
        ..configuration(CellKind::Gru, 0, 0, false)
    };
    let words = common::words(64);
    let mut packer = Packer::new(configuration.clone(), &words, "<eos>", Some("<unk>")).unwrap();
    packer.matrix("embedding", &vec![0.01; 64 * hidden], Precision::Ternary).unwrap();
    for matrix in &configuration.matrices(64)[1..] {
        form(&mut packer, matrix);
    }
    for bias in configuration.biases(64) {
        packer.bias(bias.name, &vec![0.01; bias.rows]).unwrap();
    }
    packer.finish().unwrap()
}

fn leaf(rows: usize, columns: usize, weights: &[f32], precision: Precision) -> Factor<'_> {
    Factor { rows, columns, weights, sparsity: Sparsity::None, precision }
}

/// Layers of Toeplitz-like matrices of few bytes, which all have the arrays of the first.
fn toeplitz(layers: usize) -> Vec<u8> {
    let (hidden, rank) = (512, 60);
    let weights = vec![0.01; 3 * rank * hidden];
    let bytes = built(hidden, 1, |packer, matrix| {
        let factor = leaf(3 * rank, hidden, &weights, Precision::Ternary);
        let form = Form::ToeplitzLike { block: hidden, rank, g: factor, h: factor };
        packer.form(matrix.name, &form).unwrap();
    });
    let (header, data) = split(&bytes);
    let begin = header.find(r#"{\"name\":\"cell.0.input\""#).unwrap();
    let end = header.find(r#"]","vocabulary""#).unwrap();
    let (mut descriptions, mut arrays) = (String::new(), String::new());
    let bias = 4 * 4 * hidden;
    for k in 1..layers {
        let name = format!(r#"\"name\":\"cell.{k}."#);
        descriptions += &header[begin..end].replace(r#"\"name\":\"cell.0."#, &name);
        descriptions.insert(descriptions.len(), ',');
        let from = data.len() + (k - 1) * bias;
        arrays += &format!(
            r#","cell.{k}.bias":{{"dtype":"F32","shape":[{}],"data_offsets":[{from},{}]}}"#,
            4 * hidden,
            from + bias
        );
    }
    let header = format!("{}{descriptions}{}", &header[..begin], &header[begin..]);
    let widths = vec![hidden.to_string(); layers].join(",");
    let header = header.replace(r#"\"hidden\":[512]"#, &format!(r#"\"hidden\":[{widths}]"#));
    let header = format!("{}{arrays}}}", header.strip_suffix('}').unwrap());
    joined(&header, &[data, vec![0; (layers - 1) * bias]].concat())
}

#[test]
fn spectra_of_shared_arrays_count_each_time() {
    Session::new(Model::from_bytes(toeplitz(2)).unwrap()).suggest(1).unwrap();
    let bytes = toeplitz(64);
    assert!(bytes.len() < 1 << 20);
    says(bytes, &["matrix `cell.", "more memory"]);
}

#[test]
fn widths_that_nothing_in_the_file_backs() {
    // An embedding of a million columns, of trains of a few bytes.
    let wide = 1 << 20;
    let configuration = Configuration {
        embedding: wide,
        hidden: vec![4],
        ..configuration(CellKind::Gru, 0, 0, false)
    };
    let words = common::words(16);
    let mut packer = Packer::new(configuration.clone(), &words, "<eos>", Some("<unk>")).unwrap();
    let ones = vec![1.0; 1 << 10];
    for matrix in configuration.matrices(16) {
        let modes = |size: usize| if size == wide { [1 << 10, 1 << 10] } else { [size, 1] };
        if matrix.rows != wide && matrix.columns != wide {
            packer
                .matrix(matrix.name, &vec![0.1; matrix.rows * matrix.columns], Precision::F32)
                .unwrap();
            continue;
        }
        let [rows, columns] = [modes(matrix.rows), modes(matrix.columns)];
        let core = |k: usize| [rows[k], columns[k]];
        let numbers: Vec<Vec<f32>> = (0..2)
            .map(|k| ones.iter().cycle().take(core(k)[0] * core(k)[1]).copied().collect())
            .collect();
        let cores =
            (0..2).map(|k| leaf(core(k)[0], core(k)[1], &numbers[k], Precision::Int8)).collect();
        let form = Form::TensorTrain { row_modes: &rows, column_modes: &columns, cores };
        packer.form(matrix.name, &form).unwrap();
    }
    for bias in configuration.biases(16) {
        packer.bias(bias.name, &vec![0.0; bias.rows]).unwrap();
    }
    says(packer.finish().unwrap(), &["more memory"]);
}

/// A layer of `hidden` units whose matrices are trains of these modes and this rank.
fn trains<const N: usize>(
    hidden: usize,
    rows: [usize; N],
    columns: [usize; N],
    rank: usize,
) -> Vec<u8> {
    let rank = |k: usize| if k == 0 || k == N { 1 } else { rank };
    let shape = |k: usize| [rows[k] * rank(k + 1), rank(k) * columns[k]];
    let most = (0..N).map(|k| shape(k).iter().product()).max().unwrap_or(0);
    let weights = vec![0.001; most];
    built(hidden, 1, |packer, matrix| {
        let core = |k: usize| {
            let [rows, columns] = shape(k);
            leaf(rows, columns, &weights[..rows * columns], Precision::Ternary)
        };
        let cores = (0..N).map(core).collect();
        let form = Form::TensorTrain { row_modes: &rows, column_modes: &columns, cores };
        packer.form(matrix.name, &form).unwrap();
    })
}

#[test]
fn work_that_no_file_of_that_size_may_ask_for() {
    let bytes = trains(4096, [32, 12, 32], [32, 4, 32], 256);
    says(bytes, &["matrix `cell.0.recurrent`", "more work"]);
}

#[test]
fn large_trains_are_taken_a_few_vectors_at_a_time() {
    let model = Model::from_bytes(trains(1024, [64, 48], [32, 32], 40)).unwrap();
    let text = "the then";
    let alone = Session::new(&model).score(text).unwrap();
    // In whole numbers, to the bit.
    for score in model.score_batch(&[text; 32]).unwrap() {
        assert_eq!(score.nll.to_bits(), alone.nll.to_bits());
    }
}
