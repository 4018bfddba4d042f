import java.util.function.IntConsumer;
import org.pocketlm.Model;
import org.pocketlm.Session;

/** The calls of measure.rs through org.pocketlm. */
public final class Measure {
    private static final int CALLS = 200;

    private static void measure(String name, int batches, IntConsumer call) {
        // The machine compiles what has run some thousand times.
        long warm = System.nanoTime() + 2_000_000_000L;
        for (int at = 0; at < 20_000 && System.nanoTime() < warm; at++) {
            call.accept(at);
        }
        double best = Double.POSITIVE_INFINITY;
        for (int batch = 0; batch < batches; batch++) {
            long begin = System.nanoTime();
            for (int at = 0; at < CALLS; at++) {
                call.accept(at);
            }
            best = Math.min(best, (System.nanoTime() - begin) / 1e3 / CALLS);
        }
        System.out.printf("%s %.4f%n", name, best);
    }

    public static void main(String[] arguments) {
        String text = arguments[1];
        int batches = Integer.parseInt(arguments[2]);
        try (Model model = Model.open(arguments[0]); Session session = model.session()) {
            System.out.printf("score %016x%n", Double.doubleToRawLongBits(session.score(text).logProbability));
            if (batches == 0) {
                return;
            }
            int words = model.size();
            measure("feed", batches, at -> session.feed(at % words));
            measure("suggest", batches, at -> session.suggest(3));
            measure("score_text", batches, at -> session.score(text));
        }
    }
}
