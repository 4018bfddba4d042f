package org.pocketlm;

import java.util.List;

/** How likely a text is. */
public final class Score {
    /** Log-probability of the whole text, in nats. */
    public final double logProbability;
    /** Tokens, each {@code <eos>} included. */
    public final long tokenCount;
    /** Tokens that the vocabulary lacks; they were scored as {@code <unk>}. */
    public final long unknown;
    /** The tokens, where they were asked for; else empty. */
    public final List<Token> tokens;

    /** How likely one token of a text is. */
    public static final class Token {
        /** Its stretch of the text; empty for the end of a line, and for what raw text only implies. */
        public final String text;
        /** Its log-probability in nats. */
        public final double logProbability;
        /** Its id, or −1 if the vocabulary lacks it. */
        public final int id;

        Token(String text, double logProbability, int id) {
            this.text = text;
            this.logProbability = logProbability;
            this.id = id;
        }
    }

    Score(double[] whole, List<Token> tokens) {
        logProbability = whole[0];
        tokenCount = (long) whole[1];
        unknown = (long) whole[2];
        this.tokens = tokens;
    }

    /** exp of the mean negative log-probability of a token; NaN if there is none. */
    public double perplexity() {
        return Math.exp(-logProbability / tokenCount);
    }
}
