package org.pocketlm;

import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;
import java.util.function.LongConsumer;

/**
 * A native handle that is closed once: by its owner, or, where that was forgotten, after the garbage collector took the
 * owner and before the next handle is made. (java.lang.ref.Cleaner does the same, but old Androids lack it.)
 */
final class Handle extends PhantomReference<Object> {
    private static final ReferenceQueue<Object> FORGOTTEN = new ReferenceQueue<>();
    private static final Set<Handle> OPEN = Collections.synchronizedSet(new HashSet<>());

    private final LongConsumer closer;
    private long value;

    Handle(Object owner, long value, LongConsumer closer) {
        super(owner, FORGOTTEN);
        this.value = value;
        this.closer = closer;
        OPEN.add(this);
        for (Handle other = (Handle) FORGOTTEN.poll(); other != null; other = (Handle) FORGOTTEN.poll()) {
            other.close();
        }
    }

    /** The handle, while it is open. */
    long value() {
        if (value == 0) {
            throw new IllegalStateException("it is closed already");
        }
        return value;
    }

    synchronized void close() {
        long open = value;
        value = 0;
        OPEN.remove(this);
        if (open != 0) {
            closer.accept(open);
        }
    }
}
