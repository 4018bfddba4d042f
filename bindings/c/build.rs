//! Gives the shared library the name that programs look for, since cargo calls the file `libpocketlm_c.so`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if ["linux", "android"].contains(&&*system) {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libpocketlm.so");
    }
}
