//! What there is of cells, structures, sparsities and precisions is in the models that the tests walk, and in the
//! documents.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{Forms, leaves};
use pocketlm::{CellKind, Model, Precision, Sparsity, Structure};

/// Opened, measured, coded and read in Python: `forms.rs`, `entropy.rs`, `allocation.rs`, `python_reader.rs`.
#[test]
fn the_models_of_the_tests_have_every_form_in_every_structure() {
    let (mut cells, mut found) = (BTreeSet::new(), BTreeSet::new());
    for forms in Forms::all() {
        let model = Model::from_bytes(forms.bytes()).unwrap();
        cells.insert(model.configuration().unwrap().cell.name());
        for matrix in model.matrices().into_iter().filter(|matrix| matrix.structure != "vector") {
            let is_dense = matrix.structure == "dense";
            let own = if is_dense { vec![matrix.clone()] } else { matrix.factors };
            assert!(!own.is_empty(), "{}", matrix.name);
            let forms = own.into_iter().map(|leaf| (leaf.sparsity, leaf.precision));
            found.extend(forms.map(|(s, p)| (matrix.structure.clone(), s, p)));
        }
    }
    assert_eq!(cells, CellKind::ALL.map(CellKind::name).into());
    let missing = |structure: Structure| {
        let all = leaves().into_iter().map(move |(s, p)| (structure, s, p));
        all.filter(|(a, b, c)| !found.contains(&(a.to_string(), b.to_string(), c.to_string())))
            .collect::<Vec<_>>()
    };
    for structure in Structure::ALL.into_iter().filter(|&one| one != Structure::Unitary) {
        assert_eq!(missing(structure), []);
    }
    assert!(missing(Structure::Unitary).len() < leaves().len());
}

fn document(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    std::fs::read_to_string(docs.join(name)).unwrap()
}

#[test]
fn the_documents_name_everything() {
    let precisions = Precision::ALL.map(Precision::name);
    let named = |document: &str, names: &[&str]| {
        let text = self::document(document);
        for name in names {
            assert!(text.contains(&format!("`{name}`")), "docs/{document} does not name `{name}`");
        }
    };
    named("format.md", &CellKind::ALL.map(CellKind::name));
    named("format.md", &Structure::ALL.map(Structure::name));
    named("format.md", &Sparsity::ALL.map(Sparsity::name));
    named("format.md", &precisions);
    named("guide.md", &precisions);
}

/// The table of section 4 has a line for each sparsity and precision that go together, and no other.
#[test]
fn the_table_of_forms_is_the_registry() {
    let text = document("format.md");
    let table = text.split("| sparsity | precision | arrays |").nth(1).unwrap();
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut listed = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let sparsity = cells[1].trim_matches('`');
        let precisions = cells[2].split(", ").map(|name| name.trim_matches('`'));
        listed.extend(precisions.map(|precision| (sparsity.to_string(), precision.to_string())));
    }
    let mut wanted: Vec<_> =
        leaves().into_iter().map(|(s, p)| (s.to_string(), p.to_string())).collect();
    listed.sort();
    wanted.sort();
    assert_eq!(listed, wanted);
}
