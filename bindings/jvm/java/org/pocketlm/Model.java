package org.pocketlm;

import java.nio.ByteBuffer;
import java.util.Objects;

/** An open model. Threads may share it. It may be closed before its sessions are. */
public final class Model implements AutoCloseable {
    private final Handle handle;
    private final int[] limits = new int[4];
    /** What the model's bytes lie in: held so that it stays for as long as the model and its sessions. */
    @SuppressWarnings("unused")
    private final ByteBuffer buffer;

    private Model(long value, ByteBuffer buffer) {
        handle = new Handle(this, value, Native::close);
        this.buffer = buffer;
        Native.check(Native.limits(value, limits));
    }

    /** Maps a packed file into memory. It must not be rewritten in place while it is open; replace it by renaming. */
    public static Model open(String path) {
        long[] out = new long[1];
        Native.check(Native.open(Native.utf8(path), out));
        return new Model(out[0], null);
    }

    /** Opens the bytes of a packed file, which are copied. */
    public static Model copyOf(byte[] bytes) {
        long[] out = new long[1];
        Native.check(Native.openCopied(Objects.requireNonNull(bytes), out));
        return new Model(out[0], null);
    }

    /**
     * Opens the bytes of a packed file from the buffer's position to its limit, in place where their address is a multiple
     * of 64. They must not change while the model or a session of it is open. For a mapped file or an asset of an app.
     *
     * @param buffer a direct buffer, as {@code FileChannel.map} gives it
     */
    public static Model borrow(ByteBuffer buffer) {
        if (!buffer.isDirect()) {
            throw new IllegalArgumentException("the buffer is not direct: use copyOf, or FileChannel.map");
        }
        long[] out = new long[1];
        Native.check(Native.openBorrowed(buffer, buffer.position(), buffer.remaining(), out));
        return new Model(out[0], buffer);
    }

    /** The version of the native library. */
    public static String version() {
        return Native.text(Native.version());
    }

    /** A session at the beginning of a text. */
    public synchronized Session session() {
        return new Session(this, handle.value());
    }

    /** Reads the whole file: whether its checksum is right and every weight a finite number. */
    public synchronized void verify() {
        Native.check(Native.verify(handle.value()));
    }

    /** Words in the vocabulary, {@code <eos>} and {@code <unk>} included; ids are below it. */
    public int size() {
        return limits[0];
    }

    /** The id of what ends a line. */
    public int eos() {
        return limits[1];
    }

    /** The id of what stands for unknown words, or −1. */
    public int unk() {
        return limits[2];
    }

    /** Whether the model takes raw text: then give whole lines. */
    public boolean isRaw() {
        return limits[3] != 0;
    }

    /** The id of a word, or −1 if the vocabulary lacks it. */
    public synchronized int id(String word) {
        return Native.checkId(Native.id(handle.value(), Native.utf8(word)));
    }

    /** The word of an id. */
    public synchronized String word(int id) {
        return Native.text(Native.check(Native.word(handle.value(), id)));
    }

    @Override
    public synchronized void close() {
        handle.close();
    }
}
