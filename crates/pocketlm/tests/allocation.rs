//! A session does not allocate once it stands.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{Forms, Parts, configurations};
use pocketlm::pack::Precision;
use pocketlm::{Model, Random, Sampler, Sampling, Session};

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1]))), 1);
}

#[test]
fn a_session_allocates_nothing() {
    for configuration in configurations() {
        for precision in Precision::ALL {
            let parts = Parts::random(configuration.clone(), 300, 0.5, 1);
            check(&parts.model(precision), &format!("{precision:?} {configuration:?}"));
        }
    }
}

#[test]
fn a_session_allocates_nothing_in_any_form() {
    for forms in Forms::all() {
        let model = Model::from_bytes(forms.bytes()).unwrap();
        check(&model, &format!("{:?} {:?}", forms.parts.configuration, model.matrices()));
    }
}

#[test]
fn a_session_of_an_ngram_model_allocates_nothing() {
    for order in 1..=6 {
        check(&common::ngram::model(&common::ngram::table(order, 300, 100, 1)), "n-grams");
    }
}

/// That a session of `model` does not allocate in ordinary use.
fn check(model: &Model, what: &str) {
    let mut session = Session::new(model);
    let sampling = Sampling { top_k: 20, top_p: 0.9, ..Sampling::default() };
    let mut sampler = Sampler::new(model, sampling).unwrap();
    let mut random = Random::new(1);
    let mut state = session.state().clone();
    let mut all = vec![0.0; model.vocabulary().len()];
    let (mut saved, mut room) = (vec![0; model.saved_size()], [0; 8]);
    let mut word = Vec::with_capacity(model.vocabulary().longest());
    let count = allocations(|| {
        for _ in 0..3 {
            session.feed_text("the under nonsense\n").unwrap();
            assert_eq!(session.suggest(64).unwrap().iter().count(), 64);
            assert!(session.suggest_prefix("the", 3).unwrap().iter().count() == 3);
            session.log_probability("the").unwrap();
            session.log_probabilities(&mut all).unwrap();
            state.copy_from(session.state()).unwrap();
            let token = session.sample(&mut sampler, &mut random).unwrap();
            session.feed(token).unwrap();
            model.vocabulary().word(token, &mut word).unwrap();
            session.set_state(&state).unwrap();
            session.score("the under a\nthen").unwrap();
            session.score_next("under").unwrap();
            session.save(&mut saved).unwrap();
            session.restore(&saved).unwrap();
            session.complete("the un", 3, |word, _| assert!(word.starts_with("un"))).unwrap();
            model.vocabulary().copy_word(token, &mut room).unwrap();
            session.reset();
        }
    });
    assert_eq!(count, 0, "{what}");
}
