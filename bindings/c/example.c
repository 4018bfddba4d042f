/*
 * Suggests, completes, scores, saves and restores, with memory of its own only: `example MODEL.plm TEXT`.
 *
 * The last line holds the bits of the text's log-probability, which are the same on every machine and from every
 * language where the model's matrices are of integers.
 */
#include "pocketlm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program if a call failed. */
static void check(pocketlm_status status, const char *what) {
    if (status != POCKETLM_OK) {
        fprintf(stderr, "%s: %s\n", what, pocketlm_message());
        exit(1);
    }
}

/* Memory, or the end. */
static void *room(size_t bytes) {
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

static void print(const char *what, const pocketlm_suggestions *found) {
    for (size_t at = 0; at < found->count; at++) {
        printf("%s %.9f %s\n", what, found->items[at].probability, found->items[at].word);
    }
}

/* The text's log-probability; prints that of each token. */
static double score(pocketlm_session *session, const char *text) {
    pocketlm_text_score whole;
    size_t count = 2 * strlen(text) + 2; /* never less than there are tokens */
    pocketlm_token_score *tokens = (pocketlm_token_score *)room(count * sizeof *tokens);
    check(pocketlm_score(session, text, POCKETLM_NUL, &whole, tokens, &count), "score");
    for (size_t at = 0; at < count; at++) {
        printf("token %.6f %.*s\n", tokens[at].log_probability, (int)tokens[at].length, text + tokens[at].start);
    }
    printf("%" PRIu64 " tokens, %" PRIu64 " unknown, perplexity %.3f\n", whole.tokens, whole.unknown, whole.perplexity);
    free(tokens);
    return whole.log_probability;
}

/* Whether what is suggested after a restored state is what was suggested before. */
static int restores(pocketlm_session *session, const pocketlm_limits *limits, pocketlm_suggestions *found) {
    size_t size = limits->state_bytes;
    void *state = room(size);
    check(pocketlm_state_save(session, state, &size), "save");
    check(pocketlm_suggest(session, NULL, 0, found), "suggest");
    uint32_t id = found->items[0].id;
    double probability = found->items[0].probability;
    check(pocketlm_feed(session, &id, 1), "feed");
    check(pocketlm_state_restore(session, state, size), "restore");
    check(pocketlm_suggest(session, NULL, 0, found), "suggest");
    free(state);
    return found->items[0].id == id && found->items[0].probability == probability;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL.plm TEXT\n", argv[0]);
        return 2;
    }
    pocketlm_model *model;
    pocketlm_session *session;
    pocketlm_limits limits;
    check(pocketlm_open(argv[1], &model), "open");
    check(pocketlm_verify(model), "verify");
    check(pocketlm_model_limits(model, &limits), "limits");
    check(pocketlm_session_new(model, &session), "session");

    enum { K = 3 };
    pocketlm_suggestion items[K];
    pocketlm_suggestions found = {items, K, NULL, K * limits.word_bytes, 0, 0};
    found.text = (char *)room(found.text_size);

    uint64_t unknown;
    check(pocketlm_feed_text(session, argv[2], POCKETLM_NUL, &unknown), "feed");
    check(pocketlm_suggest(session, NULL, 0, &found), "suggest");
    print("suggest", &found);
    int restored = restores(session, &limits, &found);
    check(pocketlm_complete(session, argv[2], POCKETLM_NUL, &found), "complete");
    print("complete", &found);

    double value = score(session, argv[2]);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    printf("score %016" PRIx64 "\n", bits);

    free(found.text);
    check(pocketlm_session_close(&session), "close");
    check(pocketlm_close(&model), "close");
    return restored ? 0 : 1;
}
