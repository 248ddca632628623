"""Trains the two MNIST classifiers that ship: the demo's frozen model, and a verifier of another kind.

    python -m trainer.studies.digits mnist.npz models/digits
    python -m trainer.studies.digits --architecture resnet9 mnist.npz models/digits-verifier

Plain training: no augmentation, no image of any other source, a fixed seed. On two processors either takes about three
minutes. The last 5,000 training images only tell how training goes and make the fingerprint; the test images are looked
at once, for the card.

The `digits` that ships was trained before both shared one loop: trained again it sees its images in another order, and
is another file.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import nn

from trainer.datasets import load_dataset
from trainer.interface import Normalisation, read_input_spec
from trainer.studies.training import Recipe, accuracy, save, tensors, to_onnx, train
from trainer.studies.zoo.blocks import Residual, conv_norm, head

SHAPE = (1, 28, 28)
CLASSES = 10
HELD_BACK = 5_000


@dataclass(frozen=True)
class Plan:
    """One of the two classifiers: its name, what it is for, and its recipe, whose seed the other must not share."""

    name: str
    words: str
    recipe: Recipe


PLANS = {
    "plain": Plan(
        "digits",
        "A small convolutional classifier of handwritten digits: the frozen model of Foreoptic's demo.",
        Recipe(epochs=5, top_rate=5e-3, seed=0),
    ),
    "resnet9": Plan(
        "digits-verifier",
        "A ResNet of nine layers with max pooling, 16 to 64 wide: the second opinion of Foreoptic's studies on digits.",
        Recipe(epochs=4, top_rate=5e-3, seed=1),
    ),
}

CARD = """# {name}

{words}

| | |
|---|---|
| Input | `image`, float32 (n, 1, 28, 28), white on black, 0 to 1 |
| Output | `logits`, float32 (n, 10) |
| Trained on | MNIST (LeCun, Cortes, Burges), first {fitted:,} training images, {epochs} epochs, seed {seed}, plain |
| Accuracy, MNIST validation ({held_back:,} images held back) | {validation:.2f} % |
| Accuracy, MNIST test (10,000 images) | {test:.2f} % |
| Parameters | {parameters:,} |
| SHA-256 | `{sha256}` |

Made by `python -m trainer.studies.digits --architecture {architecture} --pairs {pairs} MNIST.npz models/{name}`,
without augmentation. The fingerprint beside it was taken from the {held_back:,} images held back. Meant for
demonstration and tests; it has seen no writer, pen or scanner but MNIST's.
"""


def plain() -> nn.Sequential:
    """Six convolutions 3x3 with batch normalisation, 16 to 64 wide, global average pool, one linear layer."""
    plan = [(1, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1)]
    return nn.Sequential(*(conv_norm(inner, outer, 3, stride) for inner, outer, stride in plan), head(64, CLASSES))


def resnet9() -> nn.Sequential:
    """Nine layers with shortcuts and max pools: another kind of network than the plain one."""
    return nn.Sequential(
        conv_norm(1, 16),
        conv_norm(16, 32),
        nn.MaxPool2d(2),
        Residual(conv_norm(32, 32), conv_norm(32, 32)),
        conv_norm(32, 64),
        nn.MaxPool2d(2),
        conv_norm(64, 64),
        nn.MaxPool2d(2),
        Residual(conv_norm(64, 64), conv_norm(64, 64)),
        head(64, CLASSES),
    )


ARCHITECTURES = {"plain": plain, "resnet9": resnet9}


def main() -> None:
    """Train, export, register, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="plain")
    parser.add_argument("mnist", type=Path, help=".npz with x_train, y_train, x_test, y_test")
    parser.add_argument("output", type=Path, help="folder of the bundle; replaced if it is there")
    parser.add_argument("--pairs", type=int, default=0, help="of batches that the gate is calibrated with")
    arguments = parser.parse_args()
    console, plan = Console(stderr=True), PLANS[arguments.architecture]
    torch.manual_seed(plan.recipe.seed)
    net = ARCHITECTURES[arguments.architecture]()
    spec = read_input_spec(to_onnx(net.eval(), SHAPE), Normalisation())
    # Channels last: half the time on a processor.
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's types
    source, test = (load_dataset(arguments.mnist, spec, part=part) for part in ("train", "test"))
    fitted = len(source.images) - HELD_BACK
    images, labels = tensors(source)
    train(net, images[:fitted], labels[:fitted], plan.recipe, console)
    facts = {
        "validation": accuracy(net, images[fitted:], labels[fitted:]),
        "test": accuracy(net, *tensors(test)),
    }
    parameters = sum(parameter.numel() for parameter in net.parameters())

    def card(sha256: str) -> str:
        return CARD.format(
            name=plan.name,
            words=plan.words,
            fitted=fitted,
            epochs=plan.recipe.epochs,
            seed=plan.recipe.seed,
            held_back=HELD_BACK,
            parameters=parameters,
            sha256=sha256,
            architecture=arguments.architecture,
            pairs=arguments.pairs,
            **facts,
        )

    # What the model was not trained on: on its training images its statistics are a little too good.
    held_back = source.take(np.arange(fitted, len(images)))
    content = to_onnx(net, SHAPE)
    save(
        content,
        held_back,
        arguments.output,
        name=plan.name,
        normalisation=Normalisation(),
        labels=None,
        card=card,
        pairs=arguments.pairs,
    )
    console.print(f"validation {facts['validation']:.2f} %, test {facts['test']:.2f} %, written to {arguments.output}")


if __name__ == "__main__":
    main()
