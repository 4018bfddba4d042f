//! Kronecker: each matrix becomes a sum of Kronecker products, `W ≈ Σ_k A_k ⊗ B_k`.
//!
//! Element `(i₁, i₂), (j₁, j₂)` of the sum is `Σ_k A_k[i₁, j₁] B_k[i₂, j₂]`: a tensor train of two cores, whose rank
//! is the number of terms. So that is its form, and the nearest sum, the truncated singular value decomposition of
//! the rearranged matrix (Van Loan & Pitsianis 1993, section 2), is the TT-SVD of two cores.

use serde::{Deserialize, Serialize};

use super::declare::{Declare, Size, Structural, restructure};
use crate::error::{Error, Result};
use crate::matrix::{Shape, Structure, TensorTrain as Form};
use crate::recipe::outline::Outline;

/// Turns matrices into sums of Kronecker products.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kronecker {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Rows and columns of the left factors A; those of B follow. Near the square roots of the matrix's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<[usize; 2]>,
    /// Number of products, or what it follows from: exactly one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<usize>,
    /// Numbers of all factors over those of the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

impl Kronecker {
    /// The sizes of the two factors.
    fn factors(&self, name: &str, shape: Shape) -> Result<Form> {
        let Some([rows, columns]) = self.left else { return Form::with_rank(shape, 2, 1) };
        if !(1..=shape.rows).contains(&rows) || !(1..=shape.columns).contains(&columns) {
            let what = format!(
                "is {rows} x {columns} for {name}, which is {} x {}: give smaller sizes from 1 on",
                shape.rows, shape.columns
            );
            return Err(Error::config("left", what));
        }
        let (row_modes, column_modes) =
            (vec![rows, shape.rows.div_ceil(rows)], vec![columns, shape.columns.div_ceil(columns)]);
        Ok(Form { row_modes, column_modes, ranks: vec![1] })
    }
}

impl Structural for Kronecker {
    fn matrices(&self) -> &[String] {
        &self.matrices
    }

    fn form(&self, name: &str, shape: Shape) -> Result<Structure> {
        let Form { row_modes: m, column_modes: n, .. } = self.factors(name, shape)?;
        let (left, right) = (m[0] * n[0], m[1] * n[1]);
        let most = left.min(right);
        let terms = match Size::one_of(&[self.terms.map(Size::Rank), self.ratio.map(Size::Ratio)])?
        {
            Size::Ratio(ratio) => {
                let room = ratio * (shape.rows * shape.columns) as f64;
                ((room / (left + right) as f64) as usize).min(most)
            }
            _ => self.terms.unwrap_or(0),
        };
        if !(1..=most).contains(&terms) {
            let what = format!(
                "makes {terms} in {name}: give from 1 to {most}, of {} numbers each",
                left + right
            );
            return Err(Error::config("the number of terms", what));
        }
        let form = Form { row_modes: m, column_modes: n, ranks: vec![terms] };
        Ok(Structure::TensorTrain(form))
    }
}

impl Declare for Kronecker {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        restructure(outline, &self.matrices, |name, shape| self.form(name, shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::svd::{Balance, decompose};
    use crate::matrix::testing::noise as numbers;
    use proptest::prelude::*;

    fn step(left: [usize; 2], terms: usize) -> Kronecker {
        Kronecker { matrices: vec!["*".into()], left: Some(left), terms: Some(terms), ratio: None }
    }

    /// Projects a matrix, and returns what comes out.
    fn projected(step: &Kronecker, dense: &[f32], shape: Shape) -> Vec<f32> {
        let form = step.form("it", shape).unwrap();
        form.operations().check(shape).unwrap();
        let leaves = form.operations().decompose(dense, shape).unwrap();
        let leaves: Vec<&[f32]> = leaves.iter().map(Vec::as_slice).collect();
        let mut out = vec![0.0; dense.len()];
        form.operations().materialise(&leaves, shape, &mut out);
        out
    }

    proptest! {
        #[test]
        fn a_sum_of_kronecker_products_comes_back(
            m in (1usize..6, 1usize..6), n in (1usize..6, 1usize..6), terms in 1usize..4, seed: u64,
        ) {
            let shape = Shape { rows: m.0 * m.1, columns: n.0 * n.1 };
            let terms = terms.min(m.0 * n.0).min(m.1 * n.1);
            let (a, b) = (numbers(terms * m.0 * n.0, seed), numbers(terms * m.1 * n.1, !seed));
            let element = |i: usize, j: usize| (0..terms).map(|k| {
                a[k * m.0 * n.0 + i / m.1 * n.0 + j / n.1] * b[k * m.1 * n.1 + i % m.1 * n.1 + j % n.1]
            }).sum::<f32>();
            let dense: Vec<f32> =
                (0..shape.rows * shape.columns).map(|at| element(at / shape.columns, at % shape.columns)).collect();
            for (x, y) in projected(&step([m.0, n.0], terms), &dense, shape).iter().zip(&dense) {
                prop_assert!((x - y).abs() < 1e-4, "{x} {y}");
            }
        }

        /// Van Loan & Pitsianis 1993, theorem 2.1: what is lost is the tail of the rearranged matrix's values.
        #[test]
        fn the_error_is_that_of_the_rearranged_matrix(
            m in (1usize..5, 1usize..5), n in (1usize..5, 1usize..5), seed: u64,
        ) {
            let shape = Shape { rows: m.0 * m.1, columns: n.0 * n.1 };
            let dense = numbers(shape.rows * shape.columns, seed);
            let (p, q) = (m.0 * n.0, m.1 * n.1);
            let rearranged: Vec<f32> = (0..p * q).map(|at| {
                let (block, within) = (at / q, at % q);
                let (i, j) = (block / n.0 * m.1 + within / n.1, block % n.0 * n.1 + within % n.1);
                dense[i * shape.columns + j]
            }).collect();
            let values = decompose(&rearranged, (p, q), Balance::Both, |_| 1).unwrap().values;
            let terms = p.min(q).div_ceil(2);
            let tail: f64 = values[terms..].iter().map(|s| s * s).sum();
            let found = projected(&step([m.0, n.0], terms), &dense, shape);
            let error: f64 = found.iter().zip(&dense).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            prop_assert!((error - tail).abs() < 1e-4 * (1.0 + tail), "{error} {tail}");
        }
    }
}
