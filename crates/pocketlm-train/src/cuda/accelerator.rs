//! What the network on a device asks of one: memory, kernels, matrix products, and a sequence of these to be repeated.
//!
//! Work is done in the order in which it is asked for. Memory holds 32-bit numbers.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Range;
use std::rc::Rc;

use crate::error::Result;
use crate::linear::product::Write;

/// The kernels by their names in `kernels.cu`.
pub const KERNELS: [&str; 18] = [
    "zero",
    "masked",
    "add_masked",
    "squares",
    "sgd",
    "adam",
    "embed",
    "embedding_gradient",
    "lstm_forward",
    "cifg_forward",
    "gru_forward",
    "lstm_backward",
    "cifg_backward",
    "gru_backward",
    "column_sums",
    "softmax_gradient",
    "softmax_rank",
    "penalise",
];

/// Threads of a block, as the kernels' text has it.
pub const THREADS: usize = 256;

/// A device.
///
/// Kernels and products reach memory by address, and nothing checks them: whoever asks for one answers for its lengths.
/// So all launches are in [`super::kernels`], which checks them, and all products are made by [`Sgemm::new`], from
/// matrices that were checked when they were made.
pub trait Accelerator {
    /// Its name, for people.
    fn name(&self) -> String;

    /// Room for `length` numbers, whatever they are.
    fn allocate(&self, length: usize) -> Result<u64>;

    /// Gives room back.
    fn free(&self, address: u64);

    /// Copies to the device what `fill` writes.
    fn upload(&self, to: Part, fill: &mut dyn FnMut(&mut [f32])) -> Result<()>;

    /// Waits for all work, and shows `take` what there is then.
    fn download(&self, from: Part, take: &mut dyn FnMut(&[f32])) -> Result<()>;

    /// Runs a kernel of [`KERNELS`] in so many blocks of [`THREADS`] threads.
    fn launch(&self, kernel: &'static str, blocks: usize, arguments: &[Argument]) -> Result<()>;

    /// A product; what was in `c` is not read where `beta` is zero.
    fn sgemm(&self, product: &Sgemm) -> Result<()>;

    /// Notes the launches and products of `work`, which are not done, so that they can be done again and again. `work`
    /// must neither allocate nor copy.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Recording>>;
}

/// Launches and products that were noted. The memory that they use must still be there.
pub trait Recording {
    /// Does them.
    fn replay(&self) -> Result<()>;
}

/// Memory of a device, given back when dropped.
pub struct Buffer {
    device: Rc<dyn Accelerator>,
    address: u64,
    length: usize,
}

impl Buffer {
    /// Room for `length` numbers, whatever they are.
    pub fn new(device: &Rc<dyn Accelerator>, length: usize) -> Result<Self> {
        let address = device.allocate(length.max(1))?;
        Ok(Self { device: device.clone(), address, length })
    }

    /// How many numbers.
    pub fn len(&self) -> usize {
        self.length
    }

    /// All of them.
    pub fn all(&self) -> Part<'_> {
        Part { address: self.address, length: self.length, of: PhantomData }
    }

    /// The first `length`.
    pub fn first(&self, length: usize) -> Part<'_> {
        self.all().part(0..length)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.device.free(self.address);
    }
}

impl dyn Accelerator + '_ {
    /// `out = left right`, or that added.
    pub fn product(&self, out: Matrix, write: Write, left: Matrix, right: Matrix) -> Result<()> {
        self.sgemm(&Sgemm::new(&out, write, &left, &right))
    }
}

/// A stretch of a [`Buffer`].
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub address: u64,
    pub length: usize,
    of: PhantomData<&'a Buffer>,
}

impl Part<'_> {
    /// A stretch of it.
    pub fn part(self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "{range:?} of {}",
            self.length
        );
        let address = self.address + 4 * range.start as u64;
        Self { address, length: range.len(), of: PhantomData }
    }

    /// All but the first `start` numbers.
    pub fn from(self, start: usize) -> Self {
        self.part(start..self.length)
    }
}

/// A row-major matrix on the device: rows of `columns` numbers, `stride` apart; or its transpose.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub part: Part<'a>,
    /// As it is seen, transposed or not.
    pub rows: usize,
    pub columns: usize,
    pub stride: usize,
    pub transposed: bool,
}

impl<'a> Matrix<'a> {
    /// A part as `[rows, columns]`.
    pub fn new(part: Part<'a>, rows: usize, columns: usize) -> Self {
        Self::strided(part, rows, columns, columns)
    }

    /// The first `columns` of each row of a part, whose rows are `stride` apart.
    pub fn strided(part: Part<'a>, rows: usize, columns: usize, stride: usize) -> Self {
        assert!(columns <= stride && rows > 0, "{rows} rows of {columns} at stride {stride}");
        assert!((rows - 1) * stride + columns <= part.length, "{rows} rows of {columns}");
        Self { part, rows, columns, stride, transposed: false }
    }

    /// Its transpose.
    pub fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }
}

/// A product as BLAS has it: `c = op(a) op(b) + beta c`, matrices by columns, `c` `[m, n]`, the inner dimension `k`.
#[derive(Clone, Copy)]
pub struct Sgemm {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Factor,
    pub b: Factor,
    pub beta: f32,
    pub c: u64,
    /// Between the columns of `c`.
    pub c_stride: usize,
}

/// A factor of a [`Sgemm`]: where it lies, between its columns, and whether it is transposed.
#[derive(Clone, Copy)]
pub struct Factor {
    pub address: u64,
    pub stride: usize,
    pub transposed: bool,
}

impl Sgemm {
    /// `out = left right`, or that added. A matrix by rows is its transpose by columns, so what BLAS computes is
    /// `out^T = right^T left^T`.
    pub fn new(out: &Matrix, write: Write, left: &Matrix, right: &Matrix) -> Self {
        let shapes =
            ((out.rows, out.columns), (left.rows, left.columns), (right.rows, right.columns));
        let ((m, n), (left_m, k), (right_k, right_n)) = shapes;
        assert!(m == left_m && k == right_k && n == right_n, "a product of {shapes:?}");
        assert!(!out.transposed, "a product is written by rows");
        let factor = |matrix: &Matrix| {
            let Matrix { part, stride, transposed, .. } = *matrix;
            Factor { address: part.address, stride, transposed }
        };
        Self {
            m: n,
            n: m,
            k,
            a: factor(right),
            b: factor(left),
            beta: if write == Write::Add { 1.0 } else { 0.0 },
            c: out.part.address,
            c_stride: out.stride,
        }
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub enum Argument {
    Address(u64),
    Integer(i32),
    Real(f32),
}

impl Argument {
    /// Where its value lies, as a launch takes it.
    pub fn pointer(&self) -> *mut c_void {
        match self {
            Self::Address(x) => (&raw const *x).cast_mut().cast(),
            Self::Integer(x) => (&raw const *x).cast_mut().cast(),
            Self::Real(x) => (&raw const *x).cast_mut().cast(),
        }
    }
}

impl From<Part<'_>> for Argument {
    fn from(part: Part) -> Self {
        Self::Address(part.address)
    }
}

/// Null for none.
impl From<Option<Part<'_>>> for Argument {
    fn from(part: Option<Part>) -> Self {
        Self::Address(part.map_or(0, |part| part.address))
    }
}

impl From<usize> for Argument {
    fn from(number: usize) -> Self {
        Self::Integer(
            i32::try_from(number).expect("the lengths of a model on a device fit 31 bits"),
        )
    }
}

impl From<f32> for Argument {
    fn from(number: f32) -> Self {
        Self::Real(number)
    }
}
