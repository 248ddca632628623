"""A study small enough for seconds: the tiny model as frozen model and verifier, random pictures, few of them."""

from pathlib import Path

import numpy as np
import pytest

from trainer.studies.homogenization.nets import Net
from trainer.studies.homogenization.protocol import Plan, Sizes, load_material
from trainer.studies.homogenization.runs import Bench

PLAN = Plan("mnist", "digits", "digits-verifier", (0.4,), (0.25,), kappa=0.3, stats_weight=0.01, criterion_weight=0.1)
SIZES = Sizes(source=60, pool=40, fitted=32, validation=30, epochs=1)


@pytest.fixture(autouse=True)
def small_steps(one_thread: None) -> None:
    """Every fit here is a small one."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Pictures of 8 x 8, each unlike all others, with four classes."""
    random = np.random.default_rng(0)
    parts = {"train": 100, "test": 90}
    arrays = {f"x_{part}": random.integers(0, 256, (count, 8, 8), dtype=np.uint8) for part, count in parts.items()}
    arrays |= {f"y_{part}": random.integers(0, 4, count) for part, count in parts.items()}
    np.savez(tmp_path / "pictures.npz", **arrays)
    return tmp_path / "pictures.npz"


@pytest.fixture
def bench(tiny, data: Path, tmp_path: Path) -> Bench:
    net = Net(tiny, PLAN)
    material = load_material(PLAN, data, net.manifest.input, SIZES)
    return Bench(PLAN, SIZES, PLAN.kappa, net, net, material, tmp_path / "records")
