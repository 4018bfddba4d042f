package org.pocketlm;

/** What a model, a text or a state cannot be used for; the message says which and where. */
public final class PocketlmException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** The status of the C library ({@code pocketlm_status}), 0 where it is not known. */
    public final int status;

    PocketlmException(int status, String message) {
        super(message);
        this.status = status;
    }
}
