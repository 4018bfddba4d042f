//! What a packed model holds, for `inspect`; and the full check of its bytes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Error, Result};
use crate::format::checksum::checksum;
use crate::format::container::Header;
use crate::format::metadata::{self, Description, Word};
use crate::json::Value;
use crate::matrix::{Matrix, Scratch};
use crate::model::{Kind, Model};
use crate::ngram::OrderInfo;
use crate::recurrent::Recurrent;
use crate::spec::{MatrixName, Part};
use crate::storage::Array;

/// What the file holds of one matrix or bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixInfo {
    /// Its name, as `cell.0.input`.
    pub name: String,
    /// Rows: values that come out.
    pub rows: usize,
    /// Columns: values that go in; 1 for a bias.
    pub columns: usize,
    /// Which numbers describe it: the name of a [`Structure`](crate::Structure), or `vector` for a bias.
    pub structure: String,
    /// Which of them are kept: the name of a [`Sparsity`](crate::Sparsity), or `mixed` where factors differ.
    pub sparsity: String,
    /// How many bits each has: the name of a [`Precision`](crate::Precision), or `mixed` where factors differ.
    pub precision: String,
    /// Numbers that describe it, scales and padding not counted.
    pub parameters: usize,
    /// Bytes that it takes in memory, scales, positions and padding of panels counted; in the file too, but for
    /// arrays that are entropy-coded there.
    pub bytes: usize,
    /// Bytes that its arrays take in the file.
    pub file_bytes: usize,
    /// The same of each factor of a low-rank matrix (`softmax.left`, `softmax.right`), each core of a tensor
    /// train (`softmax.core.0`, …), and so on; empty for dense ones.
    pub factors: Vec<MatrixInfo>,
}

/// Where an array lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Its name, as any safetensors reader lists it.
    pub name: String,
    /// Its dtype, decoded where it is entropy-coded: `F32`, `F16`, `I8`, `U8`, `U16` or `U32`.
    pub dtype: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its bytes in the file, counted from the file's beginning.
    pub range: Range<usize>,
    /// Its bytes in memory: more than the file has where it is entropy-coded, else the same.
    pub bytes: usize,
}

/// What entropy coding saves of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodedBytes {
    /// Bytes of the coded arrays when they are decoded: the memory that opening takes for them.
    pub plain: usize,
    /// Bytes of the same arrays in the file.
    pub coded: usize,
}

impl Model {
    /// Every matrix and bias, in the order of the configuration; none for an n-gram model, nor for a mixture, whose
    /// [parts](Self::parts) have them.
    #[must_use]
    pub fn matrices(&self) -> Vec<MatrixInfo> {
        let Some(model) = self.recurrent() else { return Vec::new() };
        // Opening has found a description of every matrix.
        let descriptions = metadata::matrices(&self.header.metadata).unwrap_or_default();
        let matrices = model.named().into_iter().filter_map(|(name, matrix)| {
            let name = name.to_string();
            let description = descriptions.iter().find(|description| description.name == name)?;
            Some(info(matrix, description, &self.header))
        });
        let types = self.vocabulary.len();
        let biases = model.configuration.biases(types).into_iter().map(|bias| MatrixInfo {
            structure: "vector".into(),
            sparsity: "none".into(),
            precision: "f32".into(),
            parameters: bias.rows,
            bytes: 4 * bias.rows,
            file_bytes: self.header.file_bytes([&bias.name.to_string()]),
            name: bias.name.to_string(),
            rows: bias.rows,
            columns: 1,
            factors: Vec::new(),
        });
        matrices.chain(biases).collect()
    }
}

fn info(matrix: &Matrix, description: &Description<'_>, header: &Header) -> MatrixInfo {
    // What has no factors has none to list; what has, has been opened.
    let factors = metadata::factors(description).unwrap_or_default();
    let order = description.fields.get("order").and_then(Value::string).map(String::from);
    let arrays = factors.iter().flat_map(|factor| &factor.arrays).chain(&order);
    let file_bytes = header.file_bytes(description.arrays.iter().chain(arrays));
    let factors = factors.iter().zip(matrix.factors()).enumerate().map(|(k, (factor, stored))| {
        let sizes = [stored.parameters(), stored.bytes(), header.file_bytes(&factor.arrays)];
        let mut info = described(factor, sizes);
        if let Word::Known(structure) = description.structure {
            info.name = structure.factor(&description.name, k);
        }
        info
    });
    let factors = factors.collect();
    let sizes = [matrix.parameters(), matrix.bytes(), file_bytes];
    MatrixInfo { factors, ..described(description, sizes) }
}

/// What a description says, without factors, of so many parameters, bytes in memory and bytes in the file.
fn described(
    description: &Description<'_>,
    [parameters, bytes, file_bytes]: [usize; 3],
) -> MatrixInfo {
    let &Description { ref name, rows, columns, .. } = description;
    MatrixInfo {
        name: name.clone(),
        rows,
        columns,
        structure: description.structure.to_string(),
        sparsity: description.sparsity.to_string(),
        precision: description.precision.to_string(),
        parameters,
        bytes,
        file_bytes,
        factors: Vec::new(),
    }
}

impl Recurrent {
    /// All matrices with their names.
    fn named(&self) -> Vec<(MatrixName, &Matrix)> {
        let mut list = alloc::vec![(MatrixName::Embedding, &self.embedding)];
        for (k, layer) in self.layers.iter().enumerate() {
            let mut add = |part, matrix| list.push((MatrixName::Cell(k, part), matrix));
            add(Part::Input, &layer.input);
            add(Part::Recurrent, &layer.recurrent);
            layer.projection.iter().for_each(|matrix| add(Part::Projection, matrix));
            let rounds = layer.rounds.iter().enumerate();
            rounds.for_each(|(i, matrix)| add(Part::Mogrifier(i), matrix));
        }
        list.extend(self.projection.iter().map(|matrix| (MatrixName::Projection, matrix)));
        if !self.configuration.tied {
            list.push((MatrixName::Softmax, self.softmax()));
        }
        list
    }

    /// The bias or gain of this name.
    fn bias(&self, name: MatrixName) -> Option<&Array> {
        match name {
            MatrixName::SoftmaxBias => Some(&self.softmax_bias),
            MatrixName::Cell(k, Part::Bias) => Some(&self.layers.get(k)?.bias),
            MatrixName::Cell(k, Part::Gain) => self.layers.get(k)?.gain.as_ref(),
            _ => None,
        }
    }
}

impl Model {
    /// Parameters of all matrices and biases; of an n-gram model its probabilities and back-off weights; of a mixture
    /// those of all parts.
    #[must_use]
    pub fn parameters(&self) -> usize {
        match &self.kind {
            Kind::Recurrent(_) => self.matrices().iter().map(|matrix| matrix.parameters).sum(),
            Kind::Ngram(model) => model.parameters(),
            Kind::Mixture(model) => model.parts.iter().map(|part| part.model.parameters()).sum(),
        }
    }

    /// What each order of an n-gram model holds, from single words up; none for another.
    #[must_use]
    pub fn orders(&self) -> Vec<OrderInfo> {
        match &self.kind {
            Kind::Recurrent(_) | Kind::Mixture(_) => Vec::new(),
            Kind::Ngram(model) => model.orders(),
        }
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.storage.len()
    }

    /// Bytes that the vocabulary takes in the file; [`Vocabulary::bytes`](crate::Vocabulary::bytes) are those in
    /// memory.
    #[must_use]
    pub fn vocabulary_bytes(&self) -> usize {
        let entry = metadata::vocabulary(&self.header.metadata);
        entry.map_or(0, |entry| self.header.file_bytes([&entry.text, &entry.blocks]))
    }

    /// Bytes of all entropy-coded arrays, decoded and in the file; zeros where there are none.
    #[must_use]
    pub fn coded_bytes(&self) -> CodedBytes {
        let arrays = self.header.arrays.values();
        let coded = arrays.filter_map(|entry| Some((entry.decoded.as_ref()?, &entry.range)));
        coded.fold(CodedBytes::default(), |sum, (plain, coded)| CodedBytes {
            plain: sum.plain + plain.len(),
            coded: sum.coded + coded.len(),
        })
    }

    /// Bytes of the header with the eight before it; arrays follow.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        self.header.data
    }

    /// The arrays of the file in the order in which they lie there; between them is padding.
    #[must_use]
    pub fn arrays(&self) -> Vec<ArrayInfo> {
        let arrays = self.header.arrays.iter();
        let mut list: Vec<_> = arrays
            .map(|(name, entry)| ArrayInfo {
                name: name.clone(),
                dtype: entry.dtype.name(),
                shape: entry.shape.clone(),
                range: entry.range.clone(),
                bytes: entry.bytes(),
            })
            .collect();
        list.sort_by_key(|array| (array.range.start, array.range.end));
        list
    }

    /// All metadata of the file as it stands there.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// Row `row` of the matrix `name` as numbers into `out` `[columns]`, dequantised.
    ///
    /// # Errors
    /// [`Error::Matrix`] if there is no such matrix or row, [`Error::Length`] if `out` does not fit.
    pub fn row(&self, name: &str, row: usize, out: &mut [f32]) -> Result<()> {
        let named = self.recurrent().map(Recurrent::named).unwrap_or_default();
        let wanted = name.parse().ok();
        let found = named.into_iter().find(|(found, _)| Some(*found) == wanted);
        let (_, matrix) = found.ok_or_else(|| Error::matrix(name, "is not in this model"))?;
        if row >= matrix.rows() {
            return Err(Error::matrix(name, format!("has {} rows, no row {row}", matrix.rows())));
        }
        if out.len() != matrix.columns() {
            return Err(Error::Length { given: out.len(), needed: matrix.columns() });
        }
        let mut scratch = Scratch::default();
        matrix.reserve(1, &mut scratch);
        matrix.row(row, &mut scratch, out);
        Ok(())
    }

    /// The bias or gain `name` as it stands in the file.
    ///
    /// # Errors
    /// [`Error::Matrix`] if there is no such bias.
    pub fn bias(&self, name: &str) -> Result<&[f32]> {
        let model = self.recurrent();
        let bias = model.and_then(|model| model.bias(name.parse().ok()?));
        bias.map(Array::f32).ok_or_else(|| Error::matrix(name, "is not a bias of this model"))
    }

    /// Reads the whole file: its checksum, and that every weight is a finite number. Opening leaves
    /// this out, since it takes as long as reading the file.
    ///
    /// # Errors
    /// [`Error::Checksum`] or [`Error::Matrix`].
    pub fn verify(&self) -> Result<()> {
        let stored = metadata::checksum(&self.header.metadata)?;
        let computed = checksum(&self.storage, self.header.data);
        if stored != computed {
            return Err(Error::Checksum { stored, computed });
        }
        self.verify_numbers()
    }

    fn verify_numbers(&self) -> Result<()> {
        let model = match &self.kind {
            Kind::Recurrent(model) => model,
            Kind::Ngram(model) => return model.verify(),
            Kind::Mixture(mixture) => {
                return mixture.parts.iter().try_for_each(|part| part.model.verify_numbers());
            }
        };
        for (name, matrix) in model.named() {
            if let Some(fault) = matrix.fault() {
                return Err(Error::matrix(name.to_string(), fault));
            }
        }
        Ok(())
    }
}
