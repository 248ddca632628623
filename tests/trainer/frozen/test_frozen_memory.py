"""Intermediate tensors live no longer than someone reads them."""

import weakref
from itertools import pairwise
from typing import Any

import torch
from frozen_models import build_model, to_bytes
from onnx import helper
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.frozen import load_frozen

DEPTH = 20


class _Census(TorchDispatchMode):
    """Counts how many results of torch operations are alive at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._seen: list[weakref.ref[Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # torch's signature
        result = func(*args, **(kwargs or {}))
        self._seen = [seen for seen in (*self._seen, weakref.ref(result)) if seen() is not None]
        self.most = max(self.most, len(self._seen))
        return result


def _chain() -> bytes:
    names = ["x", *(f"t{i}" for i in range(DEPTH - 1)), "y"]
    nodes = [helper.make_node("Tanh", [source], [target]) for source, target in pairwise(names)]
    return to_bytes(build_model(nodes, shape=("n", 2)))


def test_chain_keeps_at_most_three_tensors_without_gradient() -> None:
    model = load_frozen(_chain())

    with _Census() as census, torch.no_grad():
        model(torch.zeros(3, 2))

    # The one being read, the one being made, and the one that the loop has not let go of yet.
    assert census.most <= 3


def test_chain_keeps_a_tap_to_the_end() -> None:
    model = load_frozen(_chain(), taps=["t0"])

    _, taps = model.forward_with_taps(torch.zeros(3, 2))

    assert torch.equal(taps["t0"], torch.zeros(3, 2))
