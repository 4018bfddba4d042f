//! pocketlm for Python: what `pocketlm/__init__.py` gives on. Its types and their documentation are in
//! `pocketlm/_pocketlm.pyi`.

mod checkpoint;
mod error;
mod model;
mod session;
mod train;

use pyo3::prelude::*;

#[pymodule]
fn _pocketlm(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", module.py().get_type::<error::Error>())?;
    module.add_class::<model::Model>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<session::Score>()?;
    module.add_function(wrap_pyfunction!(train::train, module)?)?;
    module.add_function(wrap_pyfunction!(train::compress, module)?)?;
    module.add_function(wrap_pyfunction!(train::pack, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint::write_checkpoint, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint::read_checkpoint, module)?)
}
