//! What a careless caller may do: every call answers with a status, and none ends the program.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};

use pocketlm_c::pocketlm_status::*;
use pocketlm_c::*;

const INT8: &[u8] = include_bytes!("../../../fuzz/seeds/open/lstm-int8.plm");
const OTHER: &[u8] = include_bytes!("../../../fuzz/seeds/open/cifg-int4.plm");

/// A model and a session, open.
struct Open {
    model: *mut pocketlm_model,
    session: *mut pocketlm_session,
}

impl Open {
    fn new(bytes: &[u8]) -> Self {
        let (mut model, mut session) = (null_mut(), null_mut());
        // SAFETY: the bytes are there, and the handles are places to write to.
        unsafe {
            let bytes = (bytes.as_ptr().cast(), bytes.len());
            assert_eq!(pocketlm_open_copied(bytes.0, bytes.1, &mut model), POCKETLM_OK);
            assert_eq!(pocketlm_session_new(model, &mut session), POCKETLM_OK);
        }
        Self { model, session }
    }

    fn feed(&self, text: &str) -> pocketlm_status {
        // SAFETY: the text is there.
        unsafe { pocketlm_feed_text(self.session, text.as_ptr().cast(), text.len(), null_mut()) }
    }

    fn state(&self) -> Vec<u8> {
        let mut size = 0;
        // SAFETY: the room is as large as it is said to be.
        unsafe {
            assert_eq!(pocketlm_state_save(self.session, null_mut(), &mut size), POCKETLM_SPACE);
            let mut state = vec![0; size];
            let to = state.as_mut_ptr().cast();
            assert_eq!(pocketlm_state_save(self.session, to, &mut size), POCKETLM_OK);
            state
        }
    }

    fn restore(&self, state: &[u8]) -> pocketlm_status {
        // SAFETY: the bytes are there.
        unsafe { pocketlm_state_restore(self.session, state.as_ptr().cast(), state.len()) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: both handles are open, or null already.
        unsafe {
            assert_eq!(pocketlm_close(&mut self.model), POCKETLM_OK);
            assert_eq!(pocketlm_session_close(&mut self.session), POCKETLM_OK);
            assert_eq!(pocketlm_session_close(&mut self.session), POCKETLM_OK);
        }
        assert!(self.model.is_null() && self.session.is_null());
    }
}

fn message() -> String {
    // SAFETY: the message is this thread's and ends in NUL.
    unsafe { CStr::from_ptr(pocketlm_message()) }.to_str().unwrap().to_owned()
}

/// Room for suggestions, of `items` and bytes.
fn room(items: &mut Vec<pocketlm_suggestion>, text: &mut [u8], k: usize) -> pocketlm_suggestions {
    let empty = pocketlm_suggestion { word: null(), length: 0, probability: 0.0, id: 0 };
    items.resize(k, empty);
    pocketlm_suggestions {
        items: items.as_mut_ptr(),
        capacity: k,
        text: text.as_mut_ptr().cast(),
        text_size: text.len(),
        count: 0,
        text_used: 0,
    }
}

#[test]
fn null_is_a_status_everywhere() {
    let open = Open::new(INT8);
    let (model, session) = (open.model, open.session);
    let (no_model, no_session) = (null_mut::<pocketlm_model>(), null_mut::<pocketlm_session>());
    let text = c"the".as_ptr();
    let mut handle = null_mut();
    let mut numbers = (0_usize, 0_f64, 0_u32);
    // SAFETY: what is not null is open or there.
    let found = unsafe {
        [
            pocketlm_open(null(), &mut handle),
            pocketlm_open(text, null_mut()),
            pocketlm_open_copied(null(), 100, &mut handle),
            pocketlm_open_borrowed(null(), 100, &mut handle),
            pocketlm_close(null_mut()),
            pocketlm_verify(no_model),
            pocketlm_model_limits(no_model, null_mut()),
            pocketlm_model_limits(model, null_mut()),
            pocketlm_word_id(no_model, text, 3, &mut numbers.2),
            pocketlm_word_id(model, null(), 3, &mut numbers.2),
            pocketlm_word_id(model, null(), POCKETLM_NUL, &mut numbers.2),
            pocketlm_word_id(model, text, 3, null_mut()),
            pocketlm_word(no_model, 0, null_mut(), &mut numbers.0),
            pocketlm_word(model, 0, null_mut(), null_mut()),
            pocketlm_session_new(no_model, &mut null_mut()),
            pocketlm_session_new(model, null_mut()),
            pocketlm_session_close(null_mut()),
            pocketlm_reset(no_session),
            pocketlm_feed(no_session, null(), 0),
            pocketlm_feed(session, null(), 1),
            pocketlm_feed_text(no_session, text, 3, null_mut()),
            pocketlm_feed_text(session, null(), 3, null_mut()),
            pocketlm_suggest(no_session, null(), 0, null_mut()),
            pocketlm_suggest(session, null(), 0, null_mut()),
            pocketlm_complete(no_session, text, 3, null_mut()),
            pocketlm_complete(session, text, 3, null_mut()),
            pocketlm_hide(no_session, null(), 0),
            pocketlm_hide(session, null(), 1),
            pocketlm_log_probability(no_session, 0, &mut numbers.1),
            pocketlm_log_probability(session, 0, null_mut()),
            pocketlm_log_probabilities(no_session, null_mut(), &mut numbers.0),
            pocketlm_log_probabilities(session, null_mut(), null_mut()),
            pocketlm_score(no_session, text, 3, null_mut(), null_mut(), null_mut()),
            pocketlm_score(session, text, 3, null_mut(), null_mut(), null_mut()),
            pocketlm_score_next(no_session, text, 3, null_mut(), null_mut(), null_mut()),
            pocketlm_state_save(no_session, null_mut(), &mut numbers.0),
            pocketlm_state_save(session, null_mut(), null_mut()),
            pocketlm_state_restore(no_session, null(), 0),
            pocketlm_state_restore(session, null(), 8),
        ]
    };
    assert!(found.iter().all(|&status| status == POCKETLM_NULL), "{found:?}");
    assert_eq!(message(), "state is null");
}

#[test]
fn room_that_is_too_small_is_measured() {
    let open = Open::new(INT8);
    let (mut items, mut text) = (Vec::new(), [0; 64]);
    let mut found = room(&mut items, &mut text[..1], 3);
    // SAFETY: all room is as large as it is said to be.
    unsafe {
        assert_eq!(pocketlm_suggest(open.session, null(), 0, &mut found), POCKETLM_SPACE);
        assert_eq!(found.count, 3);
        let needed = found.text_used;
        let mut found = room(&mut items, &mut text[..needed - 1], 3);
        assert_eq!(pocketlm_suggest(open.session, null(), 0, &mut found), POCKETLM_SPACE);
        assert!(
            message().contains(&format!("{} places, but {needed}", needed - 1)),
            "{}",
            message()
        );
        let mut found = room(&mut items, &mut text[..needed], 3);
        assert_eq!(pocketlm_suggest(open.session, null(), 0, &mut found), POCKETLM_OK);
        for item in &items {
            assert_eq!(CStr::from_ptr(item.word).to_bytes().len(), item.length);
            let mut id = 0;
            let found = pocketlm_word_id(open.model, item.word, POCKETLM_NUL, &mut id);
            assert_eq!((found, id), (POCKETLM_OK, item.id));
        }
        let (mut size, mut word) = (1, [0x7f; 32]);
        let to: *mut c_char = word.as_mut_ptr();
        assert_eq!(pocketlm_word(open.model, items[0].id, to, &mut size), POCKETLM_SPACE);
        assert_eq!(size, items[0].length + 1);
        assert_eq!(pocketlm_word(open.model, items[0].id, to, &mut size), POCKETLM_OK);
        assert_eq!(CStr::from_ptr(to), CStr::from_ptr(items[0].word));
        let mut count = 0;
        let none = null_mut();
        assert_eq!(pocketlm_log_probabilities(open.session, none, &mut count), POCKETLM_SPACE);
        let mut all = vec![0.0; count];
        let to = all.as_mut_ptr();
        assert_eq!(pocketlm_log_probabilities(open.session, to, &mut count), POCKETLM_OK);
        let mut one = 0.0;
        let id = items[0].id;
        assert_eq!(pocketlm_log_probability(open.session, id, &mut one), POCKETLM_OK);
        assert!((one - f64::from(all[id as usize])).abs() < 1e-6);
    }
}

#[test]
fn scores_of_tokens_are_those_of_the_text() {
    let open = Open::new(INT8);
    let text = "the nonsense\nunder";
    let mut score =
        pocketlm_text_score { log_probability: 0.0, perplexity: 0.0, tokens: 0, unknown: 0 };
    let empty = pocketlm_token_score { log_probability: 0.0, start: 0, length: 0, id: 0 };
    let (mut tokens, mut count) = ([empty; 5], 2);
    let given = (text.as_ptr().cast(), text.len());
    // SAFETY: all room is as large as it is said to be.
    unsafe {
        let to = tokens.as_mut_ptr();
        let short = pocketlm_score(open.session, given.0, given.1, &mut score, to, &mut count);
        assert_eq!((short, count), (POCKETLM_SPACE, 5));
        let all = pocketlm_score(open.session, given.0, given.1, &mut score, to, &mut count);
        assert_eq!((all, count, score.tokens, score.unknown), (POCKETLM_OK, 5, 5, 1));
    }
    let stretches = tokens.map(|token| &text[token.start..][..token.length]);
    assert_eq!(stretches, ["the", "nonsense", "", "under", ""]);
    assert_eq!(tokens[1].id, POCKETLM_NO_ID);
    assert_eq!(
        tokens.iter().map(|token| token.log_probability).sum::<f64>(),
        score.log_probability
    );
    let alone = pocketlm::Model::from_bytes(INT8.to_vec()).unwrap();
    let alone = pocketlm::Session::new(&alone).score(text).unwrap();
    assert_eq!(score.log_probability.to_bits(), (-alone.nll).to_bits());
    assert_eq!(score.perplexity.to_bits(), alone.perplexity().to_bits());
}

#[test]
fn a_foreign_state_is_refused_and_changes_nothing() {
    let (open, other) = (Open::new(INT8), Open::new(OTHER));
    assert_eq!((open.feed("the under"), other.feed("the")), (POCKETLM_OK, POCKETLM_OK));
    let (here, foreign) = (open.state(), other.state());
    assert_eq!(open.restore(&foreign), POCKETLM_STATE);
    assert!(message().contains("another model"), "{}", message());
    for cut in 0..here.len() {
        assert_eq!(open.restore(&here[..cut]), POCKETLM_STATE);
    }
    assert_eq!(open.state(), here);
    open.feed("them");
    assert_ne!(open.state(), here);
    assert_eq!(open.restore(&here), POCKETLM_OK);
    assert_eq!(open.state(), here);
}

#[test]
fn a_cut_or_changed_model_does_not_open() {
    let mut model = null_mut();
    for cut in 0..INT8.len() {
        // SAFETY: the bytes are there.
        let status = unsafe { pocketlm_open_copied(INT8.as_ptr().cast(), cut, &mut model) };
        assert_eq!((status, model.is_null()), (POCKETLM_MODEL, true), "{cut}");
    }
    // SAFETY: the path ends in NUL.
    let missing = unsafe { pocketlm_open(c"/no/such/file.plm".as_ptr(), &mut model) };
    assert_eq!(missing, POCKETLM_FILE);
    assert!(message().starts_with("/no/such/file.plm: "), "{}", message());
}

#[test]
fn copied_bytes_may_change_and_borrowed_ones_stay() {
    let mut bytes = INT8.to_vec();
    let open = Open::new(&bytes);
    let score = || {
        let mut score =
            pocketlm_text_score { log_probability: 0.0, perplexity: 0.0, tokens: 0, unknown: 0 };
        let text = c"the under".as_ptr();
        let no = (null_mut(), null_mut());
        // SAFETY: the text ends in NUL.
        let status =
            unsafe { pocketlm_score(open.session, text, POCKETLM_NUL, &mut score, no.0, no.1) };
        (status, score.log_probability.to_bits())
    };
    let before = score();
    bytes.fill(0xff);
    assert_eq!(score(), before);
    let mut borrowed = null_mut();
    // SAFETY: the bytes are the program's own.
    unsafe {
        let at: *const c_void = INT8.as_ptr().cast();
        assert_eq!(pocketlm_open_borrowed(at, INT8.len(), &mut borrowed), POCKETLM_OK);
        assert_eq!(pocketlm_verify(borrowed), POCKETLM_OK);
        assert_eq!(pocketlm_close(&mut borrowed), POCKETLM_OK);
        assert_eq!(pocketlm_close(&mut borrowed), POCKETLM_OK);
    }
}

#[test]
fn closed_sessions_and_bad_input_are_told() {
    let mut open = Open::new(INT8);
    // SAFETY: every handle is open or null, and every text is there.
    unsafe {
        assert_eq!(open.feed("\u{0}"), POCKETLM_OK);
        let bad = [b't', 0xff];
        let fed = pocketlm_feed_text(open.session, bad.as_ptr().cast(), 2, null_mut());
        assert_eq!(fed, POCKETLM_UTF8);
        assert!(message().ends_with("byte 1"), "{}", message());
        let here = open.state();
        assert_eq!(pocketlm_feed(open.session, [0, u32::MAX].as_ptr(), 2), POCKETLM_ID);
        assert_eq!(pocketlm_hide(open.session, [u32::MAX].as_ptr(), 1), POCKETLM_ID);
        assert_eq!(open.state(), here);
        let (mut size, mut id) = (0, 0);
        assert_eq!(pocketlm_word(open.model, u32::MAX, null_mut(), &mut size), POCKETLM_ID);
        let word = c"nonsense".as_ptr();
        let found = pocketlm_word_id(open.model, word, POCKETLM_NUL, &mut id);
        assert_eq!(found, POCKETLM_UNKNOWN_WORD);
        // A model goes before its session, whose calls go on.
        assert_eq!(pocketlm_close(&mut open.model), POCKETLM_OK);
        assert_eq!(open.feed("the"), POCKETLM_OK);
        assert_eq!(pocketlm_session_close(&mut open.session), POCKETLM_OK);
        assert_eq!(open.feed("the"), POCKETLM_NULL);
    }
}

#[test]
fn threads_with_sessions_of_their_own_agree() {
    let open = Open::new(INT8);
    let model = open.model.addr();
    let run = move || {
        let mut session = null_mut();
        let model = std::ptr::with_exposed_provenance::<pocketlm_model>(model);
        let mut bits = Vec::new();
        // SAFETY: the model stays open until the threads have ended.
        unsafe {
            assert_eq!(pocketlm_session_new(model, &mut session), POCKETLM_OK);
            for _ in 0..200 {
                let mut value = 0.0;
                assert_eq!(pocketlm_feed(session, [1, 2].as_ptr(), 2), POCKETLM_OK);
                assert_eq!(pocketlm_log_probability(session, 3, &mut value), POCKETLM_OK);
                bits.push(value.to_bits());
            }
            assert_eq!(pocketlm_session_close(&mut session), POCKETLM_OK);
        }
        bits
    };
    open.model.expose_provenance();
    let threads = [std::thread::spawn(run), std::thread::spawn(run)];
    let [first, second] = threads.map(|thread| thread.join().unwrap());
    assert_eq!(first, second);
}

#[test]
fn a_shared_session_answers_or_is_busy() {
    let open = Open::new(INT8);
    let session = open.session.expose_provenance();
    let run = move || {
        let session = std::ptr::with_exposed_provenance_mut::<pocketlm_session>(session);
        let feed = || {
            // SAFETY: the session stays open until the threads have ended.
            unsafe { pocketlm_feed(session, [1, 2, 3].as_ptr(), 3) }
        };
        (0..2000).map(|_| feed()).all(|status| matches!(status, POCKETLM_OK | POCKETLM_BUSY))
    };
    let threads = [std::thread::spawn(run), std::thread::spawn(run)];
    assert!(threads.map(|thread| thread.join().unwrap()).iter().all(|&fine| fine));
    assert_eq!(open.feed("the"), POCKETLM_OK);
}

/// Memory that the process holds, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    4096 * text.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
}

#[test]
fn ten_thousand_opens_and_closes_take_no_memory() {
    let cycles = |count| (0..count).for_each(|_| drop(Open::new(INT8)));
    cycles(500);
    let before = resident();
    cycles(10_000);
    // A leak of one session, or of one copy of the model, would take tens of megabytes.
    assert!(resident() < before + (2 << 20), "{before} bytes became {}", resident());
}
