//! An NVIDIA GPU: driver, NVRTC and cuBLAS, found when they are asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use cudarc::cublas::sys::{
    cublasMath_t, cublasOperation_t, cublasSetMathMode, cublasSetWorkspace_v2,
};
use cudarc::cublas::{self, CudaBlas};
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{
    self, CudaContext, CudaFunction, CudaGraph, CudaSlice, CudaStream, DevicePtr, PinnedHostSlice,
    result,
};
use cudarc::nvrtc::{self, CompileError, CompileOptions};

use super::accelerator::{Accelerator, Argument, Factor, KERNELS, Part, Recording, Sgemm, THREADS};
use crate::error::{Error, Result};

/// The kernels, with what their words in capitals mean here.
pub const TEXT: &str = concat!(include_str!("cuda.h"), include_str!("kernels.cu"));

/// Numbers of cuBLAS's workspace: 32 MB, as NVIDIA advises for its largest GPUs. One of our own makes products
/// deterministic, and lets them be part of a graph.
const WORKSPACE: usize = 8 << 20;

/// A GPU.
pub struct Gpu {
    /// All memory that is in use, by address.
    memory: RefCell<HashMap<u64, CudaSlice<f32>>>,
    /// Through which numbers come and go: memory that the device reaches itself.
    staging: RefCell<Option<PinnedHostSlice<f32>>>,
    functions: HashMap<&'static str, CudaFunction>,
    blas: CudaBlas,
    _workspace: CudaSlice<f32>,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

impl Gpu {
    /// The first GPU; with `tf32`, products may round their factors.
    ///
    /// # Errors
    /// [`Error::Device`] naming what is missing, and the mend.
    pub fn open(tf32: bool) -> Result<Self> {
        check_libraries()?;
        let context = CudaContext::new(0).map_err(|e| {
            let mend = "see that nvidia-smi shows one, or train with --device cpu";
            Error::device(format!("no GPU could be opened ({e}): {mend}"))
        })?;
        // SAFETY: all work and all memory belong to one stream, so nothing is used on two at once.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(failed("a stream"))?;
        let functions = functions(&context)?;
        let blas = CudaBlas::new(stream.clone()).map_err(failed("cuBLAS"))?;
        let workspace = stream.alloc_zeros::<f32>(WORKSPACE).map_err(failed("memory"))?;
        let address = workspace.device_ptr(&stream).0;
        // SAFETY: the handle is live; the workspace lives as long, and is of that length.
        unsafe { cublasSetWorkspace_v2(*blas.handle(), address as *mut _, 4 * WORKSPACE) }
            .result()
            .map_err(failed("cuBLAS"))?;
        if tf32 {
            // SAFETY: the handle is live.
            unsafe { cublasSetMathMode(*blas.handle(), cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH) }
                .result()
                .map_err(failed("cuBLAS"))?;
        }
        let (memory, staging) = (RefCell::default(), RefCell::new(None));
        Ok(Self { memory, staging, functions, blas, _workspace: workspace, stream, context })
    }

    /// Staging memory of at least `length` numbers, which nothing is copied from or to any more.
    fn with_staging<T>(
        &self,
        length: usize,
        work: impl FnOnce(&mut [f32]) -> Result<T>,
    ) -> Result<T> {
        self.stream.synchronize().map_err(failed("its work"))?;
        let mut staging = self.staging.borrow_mut();
        if staging.as_ref().is_none_or(|staging| staging.len() < length) {
            *staging = None;
            // SAFETY: numbers of any bits are numbers; flags of zero make memory that is read as fast as other.
            let room = unsafe { self.context.alloc_pinned_with_flags(length, 0) };
            *staging = Some(room.map_err(failed("memory of the host"))?);
        }
        let staging = staging.as_mut().expect("it was made");
        let numbers = staging.as_mut_slice().map_err(failed("memory of the host"))?;
        work(&mut numbers[..length])
    }
}

/// The kernels, compiled for this GPU.
fn functions(context: &Arc<CudaContext>) -> Result<HashMap<&'static str, CudaFunction>> {
    let (major, minor) = context.compute_capability().map_err(failed("its capability"))?;
    let module = context.load_module(compile(major, minor)?).map_err(|e| {
        let mend = "a CUDA toolkit that is newer than the driver makes kernels that it cannot load";
        Error::device(format!("its kernels could not be loaded ({e}): {mend}"))
    })?;
    let load = |name: &&'static str| Ok((*name, module.load_function(name).map_err(failed(name))?));
    KERNELS.iter().map(load).collect()
}

/// The kernels for a compute capability.
pub fn compile(major: i32, minor: i32) -> Result<nvrtc::Ptx> {
    let architecture = format!("--gpu-architecture=compute_{major}{minor}");
    let options = CompileOptions {
        name: Some("kernels.cu".to_owned()),
        options: vec![architecture],
        ..CompileOptions::default()
    };
    nvrtc::compile_ptx_with_opts(TEXT, options).map_err(|e| {
        let what = match &e {
            CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
            other => other.to_string(),
        };
        Error::device(format!("NVRTC did not compile the kernels: {}", what.trim()))
    })
}

/// Whether NVRTC is there.
pub fn has_nvrtc() -> bool {
    // SAFETY: loading NVRTC runs nothing but its own initialisers.
    unsafe { nvrtc::sys::is_culib_present() }
}

fn check_libraries() -> Result<()> {
    let toolkit = "of the CUDA toolkit was not found";
    let mend = "put the folder of its libraries into LD_LIBRARY_PATH, or train with --device cpu";
    // SAFETY: loading these libraries runs nothing but their own initialisers.
    let (driver, blas) =
        unsafe { (driver::sys::is_culib_present(), cublas::sys::is_culib_present()) };
    let what = match (driver, has_nvrtc(), blas) {
        (true, true, true) => return Ok(()),
        (false, ..) => {
            "no NVIDIA driver (libcuda) was found: install it, or train with --device cpu"
                .to_owned()
        }
        (_, false, _) => format!("NVRTC (libnvrtc) {toolkit}: {mend}"),
        (.., false) => format!("cuBLAS (libcublas) {toolkit}: {mend}"),
    };
    Err(Error::device(what))
}

/// For `map_err`: that `what` failed.
fn failed<E: std::fmt::Debug>(what: &str) -> impl FnOnce(E) -> Error {
    move |e| Error::device(format!("{what} failed: {e:?}"))
}

impl Accelerator for Gpu {
    fn name(&self) -> String {
        self.context.name().unwrap_or_else(|_| "an NVIDIA GPU".to_owned())
    }

    fn allocate(&self, length: usize) -> Result<u64> {
        let what = format!("an allocation of {} MB", length >> 18);
        let slice = self.stream.alloc_zeros(length).map_err(failed(&what))?;
        let address = slice.device_ptr(&self.stream).0;
        self.memory.borrow_mut().insert(address, slice);
        Ok(address)
    }

    fn free(&self, address: u64) {
        self.memory.borrow_mut().remove(&address);
    }

    fn upload(&self, to: Part, fill: &mut dyn FnMut(&mut [f32])) -> Result<()> {
        self.with_staging(to.length, |numbers| {
            fill(numbers);
            // SAFETY: a part lies within a live buffer; the staging memory is not touched before the copy is done.
            unsafe { result::memcpy_htod_async(to.address, numbers, self.stream.cu_stream()) }
                .map_err(failed("a copy to it"))
        })
    }

    fn download(&self, from: Part, take: &mut dyn FnMut(&[f32])) -> Result<()> {
        self.with_staging(from.length, |numbers| {
            // SAFETY: a part lies within a live buffer; the staging memory is not touched before the copy is done.
            unsafe { result::memcpy_dtoh_async(numbers, from.address, self.stream.cu_stream()) }
                .map_err(failed("a copy from it"))?;
            self.stream.synchronize().map_err(failed("its work"))?;
            take(numbers);
            Ok(())
        })
    }

    fn launch(&self, kernel: &'static str, blocks: usize, arguments: &[Argument]) -> Result<()> {
        let function = self.functions[kernel].cu_function();
        let mut arguments: Vec<_> = arguments.iter().map(Argument::pointer).collect();
        let (blocks, stream) = (blocks as u32, self.stream.cu_stream());
        // SAFETY: `super::kernels` gives each kernel the arguments of its signature, with lengths that it stays within.
        unsafe {
            let threads = (THREADS as u32, 1, 1);
            result::launch_kernel(function, (blocks, 1, 1), threads, 0, stream, &mut arguments)
        }
        .map_err(failed(kernel))
    }

    fn sgemm(&self, product: &Sgemm) -> Result<()> {
        let Sgemm { m, n, k, a, b, beta, c, c_stride } = *product;
        let operation = |factor: Factor| match factor.transposed {
            false => cublasOperation_t::CUBLAS_OP_N,
            true => cublasOperation_t::CUBLAS_OP_T,
        };
        // SAFETY: the matrices lie within live buffers, as `Sgemm::new` has them; the two factors are of the host.
        unsafe {
            cublas::result::sgemm(
                *self.blas.handle(),
                operation(a),
                operation(b),
                m as i32,
                n as i32,
                k as i32,
                &1.0,
                a.address as *const f32,
                a.stride as i32,
                b.address as *const f32,
                b.stride as i32,
                &beta,
                c as *mut f32,
                c_stride as i32,
            )
        }
        .map_err(failed("a product"))
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Recording>> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(failed("a graph"))?;
        let done = work();
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0)).map_err(failed("a graph"));
        done?;
        let graph = graph?.ok_or_else(|| Error::device("a graph came out empty".to_owned()))?;
        Ok(Box::new(graph))
    }
}

impl Recording for CudaGraph {
    fn replay(&self) -> Result<()> {
        self.launch().map_err(failed("a graph"))
    }
}
