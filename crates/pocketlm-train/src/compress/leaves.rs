//! From the leaves of one form to those of another.

use crate::linear::Parameters;

/// Copies the leaves that both have.
pub fn carry(from: &Parameters, to: &mut Parameters) {
    for entry in from.entries() {
        let same = to.find(&entry.name).filter(|own| own.range.len() == entry.range.len());
        if let Some(range) = same.map(|own| own.range.clone()) {
            to.data[range].copy_from_slice(&from.data[entry.range.clone()]);
        }
    }
}

/// Writes one leaf.
pub fn put(leaves: &mut Parameters, name: &str, numbers: &[f32]) {
    let range = leaves.find(name).expect("a leaf of the outline").range.clone();
    leaves.data[range].copy_from_slice(numbers);
}
