import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.pocketlm.Model;
import org.pocketlm.PocketlmException;
import org.pocketlm.Score;
import org.pocketlm.Session;
import org.pocketlm.Suggestion;

/** Tests org.pocketlm without any other library: {@code PocketlmTest FOLDER-OF-MODELS}. */
public final class PocketlmTest {
    private static Path models;

    private interface Work {
        void run() throws Exception;
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void throwsFault(String part, Work work) throws Exception {
        try {
            work.run();
        } catch (PocketlmException e) {
            check(e.getMessage().contains(part), "says " + part + ": " + e.getMessage());
            return;
        }
        throw new AssertionError("nothing was thrown that says " + part);
    }

    private static Model open(String name) {
        return Model.open(models.resolve(name).toString());
    }

    private static void wordsAndSuggestions() {
        for (String name : List.of("lstm-int8.plm", "ngram-3.plm", "gru-f32.plm")) {
            try (Model model = open(name); Session session = model.session()) {
                model.verify();
                for (int id = 0; id < model.size(); id++) {
                    check(model.id(model.word(id)) == id, "words and ids");
                }
                check(model.id("nonsense") == -1 && model.word(model.eos()).equals("<eos>"), "unknown words");
                check(session.feed("the nonsense") == 1, "unknown words are counted");
                float[] all = session.logProbabilities();
                List<Suggestion> found = session.suggest(3);
                check(found.size() == 3, "three suggestions");
                for (Suggestion one : found) {
                    check(model.word(one.id).equals(one.word), "the id is the word's");
                    check(Math.abs(Math.exp(all[one.id]) - one.probability) < 1e-6, "the probability is the distribution's");
                    check(Math.abs(session.logProbability(one.id) - all[one.id]) < 1e-5, "and the single one's");
                }
                check(session.suggest(1000).size() <= model.size(), "no more than there are");
                session.hide(found.get(0).id);
                check(!session.suggest(3).get(0).word.equals(found.get(0).word), "hidden");
                List<Suggestion> completed = session.complete("the under th", 4);
                check(!completed.isEmpty() && completed.get(0).word.startsWith("th"), "completed");
            }
        }
    }

    private static void scores() {
        try (Model model = open("lstm-int8.plm"); Session session = model.session()) {
            String text = "the \uD83D\uDE00 été\nunder";
            Score score = session.scoreTokens(text);
            List<String> stretches = new ArrayList<>();
            double sum = 0;
            for (Score.Token token : score.tokens) {
                stretches.add(token.text);
                sum += token.logProbability;
            }
            check(stretches.equals(List.of("the", "\uD83D\uDE00", "été", "", "under", "")), "tokens: " + stretches);
            check(score.tokens.get(1).id == -1 && score.tokenCount == 6 && score.unknown >= 1, "unknown");
            check(sum == score.logProbability && session.score(text).logProbability == sum, "the sum");
            check(Math.abs(score.perplexity() - Math.exp(-sum / 6)) < 1e-9, "perplexity");
            session.feed("the");
            double next = session.scoreNext("under").logProbability;
            check(next == session.logProbability(model.id("under")), "the next word");
        }
    }

    private static void states() throws Exception {
        try (Model model = open("lstm-int8.plm"); Model other = open("cifg-int4.plm"); Session session = model.session();
                Session foreign = other.session()) {
            session.feed("the under");
            byte[] here = session.save();
            session.feed(1, 2);
            check(!Arrays.equals(session.save(), here), "fed");
            session.restore(here);
            check(Arrays.equals(session.save(), here), "restored");
            throwsFault("another model", () -> session.restore(foreign.save()));
            throwsFault("saved state", () -> session.restore(Arrays.copyOf(here, here.length - 1)));
            throwsFault("saved state", () -> session.restore(new byte[0]));
            throwsFault("out of range", () -> session.feed(1, 1 << 30));
            check(Arrays.equals(session.save(), here), "a refusal changes nothing");
            session.reset();
            try (Session fresh = model.session()) {
                check(Arrays.equals(session.save(), fresh.save()), "reset");
            }
        }
    }

    private static void bytesAndBuffers() throws Exception {
        Path path = models.resolve("lstm-int8.plm");
        byte[] bytes = Files.readAllBytes(path);
        double wanted;
        try (Model model = Model.open(path.toString()); Session session = model.session()) {
            wanted = session.score("the under").logProbability;
        }
        try (Model model = Model.copyOf(bytes); Session session = model.session()) {
            Arrays.fill(bytes, (byte) -1);
            check(session.score("the under").logProbability == wanted, "copied bytes may change");
        }
        try (FileChannel channel = FileChannel.open(path)) {
            ByteBuffer mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
            try (Model model = Model.borrow(mapped); Session session = model.session()) {
                check(session.score("the under").logProbability == wanted, "a mapped file");
            }
        }
        throwsFault("no/such.plm", () -> Model.open("no/such.plm"));
        throwsFault("not a .plm file", () -> Model.copyOf("a text and no model".getBytes()));
        try {
            Model.borrow(ByteBuffer.allocate(100));
            throw new AssertionError("a buffer on the heap was taken");
        } catch (IllegalArgumentException e) {
            check(e.getMessage().contains("direct"), "says why");
        }
    }

    private static void closedHandles() throws Exception {
        Model model = open("lstm-int8.plm");
        Session session = model.session();
        model.close();
        model.close();
        check(session.suggest(1).size() == 1, "a session outlives its model");
        session.close();
        session.close();
        List<Work> all = List.of(() -> session.suggest(1), () -> session.complete("a", 1), () -> session.feed("the"),
                () -> session.feed(1), () -> session.hide(1), () -> session.score("the"), () -> session.scoreNext("the"),
                () -> session.scoreTokens("the"), session::save, () -> session.restore(new byte[8]), session::reset,
                session::logProbabilities, () -> session.logProbability(0), model::session, model::verify,
                () -> model.word(0), () -> model.id("the"));
        for (Work work : all) {
            try {
                work.run();
                throw new AssertionError("a closed handle was used");
            } catch (IllegalStateException e) {
                check(e.getMessage().contains("closed"), "says why");
            }
        }
        try (Model open = open("lstm-int8.plm"); Session own = open.session()) {
            List<Work> nulls = List.of(() -> own.feed((int[]) null), () -> own.feed((String) null),
                    () -> own.restore(null), () -> own.hide((int[]) null), () -> own.complete(null, 1),
                    () -> Model.copyOf(null), () -> Model.borrow(null), () -> Model.open(null), () -> open.id(null));
            for (Work work : nulls) {
                try {
                    work.run();
                    throw new AssertionError("null was taken");
                } catch (NullPointerException e) {
                    check(own.suggest(1).size() == 1, "goes on");
                }
            }
        }
    }

    private static void threads() throws Exception {
        try (Model model = open("lstm-int8.plm"); Session shared = model.session()) {
            double wanted = shared.score("the under").logProbability;
            List<Throwable> faults = new ArrayList<>();
            Runnable work = () -> {
                try (Session own = model.session()) {
                    for (int i = 0; i < 500; i++) {
                        check(own.score("the under").logProbability == wanted, "its own session");
                        check(shared.score("the under").logProbability == wanted, "a shared session");
                    }
                } catch (Throwable e) {
                    synchronized (faults) {
                        faults.add(e);
                    }
                }
            };
            Thread[] all = {new Thread(work), new Thread(work), new Thread(work)};
            for (Thread thread : all) {
                thread.start();
            }
            for (Thread thread : all) {
                thread.join();
            }
            check(faults.isEmpty(), "threads: " + faults);
        }
    }

    private static long resident() throws IOException {
        return 4096 * Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]);
    }

    private static void cycles(int count, boolean forgets) {
        for (int i = 0; i < count; i++) {
            Model model = open("lstm-int8.plm");
            Session session = model.session();
            session.suggest(1);
            if (!forgets) {
                session.close();
                model.close();
            } else if (i % 500 == 0) {
                System.gc();
            }
        }
    }

    private static void noGrowth() throws IOException {
        // Until the machine's own memory has grown to what it takes.
        cycles(10_000, false);
        System.gc();
        long before = resident();
        cycles(10_000, false);
        System.gc();
        long grown = resident() - before;
        check(grown < 8 << 20, "ten thousand opens and closes took " + grown + " bytes");
        cycles(10_000, true);
        System.gc();
        open("lstm-int8.plm").close();
        grown = resident() - before;
        check(grown < 48 << 20, "ten thousand that were forgotten took " + grown + " bytes");
    }

    /** Prints the bits of a text's score, to be compared with those from other languages. */
    private static void printBits(String path, String text) {
        try (Model model = Model.open(path); Session session = model.session()) {
            System.out.printf("score %016x%n", Double.doubleToRawLongBits(session.score(text).logProbability));
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 2) {
            printBits(arguments[0], arguments[1]);
            return;
        }
        models = Path.of(arguments[0]);
        wordsAndSuggestions();
        scores();
        states();
        bytesAndBuffers();
        closedHandles();
        threads();
        noGrowth();
        System.out.println("passed: org.pocketlm " + Model.version());
    }
}
