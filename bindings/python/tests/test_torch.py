"""Weights from and to PyTorch give the same numbers there and here."""

from pathlib import Path
from typing import Any

import numpy as np
import pocketlm
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
nn = torch.nn

WORDS = ["</s>", "<unk>", *"abcdefghijk"]
IDS = [3, 5, 1, 7, 12]


class Example(nn.Module):  # type: ignore[misc, name-defined]
    """A language model as people write it."""

    def __init__(self, layer: Any, width: int, tied: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Embedding(len(WORDS), 6)
        self.rnn = layer
        self.decoder = nn.Linear(width, len(WORDS))
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, ids: Any) -> Any:
        return self.decoder(self.rnn(self.encoder(ids))[0])


MODELS = {
    "lstm": lambda: Example(nn.LSTM(6, 8, 2), 8),
    "tied": lambda: Example(nn.LSTM(6, 6), 6, tied=True),
    "projected": lambda: Example(nn.LSTM(6, 9, 2, proj_size=5), 5),
    "gru": lambda: Example(nn.GRU(6, 7, 2), 7),
    "no bias": lambda: Example(nn.LSTM(6, 8, bias=False), 8),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_module_goes_here_and_back(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = MODELS[name]().eval()
    pocketlm.from_torch(module, WORDS, tmp_path / "model", eos="</s>")
    model = pocketlm.Model.open(tmp_path / "model")
    again, words = pocketlm.to_torch(tmp_path / "model")
    assert words == ["<eos>", *WORDS[1:]]
    # A session begins after <eos>, as the module does here.
    ids = torch.tensor([0, *IDS])[:, None]
    with torch.no_grad():
        wanted = torch.log_softmax(module(ids), -1)[:, 0].numpy()
        back = torch.log_softmax(again(ids)[0], -1)[:, 0].numpy()
    np.testing.assert_allclose(back, wanted, atol=1e-6)
    session = pocketlm.Session(model)
    own = [at for at in map(model.id, words) if at is not None]
    for step, row in enumerate(wanted):
        np.testing.assert_allclose(session.log_probabilities()[own], row, atol=1e-5)
        if step < len(IDS):
            session.feed([own[IDS[step]]])


def test_a_state_dict_will_do_and_faults_are_named(tmp_path: Path) -> None:
    state = MODELS["lstm"]().state_dict()
    pocketlm.from_torch(state, WORDS, tmp_path / "model", eos="</s>", embedding="encoder", softmax="decoder")
    assert len(pocketlm.Model.open(tmp_path / "model")) == len(WORDS)
    with pytest.raises(pocketlm.Error, match="has 12 rows"):
        pocketlm.from_torch(state, WORDS[1:], tmp_path / "other")
    with pytest.raises(pocketlm.Error, match="<eos>"):
        pocketlm.from_torch(state, WORDS, tmp_path / "other")
    with pytest.raises(pocketlm.Error, match="softmax='head'"):
        pocketlm.from_torch(state, WORDS, tmp_path / "other", eos="</s>", softmax="head")
    with pytest.raises(pocketlm.Error, match="bidirectional"):
        both = Example(nn.LSTM(6, 4, bidirectional=True), 8)
        pocketlm.from_torch(both, WORDS, tmp_path / "other", eos="</s>")
    assert not (tmp_path / "other").exists()
