//! The numbers of a model: named matrices in one flat vector.

use std::ops::Range;
use std::sync::Arc;

use rand::Rng;

/// One named matrix of a [`Parameters`]; a bias is a matrix of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name in checkpoints and recipes, such as `cell.0.recurrent`.
    pub name: String,
    /// Rows, the outputs of the matrix.
    pub rows: usize,
    /// Columns, its inputs.
    pub columns: usize,
    /// Where the row-major numbers lie in the flat vector.
    pub range: Range<usize>,
    /// Whether it is stored with one dimension (biases).
    pub vector: bool,
}

/// Named row-major matrices, one after the other in one vector, so that gradients, moments and averages
/// are vectors of the same length. Cloning shares the names.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    entries: Arc<Vec<Entry>>,
    /// All numbers.
    pub data: Vec<f32>,
}

/// Fills `numbers` with ones uniform in `[-range, range]`.
pub fn fill_uniform(random: &mut impl Rng, numbers: &mut [f32], range: f64) {
    for value in numbers {
        let unit = f64::from(random.next_u32()) / f64::from(u32::MAX);
        *value = ((2.0 * unit - 1.0) * range) as f32;
    }
}

/// Position of a matrix within its [`Parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(usize);

/// Collects the entries of a [`Parameters`].
#[derive(Default)]
pub struct Builder {
    entries: Vec<Entry>,
    length: usize,
}

impl Builder {
    /// Adds a matrix `[rows, columns]`.
    pub fn matrix(&mut self, name: impl Into<String>, rows: usize, columns: usize) -> Id {
        self.push(name.into(), rows, columns, false)
    }

    /// Adds a vector `[length]`.
    pub fn vector(&mut self, name: impl Into<String>, length: usize) -> Id {
        self.push(name.into(), 1, length, true)
    }

    fn push(&mut self, name: String, rows: usize, columns: usize, vector: bool) -> Id {
        let range = self.length..self.length + rows * columns;
        self.length = range.end;
        self.entries.push(Entry { name, rows, columns, range, vector });
        Id(self.entries.len() - 1)
    }

    /// How many numbers there are so far.
    #[expect(clippy::len_without_is_empty, reason = "a builder is there to be filled")]
    pub fn len(&self) -> usize {
        self.length
    }

    /// All of them, zero.
    pub fn zeros(self) -> Parameters {
        Parameters { entries: Arc::new(self.entries), data: vec![0.0; self.length] }
    }
}

impl Parameters {
    /// The same names with every number zero.
    pub fn zeros_like(&self) -> Self {
        Self { entries: self.entries.clone(), data: vec![0.0; self.data.len()] }
    }

    /// The matrices in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of this name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The entry of a matrix.
    pub fn entry(&self, id: Id) -> &Entry {
        &self.entries[id.0]
    }

    /// Numbers of one matrix, row-major `[rows, columns]`.
    pub fn get(&self, id: Id) -> &[f32] {
        &self.data[self.entries[id.0].range.clone()]
    }

    /// Numbers of one matrix, to be changed.
    pub fn get_mut(&mut self, id: Id) -> &mut [f32] {
        &mut self.data[self.entries[id.0].range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_lie_one_after_the_other() {
        let mut builder = Builder::default();
        let a = builder.matrix("a", 2, 3);
        let b = builder.vector("b", 4);
        let mut p = builder.zeros();
        p.get_mut(b)[0] = 1.0;
        assert_eq!(p.data.len(), 10);
        assert_eq!((p.get(a).len(), p.data[6]), (6, 1.0));
        assert_eq!(p.find("b").unwrap().range, 6..10);
    }
}
