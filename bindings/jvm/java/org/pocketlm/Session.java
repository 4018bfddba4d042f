package org.pocketlm;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;

/** A model in use: one text, from its beginning to where it has got. A second thread waits for the first. */
public final class Session implements AutoCloseable {
    private final Model model;
    private final Handle handle;
    private byte[] words = new byte[256];
    private int[] ids = new int[0];
    private double[] probabilities = new double[0];
    private final int[] used = new int[1];
    private final double[] whole = new double[3];

    Session(Model model, long modelHandle) {
        long[] out = new long[1];
        Native.check(Native.sessionNew(modelHandle, out));
        this.model = model;
        handle = new Handle(this, out[0], Native::sessionClose);
    }

    /** The model. */
    public Model model() {
        return model;
    }

    /** Goes back to the beginning of a text. */
    public synchronized void reset() {
        Native.check(Native.reset(handle.value()));
    }

    /** Feeds words by their ids; nothing if one of them is none. */
    public synchronized void feed(int... ids) {
        Native.check(Native.feed(handle.value(), Objects.requireNonNull(ids)));
    }

    /**
     * Feeds a text, in which a line feed ends a sentence.
     *
     * @return how many of its words the vocabulary lacks; they were fed as {@code <unk>}
     */
    public synchronized int feed(String text) {
        return Native.check(Native.feedText(handle.value(), Native.utf8(text)));
    }

    /** The {@code k} likeliest words to come next. */
    public List<Suggestion> suggest(int k) {
        return suggest("", k);
    }

    /** The {@code k} likeliest words to come next that start with {@code prefix}, as the vocabulary spells them. */
    public List<Suggestion> suggest(String prefix, int k) {
        return suggestions(false, prefix, k);
    }

    /**
     * Completes a text from its beginning, whose last word is being typed; a text that ends in a space asks for the next
     * word. The session is fed the text up to there. Words of raw text come as they are written at this place.
     */
    public List<Suggestion> complete(String text, int k) {
        return suggestions(true, text, k);
    }

    private synchronized List<Suggestion> suggestions(boolean completes, String text, int k) {
        if (k < 0) {
            throw new IllegalArgumentException("k is " + k + ", which is less than 0");
        }
        int most = Math.min(k, model.size());
        if (ids.length < most) {
            ids = new int[most];
            probabilities = new double[most];
        }
        byte[] bytes = Native.utf8(text);
        int count = Native.check(Native.suggest(handle.value(), completes, bytes, most, words, used, ids, probabilities));
        if (used[0] > words.length) {
            words = new byte[used[0]];
            count = Native.check(Native.suggest(handle.value(), completes, bytes, most, words, used, ids, probabilities));
        }
        List<Suggestion> found = new ArrayList<>(count);
        int start = 0;
        for (int at = 0; at < count; at++) {
            int end = start;
            while (words[end] != 0) {
                end++;
            }
            String word = new String(words, start, end - start, StandardCharsets.UTF_8);
            found.add(new Suggestion(word, probabilities[at], ids[at]));
            start = end + 1;
        }
        return found;
    }

    /** Says which words are never suggested, in place of {@code <eos>}, {@code <unk>}, {@code <s>} and {@code </s>}. */
    public synchronized void hide(int... ids) {
        Native.check(Native.hide(handle.value(), Objects.requireNonNull(ids)));
    }

    /** The log-probability in nats that the word of an id comes next. */
    public synchronized double logProbability(int id) {
        Native.check(Native.logProbability(handle.value(), id, whole));
        return whole[0];
    }

    /** The log-probabilities in nats that each word comes next, by their ids. */
    public synchronized float[] logProbabilities() {
        float[] out = new float[model.size()];
        Native.check(Native.logProbabilities(handle.value(), out));
        return out;
    }

    /** Scores a text from its beginning, with its end. The session stays where it is. */
    public synchronized Score score(String text) {
        Native.check(Native.score(handle.value(), false, Native.utf8(text), whole, null));
        return new Score(whole, Collections.emptyList());
    }

    /** Scores a text as what comes after what was fed, without an end. The session stays where it is. */
    public synchronized Score scoreNext(String text) {
        Native.check(Native.score(handle.value(), true, Native.utf8(text), whole, null));
        return new Score(whole, Collections.emptyList());
    }

    /** {@link #score} with the scores of all tokens. */
    public synchronized Score scoreTokens(String text) {
        byte[] bytes = Native.utf8(text);
        // Raw text may imply a token before each that it shows.
        double[] each = new double[4 * (2 * bytes.length + 2)];
        int count = Native.check(Native.score(handle.value(), false, bytes, whole, each));
        List<Score.Token> tokens = new ArrayList<>(count);
        for (int at = 0; at < count; at++) {
            int i = 4 * at;
            String stretch = new String(bytes, (int) each[i + 1], (int) each[i + 2], StandardCharsets.UTF_8);
            tokens.add(new Score.Token(stretch, each[i], (int) each[i + 3]));
        }
        return new Score(whole, tokens);
    }

    /** Where the session has got, to be restored later or elsewhere. */
    public synchronized byte[] save() {
        return Native.check(Native.save(handle.value()));
    }

    /** Goes on from a saved state; that of another model is refused, and the session stays where it was. */
    public synchronized void restore(byte[] state) {
        Native.check(Native.restore(handle.value(), Objects.requireNonNull(state)));
    }

    @Override
    public synchronized void close() {
        handle.close();
    }
}
