//! What is done with every input of the ARPA reader: by the fuzzer, and by the ordinary tests with the seeds.

use std::path::Path;

use pocketlm::Model;
use pocketlm::pack::Notes;
use pocketlm_train::ngram::arpa::{Options, read_from, write};
use pocketlm_train::ngram::{Table, renormalise, round_each};

/// Reads `bytes` as an ARPA file and, if it is one, packs it, and writes and reads it again. Returns whether it is one.
pub fn exercise(bytes: &[u8]) -> bool {
    let path = Path::new("fuzz.arpa");
    let _ = read_from(bytes, path, Options { unknown: Some("a"), closed: false });
    let Ok(import) = read_from(bytes, path, Options::default()) else { return false };
    let table = import.table;
    same(&table);
    let mut text = Vec::new();
    write(&table, &mut text).expect("memory takes what is written");
    let unknown = table.unk.map(|id| table.words[id as usize].as_str());
    let again = read_from(&text[..], path, Options { unknown, closed: true });
    assert_eq!(again.expect("what is written is read").table, table);
    for bits in [1, 4, 16] {
        let mut rounded = table.clone();
        round_each(&mut rounded, bits);
        same(&rounded);
    }
    let mut mended = table;
    renormalise(&mut mended);
    same(&mended);
    true
}

/// Packs the table and reads it from the packed file.
fn same(table: &Table) {
    let packed = table.pack(&Notes::default()).expect("what is read can be packed");
    let model = Model::from_bytes(packed).expect("what is packed opens");
    model.verify().expect("and is right");
    assert_eq!(model.ngrams().as_ref(), Some(table));
}
