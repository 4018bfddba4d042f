//! Every backend of this machine gives the bits that every other platform gives.

mod battery;

use pocketlm_kernels::backend::{self, Backend};

#[test]
fn bits_are_the_same_everywhere() {
    for backend in Backend::available() {
        assert!(backend::force(backend));
        assert_eq!(backend::chosen(), backend);
        println!("{}", backend.name());
        assert_eq!(battery::digest(), battery::DIGEST, "{}", backend.name());
        assert!(battery::floats_agree(), "{}", backend.name());
    }
}
