/*
 * The native half of org.pocketlm, over the C library. Every function returns a count, or the negative of a status
 * (`pocketlm_status`), for which `Native.check` throws. Texts come and go as UTF-8 in byte arrays, since the strings of
 * JNI are no UTF-8. `org.pocketlm.Session` lets one thread at a time in here.
 */
#include "pocketlm.h"

#include <jni.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NATIVE(name) JNICALL Java_org_pocketlm_Native_##name

/* Instead of a status: there is no memory. */
enum { OUT_OF_MEMORY = 100 };

/* A block that grows to the largest need, so that a call allocates nothing once it has been made. */
typedef struct {
    void *memory;
    size_t size;
} block;

/* A session with the memory that its calls take. */
typedef struct {
    pocketlm_session *session;
    size_t word_bytes;
    size_t words;
    size_t state_bytes;
    block in;
    block items;
    block text;
} jni_session;

static void *take(block *block, size_t size) {
    if (size > block->size) {
        void *memory = realloc(block->memory, size);
        if (memory == NULL) {
            return NULL;
        }
        block->memory = memory;
        block->size = size;
    }
    /* No size at all still is a place. */
    return block->memory != NULL ? block->memory : (void *)block;
}

static pocketlm_model *model_of(jlong handle) {
    return (pocketlm_model *)(intptr_t)handle;
}

static jni_session *session_of(jlong handle) {
    return (jni_session *)(intptr_t)handle;
}

static pocketlm_session *inner(jlong handle) {
    return handle == 0 ? NULL : session_of(handle)->session;
}

/* The bytes of an array in the session's own memory; null if there is none. */
static char *text_in(JNIEnv *env, jni_session *own, jbyteArray text, jsize *length) {
    *length = (*env)->GetArrayLength(env, text);
    char *bytes = (char *)take(&own->in, (size_t)*length);
    if (bytes != NULL) {
        (*env)->GetByteArrayRegion(env, text, 0, *length, (jbyte *)bytes);
    }
    return bytes;
}

/* A copy of an array of bytes with a NUL at its end, to be freed. */
static char *copy_of(JNIEnv *env, jbyteArray bytes, jsize *length) {
    *length = (*env)->GetArrayLength(env, bytes);
    char *copy = (char *)malloc((size_t)*length + 1);
    if (copy != NULL) {
        (*env)->GetByteArrayRegion(env, bytes, 0, *length, (jbyte *)copy);
        copy[*length] = '\0';
    }
    return copy;
}

/* Puts a handle into the first place of an array. */
static jint give(JNIEnv *env, jlongArray out, void *handle, pocketlm_status status) {
    jlong value = (jlong)(intptr_t)handle;
    (*env)->SetLongArrayRegion(env, out, 0, 1, &value);
    return -(jint)status;
}

static jbyteArray bytes_of(JNIEnv *env, const char *text) {
    jsize length = (jsize)strlen(text);
    jbyteArray out = (*env)->NewByteArray(env, length);
    if (out != NULL) {
        (*env)->SetByteArrayRegion(env, out, 0, length, (const jbyte *)text);
    }
    return out;
}

JNIEXPORT jbyteArray NATIVE(message)(JNIEnv *env, jclass type) {
    (void)type;
    return bytes_of(env, pocketlm_message());
}

JNIEXPORT jbyteArray NATIVE(version)(JNIEnv *env, jclass type) {
    (void)type;
    return bytes_of(env, pocketlm_version());
}

JNIEXPORT jint NATIVE(open)(JNIEnv *env, jclass type, jbyteArray path, jlongArray out) {
    (void)type;
    jsize length;
    char *copy = copy_of(env, path, &length);
    if (copy == NULL) {
        return -OUT_OF_MEMORY;
    }
    pocketlm_model *model;
    pocketlm_status status = pocketlm_open(copy, &model);
    free(copy);
    return give(env, out, model, status);
}

JNIEXPORT jint NATIVE(openCopied)(JNIEnv *env, jclass type, jbyteArray bytes, jlongArray out) {
    (void)type;
    jsize length;
    char *copy = copy_of(env, bytes, &length);
    if (copy == NULL) {
        return -OUT_OF_MEMORY;
    }
    pocketlm_model *model;
    pocketlm_status status = pocketlm_open_copied(copy, (size_t)length, &model);
    free(copy);
    return give(env, out, model, status);
}

JNIEXPORT jint NATIVE(openBorrowed)(JNIEnv *env, jclass type, jobject buffer, jint at, jint length, jlongArray out) {
    (void)type;
    const char *bytes = (const char *)(*env)->GetDirectBufferAddress(env, buffer);
    pocketlm_model *model;
    pocketlm_status status = pocketlm_open_borrowed(bytes == NULL ? NULL : bytes + at, (size_t)length, &model);
    return give(env, out, model, status);
}

JNIEXPORT void NATIVE(close)(JNIEnv *env, jclass type, jlong handle) {
    (void)env, (void)type;
    pocketlm_model *model = model_of(handle);
    pocketlm_close(&model);
}

JNIEXPORT jint NATIVE(verify)(JNIEnv *env, jclass type, jlong model) {
    (void)env, (void)type;
    return -(jint)pocketlm_verify(model_of(model));
}

/* Words, the ids of <eos> and of <unk> or -1, and whether the model takes raw text. */
JNIEXPORT jint NATIVE(limits)(JNIEnv *env, jclass type, jlong model, jintArray out) {
    (void)type;
    pocketlm_limits limits;
    pocketlm_status status = pocketlm_model_limits(model_of(model), &limits);
    if (status == POCKETLM_OK) {
        jint all[4] = {(jint)limits.words, (jint)limits.eos, (jint)limits.unk, limits.is_raw};
        (*env)->SetIntArrayRegion(env, out, 0, 4, all);
    }
    return -(jint)status;
}

/* The id of a word, or the negative of a status. */
JNIEXPORT jint NATIVE(id)(JNIEnv *env, jclass type, jlong model, jbyteArray word) {
    (void)type;
    jsize length;
    char *copy = copy_of(env, word, &length);
    if (copy == NULL) {
        return -OUT_OF_MEMORY;
    }
    uint32_t id = 0;
    pocketlm_status status = pocketlm_word_id(model_of(model), copy, (size_t)length, &id);
    free(copy);
    return status == POCKETLM_OK ? (jint)id : -(jint)status;
}

/* The bytes of a word, or null after a failure. */
JNIEXPORT jbyteArray NATIVE(word)(JNIEnv *env, jclass type, jlong model, jint id) {
    (void)type;
    char small[256];
    char *word = small;
    size_t size = sizeof small;
    pocketlm_status status = pocketlm_word(model_of(model), (uint32_t)id, word, &size);
    if (status == POCKETLM_SPACE) {
        word = (char *)malloc(size);
        status = word == NULL ? status : pocketlm_word(model_of(model), (uint32_t)id, word, &size);
    }
    jbyteArray out = status == POCKETLM_OK ? bytes_of(env, word) : NULL;
    if (word != small) {
        free(word);
    }
    return out;
}

JNIEXPORT jint NATIVE(sessionNew)(JNIEnv *env, jclass type, jlong model, jlongArray out) {
    (void)type;
    pocketlm_limits limits;
    pocketlm_status status = pocketlm_model_limits(model_of(model), &limits);
    if (status != POCKETLM_OK) {
        return -(jint)status;
    }
    jni_session *own = (jni_session *)calloc(1, sizeof *own);
    if (own == NULL) {
        return -OUT_OF_MEMORY;
    }
    own->word_bytes = limits.word_bytes;
    own->words = limits.words;
    own->state_bytes = limits.state_bytes;
    status = pocketlm_session_new(model_of(model), &own->session);
    if (status != POCKETLM_OK) {
        free(own);
        own = NULL;
    }
    return give(env, out, own, status);
}

JNIEXPORT void NATIVE(sessionClose)(JNIEnv *env, jclass type, jlong session) {
    (void)env, (void)type;
    jni_session *own = session_of(session);
    if (own != NULL) {
        pocketlm_session_close(&own->session);
        free(own->in.memory);
        free(own->items.memory);
        free(own->text.memory);
        free(own);
    }
}

JNIEXPORT jint NATIVE(reset)(JNIEnv *env, jclass type, jlong session) {
    (void)env, (void)type;
    return -(jint)pocketlm_reset(inner(session));
}

/* Does `call` with ids from an array. */
static jint with_ids(JNIEnv *env, jlong session, jintArray ids,
                     pocketlm_status (*call)(pocketlm_session *, const uint32_t *, size_t)) {
    jni_session *own = session_of(session);
    if (own == NULL) {
        return -(jint)POCKETLM_NULL;
    }
    jsize count = (*env)->GetArrayLength(env, ids);
    void *copy = take(&own->in, (size_t)count * sizeof(jint));
    if (copy == NULL) {
        return -OUT_OF_MEMORY;
    }
    (*env)->GetIntArrayRegion(env, ids, 0, count, (jint *)copy);
    return -(jint)call(own->session, (const uint32_t *)copy, (size_t)count);
}

JNIEXPORT jint NATIVE(feed)(JNIEnv *env, jclass type, jlong session, jintArray ids) {
    (void)type;
    return with_ids(env, session, ids, pocketlm_feed);
}

JNIEXPORT jint NATIVE(hide)(JNIEnv *env, jclass type, jlong session, jintArray ids) {
    (void)type;
    return with_ids(env, session, ids, pocketlm_hide);
}

/* How many words are unknown. */
JNIEXPORT jint NATIVE(feedText)(JNIEnv *env, jclass type, jlong session, jbyteArray text) {
    (void)type;
    jni_session *own = session_of(session);
    if (own == NULL) {
        return -(jint)POCKETLM_NULL;
    }
    jsize length;
    const char *bytes = text_in(env, own, text, &length);
    if (bytes == NULL) {
        return -OUT_OF_MEMORY;
    }
    uint64_t unknown = 0;
    pocketlm_status status = pocketlm_feed_text(own->session, bytes, (size_t)length, &unknown);
    return status == POCKETLM_OK ? (jint)unknown : -(jint)status;
}

/*
 * Suggests (or completes) up to `k` words; returns how many. `words` gets them, each with a NUL at its end, as many bytes
 * as it has room for; `used[0]` says how many there are. `ids` and `probabilities` have room for `k`.
 */
JNIEXPORT jint NATIVE(suggest)(JNIEnv *env, jclass type, jlong session, jboolean completes, jbyteArray text, jint k,
                               jbyteArray words, jintArray used, jintArray ids, jdoubleArray probabilities) {
    (void)type;
    jni_session *own = session_of(session);
    if (own == NULL) {
        return -(jint)POCKETLM_NULL;
    }
    size_t most = (size_t)k < own->words ? (size_t)k : own->words;
    pocketlm_suggestions found = {NULL, most, NULL, most * own->word_bytes, 0, 0};
    found.items = (pocketlm_suggestion *)take(&own->items, most * sizeof *found.items);
    found.text = (char *)take(&own->text, found.text_size);
    jsize length;
    const char *bytes = text_in(env, own, text, &length);
    if (found.items == NULL || found.text == NULL || bytes == NULL) {
        return -OUT_OF_MEMORY;
    }
    pocketlm_status status = (completes ? pocketlm_complete : pocketlm_suggest)(own->session, bytes, (size_t)length, &found);
    if (status != POCKETLM_OK) {
        return -(jint)status;
    }
    jsize room = (*env)->GetArrayLength(env, words);
    jint all = (jint)found.text_used;
    (*env)->SetIntArrayRegion(env, used, 0, 1, &all);
    if (all <= room) {
        (*env)->SetByteArrayRegion(env, words, 0, all, (const jbyte *)found.text);
    }
    for (size_t at = 0; at < found.count; at++) {
        jint id = (jint)found.items[at].id;
        (*env)->SetIntArrayRegion(env, ids, (jsize)at, 1, &id);
        (*env)->SetDoubleArrayRegion(env, probabilities, (jsize)at, 1, &found.items[at].probability);
    }
    return (jint)found.count;
}

JNIEXPORT jint NATIVE(logProbability)(JNIEnv *env, jclass type, jlong session, jint id, jdoubleArray out) {
    (void)type;
    double value = 0.0;
    pocketlm_status status = pocketlm_log_probability(inner(session), (uint32_t)id, &value);
    (*env)->SetDoubleArrayRegion(env, out, 0, 1, &value);
    return -(jint)status;
}

JNIEXPORT jint NATIVE(logProbabilities)(JNIEnv *env, jclass type, jlong session, jfloatArray out) {
    (void)type;
    jni_session *own = session_of(session);
    if (own == NULL) {
        return -(jint)POCKETLM_NULL;
    }
    size_t count = own->words;
    float *values = (float *)take(&own->items, count * sizeof *values);
    if (values == NULL) {
        return -OUT_OF_MEMORY;
    }
    pocketlm_status status = pocketlm_log_probabilities(own->session, values, &count);
    if (status == POCKETLM_OK) {
        (*env)->SetFloatArrayRegion(env, out, 0, (jsize)count, values);
    }
    return -(jint)status;
}

/* Log-probability, tokens and unknown words of a text; with `each`, returns its tokens: four numbers for each. */
JNIEXPORT jint NATIVE(score)(JNIEnv *env, jclass type, jlong session, jboolean next, jbyteArray text, jdoubleArray out,
                             jdoubleArray each) {
    (void)type;
    jni_session *own = session_of(session);
    if (own == NULL) {
        return -(jint)POCKETLM_NULL;
    }
    jsize length;
    const char *bytes = text_in(env, own, text, &length);
    pocketlm_token_score *tokens = NULL;
    size_t count = 0;
    if (each != NULL) {
        count = (size_t)(*env)->GetArrayLength(env, each) / 4;
        tokens = (pocketlm_token_score *)take(&own->items, count * sizeof *tokens);
        if (tokens == NULL) {
            return -OUT_OF_MEMORY;
        }
    }
    if (bytes == NULL) {
        return -OUT_OF_MEMORY;
    }
    pocketlm_text_score whole;
    pocketlm_status status = (next ? pocketlm_score_next : pocketlm_score)(own->session, bytes, (size_t)length, &whole,
                                                                           tokens, &count);
    if (status != POCKETLM_OK) {
        return -(jint)status;
    }
    double all[3] = {whole.log_probability, (double)whole.tokens, (double)whole.unknown};
    (*env)->SetDoubleArrayRegion(env, out, 0, 3, all);
    for (size_t at = 0; tokens != NULL && at < count; at++) {
        double id = tokens[at].id == POCKETLM_NO_ID ? -1.0 : (double)tokens[at].id;
        double one[4] = {tokens[at].log_probability, (double)tokens[at].start, (double)tokens[at].length, id};
        (*env)->SetDoubleArrayRegion(env, each, (jsize)(4 * at), 4, one);
    }
    return tokens == NULL ? 0 : (jint)count;
}

JNIEXPORT jbyteArray NATIVE(save)(JNIEnv *env, jclass type, jlong session) {
    (void)type;
    jni_session *own = session_of(session);
    size_t size = own == NULL ? 0 : own->state_bytes;
    void *state = own == NULL ? NULL : take(&own->text, size);
    if (pocketlm_state_save(inner(session), state, &size) != POCKETLM_OK) {
        return NULL;
    }
    jbyteArray out = (*env)->NewByteArray(env, (jsize)size);
    if (out != NULL) {
        (*env)->SetByteArrayRegion(env, out, 0, (jsize)size, (const jbyte *)state);
    }
    return out;
}

JNIEXPORT jint NATIVE(restore)(JNIEnv *env, jclass type, jlong session, jbyteArray state) {
    (void)type;
    jni_session *own = session_of(session);
    if (own == NULL) {
        return -(jint)POCKETLM_NULL;
    }
    jsize length;
    const char *bytes = text_in(env, own, state, &length);
    return bytes == NULL ? -OUT_OF_MEMORY : -(jint)pocketlm_state_restore(own->session, bytes, (size_t)length);
}
