//! A model whose vocabulary is extended says of its old words what it said before.

use std::path::Path;

use pocketlm::{Model, Session};
use pocketlm_train::checkpoint::{Checkpoint, Config, Provenance};
use pocketlm_train::corpus::{Corpus, Encoder, Options, Source, Text};
use pocketlm_train::matrix::{Forms, LowRank, Parametrization, Structure};
use pocketlm_train::network::{Network, initialise};
use pocketlm_train::pack::pack_in_memory;
use pocketlm_train::recipe::Draft;
use pocketlm_train::train::extend;

const OLD: &str = "the cat sat on the mat\na dog ran home\nthe dog sat\na rare bird\n";
const NEW: &str = "the zebra sat on a yak\nthe yak ran home\nthe yak and the xi\n";
const RAW: &str =
    "The cat, the dog. We sat, and Ann ran.\nwe saw a cat, the one.\nWell, so we sat.\n";
const NEW_RAW: &str = "The zebra ran, so Ann sat. Zebra and yak!\nHe saw Yan. And Yan saw We.\nZebra, zebra.\nThe yak.\n";

fn source(text: &str) -> Source {
    Source::text(Path::new("text"), text)
}

fn encoder(text: &str, kind: Text, max_vocab: Option<usize>) -> Encoder {
    let options = Options { text: kind, max_vocab, ..Options::default() };
    Encoder::train(&source(text), &options).unwrap()
}

/// A model with random numbers.
fn model(encoder: Encoder, settings: &[(&str, &str)]) -> Checkpoint {
    let mut draft = Draft::base("zaremba-small").unwrap();
    for (key, value) in [("embedding", "12"), ("hidden", "[12]")].iter().chain(settings) {
        draft = draft.set(key, value).unwrap();
    }
    let recipe = draft.finish().unwrap();
    let (network, mut parameters) =
        Network::new(&recipe.model, encoder.vocabulary().len()).unwrap();
    initialise(&mut parameters, 0.8, 5);
    let provenance = Provenance {
        data_sha256: String::new(),
        train_tokens: 1,
        seed: 5,
        version: "test".to_owned(),
        devices: Vec::new(),
    };
    let config = Config::new(recipe, &encoder, provenance).unwrap();
    let (parametrization, _) = Parametrization::new(&config.forms, &parameters).unwrap();
    let leaves = parameters.clone();
    Checkpoint { config, encoder, network, parameters, leaves, parametrization }
}

/// The probability of each of these words after a text.
fn probabilities(model: &Checkpoint, context: &str, words: &[String]) -> Vec<f64> {
    let packed = Model::from_bytes(pack_in_memory(model).unwrap()).unwrap();
    let mut session = Session::new(&packed);
    session.feed_text(context).unwrap();
    let id = |word: &String| packed.vocabulary().id(word).unwrap();
    words.iter().map(|word| session.log_probability_of(id(word)).unwrap().exp()).collect()
}

fn words(encoder: &Encoder) -> Vec<String> {
    encoder.vocabulary().words().map(str::to_owned).collect()
}

const SHAPES: [&[(&str, &str)]; 3] = [
    &[("tied", "true")],
    &[("tied", "false"), ("cell", "gru")],
    &[("tied", "true"), ("hidden", "[14, 16]"), ("projection", "12")],
];

#[test]
fn new_words_share_the_probability_of_the_unknown() {
    let texts = [
        (encoder(OLD, Text::Tokenised, Some(12)), NEW, "a dog and the"),
        (encoder(RAW, Text::Raw, Some(14)), NEW_RAW, "We sat, and the"),
    ];
    for (encoder, new, context) in texts {
        for (shape, most) in SHAPES.into_iter().flat_map(|shape| [(shape, 2), (shape, 100)]) {
            let old = model(encoder.clone(), shape);
            let extension = encoder.extended(&source(new), most).unwrap();
            let wider = extend(&old, &extension).unwrap();
            assert_eq!(
                wider.config.vocabulary,
                encoder.vocabulary().len() + extension.counts.len()
            );
            let types = words(&encoder);
            let unk = encoder.vocabulary().unk().unwrap() as usize;
            let all = words(&wider.encoder);
            assert_eq!(all[..types.len()], types);
            let before = probabilities(&old, context, &types);
            let after = probabilities(&wider, context, &all);
            for (k, (was, is)) in before.iter().zip(&after).enumerate() {
                assert!(k == unk || (is / was - 1.0).abs() < 1e-4, "{}: {was} {is}", types[k]);
            }
            let shared: f64 = after[types.len()..].iter().sum::<f64>() + after[unk];
            assert!((shared / before[unk] - 1.0).abs() < 1e-4, "{shared} {}", before[unk]);
            // By their counts.
            let (counts, new) = (&extension.counts, &after[types.len()..]);
            let ratio = new[0] / new[new.len() - 1];
            let wanted = counts[0] as f64 / counts[counts.len() - 1] as f64;
            assert!((ratio / wanted - 1.0).abs() < 1e-3, "{ratio} {wanted}");
        }
    }
}

#[test]
fn the_most_frequent_words_join() {
    let old = encoder(OLD, Text::Tokenised, Some(12));
    let two = old.extended(&source(NEW), 2).unwrap();
    assert_eq!(words(&two.encoder)[12..], ["yak", "and"]);
    assert_eq!((&two.counts[..], two.unknown), (&[3, 1][..], 2));
    let none = old.extended(&source("the dog <unk> [UNK]\n"), 5).unwrap();
    assert_eq!((none.counts.len(), none.unknown), (0, 2));
    let same = extend(&model(old.clone(), SHAPES[0]), &none).unwrap();
    assert_eq!(same.leaves.data, model(old, SHAPES[0]).leaves.data);
}

#[test]
fn raw_text_is_read_as_before_but_for_new_words() {
    let old = encoder(RAW, Text::Raw, Some(20));
    let extension = old.extended(&source(NEW_RAW), 100).unwrap();
    let new = extension.encoder;
    let ids = |encoder: &Encoder, text: &str| encoder.encode(text).unwrap().ids;
    let text = "The cat, so Ann sat. We ran. Well, the dog.\nwe saw.";
    assert_eq!(ids(&old, text), ids(&new, text));
    let spelt = |text: &str| {
        let ids = ids(&new, text);
        ids.iter().map(|&id| new.vocabulary().word(id).unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(spelt("Zebra sat. So Yan ran."), "zebra sat . so Yan ran .");
    assert_eq!(new.encode(NEW_RAW).unwrap().oov, 0);
}

#[test]
fn a_model_without_unknown_words_takes_new_ones() {
    let old = encoder(OLD, Text::Tokenised, None);
    assert_eq!(old.vocabulary().unk(), None);
    let extension = old.extended(&source(NEW), 9).unwrap();
    let before = model(old.clone(), SHAPES[1]);
    let wider = extend(&before, &extension).unwrap();
    let (was, is) =
        (probabilities(&before, "the", &words(&old)), probabilities(&wider, "the", &words(&old)));
    let ratio = is[0] / was[0];
    assert!(0.1 < ratio && ratio < 1.0, "{ratio}");
    assert!(was.iter().zip(&is).all(|(was, is)| (is / was / ratio - 1.0).abs() < 1e-4));
    assert!(Corpus::encode(wider.encoder.clone(), &[source(NEW), source(OLD)]).is_ok());
}

#[test]
fn a_structure_takes_no_rows() {
    let encoder = encoder(OLD, Text::Tokenised, Some(12));
    let extension = encoder.extended(&source(NEW), 2).unwrap();
    let mut model = model(encoder, &[("tied", "false")]);
    let mut forms = Forms::default();
    forms.structures.insert("softmax".into(), Structure::LowRank(LowRank { rank: 2 }));
    let (_, leaves) = Parametrization::new(&forms, &model.parameters).unwrap();
    model.reform(forms, leaves).unwrap();
    let message = extend(&model, &extension).err().unwrap().to_string();
    assert!(message.contains("softmax") && message.contains("no new rows"), "{message}");
}
