"""The classifiers of the study: one a domain, and the tutorial's. Trained once and kept in the study's folder."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from service.contract.bundle import Bundle, read_bundle, replace_synced
from service.contract.fingerprint import Fingerprint
from service.contract.input_spec import InputSpec
from service.contract.manifest import ModelManifest
from trainer.baselines.classifier import Classifier as Tutorial
from trainer.baselines.classifier import Labelled
from trainer.datasets import Dataset
from trainer.evaluation import Classifier
from trainer.interface import Normalisation
from trainer.reading import Reading, read_model
from trainer.studies.calibrator.measures import Predict
from trainer.studies.digits import SHAPE, plain
from trainer.studies.training import Recipe, save, tensors, to_onnx, train

RATE = 5e-3
STEPS = 1_500
"""About as many as the shipped model of MNIST was trained for."""
HELD_BACK = 0.1
"""Share of the training images that makes the fingerprint."""
LEAST_HELD_BACK = 160


@dataclass(frozen=True)
class Net:
    """A frozen model and how it is asked.

    Attributes:
        source: images of its own domain that its training held back.
    """

    bundle: Bundle[ModelManifest]
    source: Dataset

    @property
    def spec(self) -> InputSpec:
        """Its input."""
        return self.bundle.manifest.input

    @cached_property
    def reading(self) -> Reading:
        """Differentiable, with all taps."""
        manifest = self.bundle.manifest
        taps = [tap.name for tap in manifest.taps]
        content, scores = self.bundle.files["model.onnx"], manifest.output.name
        return read_model(content, manifest.input, taps=taps, scores=scores, example=self.source.images)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Of its source."""
        return Fingerprint.from_bytes(self.bundle.files["fingerprint.npz"])

    def predict(self, corrector: bytes | None = None) -> Predict:
        """Its answers in onnxruntime, behind an exported corrector or none."""
        classifier = Classifier(self.bundle)
        return lambda images: classifier.predictions(images, corrector)


def net_of(folder: Path, source: Dataset, make: Callable[[], nn.Module]) -> Net:
    """The net in `folder`, or one that is made now.

    Args:
        source: images that its fingerprint is made of.
        make: the trained net in inference mode, of images (n, 1, 28, 28).
    """
    if not folder.is_dir():
        save(
            to_onnx(make(), SHAPE),
            source,
            folder,
            name=folder.name,
            normalisation=Normalisation(),
            labels=None,
            card=lambda sha256: f"# {folder.name}\n\nTrained by a study; SHA-256 `{sha256}`.\n",
        )
    return Net(read_bundle(folder, ModelManifest), source)


def kept_net(folder: Path, dataset: Dataset, make: Callable[[Tensor, Tensor], nn.Module]) -> Net:
    """The net in `folder`, or one that `make` trains on nine tenths of these images now.

    Args:
        make: given planes and labels, the trained net in inference mode.
    """
    order = np.random.default_rng(0).permutation(len(dataset.images))
    held = max(LEAST_HELD_BACK, round(HELD_BACK * len(order)))
    return net_of(folder, dataset.take(order[-held:]), lambda: make(*tensors(dataset.take(order[:-held]))))


def train_plain(images: Tensor, labels: Tensor, effort: float) -> nn.Module:
    """The architecture of the shipped model of MNIST, on another domain's images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = plain().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's types
    steps = max(1, len(images) // Recipe.batch)
    recipe = Recipe(epochs=max(1, round(effort * STEPS / steps)), top_rate=RATE)
    train(net, images, labels, recipe, Console(quiet=True))
    return net  # type: ignore[no-any-return]


def labelled(dataset: Dataset) -> Labelled:
    """For the baselines."""
    return Labelled(*tensors(dataset))


def predict_by(net: nn.Module) -> Predict:
    """The answers of a torch classifier."""

    @torch.no_grad()
    def predict(images: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(images).split(500)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return np.asarray(torch.cat([net(part).argmax(dim=1) for part in parts]))

    return predict


def predict_by_reading(reading: Reading) -> Predict:
    """The answers of a reading, which may be one that is no longer what was read."""

    @torch.no_grad()
    def predict(images: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(images).split(500)  # type: ignore[no-untyped-call]
        return np.asarray(torch.cat([reading.scores_and_taps(part)[0].argmax(dim=1) for part in parts]))

    return predict


def kept_weights(path: Path, make: Callable[[], nn.Module], fresh: Callable[[], nn.Module]) -> nn.Module:
    """A torch net whose weights lie in a file, or are made and put there.

    Args:
        make: the trained net. fresh: one of the same architecture, to load into.
    """
    if path.is_file():
        net = fresh()
        net.load_state_dict(torch.load(path, weights_only=True))
        return net.eval()
    net = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    torch.save(net.state_dict(), temporary)
    content = temporary.read_bytes()
    temporary.unlink()
    replace_synced(path, content)
    return net


def fresh_tutorial(seed: int) -> Tutorial:
    """The tutorial's classifier with the first weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tutorial()
