package org.pocketlm;

/** A suggested word. */
public final class Suggestion {
    /** The word. */
    public final String word;
    /** Its probability: of all words, or of those that start with what is typed. */
    public final double probability;
    /** Its id, or −1 where no word of the vocabulary is written so. */
    public final int id;

    Suggestion(String word, double probability, int id) {
        this.word = word;
        this.probability = probability;
        this.id = id;
    }

    @Override
    public String toString() {
        return word + " " + probability;
    }
}
