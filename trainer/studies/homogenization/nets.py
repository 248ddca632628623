"""The frozen model and the verifier as the study sees them: behind normalised images, to fit by and to count hits."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from service.contract.bundle import Bundle
from service.contract.fingerprint import Fingerprint
from service.contract.input_spec import InputSpec
from service.contract.manifest import ModelManifest
from trainer.datasets import Dataset
from trainer.evaluation import Classifier
from trainer.features.random_network import randomised
from trainer.frozen import channels_last_taps, load_frozen
from trainer.reading import Named, Reading, read_model
from trainer.studies.homogenization.protocol import Material, Plan, Space
from trainer.task import Source

CALIBRATION = 512
"""Source images of which a random network's normalisations take their statistics."""


class UnfitModel(Exception):
    """The model cannot play its part; the message says why."""


class Normalised(Reading):
    """A frozen model behind normalised images instead of its own planes."""

    def __init__(self, content: bytes, spec: InputSpec, space: Space, *, taps: Sequence[str], scores: str) -> None:
        frozen = load_frozen(content, taps=taps)
        super().__init__(frozen, spec, scores=scores, channels_last=channels_last_taps(content))
        self._space = space

    def scores_and_taps(self, planes: Tensor) -> tuple[Tensor, Named]:
        """Of normalised images."""
        return super().scores_and_taps(self._space.to_planes(planes))

    def taps_only(self, planes: Tensor, names: Sequence[str]) -> Named:
        """Of normalised images."""
        return super().taps_only(self._space.to_planes(planes), names)


class Net:
    """One bundle, behind normalised images.

    Raises:
        UnfitModel: its input is not the data set's, or its scores are no logits.
    """

    def __init__(self, bundle: Bundle[ModelManifest], plan: Plan) -> None:
        manifest = bundle.manifest
        if manifest.input.channels != len(plan.mean):
            raise UnfitModel(
                f"model '{manifest.name}' takes {manifest.input.channels} channels, {plan.name} has {len(plan.mean)}; "
                "give another with --model or --verifier"
            )
        if manifest.output.scores != "logits":
            raise UnfitModel(f"model '{manifest.name}' gives probabilities; the criterion needs logits")
        self.bundle, self.manifest = bundle, manifest
        self.space = Space.of(plan, manifest.input)
        self.fingerprint = Fingerprint.from_bytes(bundle.files["fingerprint.npz"])
        self._classifier = Classifier(bundle)

    def must_know(self, material: Material) -> None:
        """Raises UnfitModel: the data set has labels that are no class of this net."""
        classes = self.manifest.output.classes
        for part in (material.source, material.pool, material.validation):
            low, high = int(part.labels.min()), int(part.labels.max())
            if low < 0 or high >= classes:
                raise UnfitModel(
                    f"model '{self.manifest.name}' has the classes 0 to {classes - 1}, the data set labels {low} to "
                    f"{high}; give another with --model or --verifier"
                )

    def reading(self) -> Normalised:
        """Differentiable, with all taps."""
        return self._read(self.bundle.files["model.onnx"])

    def plane_reading(self) -> Reading:
        """The same behind the net's own planes, as a job in the service sees it."""
        content, spec = self.bundle.files["model.onnx"], self.manifest.input
        example = self.space.to_planes(torch.zeros(1, *spec.shape)).numpy().astype(np.float32)
        taps = [tap.name for tap in self.manifest.taps]
        return read_model(content, spec, taps=taps, scores=self.manifest.output.name, example=example)

    def random_reading(self, source: Source) -> Normalised:
        """The same architecture with random weights, see `trainer.features.random_network`."""
        planes = self.space.to_planes(source.images[:CALIBRATION]).numpy().astype(np.float32)
        inputs = self.manifest.input.to_tensor(planes)
        return self._read(randomised(self.bundle.files["model.onnx"], inputs, seed=0))

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """Percent of normalised images classified as labelled."""
        planes = self.space.to_planes(images).numpy().astype(np.float32)
        return self._classifier.accuracy(Dataset(planes, labels.numpy()))

    def _read(self, content: bytes) -> Normalised:
        taps = [tap.name for tap in self.manifest.taps]
        return Normalised(content, self.manifest.input, self.space, taps=taps, scores=self.manifest.output.name)


@torch.no_grad()
def apply(transform: torch.nn.Module, images: Tensor, *, rows: int = 500) -> Tensor:
    """A transform of many images, some rows at a time."""
    return torch.cat([transform(part) for part in images.split(rows)])  # type: ignore[no-untyped-call]
