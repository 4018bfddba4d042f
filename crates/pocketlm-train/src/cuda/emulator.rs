//! A device for the tests: the kernels' own text, compiled as C++ and run on the host, block after block.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::process::Command;
use std::sync::OnceLock;

use libloading::{Library, Symbol};

use super::accelerator::{Accelerator, Argument, Factor, KERNELS, Part, Recording, Sgemm};
use crate::error::Result;

/// Compiled kernels: `launch_NAME(blocks, arguments)` of each.
static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();

type Launch = unsafe extern "C" fn(i32, *mut *mut c_void);

/// An operation, with the addresses that it was given.
type Operation = Box<dyn Fn()>;

/// The host as a device.
#[derive(Default)]
pub struct Emulator {
    memory: RefCell<HashMap<u64, Vec<f32>>>,
    /// What is noted, where something is.
    noted: RefCell<Option<Vec<Operation>>>,
}

impl Emulator {
    /// None where there is no compiler for C++.
    pub fn open() -> Option<Self> {
        LIBRARY.get_or_init(compile).as_ref().map(|_| Self::default())
    }

    fn perform(&self, operation: Operation) {
        match &mut *self.noted.borrow_mut() {
            Some(noted) => noted.push(operation),
            None => operation(),
        }
    }
}

fn compile() -> Option<Library> {
    let folder = tempfile::tempdir().unwrap();
    let (text, library) = (folder.path().join("kernels.cpp"), folder.path().join("kernels.so"));
    let launches = KERNELS.map(|name| {
        let head = format!("extern \"C\" void launch_{name}(int blocks, void **arguments)");
        format!("{head} {{ run({name}, blocks, arguments); }}\n")
    });
    assert_eq!(include_str!("kernels.cu").matches("\nKERNEL ").count(), KERNELS.len());
    let parts = [include_str!("host.h"), include_str!("kernels.cu"), &launches.concat()];
    std::fs::write(&text, parts.concat()).unwrap();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let arguments = ["-std=c++17", "-O2", "-shared", "-fPIC", "-o"];
    let done = Command::new(compiler).args(arguments).args([&library, &text]).output().ok()?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // SAFETY: the library was made just now, and has no initialisers.
    Some(unsafe { Library::new(&library) }.unwrap())
}

impl Accelerator for Emulator {
    fn name(&self) -> String {
        "emulator".to_owned()
    }

    /// Numbers that nothing must rely on.
    fn allocate(&self, length: usize) -> Result<u64> {
        let room = vec![f32::NAN; length];
        let address = room.as_ptr() as u64;
        self.memory.borrow_mut().insert(address, room);
        Ok(address)
    }

    fn free(&self, address: u64) {
        self.memory.borrow_mut().remove(&address);
    }

    fn upload(&self, to: Part, fill: &mut dyn FnMut(&mut [f32])) -> Result<()> {
        let mut numbers = vec![f32::NAN; to.length];
        fill(&mut numbers);
        for (i, &number) in numbers.iter().enumerate() {
            write(to.address, i, number);
        }
        Ok(())
    }

    fn download(&self, from: Part, take: &mut dyn FnMut(&[f32])) -> Result<()> {
        let numbers: Vec<f32> = (0..from.length).map(|i| read(from.address, i)).collect();
        take(&numbers);
        Ok(())
    }

    fn launch(&self, kernel: &'static str, blocks: usize, arguments: &[Argument]) -> Result<()> {
        assert!(blocks > 0, "{kernel} has nothing to do");
        let library = LIBRARY.get().and_then(Option::as_ref).expect("the emulator was opened");
        let name = format!("launch_{kernel}");
        // SAFETY: the library has such a function for every kernel.
        let launch: Symbol<'static, Launch> = unsafe { library.get(name.as_bytes()) }.unwrap();
        let arguments = arguments.to_vec();
        self.perform(Box::new(move || {
            let mut pointers: Vec<_> = arguments.iter().map(Argument::pointer).collect();
            // SAFETY: `super::kernels` gives each kernel the arguments of its signature, with lengths that it stays
            // within.
            unsafe { launch(blocks as i32, pointers.as_mut_ptr()) };
        }));
        Ok(())
    }

    fn sgemm(&self, product: &Sgemm) -> Result<()> {
        let Sgemm { m, n, k, a, b, beta, c, c_stride } = *product;
        self.perform(Box::new(move || {
            for column in 0..n {
                let of_b: Vec<f32> = (0..k).map(|i| get(b, i, column)).collect();
                for row in 0..m {
                    let terms = of_b.iter().enumerate();
                    let sum: f32 = terms.map(|(i, b)| get(a, row, i) * b).sum();
                    let at = column * c_stride + row;
                    let before = if beta == 0.0 { 0.0 } else { beta * read(c, at) };
                    write(c, at, sum + before);
                }
            }
        }));
        Ok(())
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Box<dyn Recording>> {
        *self.noted.borrow_mut() = Some(Vec::new());
        let done = work();
        let noted = self.noted.take().unwrap_or_default();
        done.map(|()| Box::new(Noted(noted)) as Box<dyn Recording>)
    }
}

struct Noted(Vec<Operation>);

impl Recording for Noted {
    fn replay(&self) -> Result<()> {
        self.0.iter().for_each(|operation| operation());
        Ok(())
    }
}

/// A number of `op(factor)`.
fn get(factor: Factor, row: usize, column: usize) -> f32 {
    let (row, column) = if factor.transposed { (column, row) } else { (row, column) };
    read(factor.address, column * factor.stride + row)
}

fn read(address: u64, at: usize) -> f32 {
    // SAFETY: callers stay within a part of a live buffer; nothing else refers to its numbers meanwhile.
    unsafe { (address as *const f32).add(at).read() }
}

fn write(address: u64, at: usize, number: f32) {
    // SAFETY: as in `read`.
    unsafe { (address as *mut f32).add(at).write(number) };
}
