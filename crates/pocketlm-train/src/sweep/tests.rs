//! The trials of specifications, and what is said of wrong ones.

use super::*;

fn parse(text: &str) -> Result<Sweep> {
    let include = |name: &str| Ok((name.to_owned(), "[train]\nlr = 0.125\n".to_owned()));
    Sweep::parse("s.toml", text, &include)
}

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

const RANDOM: &str = r#"
trials = 30
[random]
"train.lr" = { log-uniform = [1e-4, 1e-2] }
train.dropout = { uniform = [0.0, 0.6] }
"model.hidden" = { choice = [[10], [20, 10]] }
"train.batch" = { uniform = [2, 4] }
"train.steps" = { log-uniform = [8, 64] }
"#;

#[test]
fn a_grid_is_every_combination() {
    let sweep = parse(
        "base = \"inan-small\"\nseed = 7\n[train]\nepochs = 2\n[grid]\ntrain.lr = [0.1, 0.2]\n\
         \"train.variational.state\" = [0.0, 0.1, 0.3]\n",
    );
    let sweep = sweep.unwrap();
    assert_eq!((sweep.seed, sweep.trials.len()), (7, 6));
    assert_eq!(sweep.keys, ["train.lr", "train.variational.state"]);
    let found: Vec<_> = sweep.trials.iter().map(|trial| &trial.training().unwrap().train).collect();
    let pairs: Vec<_> = found.iter().map(|train| (train.lr, train.variational.state)).collect();
    assert_eq!(pairs, [(0.1, 0.0), (0.1, 0.1), (0.1, 0.3), (0.2, 0.0), (0.2, 0.1), (0.2, 0.3)]);
    // What does not vary is the base's, and the specification's over it.
    let word = Recipe::base("inan-small").unwrap().train.variational.word;
    assert!(found.iter().all(|train| train.epochs == 2 && train.variational.word == word));
    assert_eq!(
        sweep.trials[1].describe(&sweep.keys),
        "train.lr = 0.1, train.variational.state = 0.1"
    );
    assert_eq!(sweep.trials.iter().map(|t| t.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn the_same_seed_draws_the_same_and_more_trials_begin_with_them() {
    let sweep = parse(RANDOM).unwrap();
    assert_eq!(sweep, parse(RANDOM).unwrap());
    let fewer = parse(&RANDOM.replace("= 30", "= 12")).unwrap();
    assert_eq!(fewer.trials[..], sweep.trials[..12]);
    assert_ne!(sweep.trials, parse(&format!("seed = 2\n{RANDOM}")).unwrap().trials);
}

#[test]
fn draws_keep_within_their_bounds() {
    let sweep = parse(RANDOM).unwrap();
    let train: Vec<_> = sweep.trials.iter().map(|trial| &trial.training().unwrap().train).collect();
    assert!(train.iter().all(|t| (1e-4..1e-2).contains(&t.lr) && (0.0..0.6).contains(&t.dropout)));
    assert!(train.iter().all(|t| (2..=4).contains(&t.batch) && (8..=64).contains(&t.steps)));
    // A third of a decade below the middle of the logarithms, and as much above it, are both reached.
    assert!(train.iter().any(|t| t.lr < 5e-4) && train.iter().any(|t| t.lr > 2e-3));
    let hidden =
        |layers| sweep.trials.iter().any(|t| t.training().unwrap().model.hidden.len() == layers);
    assert!(
        hidden(1) && hidden(2) && [2, 3, 4].iter().all(|b| train.iter().any(|t| t.batch == *b))
    );
    // Four digits, no more.
    assert!(train.iter().all(|t| t.lr.to_string().trim_start_matches(['0', '.']).len() <= 4));
}

#[test]
fn a_recipe_file_lies_between_base_and_specification() {
    let text = "base = \"keyboard\"\nrecipe = \"mine.toml\"\n[grid]\nmodel.embedding = [96]\n";
    let recipe = parse(text).unwrap().trials.remove(0).training().unwrap().clone();
    assert_eq!((recipe.train.lr, recipe.model.hidden), (0.125, vec![670]));
}

#[test]
fn misspelt_keys_get_line_and_nearest_spelling() {
    for (text, line, mend) in [
        ("[grid]\n\"train.epoch\" = [1]\n", "s.toml:2", "train.epochs"),
        ("trials = 2\n[random]\nmodel.hiden = { choice = [[3]] }\n", "s.toml:3", "model.hidden"),
        ("seed = 1\n[gird]\ntrain.lr = [1.0]\n", "s.toml:2", "\"grid\""),
        ("[train]\nepoch = 1\n[grid]\ntrain.lr = [1.0]\n", "s.toml:2", "train.epochs"),
        ("trials = 2\n[random]\ntrain.lr = { lguniform = [1, 2] }\n", "s.toml:3", "train.lr"),
        (
            "trials = 2\n[random]\n\"train.lr\" = { log-unifrm = [1, 2] }\n",
            "s.toml:3",
            "log-uniform",
        ),
        ("base = \"zaremba-tiny\"\n[grid]\ntrain.lr = [1.0]\n", "s.toml:1", "zaremba-small"),
    ] {
        let found = message(text);
        assert!(found.contains(line) && found.contains(mend), "{text}: {found}");
    }
}

#[test]
fn what_cannot_be_searched_is_refused_with_its_mend() {
    for (text, line, mend) in [
        ("[train]\nlr = 1.0\n", "s.toml:", "give [grid] or [random]"),
        ("[grid]\ntrain.lr = 0.1\n", "s.toml:2", "list of values"),
        ("[grid]\ntrain.lr = []\n", "s.toml:2", "list of values"),
        ("[grid]\n", "s.toml:1", "name a setting"),
        ("[random]\ntrain.lr = { uniform = [0.1, 0.2] }\n", "s.toml:1", "trials = 20"),
        ("trials = 0\n[random]\ntrain.lr = { uniform = [0.1, 0.2] }\n", "s.toml:1", "give 1 to"),
        ("trials = 3\n[grid]\ntrain.lr = [0.1]\n", "s.toml:1", "[grid]"),
        ("trials = 3\n[random]\ntrain.lr = { uniform = [0.2, 0.1] }\n", "s.toml:3", "smaller"),
        ("trials = 3\n[random]\ntrain.lr = { log-uniform = [0.0, 0.1] }\n", "s.toml:3", "above 0"),
        (
            "trials = 3\n[random]\ntrain.lr = { uniform = [0.2, \"x\"] }\n",
            "s.toml:3",
            "two numbers",
        ),
        ("[grid]\ntrain.lr = [0.1, -1.0]\n", "s.toml:2", "trial 2 (train.lr = -1.0)"),
        ("[grid]\ntrain.lr = [\"fast\"]\n", "s.toml:2", "trial 1"),
        ("seed = -3\n[grid]\ntrain.lr = [0.1]\n", "s.toml:1", "whole number"),
        ("[grid\n", "s.toml", "line 1"),
    ] {
        let found = message(text);
        assert!(found.contains(line) && found.contains(mend), "{text}: {found}");
    }
    let many = "train.lr = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]\n";
    let keys = ["init", "clip", "dropout", "weight_decay", "lr"];
    let many: String = keys.iter().map(|key| many.replace("lr", key)).collect();
    assert!(message(&format!("[grid]\n{many}")).contains("more than 10000"));
}

const COMPRESSION: &str = r#"
checkpoint = "small"
[[step]]
method = "low-rank"
matrices = ["softmax"]
rank = 64
[[step]]
method = "quantise"
matrices = ["*"]
precision = "int8"
[grid]
"step.1.rank" = [16, 32]
"step.2.precision" = ["int8", "int4"]
"#;

#[test]
fn steps_of_a_compression_vary_by_their_number() {
    let parse = |text: &str| Sweep::parse("sweeps/s.toml", text, &|_| unreachable!());
    let sweep = parse(COMPRESSION).unwrap();
    assert_eq!(sweep.checkpoint.as_deref(), Some(Path::new("sweeps/small")));
    assert_eq!(sweep.trials.len(), 4);
    let text = sweep.trials[2].to_toml().unwrap();
    assert!(text.contains("rank = 32") && text.contains("precision = \"int8\""), "{text}");
    assert!(sweep.trials[2].is_of(&text) && !sweep.trials[1].is_of(&text));
    for (from, to, part) in [
        ("step.1.rank", "step.3.rank", "from 1 to 2"),
        ("step.1.rank", "step.0.rank", "from 1 to 2"),
        ("\"step.1.rank\"", "\"train.lr\"", "step.N.KEY"),
        ("step.1.rank", "step.1.rnk", "rank"),
        ("[16, 32]", "[16, \"x\"]", "trial 3"),
        ("checkpoint = \"small\"", "checkpoint = 1", "is not a string"),
        ("checkpoint = \"small\"", "checkpoint = \"a\"\nbase = \"awd\"", "of trainings"),
        ("checkpoint = \"small\"", "", "name it by checkpoint"),
    ] {
        let message = parse(&COMPRESSION.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("s.toml"), "{message}");
    }
}
