//! A call of a session that is open allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::{null, null_mut};

use pocketlm_c::pocketlm_status::*;
use pocketlm_c::*;

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
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MODELS: [&[u8]; 3] = [
    include_bytes!("../../../fuzz/seeds/open/lstm-int8.plm"),
    include_bytes!("../../../fuzz/seeds/open/gru-f32.plm"),
    include_bytes!("../../../fuzz/seeds/open/ngram-3.plm"),
];

#[test]
fn no_call_of_a_session_allocates() {
    for bytes in MODELS {
        let (mut model, mut session) = (null_mut(), null_mut());
        let empty = pocketlm_suggestion { word: null(), length: 0, probability: 0.0, id: 0 };
        let (mut items, mut text) = ([empty; 64], [0; 4096]);
        let mut state = [0_u8; 4096];
        let mut all = [0.0; 1000];
        let empty = pocketlm_token_score { log_probability: 0.0, start: 0, length: 0, id: 0 };
        let mut tokens = [empty; 16];
        let mut score =
            pocketlm_text_score { log_probability: 0.0, perplexity: 0.0, tokens: 0, unknown: 0 };
        let mut found = pocketlm_suggestions {
            items: items.as_mut_ptr(),
            capacity: items.len(),
            text: text.as_mut_ptr(),
            text_size: text.len(),
            count: 0,
            text_used: 0,
        };
        let before;
        // SAFETY: every handle is open, every text ends in NUL, and all room is as large as it is said to be.
        let status = unsafe {
            pocketlm_open_copied(bytes.as_ptr().cast(), bytes.len(), &mut model);
            assert_eq!(pocketlm_session_new(model, &mut session), POCKETLM_OK);
            let (words, nul) = (c"the under a".as_ptr(), POCKETLM_NUL);
            let (mut size, mut types, mut count) = (state.len(), all.len(), tokens.len());
            let (mut value, mut word_size, mut unknown) = (0.0, 4096, 0);
            let (to, tokens) = (state.as_mut_ptr().cast(), tokens.as_mut_ptr());
            before = COUNT.get();
            [
                pocketlm_feed_text(session, words, nul, &mut unknown),
                pocketlm_feed(session, [1, 2].as_ptr(), 2),
                pocketlm_suggest(session, null(), 0, &mut found),
                pocketlm_suggest(session, c"u".as_ptr(), 1, &mut found),
                pocketlm_complete(session, words, nul, &mut found),
                pocketlm_log_probability(session, 1, &mut value),
                pocketlm_log_probabilities(session, all.as_mut_ptr(), &mut types),
                pocketlm_score(session, words, nul, &mut score, tokens, &mut count),
                pocketlm_score_next(session, words, nul, &mut score, tokens, &mut count),
                pocketlm_state_save(session, to, &mut size),
                pocketlm_state_restore(session, to, size),
                pocketlm_word(model, 1, text.as_mut_ptr(), &mut word_size),
                pocketlm_reset(session),
            ]
        };
        assert_eq!(COUNT.get() - before, 0);
        assert!(status.iter().all(|&status| status == POCKETLM_OK), "{status:?}");
        // SAFETY: both are open.
        unsafe {
            pocketlm_session_close(&mut session);
            pocketlm_close(&mut model);
        }
        assert!(COUNT.get() > 0);
    }
}
