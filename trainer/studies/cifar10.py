"""Trains the two CIFAR-10 classifiers that ship: a frozen ResNet-20, and a verifier of another kind.

    python -m trainer.studies.cifar10 resnet20 cifar10.npz models/cifar10
    python -m trainer.studies.cifar10 resnet9 cifar10.npz models/cifar10-verifier

Pictures are flipped and shifted while training. The last 5,000 training pictures only tell how training goes and make
the fingerprint; the test pictures are looked at once, for the card. With bfloat16 instructions an epoch takes one
processor about two minutes.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from trainer.interface import Normalisation, read_input_spec
from trainer.studies.cifar10_data import LABELS, load_cifar10
from trainer.studies.training import Recipe, accuracy, save, tensors, to_onnx, train
from trainer.studies.zoo.blocks import Residual, conv_norm, head
from trainer.studies.zoo.resnet import resnet20

SHAPE = (3, 32, 32)
NORMALISATION = Normalisation(bounds=(0.0, 1.0), mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
HELD_BACK = 5_000
SHIFT = 4


@dataclass(frozen=True)
class Plan:
    """One of the two classifiers: its name, what it is in words, and how it is trained; no seed twice."""

    name: str
    words: str
    seed: int
    epochs: int
    smoothing: float


PLANS = {
    "resnet20": Plan("cifar10", "ResNet-20 (He et al., 2016), three stages of three basic blocks", 0, 100, 0.0),
    "resnet9": Plan("cifar10-verifier", "A ResNet of nine layers with max pooling, 32 to 128 wide", 1, 20, 0.05),
}

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

Made by `python -m trainer.studies.cifar10 {architecture} CIFAR10.npz models/{name}`. The fingerprint beside it was
taken from the {held_back:,} pictures held back. Meant for studies and tests.
"""


def resnet9() -> nn.Sequential:
    """Nine layers, narrow enough for two processors: another kind of network than ResNet-20, with max pools."""
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


ARCHITECTURES = {"resnet20": resnet20, "resnet9": resnet9}


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", choices=ARCHITECTURES)
    parser.add_argument("cifar10", type=Path, help=".npz of CIFAR-10; see trainer/studies/cifar10_data.py")
    parser.add_argument("output", type=Path, help="folder of the bundle; replaced if it is there")
    parser.add_argument("--epochs", type=int, help="the architecture's own if unset")
    parser.add_argument("--checkpoint", type=Path, help="file that an interrupted training goes on from")
    arguments = parser.parse_args()
    console, plan = Console(stderr=True), PLANS[arguments.architecture]
    recipe = Recipe(
        epochs=arguments.epochs or plan.epochs,
        top_rate=0.2,
        seed=plan.seed,
        momentum=0.9,
        weight_decay=5e-4,
        smoothing=plan.smoothing,
        augment=flip_and_shift,
        mixed=True,
    )
    torch.manual_seed(plan.seed)
    net = ARCHITECTURES[arguments.architecture]()
    spec = read_input_spec(to_onnx(net.eval(), SHAPE), NORMALISATION)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's types
    data = load_cifar10(arguments.cifar10, spec)
    fitted = len(data.train.images) - HELD_BACK
    images, labels = tensors(data.train)
    train(net, images[:fitted], labels[:fitted], recipe, console, checkpoint=arguments.checkpoint)
    facts = {
        "validation": accuracy(net, images[fitted:], labels[fitted:]),
        "test": accuracy(net, *tensors(data.test)),
    }
    parameters = sum(parameter.numel() for parameter in net.parameters())

    def card(sha256: str) -> str:
        return CARD.format(
            name=plan.name,
            words=plan.words,
            role="frozen model" if plan.name == "cifar10" else "second opinion",
            dataset=data.name,
            fitted=fitted,
            epochs=recipe.epochs,
            seed=recipe.seed,
            held_back=HELD_BACK,
            parameters=parameters,
            sha256=sha256,
            architecture=arguments.architecture,
            **facts,
        )

    held_back = data.train.take(np.arange(fitted, len(images)))
    content = to_onnx(net, SHAPE)
    save(content, held_back, arguments.output, name=plan.name, normalisation=NORMALISATION, labels=LABELS, card=card)
    console.print(f"validation {facts['validation']:.2f} %, test {facts['test']:.2f} %, written to {arguments.output}")


if __name__ == "__main__":
    main()
