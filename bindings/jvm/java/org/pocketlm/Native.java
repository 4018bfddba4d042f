package org.pocketlm;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** The native half, {@code pocketlm_jni.c}. Counts are results, negative numbers the statuses of the C library. */
final class Native {
    private static final int UNKNOWN_WORD = 6;
    private static final int OUT_OF_MEMORY = 100;

    static {
        String library = System.getProperty("org.pocketlm.library");
        if (library == null) {
            System.loadLibrary("pocketlm_jni");
        } else {
            System.load(library);
        }
    }

    private Native() {}

    /** A result that is no count of failures. */
    static int check(int result) {
        if (result >= 0) {
            return result;
        }
        if (result == -OUT_OF_MEMORY) {
            throw new OutOfMemoryError("pocketlm");
        }
        throw new PocketlmException(-result, text(message()));
    }

    /** An id, or −1 for a word that the vocabulary lacks. */
    static int checkId(int result) {
        return result == -UNKNOWN_WORD ? -1 : check(result);
    }

    /** Bytes that are there unless the call failed. */
    static byte[] check(byte[] result) {
        if (result == null) {
            throw new PocketlmException(0, text(message()));
        }
        return result;
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] utf8) {
        return new String(utf8, StandardCharsets.UTF_8);
    }

    static native byte[] message();

    static native byte[] version();

    static native int open(byte[] path, long[] out);

    static native int openCopied(byte[] bytes, long[] out);

    static native int openBorrowed(ByteBuffer buffer, int at, int length, long[] out);

    static native void close(long model);

    static native int verify(long model);

    static native int limits(long model, int[] out);

    static native int id(long model, byte[] word);

    static native byte[] word(long model, int id);

    static native int sessionNew(long model, long[] out);

    static native void sessionClose(long session);

    static native int reset(long session);

    static native int feed(long session, int[] ids);

    static native int hide(long session, int[] ids);

    static native int feedText(long session, byte[] text);

    static native int suggest(long session, boolean completes, byte[] text, int k, byte[] words, int[] used, int[] ids,
                              double[] probabilities);

    static native int logProbability(long session, int id, double[] out);

    static native int logProbabilities(long session, float[] out);

    static native int score(long session, boolean next, byte[] text, double[] out, double[] each);

    static native byte[] save(long session);

    static native int restore(long session, byte[] state);
}
