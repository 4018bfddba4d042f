/* The calls of measure.rs through the C library. */
#define _POSIX_C_SOURCE 199309L
#include "pocketlm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS = 200, K = 3 };

typedef struct {
    pocketlm_session *session;
    const char *text;
    size_t length;
    uint32_t words;
    pocketlm_suggestions found;
} context;

static void check(pocketlm_status status) {
    if (status != POCKETLM_OK) {
        fprintf(stderr, "%s\n", pocketlm_message());
        exit(1);
    }
}

static void feed(context *c, uint32_t at) {
    uint32_t id = at % c->words;
    check(pocketlm_feed(c->session, &id, 1));
}

static void suggest(context *c, uint32_t at) {
    (void)at;
    check(pocketlm_suggest(c->session, NULL, 0, &c->found));
}

static void score(context *c, uint32_t at) {
    (void)at;
    pocketlm_text_score whole;
    check(pocketlm_score(c->session, c->text, c->length, &whole, NULL, NULL));
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void measure(const char *name, int batches, context *c, void (*call)(context *, uint32_t)) {
    double best = 1e300;
    for (int batch = 0; batch < batches; batch++) {
        double begin = now();
        for (uint32_t at = 0; at < CALLS; at++) {
            call(c, at);
        }
        double each = (now() - begin) / CALLS;
        best = each < best ? each : best;
    }
    printf("%s %.4f\n", name, best);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "give a model, a text and a number of batches\n");
        return 2;
    }
    pocketlm_model *model;
    pocketlm_limits limits;
    pocketlm_suggestion items[K];
    check(pocketlm_open(argv[1], &model));
    check(pocketlm_model_limits(model, &limits));
    context c = {NULL, argv[2], strlen(argv[2]), (uint32_t)limits.words, {items, K, NULL, K * limits.word_bytes, 0, 0}};
    c.found.text = malloc(c.found.text_size);
    check(pocketlm_session_new(model, &c.session));

    pocketlm_text_score whole;
    check(pocketlm_score(c.session, c.text, c.length, &whole, NULL, NULL));
    uint64_t bits;
    memcpy(&bits, &whole.log_probability, sizeof bits);
    printf("score %016" PRIx64 "\n", bits);
    int batches = atoi(argv[3]);
    measure("feed", batches, &c, feed);
    measure("suggest", batches, &c, suggest);
    measure("score_text", batches, &c, score);

    free(c.found.text);
    check(pocketlm_session_close(&c.session));
    check(pocketlm_close(&model));
    return 0;
}
