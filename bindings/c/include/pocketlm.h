/*
 * pocketlm for C and C++: next words, completions and scores from one packed model (`.plm`).
 *
 * Made from the Rust sources by cbindgen (`bindings/check`): change those.
 *
 * Every call but `pocketlm_version` and `pocketlm_message` returns a status. Texts are UTF-8 with their length in bytes,
 * or POCKETLM_NUL for one that ends in NUL. Results go into memory of the caller's; where that is too small, the call
 * returns POCKETLM_SPACE and tells how much it takes. A call that succeeds allocates nothing, but for opening, new
 * sessions, `pocketlm_hide`, and models of raw text, subwords or characters, which cut it or complete words with memory
 * that they give back.
 *
 * A model may be used by any number of threads. A session is used by one thread at a time: a second one gets
 * POCKETLM_BUSY. A model may be closed before its sessions are. Nothing is global but a message for each thread.
 */


#ifndef POCKETLM_H
#define POCKETLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A length that says: the text ends at its first NUL. */
#define POCKETLM_NUL SIZE_MAX

/**
 * Instead of an id: there is none.
 */
#define POCKETLM_NO_ID UINT32_MAX

/**
 * How a call ended. `pocketlm_message` says more of what went wrong.
 */
typedef enum {
  /**
   * It did what it should.
   */
  POCKETLM_OK = 0,
  /**
   * A pointer is null that must not be: a handle that is closed or was never opened, or a buffer of some length.
   */
  POCKETLM_NULL = 1,
  /**
   * A file cannot be read.
   */
  POCKETLM_FILE = 2,
  /**
   * The bytes are no packed model, or a damaged one, or one that this version does not know.
   */
  POCKETLM_MODEL = 3,
  /**
   * A text is not UTF-8.
   */
  POCKETLM_UTF8 = 4,
  /**
   * An id is not below the number of words.
   */
  POCKETLM_ID = 5,
  /**
   * A word is not in the vocabulary, and nothing stands for it.
   */
  POCKETLM_UNKNOWN_WORD = 6,
  /**
   * A buffer is too small. The room that is needed was written where the call counts it.
   */
  POCKETLM_SPACE = 7,
  /**
   * The bytes are no state of this model.
   */
  POCKETLM_STATE = 8,
  /**
   * What the model computes is infinite or not a number.
   */
  POCKETLM_NOT_FINITE = 9,
  /**
   * Another thread is in a call of this session.
   */
  POCKETLM_BUSY = 10,
  /**
   * A fault of this library. A session that it happened in can only be closed.
   */
  POCKETLM_FAULT = 11,
} pocketlm_status;

/**
 * An open model.
 */
typedef struct pocketlm_model pocketlm_model;

/**
 * A model in use: one text, from its beginning to where it has got.
 */
typedef struct pocketlm_session pocketlm_session;

/**
 * How much room a model takes.
 */
typedef struct {
  /**
   * Words in the vocabulary, `<eos>` and `<unk>` included; ids are below it.
   */
  size_t words;
  /**
   * Bytes that hold any one word or suggestion, with its NUL.
   */
  size_t word_bytes;
  /**
   * Bytes of a saved state.
   */
  size_t state_bytes;
  /**
   * Suggestions up to which a call allocates nothing; a session grows once for more.
   */
  size_t suggestions;
  /**
   * The id of what ends a line, and from which the first word of anything is predicted.
   */
  uint32_t eos;
  /**
   * The id of what stands for unknown words, or POCKETLM_NO_ID.
   */
  uint32_t unk;
  /**
   * Whether the model takes raw text, of words and marks: then give whole texts, from the beginning of a line.
   */
  bool is_raw;
} pocketlm_limits;

/**
 * A suggested word.
 */
typedef struct {
  /**
   * The word in the caller's memory, with a NUL at its end.
   */
  const char *word;
  /**
   * Its bytes without the NUL.
   */
  size_t length;
  /**
   * Its probability: of all words, or of those that start with what is typed.
   */
  double probability;
  /**
   * Its id, or POCKETLM_NO_ID where no word of the vocabulary is written so.
   */
  uint32_t id;
} pocketlm_suggestion;

/**
 * Suggested words, best first, and the memory that they are written into.
 */
typedef struct {
  /**
   * Room for the suggestions.
   */
  pocketlm_suggestion *items;
  /**
   * How many are asked for: no more than `items` has room for.
   */
  size_t capacity;
  /**
   * Room for the words.
   */
  char *text;
  /**
   * Bytes of that room. `capacity` times `word_bytes` of the limits is always enough.
   */
  size_t text_size;
  /**
   * Written: how many suggestions there are.
   */
  size_t count;
  /**
   * Written: bytes that the words take.
   */
  size_t text_used;
} pocketlm_suggestions;

/**
 * How likely a text is.
 */
typedef struct {
  /**
   * Log-probability of the whole text, in nats.
   */
  double log_probability;
  /**
   * exp of the mean negative log-probability of a token; NaN if there is none.
   */
  double perplexity;
  /**
   * Tokens, each `<eos>` included.
   */
  uint64_t tokens;
  /**
   * Of these, how many the vocabulary lacks; they were scored as `<unk>`.
   */
  uint64_t unknown;
} pocketlm_text_score;

/**
 * How likely one token of a text is.
 */
typedef struct {
  /**
   * Its log-probability in nats.
   */
  double log_probability;
  /**
   * Where it begins in the text, in bytes.
   */
  size_t start;
  /**
   * Its bytes there; 0 for an `<eos>`, and for what raw text only implies.
   */
  size_t length;
  /**
   * Its id, or POCKETLM_NO_ID if the vocabulary lacks it.
   */
  uint32_t id;
} pocketlm_token_score;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of this library, `MAJOR.MINOR.PATCH`.
 */
const char *pocketlm_version(void);

/**
 * Opens the packed model in the file `path`, which ends in NUL, by mapping it into memory. The file must not be
 * shortened or rewritten in place while it is open; replace it by renaming.
 *
 * # Safety
 * `path` is null or a text that ends in NUL; `model` is null or a place to write to.
 */
pocketlm_status pocketlm_open(const char *path,
                              pocketlm_model **model);

/**
 * Opens the packed model in these bytes, which are copied: they may go or change afterwards.
 *
 * # Safety
 * `bytes` is null or points to `length` bytes; `model` is null or a place to write to.
 */
pocketlm_status pocketlm_open_copied(const void *bytes, size_t length, pocketlm_model **model);

/**
 * Opens the packed model in these bytes and uses them where they are, if their address is a multiple of 64; elsewhere
 * they are copied. They must neither go nor change before the model and all of its sessions are closed: for an asset of
 * an app, or an array of the program.
 *
 * # Safety
 * `bytes` is null or points to `length` bytes that outlive the model and its sessions; `model` is null or a place to
 * write to.
 */
pocketlm_status pocketlm_open_borrowed(const void *bytes,
                                       size_t length,
                                       pocketlm_model **model);

/**
 * Closes a model and sets the handle to null, so that what uses it again is told. A model that is null already stays
 * so. Its memory goes with the last of its sessions.
 *
 * # Safety
 * `model` is null or points to a handle that is null or open; no other call uses the model.
 */
pocketlm_status pocketlm_close(pocketlm_model **model);

/**
 * Reads the whole file: whether its checksum is right and every weight a finite number, which opening does not look at.
 *
 * # Safety
 * `model` is null or open.
 */
pocketlm_status pocketlm_verify(const pocketlm_model *model);

/**
 * How much room the model takes.
 *
 * # Safety
 * `model` is null or open; `limits` is null or a place to write to.
 */
pocketlm_status pocketlm_model_limits(const pocketlm_model *model, pocketlm_limits *limits);

/**
 * The id of a word; POCKETLM_UNKNOWN_WORD if the vocabulary lacks it.
 *
 * # Safety
 * `model` is null or open; `word` is null or points to `length` bytes, or a text that ends in NUL if `length` is
 * POCKETLM_NUL; `id` is null or a place to write to.
 */
pocketlm_status pocketlm_word_id(const pocketlm_model *model,
                                 const char *word,
                                 size_t length,
                                 uint32_t *id);

/**
 * Writes the word of an id into `word`, with a NUL at its end. `size` is the room there and becomes the bytes that the
 * word takes with its NUL.
 *
 * # Safety
 * `model` is null or open; `word` is null or has room for `*size` bytes; `size` is null or points to a number.
 */
pocketlm_status pocketlm_word(const pocketlm_model *model,
                              uint32_t id,
                              char *word,
                              size_t *size);

/**
 * Makes a session of `model` at the beginning of a text, with all memory that it will need.
 *
 * # Safety
 * `model` is null or open; `session` is null or a place to write to.
 */
pocketlm_status pocketlm_session_new(const pocketlm_model *model, pocketlm_session **session);

/**
 * Closes a session and sets the handle to null, so that what uses it again is told. A session that is null already
 * stays so; one that another thread is in a call of stays open, and the status is POCKETLM_BUSY.
 *
 * # Safety
 * `session` is null or points to a handle that is null or open.
 */
pocketlm_status pocketlm_session_close(pocketlm_session **session);

/**
 * Goes back to the beginning of a text.
 *
 * # Safety
 * `session` is null or open.
 */
pocketlm_status pocketlm_reset(pocketlm_session *session);

/**
 * Feeds words by their ids. If one of them is none, nothing is fed.
 *
 * # Safety
 * `session` is null or open; `ids` is null or points to `count` ids.
 */
pocketlm_status pocketlm_feed(pocketlm_session *session, const uint32_t *ids, size_t count);

/**
 * Feeds a text; a line feed ends a sentence. `unknown`, unless it is null, becomes the number of its words that the
 * vocabulary lacks and that were fed as `<unk>`.
 *
 * # Safety
 * `session` is null or open; `text` is null or points to `length` bytes, or to a text that ends in NUL if `length` is
 * POCKETLM_NUL; `unknown` is null or a place to write to.
 */
pocketlm_status pocketlm_feed_text(pocketlm_session *session,
                                   const char *text,
                                   size_t length,
                                   uint64_t *unknown);

/**
 * The likeliest words to come after what was fed: of all, or of those that start with `prefix` if it is not empty. Words
 * are spelt as the vocabulary has them.
 *
 * # Safety
 * `session` is null or open; `prefix` is null or points to `length` bytes, or to a text that ends in NUL if `length` is
 * POCKETLM_NUL; `found` is null or speaks of memory that is there.
 */
pocketlm_status pocketlm_suggest(pocketlm_session *session,
                                 const char *prefix,
                                 size_t length,
                                 pocketlm_suggestions *found);

/**
 * Completes a text from its beginning, whose last word is being typed; a text that ends in a space asks for the next
 * word. The session goes back to the beginning and is fed the text up to that word. Words of raw text come as they are
 * written at this place: a typed `pa` may become `Paris`, and what begins a sentence has a capital.
 *
 * # Safety
 * As `pocketlm_suggest`.
 */
pocketlm_status pocketlm_complete(pocketlm_session *session,
                                  const char *text,
                                  size_t length,
                                  pocketlm_suggestions *found);

/**
 * Says which words are never suggested, in place of `<eos>`, `<unk>`, `<s>` and `</s>`, which have to be in the list to
 * stay hidden. They keep their share of the probability. Allocates.
 *
 * # Safety
 * `session` is null or open; `ids` is null or points to `count` ids.
 */
pocketlm_status pocketlm_hide(pocketlm_session *session,
                              const uint32_t *ids,
                              size_t count);

/**
 * The log-probability in nats that the word `id` comes next.
 *
 * # Safety
 * `session` is null or open; `log_probability` is null or a place to write to.
 */
pocketlm_status pocketlm_log_probability(pocketlm_session *session,
                                         uint32_t id,
                                         double *log_probability);

/**
 * The log-probabilities in nats that each word comes next, in the order of their ids. `count` is the room at `out` and
 * becomes the number of words.
 *
 * # Safety
 * `session` is null or open; `out` is null or has room for `*count` numbers; `count` is null or points to a number.
 */
pocketlm_status pocketlm_log_probabilities(pocketlm_session *session,
                                           float *out,
                                           size_t *count);

/**
 * The log-probability of a text from its beginning, with the `<eos>` at its end, whatever the session was fed; it stays
 * where it is. If `tokens` is not null, it gets the scores of the tokens: `count` is the room there and becomes the
 * number of tokens.
 *
 * # Safety
 * `session` is null or open; `text` is null or points to `length` bytes, or to a text that ends in NUL if `length` is
 * POCKETLM_NUL; `score` is null or a place to write to; `tokens` is null or has room for `*count` scores.
 */
pocketlm_status pocketlm_score(pocketlm_session *session,
                               const char *text,
                               size_t length,
                               pocketlm_text_score *score,
                               pocketlm_token_score *tokens,
                               size_t *count);

/**
 * The same of a text that comes after what the session was fed, without an `<eos>` at its end. The session stays where
 * it is: feed the text to go on after it.
 *
 * # Safety
 * As `pocketlm_score`.
 */
pocketlm_status pocketlm_score_next(pocketlm_session *session,
                                    const char *text,
                                    size_t length,
                                    pocketlm_text_score *score,
                                    pocketlm_token_score *tokens,
                                    size_t *count);

/**
 * Writes where the session has got into `state`, to be restored later or elsewhere. `size` is the room there and becomes
 * the bytes that a state of this model takes.
 *
 * # Safety
 * `session` is null or open; `state` is null or has room for `*size` bytes; `size` is null or points to a number.
 */
pocketlm_status pocketlm_state_save(pocketlm_session *session,
                                    void *state,
                                    size_t *size);

/**
 * Goes on from a saved state. POCKETLM_STATE if these bytes are none, or one of another model, and the session stays
 * where it was.
 *
 * # Safety
 * `session` is null or open; `state` is null or points to `size` bytes.
 */
pocketlm_status pocketlm_state_restore(pocketlm_session *session,
                                       const void *state,
                                       size_t size);

/**
 * What the last call that failed on this thread said, in English: valid until the next one fails, empty if none has.
 */
const char *pocketlm_message(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* POCKETLM_H */
