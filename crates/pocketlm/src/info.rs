//! What a packed model holds, for `inspect`; and the full check of its bytes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Error, Result};
use crate::format::checksum::Crc32;
use crate::format::container::Header;
use crate::format::metadata::{self, Description};
use crate::json::Value;
use crate::matrix::{self, Matrix, Scratch, factor_name};
use crate::model::{Kind, Model};
use crate::ngram::OrderInfo;
use crate::recurrent::Recurrent;

/// What the file holds of one matrix or bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixInfo {
    /// Its name, as `cell.0.input`.
    pub name: String,
    /// Rows: values that come out.
    pub rows: usize,
    /// Columns: values that go in; 1 for a bias.
    pub columns: usize,
    /// Which numbers describe it: `dense`, `low-rank`, `tensor-train`, `block-circulant`, `toeplitz-like`, `unitary`,
    /// `block-low-rank`, or `vector` for a bias.
    pub structure: String,
    /// Which of them are kept: `none` for all, `unstructured`, `panels`, `mixed` where factors differ.
    pub sparsity: String,
    /// How many bits each has: `f32`, `int4`, and so on, as in `docs/format.md`; `mixed` where factors differ.
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
    /// Every matrix and bias, in the order of the configuration; none for an n-gram model.
    #[must_use]
    pub fn matrices(&self) -> Vec<MatrixInfo> {
        let Some(model) = self.recurrent() else { return Vec::new() };
        let matrices = model.named().into_iter();
        let forms = forms(&self.header);
        let matrices = matrices.map(|(name, matrix)| info(name, matrix, &forms, &self.header));
        let types = self.vocabulary.len();
        let biases = model.configuration.biases(types).into_iter().map(|bias| MatrixInfo {
            structure: "vector".into(),
            sparsity: "none".into(),
            precision: "f32".into(),
            parameters: bias.rows,
            bytes: 4 * bias.rows,
            file_bytes: self.header.file_bytes([&bias.name]),
            name: bias.name,
            rows: bias.rows,
            columns: 1,
            factors: Vec::new(),
        });
        matrices.chain(biases).collect()
    }
}

/// What the file says of a matrix, in its words.
#[derive(Clone, Default)]
struct Form {
    structure: String,
    sparsity: String,
    precision: String,
    /// Its arrays, those of its factors among them.
    arrays: Vec<String>,
}

fn info(name: String, matrix: &Matrix, forms: &[(String, Form)], header: &Header) -> MatrixInfo {
    let form = forms.iter().find(|(found, _)| *found == name);
    let form = form.map(|(_, form)| form.clone()).unwrap_or_default();
    let Form { structure, sparsity, precision, arrays } = form;
    let factors = matrix.factors().into_iter().enumerate();
    let factors =
        factors.map(|(k, m)| info(factor_name(&name, &structure, k), m, forms, header)).collect();
    MatrixInfo {
        file_bytes: header.file_bytes(&arrays),
        rows: matrix.rows(),
        columns: matrix.columns(),
        parameters: matrix.parameters(),
        bytes: matrix.bytes(),
        factors,
        name,
        structure,
        sparsity,
        precision,
    }
}

/// The form of every matrix and every factor of one.
fn forms(header: &Header) -> Vec<(String, Form)> {
    let form = |d: &Description<'_>| Form {
        structure: d.structure.clone(),
        sparsity: d.sparsity.clone(),
        precision: d.precision.clone(),
        arrays: d.arrays.clone(),
    };
    let mut forms = Vec::new();
    for description in &metadata::matrices(&header.metadata).unwrap_or_default() {
        let name = &description.name;
        // What has no factors has none to list; what has, has been opened.
        let factors = matrix::factors(description).unwrap_or_default();
        let mut whole = form(description);
        let order = description.fields.get("order").and_then(Value::string);
        whole.arrays.extend(order.map(String::from));
        for (k, factor) in factors.iter().enumerate() {
            whole.arrays.extend(factor.arrays.iter().cloned());
            forms.push((factor_name(name, &description.structure, k), form(factor)));
        }
        forms.push((name.clone(), whole));
    }
    forms
}

impl Recurrent {
    /// All matrices with their names.
    fn named(&self) -> Vec<(String, &Matrix)> {
        let mut list: Vec<(String, &Matrix)> = alloc::vec![("embedding".into(), &self.embedding)];
        for (k, layer) in self.layers.iter().enumerate() {
            list.push((format!("cell.{k}.input"), &layer.input));
            list.push((format!("cell.{k}.recurrent"), &layer.recurrent));
            list.extend(layer.projection.iter().map(|m| (format!("cell.{k}.projection"), m)));
            let rounds = layer.rounds.iter().enumerate();
            list.extend(rounds.map(|(i, m)| (format!("cell.{k}.mogrifier.{i}"), m)));
        }
        list.extend(self.projection.iter().map(|m| ("projection".into(), m)));
        if !self.configuration.tied {
            list.push(("softmax".into(), self.softmax()));
        }
        list
    }
}

impl Model {
    /// Parameters of all matrices and biases; of an n-gram model its probabilities and back-off weights.
    #[must_use]
    pub fn parameters(&self) -> usize {
        match &self.kind {
            Kind::Recurrent(_) => self.matrices().iter().map(|matrix| matrix.parameters).sum(),
            Kind::Ngram(model) => model.parameters(),
        }
    }

    /// What each order of an n-gram model holds, from single words up; none for a recurrent one.
    #[must_use]
    pub fn orders(&self) -> Vec<OrderInfo> {
        match &self.kind {
            Kind::Recurrent(_) => Vec::new(),
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
        let found = named.into_iter().find(|(found, _)| found == name);
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
        let missing = || Error::matrix(name, "is not a bias of this model");
        let model = self.recurrent().ok_or_else(missing)?;
        let mut layers = model.layers.iter().enumerate().flat_map(|(k, layer)| {
            let gain = layer.gain.iter().map(move |gain| (format!("cell.{k}.gain"), gain));
            gain.chain([(format!("cell.{k}.bias"), &layer.bias)])
        });
        let found = match name {
            "softmax.bias" => Some(&model.softmax_bias),
            _ => layers.find(|(found, _)| found == name).map(|(_, bias)| bias),
        };
        let bias = found.ok_or_else(missing)?;
        Ok(bias.f32())
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
        let model = match &self.kind {
            Kind::Recurrent(model) => model,
            Kind::Ngram(model) => return model.verify(),
        };
        for (name, matrix) in model.named() {
            if let Some(fault) = matrix.fault() {
                return Err(Error::matrix(name, fault));
            }
        }
        Ok(())
    }
}

/// How the checksum stands in the header.
const FIELD: &[u8] = b"\"checksum\":\"crc32:";

/// Where the eight digits of the checksum stand in a file whose header ends at `data`.
pub(crate) fn checksum_place(file: &[u8], data: usize) -> Option<Range<usize>> {
    let header = file.get(..data)?;
    let at = header.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    (at + 8 <= data).then_some(at..at + 8)
}

/// CRC-32 of a whole file with the digits of the checksum itself taken as zeros.
pub(crate) fn checksum(file: &[u8], data: usize) -> u32 {
    let place = checksum_place(file, data).unwrap_or(0..0);
    let sum = Crc32::new().update(&file[..place.start]);
    sum.update(&b"00000000"[..place.len()]).update(&file[place.end..]).finish()
}
