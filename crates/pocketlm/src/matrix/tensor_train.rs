//! Tensor trains (Oseledets 2011; as matrices: Novikov et al. 2015).
//!
//! Rows are padded to `M = Π m_k`, columns to `N = Π n_k`; in mixed radix, most significant first,
//! `W[i, j] = G_1[:, i_1, j_1, :] · … · G_d[:, i_d, j_d, :]`. Core `k` is the leaf matrix
//! `[m_k r_k, r_{k-1} n_k]` with row `i_k r_k + β` and column `α n_k + j_k`, so that a product with the whole is
//! a chain of products with the cores, each of many vectors.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::order::Order;
use super::scratch::{MOST_AT_ONCE, Scratch, grow};
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::format::metadata::{Description, factors};
use crate::json::Value;
use crate::leaves::Leaves;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Most cores that are read, and most numbers between two of them for one vector.
pub(crate) const MAX_CORES: usize = 8;
const MAX_BETWEEN: usize = 1 << 22;

/// A chain of cores.
#[derive(Debug)]
pub(crate) struct TensorTrain {
    rows: usize,
    columns: usize,
    cores: Vec<Core>,
    order: Order,
}

/// One core, and the sizes around it.
#[derive(Debug)]
struct Core {
    matrix: Stored,
    /// `m_k`, `n_k`
    modes: [usize; 2],
    /// `r_{k-1}`, `r_k`
    ranks: [usize; 2],
    /// `Π m` of the cores before it, `Π n` of those behind it.
    around: [usize; 2],
}

impl TensorTrain {
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, .. } = description;
        let fault = |problem: String| Error::matrix(name, problem);
        let modes = |field: &str, size: usize| {
            let list = description.fields.get(field).and_then(Value::array);
            let list: Option<Vec<usize>> = list.and_then(|l| l.iter().map(Value::number).collect());
            let list = list.filter(|list| (2..=MAX_CORES).contains(&list.len()));
            let list =
                list.ok_or_else(|| fault(format!("has no {field}, 2 to {MAX_CORES} of them")))?;
            let product = list.iter().try_fold(1usize, |product, &mode| product.checked_mul(mode));
            match product.filter(|&p| p >= size && p <= size.saturating_mul(4)) {
                Some(product) => Ok((list, product)),
                None => Err(fault(format!("has {field} whose product does not fit {size}"))),
            }
        };
        let (row_modes, _) = modes("row_modes", rows)?;
        let (column_modes, _) = modes("column_modes", columns)?;
        let factors = factors(description)?;
        if row_modes.len() != column_modes.len() || factors.len() != row_modes.len() {
            return Err(fault(format!("has {} cores for other numbers of modes", factors.len())));
        }
        let mut cores = Vec::new();
        let mut rank = 1usize;
        for (k, factor) in factors.iter().enumerate() {
            let (m, n) = (row_modes[k], column_modes[k]);
            // A mode of 0 would make a product of 0, which was refused.
            let next = factor.rows / m;
            let fits =
                next * m == factor.rows && rank.checked_mul(n) == Some(factor.columns) && next > 0;
            if !fits || (k + 1 == factors.len() && next != 1) {
                let problem = format!("has a core {k} of {} x {}", factor.rows, factor.columns);
                return Err(fault(format!("{problem}, which does not fit modes and ranks")));
            }
            let around = [row_modes[..k].iter().product(), column_modes[k + 1..].iter().product()];
            let matrix = Stored::open(factor, leaves)?;
            cores.push(Core { matrix, modes: [m, n], ranks: [rank, next], around });
            rank = next;
        }
        if most_between(&cores).is_none_or(|size| size > MAX_BETWEEN) {
            return Err(fault("has ranks that leave too much between two cores".into()));
        }
        let order = Order::open(description, leaves)?;
        Ok(Self { rows, columns, cores, order })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn parameters(&self) -> usize {
        self.cores.iter().map(|core| core.matrix.parameters()).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.cores.iter().map(|core| core.matrix.bytes()).sum::<usize>() + self.order.bytes()
    }

    pub(crate) fn factors(&self) -> Vec<&Stored> {
        self.cores.iter().map(|core| &core.matrix).collect()
    }

    /// Numbers of the padded rows.
    fn padded_rows(&self) -> usize {
        self.cores.iter().map(|core| core.modes[0]).product()
    }

    fn padded_columns(&self) -> usize {
        self.cores.iter().map(|core| core.modes[1]).product()
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        let sides = self.padded_rows().max(self.padded_columns());
        let most = sides.max(most_between(&self.cores).unwrap_or(0));
        let all = batch * self.padded_rows();
        let batch = self.at_once(batch);
        grow(&mut scratch.line, all);
        for core in &self.cores {
            core.matrix.reserve(batch * core.vectors(), scratch);
            grow(&mut scratch.line, core.matrix.columns());
        }
        grow(&mut scratch.inner, (batch * most).max(all));
        grow(&mut scratch.spare, batch * most);
    }

    /// How many of `batch` vectors go through the cores at a time.
    fn at_once(&self, batch: usize) -> usize {
        batch.min(MOST_AT_ONCE / most_between(&self.cores).unwrap_or(1)).max(1)
    }

    /// Multiplications of a product with a vector, or of a row if that takes more.
    pub(crate) fn operations(&self) -> usize {
        let (mut product, mut row, mut columns) = (0usize, 0usize, 1usize);
        for core in &self.cores {
            let cells = core.matrix.rows().saturating_mul(core.matrix.columns());
            product = product.saturating_add(core.vectors().saturating_mul(cells));
            columns = columns.saturating_mul(core.modes[1]);
            let terms = core.ranks[0].saturating_mul(core.ranks[1]);
            row = row.saturating_add(columns.saturating_mul(terms));
        }
        product.max(row)
    }

    /// Computes the whole product, which [`apply_rows`](Self::apply_rows) then hands out.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        let at_once = self.at_once(batch);
        if at_once >= batch {
            return self.run(x, batch, scratch);
        }
        let mut whole = core::mem::take(&mut scratch.line);
        whole.clear();
        for x in x.chunks(at_once * self.columns) {
            self.run(x, x.len() / self.columns, scratch);
            whole.extend_from_slice(&scratch.inner);
        }
        scratch.inner.clear();
        scratch.inner.extend_from_slice(&whole);
        scratch.line = whole;
    }

    /// The same of vectors that go through the cores together.
    fn run(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        let mut vectors = core::mem::take(&mut scratch.inner);
        let mut products = core::mem::take(&mut scratch.spare);
        let first = &self.cores[0];
        let padded = self.padded_columns();
        products.clear();
        products.resize(batch * padded, 0.0);
        for (to, from) in products.chunks_exact_mut(padded).zip(x.chunks_exact(self.columns)) {
            to[..self.columns].copy_from_slice(from);
        }
        turn(
            &products,
            Turn { a: batch, n: first.modes[1], behind: first.around[1], m: 1, r: 1 },
            &mut vectors,
        );
        for (k, core) in self.cores.iter().enumerate() {
            let count = batch * core.vectors();
            products.clear();
            products.resize(count * core.matrix.rows(), 0.0);
            core.matrix.apply(&vectors, count, scratch, &mut products);
            let Some(next) = self.cores.get(k + 1) else { break };
            let [m, _] = core.modes;
            let shape = Turn {
                a: batch * core.around[0],
                n: next.modes[1],
                behind: next.around[1],
                m,
                r: core.ranks[1],
            };
            turn(&products, shape, &mut vectors);
        }
        scratch.inner = products;
        scratch.spare = vectors;
    }

    pub(crate) fn apply_rows(&self, scratch: &Scratch, rows: Range<usize>, out: &mut [f32]) {
        self.order.hand_out(&scratch.inner, self.padded_rows(), rows, out);
    }

    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let mut row = self.order.place(row);
        let mut done = core::mem::take(&mut scratch.inner);
        let mut next = core::mem::take(&mut scratch.spare);
        let mut line = core::mem::take(&mut scratch.line);
        done.clear();
        done.push(1.0);
        let mut behind = self.padded_rows();
        for core in &self.cores {
            let ([m, n], [before, after]) = (core.modes, core.ranks);
            behind /= m;
            let digit = row / behind;
            row %= behind;
            let heads = done.len() / before;
            next.clear();
            next.resize(heads * n * after, 0.0);
            line.resize(before * n, 0.0);
            for beta in 0..after {
                core.matrix.row(digit * after + beta, scratch, &mut line);
                for (head, alphas) in done.chunks_exact(before).enumerate() {
                    for j in 0..n {
                        let terms = alphas.iter().enumerate();
                        let term = |(alpha, weight): (usize, &f32)| weight * line[alpha * n + j];
                        next[(head * n + j) * after + beta] = terms.map(term).sum();
                    }
                }
            }
            core::mem::swap(&mut done, &mut next);
        }
        out.copy_from_slice(&done[..self.columns]);
        (scratch.inner, scratch.spare, scratch.line) = (done, next, line);
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let faults = self.cores.iter().enumerate();
        faults
            .flat_map(|(k, core)| core.matrix.fault().map(|fault| format!("core {k}: {fault}")))
            .next()
    }
}

impl Core {
    /// Vectors that it is multiplied with for one vector of the whole.
    fn vectors(&self) -> usize {
        self.around[0] * self.around[1]
    }

    /// The larger of what goes in and what comes out, for one vector of the whole.
    fn between(&self) -> Option<usize> {
        let side = self.matrix.rows().max(self.matrix.columns());
        self.around[0].checked_mul(self.around[1])?.checked_mul(side)
    }
}

/// Most numbers between two cores for one vector or one row of the whole.
fn most_between(cores: &[Core]) -> Option<usize> {
    let (mut most, mut columns) = (0, 1usize);
    for core in cores {
        columns = columns.checked_mul(core.modes[1])?;
        most = most.max(core.between()?).max(columns.checked_mul(core.ranks[1])?);
    }
    Some(most)
}

/// The shape of what lies between two cores: `[a, n, behind, m, r]`.
#[derive(Clone, Copy)]
struct Turn {
    a: usize,
    n: usize,
    behind: usize,
    m: usize,
    r: usize,
}

/// `[a, n, behind, m, r]` to `[a, m, behind, r, n]`: from what a core gives to what the next one takes.
fn turn(from: &[f32], Turn { a, n, behind, m, r }: Turn, to: &mut Vec<f32>) {
    to.clear();
    to.resize(a * n * behind * m * r, 0.0);
    let block = n * behind * m * r;
    for (from, to) in from.chunks_exact(block).zip(to.chunks_exact_mut(block)) {
        for j in 0..n {
            for b in 0..behind {
                for i in 0..m {
                    let from = &from[((j * behind + b) * m + i) * r..][..r];
                    let first = (i * behind + b) * r;
                    for (beta, x) in from.iter().enumerate() {
                        to[(first + beta) * n + j] = *x;
                    }
                }
            }
        }
    }
}
