"""Using a model: scores, suggestions, states, threads, pickles."""

import math
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pocketlm
import pytest

SEEDS = Path(__file__).parents[3] / "fuzz/seeds/open"
INT8 = SEEDS / "lstm-int8.plm"
NGRAM = SEEDS / "ngram-3.plm"
TEXT = "the nonsense\nunder"
NATS = math.log(10)


@pytest.fixture(params=[INT8, NGRAM, SEEDS / "gru-f32.plm"], ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> pocketlm.Model:
    return pocketlm.Model.open(request.param)


def test_words_and_ids(model: pocketlm.Model) -> None:
    words = model.words()
    assert len(words) == len(model) and words == sorted(words, key=str.encode)
    assert all(model.id(word) == at and model.word(at) == word for at, word in enumerate(words))
    assert "the" in model and "nonsense" not in model and model.id("nonsense") is None
    assert model.word(model.eos) == "<eos>" and model.unit == "word"
    with pytest.raises(IndexError, match="there are"):
        model.word(len(model))
    model.verify()


def test_the_distribution_sums_to_one_and_gives_the_suggestions(model: pocketlm.Model) -> None:
    session = pocketlm.Session(model)
    assert session.feed("the nonsense") == 1
    values = session.log_probabilities()
    assert values.dtype == np.float32 and values.shape == (len(model),)
    if model.path != NGRAM:  # whose numbers were drawn
        assert np.exp(values.astype(float)).sum() == pytest.approx(1, abs=1e-4)
    hidden = {model.eos, model.unk, model.id("<s>"), model.id("</s>")}
    best = [int(at) for at in np.argsort(-values, kind="stable") if int(at) not in hidden][:3]
    assert [word for word, _ in session.suggest(3)] == [model.word(at) for at in best]
    word, probability = session.suggest(1)[0]
    assert probability == pytest.approx(math.exp(session.log_probability(word)), rel=1e-5)
    assert session.log_probability(word) == session.log_probability(best[0])
    prefix = "un"
    found = session.suggest(5, prefix)
    assert found and all(word.startswith(prefix) for word, _ in found)
    session.hide(np.array([best[0]], np.uint32))
    assert model.word(best[0]) not in [word for word, _ in session.suggest(3)]


def test_complete_feeds_up_to_the_typed_word(model: pocketlm.Model) -> None:
    session, other = pocketlm.Session(model), pocketlm.Session(model)
    other.feed("the under")
    assert session.complete("the under th", 4) == other.suggest(4, "th")
    assert session.state == other.state


def test_ids_of_every_kind_are_fed_alike(model: pocketlm.Model) -> None:
    states = []
    for ids in ([1, 2, 3], np.array([1, 2, 3], np.uint32), np.array([1, 2, 3]), (1, 2, 3)):
        session = pocketlm.Session(model)
        session.feed(ids)
        states.append(session.state)
    assert len(set(states)) == 1
    session = pocketlm.Session(model)
    here = session.state
    for bad in ([1, len(model)], np.array([-1])):
        with pytest.raises((pocketlm.Error, OverflowError, TypeError)):
            session.feed(bad)
    assert session.state == here


def test_scores_are_those_of_the_tokens(model: pocketlm.Model) -> None:
    session = pocketlm.Session(model)
    score = session.score(TEXT)
    assert (score.tokens, score.unknown) == (5, 1)
    assert score.perplexity == pytest.approx(math.exp(score.nll / 5))
    tokens = model.full_scores(TEXT)
    assert [(text, oov) for _, text, oov in tokens] == [
        ("the", False), ("nonsense", True), ("", False), ("under", False), ("", False)]
    assert sum(value for value, _, _ in tokens) == pytest.approx(-score.nll / NATS)
    assert model.score(TEXT) == pytest.approx(-score.nll / NATS)
    assert model.perplexity(TEXT) == pytest.approx(score.perplexity)
    nll, count, unknown = model.score_batch([TEXT, "the", ""])
    assert nll[0] == pytest.approx(score.nll) and list(count) == [5, 2, 1] and list(unknown) == [1, 0, 0]
    session.feed("the")
    assert session.score_next("under").nll == pytest.approx(-session.log_probability("under"))


def test_bos_and_eos_as_in_kenlm() -> None:
    model = pocketlm.Model.open(NGRAM)
    session = pocketlm.Session(model)
    begun = session.score_next("the under").nll
    assert model.score("the under", eos=False) == pytest.approx(-begun / NATS)
    both, without = model.full_scores("the under"), model.full_scores("the under", bos=False)
    assert len(both) == len(without) == 3 and both[0] != without[0]
    # Without context the first word has its unigram's probability, whatever order the model has.
    assert len(model.full_scores("the", bos=False, eos=False)) == 1


def test_a_state_is_its_models(model: pocketlm.Model) -> None:
    session = pocketlm.Session(model)
    session.feed("the under")
    state, wanted = session.state, session.suggest()
    session.feed("them")
    session.state = state
    assert session.suggest() == wanted and session.state == state
    other = pocketlm.Session(pocketlm.Model.open(SEEDS / "cifg-int4.plm"))
    for bad in (other.state, state[:-1], b"", b"x" * len(state)):
        with pytest.raises(pocketlm.Error, match="state"):
            session.state = bad
    session.reset()
    assert session.state == pocketlm.Session(model).state


def test_errors_say_what_and_where(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        pocketlm.Model.open(tmp_path / "none.plm")
    cut = tmp_path / "cut.plm"
    cut.write_bytes(INT8.read_bytes()[:1000])
    with pytest.raises(pocketlm.Error, match="cut.plm"):
        pocketlm.Model.open(cut)
    with pytest.raises(pocketlm.Error):
        pocketlm.Model.from_bytes(b"no model")
    with pytest.raises(TypeError):
        pocketlm.Session(pocketlm.Model.from_bytes(INT8.read_bytes())).log_probability(1.5)  # type: ignore[arg-type]


def score_of(model: pocketlm.Model) -> float:
    return model.score(TEXT)


def test_models_are_pickled_by_their_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SEEDS)
    model = pocketlm.Model.open("lstm-int8.plm")
    monkeypatch.chdir("/")
    data = pickle.dumps(model)
    assert len(data) < 500
    assert pickle.loads(data).score(TEXT) == model.score(TEXT)
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(score_of, [model] * 4)) == [model.score(TEXT)] * 4
    with pytest.raises(TypeError, match="from bytes"):
        pickle.dumps(pocketlm.Model.from_bytes(INT8.read_bytes()))


def test_threads_share_a_model_and_even_a_session() -> None:
    model = pocketlm.Model.open(INT8)
    shared = pocketlm.Session(model)
    wanted, found = shared.score(TEXT), []

    def run() -> None:
        own = pocketlm.Session(model)
        found.extend([own.score(TEXT), shared.score(TEXT)] * 50)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 400 and all(score == wanted for score in found)


def test_ten_thousand_opens_take_no_memory() -> None:
    def resident() -> int:
        return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

    def cycle(count: int) -> None:
        for _ in range(count):
            pocketlm.Session(pocketlm.Model.open(INT8)).suggest()

    cycle(500)
    before = resident()
    cycle(10_000)
    assert resident() < before + (4 << 20)
