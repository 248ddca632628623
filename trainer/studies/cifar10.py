"""Trains the two CIFAR-10 classifiers that ship: a frozen ResNet-20, and a verifier of another kind.

    python -m trainer.studies.cifar10 resnet20 cifar10.npz models/cifar10
    python -m trainer.studies.cifar10 resnet9 cifar10.npz models/cifar10-verifier

Pictures are flipped and shifted while training. The last 5,000 training pictures only tell how training goes and make
the fingerprint; the test pictures are looked at once, for the card. With bfloat16 instructions an epoch takes one
processor about a minute and a half.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from service.contract.input_spec import InputSpec
from trainer.interface import Normalisation
from trainer.studies.cifar10_data import LABELS, load_cifar10
from trainer.studies.training import INPUT, Recipe, accuracy, save, tensors, to_onnx, train
from trainer.studies.zoo.blocks import Residual, conv_norm, head
from trainer.studies.zoo.resnet import resnet20

SHAPE = (3, 32, 32)
BOUNDS = (0.0, 1.0)
NORMALISATION = Normalisation(bounds=BOUNDS, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
SPEC = InputSpec(name=INPUT, shape=SHAPE, bounds=BOUNDS, mean=NORMALISATION.mean, std=NORMALISATION.std)
HELD_BACK = 5_000
SHIFT = 4


@dataclass(frozen=True)
class Plan:
    """One of the two classifiers: its name, what it is and is for, and how it is trained; no seed twice."""

    name: str
    words: str
    role: str
    build: Callable[[], nn.Module]
    seed: int
    epochs: int
    smoothing: float

    def recipe(self, epochs: int | None) -> Recipe:
        """How to train it, for another number of epochs if one is given."""
        return Recipe(
            epochs=epochs or self.epochs,
            top_rate=0.2,
            seed=self.seed,
            momentum=0.9,
            weight_decay=5e-4,
            smoothing=self.smoothing,
            augment=flip_and_shift,
            mixed=True,
        )


CARD = """# {name}

{words}: the {role} of Foreoptic's studies on natural pictures.

| | |
|---|---|
| Input | `image`, float32 (n, 3, 32, 32), RGB from 0 to 1, less the set's mean, by its deviation |
| Output | `logits`, float32 (n, 10) |
| Trained on | {dataset} (Krizhevsky), {fitted:,} training pictures, {epochs} epochs in bfloat16, seed {seed}, \
flips and shifts |
| Accuracy, {held_back:,} training pictures held back | {validation:.2f} % |
| Accuracy, {dataset} test (10,000 pictures) | {test:.2f} % |
| Parameters | {parameters:,} |
| SHA-256 | `{sha256}` |

Made by `python -m trainer.studies.cifar10 --pairs {pairs} {architecture} CIFAR10.npz models/{name}`. The fingerprint
beside it was taken from the {held_back:,} pictures held back. Meant for studies and tests.
"""


def resnet9() -> nn.Sequential:
    """Nine layers, narrow enough for two processors: another kind of network than ResNet-20, with max pools.

    No layer of whitened patches in front, though that trains faster: compression leaves some directions of a patch
    empty, and a verifier that amplifies these judges them instead of the pictures.
    """
    return nn.Sequential(
        conv_norm(3, 32),
        conv_norm(32, 64),
        nn.MaxPool2d(2),
        Residual(conv_norm(64, 64), conv_norm(64, 64)),
        conv_norm(64, 128),
        nn.MaxPool2d(2),
        conv_norm(128, 128),
        nn.MaxPool2d(2),
        Residual(conv_norm(128, 128), conv_norm(128, 128)),
        head(128, len(LABELS)),
    )


PLANS = {
    "resnet20": Plan(
        name="cifar10",
        words="ResNet-20 (He et al., 2016), three stages of three basic blocks",
        role="frozen model",
        build=resnet20,
        seed=0,
        epochs=60,
        smoothing=0.0,
    ),
    "resnet9": Plan(
        name="cifar10-verifier",
        words="A ResNet of nine layers with max pooling, 32 to 128 wide",
        role="second opinion",
        build=resnet9,
        seed=1,
        epochs=20,
        smoothing=0.05,
    ),
}


def flip_and_shift(batch: Tensor, draw: torch.Generator) -> Tensor:
    """Mirror half of the pictures and move each by up to SHIFT pixels, edges reflected."""
    count, _, height, width = batch.shape
    mirrored = torch.rand(count, generator=draw) < 0.5
    batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
    padded = functional.pad(batch, (SHIFT,) * 4, mode="reflect")
    offsets = torch.randint(0, 2 * SHIFT + 1, (2, count, 1), generator=draw)
    rows, columns = offsets[0] + torch.arange(height), offsets[1] + torch.arange(width)
    picked = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[picked, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def main() -> None:
    """Train, export, register, write."""
    arguments = _arguments()
    console, plan = Console(stderr=True), PLANS[arguments.architecture]
    recipe = plan.recipe(arguments.epochs)
    data = load_cifar10(arguments.cifar10, SPEC)
    fitted = len(data.train.images) - HELD_BACK
    images, labels = tensors(data.train)
    torch.manual_seed(plan.seed)
    net = plan.build()
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's types
    train(net, images[:fitted], labels[:fitted], recipe, console, checkpoint=arguments.checkpoint)
    facts = {
        "pairs": arguments.pairs,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "validation": accuracy(net, images[fitted:], labels[fitted:]),
        "test": accuracy(net, *tensors(data.test)),
        "dataset": data.name,
        "fitted": fitted,
        "held_back": HELD_BACK,
        "epochs": recipe.epochs,
        "name": plan.name,
        "words": plan.words,
        "role": plan.role,
        "seed": plan.seed,
    }
    save(
        to_onnx(net, SHAPE),
        data.train.take(np.arange(fitted, len(images))),
        arguments.output,
        name=plan.name,
        normalisation=NORMALISATION,
        labels=LABELS,
        pairs=arguments.pairs,
        card=lambda sha256: CARD.format(architecture=arguments.architecture, sha256=sha256, **facts),
    )
    console.print(f"validation {facts['validation']:.2f} %, test {facts['test']:.2f} %, written to {arguments.output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", choices=PLANS)
    parser.add_argument("cifar10", type=Path, help=".npz of CIFAR-10; see trainer/studies/cifar10_data.py")
    parser.add_argument("output", type=Path, help="folder of the bundle; replaced if it is there")
    parser.add_argument("--epochs", type=int, help="the architecture's own if unset")
    parser.add_argument("--checkpoint", type=Path, help="file that an interrupted training goes on from")
    parser.add_argument("--pairs", type=int, default=0, help="of batches that the gate is calibrated with")
    return parser.parse_args()


if __name__ == "__main__":
    main()
