"""Trains the demo's frozen model on MNIST and writes its bundle.

    python -m trainer.studies.digits mnist.npz models/digits

Plain training: no augmentation, no image of any other source, a fixed seed. On two processors it takes about three
minutes. The last 5,000 training images only tell how training goes; the test images are looked at once, for the card.
"""

import argparse
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxscript import optimizer
from rich.console import Console
from rich.progress import track
from torch import nn
from torch.nn import functional

from service.contract.bundle import write_bundle
from trainer.datasets import Dataset, load_dataset
from trainer.interface import Normalisation, read_input_spec
from trainer.registration import register

NAME = "digits"
OPSET = 18
CLASSES = 10


@dataclass(frozen=True)
class Config:
    """How the model is trained."""

    seed: int = 0
    epochs: int = 5
    batch: int = 128
    held_back: int = 5_000
    top_rate: float = 5e-3
    weight_decay: float = 1e-2


CARD = """# digits

A small convolutional classifier of handwritten digits: the frozen model of Foreoptic's demo.

| | |
|---|---|
| Input | `image`, float32 (n, 1, 28, 28), white on black, 0 to 1 |
| Output | `logits`, float32 (n, 10) |
| Trained on | MNIST (LeCun, Cortes, Burges), first {fitted:,} training images, {epochs} epochs, seed {seed}, plain |
| Accuracy, MNIST validation ({held_back:,} images held back) | {validation:.2f} % |
| Accuracy, MNIST test (10,000 images) | {test:.2f} % |
| Parameters | {parameters:,} |
| SHA-256 | `{sha256}` |

Made by `python -m trainer.studies.digits MNIST.npz models/digits`, without augmentation. The fingerprint beside it was
taken from the {held_back:,} images held back. Meant for demonstration and tests; it has seen no writer, pen or scanner
but MNIST's.
"""


def build() -> nn.Sequential:
    """Six convolutions 3x3 with batch normalisation, 16 to 64 wide, global average pool, one linear layer."""

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    plan = [(1, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1)]
    body = [layer for step in plan for layer in block(*step)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def train(net: nn.Sequential, images: torch.Tensor, labels: torch.Tensor, config: Config, console: Console) -> None:
    """AdamW with one rise and fall of the step size."""
    steps = config.epochs * (len(images) // config.batch)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.top_rate, total_steps=steps)
    net.train()
    order = torch.cat([torch.randperm(len(images)) for _ in range(config.epochs + 1)])
    for step in track(range(steps), "training", console=console):
        rows = order[step * config.batch : (step + 1) * config.batch]
        loss = functional.cross_entropy(net(images[rows]), labels[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
    net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Percent of images classified as labelled."""
    hits = [net(x).argmax(1) == y for x, y in zip(torch.split(images, 500), torch.split(labels, 500), strict=True)]
    return 100 * float(torch.cat(hits).float().mean())


def to_onnx(net: nn.Module) -> bytes:
    """The trained net as an ONNX file that keeps its BatchNormalization nodes, batch size free."""
    plain = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # missing from torch's types
    with warnings.catch_warnings():
        # The exporter's own use of deprecated parts of torch.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            plain,
            (torch.zeros(2, 1, 28, 28),),
            input_names=["image"],
            output_names=["logits"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            # The exporter's own optimiser would fold the normalisation into the convolutions.
            optimize=False,
            verbose=False,
        )
    assert program is not None
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    return bytes(without_traces(program.model_proto).SerializeToString(deterministic=True))


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what the exporter notes beside it: stack traces with the paths of whoever trained it."""
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def main() -> None:
    """Train, export, register, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mnist", type=Path, help=".npz with x_train, y_train, x_test, y_test")
    parser.add_argument("output", type=Path, help="folder of the bundle; replaced if it is there")
    arguments = parser.parse_args()
    console, config = Console(stderr=True), Config()
    torch.manual_seed(config.seed)
    # Channels last: half the time on a processor.
    net = build()
    spec = read_input_spec(to_onnx(net.eval()), Normalisation())
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's types
    source, test = (load_dataset(arguments.mnist, spec, part=part) for part in ("train", "test"))
    fitted = len(source.images) - config.held_back
    images, labels = tensors(source)
    train(net, images[:fitted], labels[:fitted], config, console)
    content = to_onnx(net)
    facts = {
        "fitted": fitted,
        "held_back": config.held_back,
        "epochs": config.epochs,
        "seed": config.seed,
        "validation": accuracy(net, images[fitted:], labels[fitted:]),
        "test": accuracy(net, *tensors(test)),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
    }
    # What the model was not trained on: on its training images its statistics are a little too good.
    save(content, source.take(np.arange(fitted, len(source.images))), arguments.output, facts)
    console.print(f"validation {facts['validation']:.2f} %, test {facts['test']:.2f} %, written to {arguments.output}")


def save(content: bytes, source: Dataset, output: Path, facts: dict[str, float]) -> None:
    """Register the model with its card and write the bundle."""
    spec = read_input_spec(content, Normalisation())
    draft = register(content, name=NAME, spec=spec, source=source, labels=None, card=None)
    card = CARD.format(sha256=draft.manifest.frozen_sha256, **facts)
    bundle = register(content, name=NAME, spec=spec, source=source, labels=None, card=card)
    shutil.rmtree(output, ignore_errors=True)
    write_bundle(output, bundle.manifest, bundle.files)


def tensors(dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels for torch."""
    assert dataset.labels is not None
    return torch.from_numpy(dataset.images), torch.from_numpy(dataset.labels)


if __name__ == "__main__":
    main()
