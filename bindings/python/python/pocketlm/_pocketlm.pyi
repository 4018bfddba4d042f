"""What the library computes; `pocketlm` gives it on."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Union, final

import numpy as np
from numpy.typing import NDArray

__version__: str
_Path = Union[str, "PathLike[str]"]
_Ids = Union[Sequence[int], NDArray[np.uint32], NDArray[np.int64]]

class Error(ValueError):
    """A model, text or recipe that cannot be used; says which, where and how to mend it."""

@final
class Model:
    """An open model. Threads may share it; it is pickled by its path."""

    @staticmethod
    def open(path: _Path) -> Model:
        """Maps a packed file into memory, or packs the folder of a checkpoint (f32). The file must not be rewritten in
        place while the model is open; replace it by renaming."""
    @staticmethod
    def from_bytes(data: bytes) -> Model:
        """Opens the bytes of a packed file, which are copied."""
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __len__(self) -> int:
        """Words in the vocabulary, `<eos>` and `<unk>` included; ids are below it."""
    def __contains__(self, word: str) -> bool:
        """Whether the vocabulary has a word."""
    @property
    def path(self) -> Path | None:
        """The file or folder, unless the model is from bytes."""
    @property
    def eos(self) -> int:
        """The id of what ends a line."""
    @property
    def unk(self) -> int | None:
        """The id of what stands for unknown words."""
    @property
    def unit(self) -> str:
        """What a token is: `word`, `character`, `raw` …"""
    @property
    def recipe(self) -> str:
        """The recipe that made the model, as its author stored it."""
    @property
    def checksum(self) -> int:
        """The checksum that the file holds of itself."""
    def words(self) -> list[str]:
        """All words in the order of their ids."""
    def id(self, word: str) -> int | None:
        """The id of a word, or None if the vocabulary lacks it."""
    def word(self, id: int) -> str:
        """The word of an id. Raises IndexError."""
    def verify(self) -> None:
        """Reads the whole file: whether its checksum is right and every weight a finite number."""
    def score(self, sentence: str, bos: bool = True, eos: bool = True) -> float:
        """log10 of the probability of a sentence, as KenLM gives it: after the beginning of a text unless `bos` is False,
        with what ends it unless `eos` is."""
    def full_scores(self, sentence: str, bos: bool = True, eos: bool = True) -> list[tuple[float, str, bool]]:
        """Of each token log10 of its probability, its text (empty for the end), and whether the vocabulary lacks it.
        KenLM has the length of the n-gram in the middle, which a recurrent model has not."""
    def perplexity(self, sentence: str) -> float:
        """The perplexity of a sentence with its end."""
    def score_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.uint64], NDArray[np.uint64]]:
        """Of each text its negative log-likelihood in nats, its tokens and how many of them are unknown: the same as
        `Session.score`, several times as fast."""

@final
class Score:
    """How likely a text is."""

    @property
    def nll(self) -> float:
        """Negative log-likelihood of all tokens, in nats."""
    @property
    def tokens(self) -> int:
        """Tokens, each `<eos>` included."""
    @property
    def unknown(self) -> int:
        """Tokens that the vocabulary lacks, which were scored as `<unk>`."""
    @property
    def perplexity(self) -> float:
        """exp(nll / tokens); NaN if there is none."""

@final
class Session:
    """A model in use: one text, from its beginning to where it has got."""

    def __new__(cls, model: Model) -> Session: ...
    @property
    def model(self) -> Model:
        """The model."""
    @property
    def state(self) -> bytes:
        """Where the session has got, to be set again later or elsewhere; that of another model is refused."""
    @state.setter
    def state(self, state: bytes) -> None: ...
    def reset(self) -> None:
        """Goes back to the beginning of a text."""
    def feed(self, text: str | _Ids) -> int:
        """Feeds a text, in which a line feed ends a sentence, or the ids of words; returns how many words the
        vocabulary lacks and that were fed as `<unk>`. Give raw text in whole lines."""
    def suggest(self, k: int = 3, prefix: str = "") -> list[tuple[str, float]]:
        """The likeliest words to come next with their probabilities: of all, or of those that start with `prefix`."""
    def complete(self, text: str, k: int = 3) -> list[tuple[str, float]]:
        """Completes a text from its beginning, whose last word is being typed; one that ends in a space asks for the
        next word. The session is fed the text up to there. Words of raw text come as they are written at this place."""
    def log_probability(self, word: str | int) -> float:
        """The log-probability in nats that a word, or that of an id, comes next."""
    def log_probabilities(self) -> NDArray[np.float32]:
        """The log-probabilities in nats that each word comes next, by their ids."""
    def score(self, text: str) -> Score:
        """Scores a text from its beginning, with its end. The session stays where it is."""
    def score_next(self, text: str) -> Score:
        """Scores a text as what comes after what was fed, without an end. The session stays where it is."""
    def hide(self, ids: _Ids) -> None:
        """Says which words are never suggested, in place of `<eos>`, `<unk>`, `<s>` and `</s>`."""

def train(
    data: _Path,
    out: _Path,
    *,
    model: str,
    recipe_file: _Path | None,
    settings: str,
    text: str,
    seed: int,
    resume: bool,
    device: str,
    progress: Callable[[str], object] | None,
) -> str: ...
def compress(
    checkpoint: _Path,
    output: _Path,
    *,
    steps: str | None,
    recipe_file: _Path | None,
    data: _Path | None,
    work: _Path | None,
    checkpoint_out: _Path | None,
    force: bool,
    device: str,
    progress: Callable[[str], object] | None,
) -> str: ...
def pack(checkpoint: _Path, output: _Path, *, precision: str | None, entropy: bool, force: bool) -> int: ...
def write_checkpoint(folder: _Path, words: Sequence[str], arrays: Mapping[str, NDArray[np.float32]]) -> None: ...
def read_checkpoint(folder: _Path) -> tuple[list[str], str, dict[str, NDArray[np.float32]]]: ...
