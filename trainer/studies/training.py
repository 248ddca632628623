"""Training the small classifiers that ship, and writing them as bundles: what all of them share."""

import io
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnxscript import optimizer
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional

from service.contract.bundle import replace_synced, write_bundle
from trainer.calibration.calibrate import calibrated
from trainer.calibration.plan import Settings
from trainer.datasets import Dataset
from trainer.interface import Normalisation, read_input_spec
from trainer.registration import register

OPSET = 18
INPUT, OUTPUT = "image", "logits"

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: AdamW or SGD with one rise and fall of the step size.

    Attributes:
        augment: makes a batch (n, C, H, W) another one; None leaves it.
        smoothing: share of the target probability that goes to all classes evenly.
        mixed: forward passes in bfloat16 where torch holds that to be safe; weights stay float32. Half the time on a
            processor that has instructions for it, several times as long on one that has none.
    """

    epochs: int
    top_rate: float
    batch: int = 128
    seed: int = 0
    weight_decay: float = 1e-2
    momentum: float | None = None
    smoothing: float = 0.0
    augment: Augment | None = None
    mixed: bool = False

    def optimiser(self, net: nn.Module) -> torch.optim.Optimizer:
        """AdamW, or SGD where a momentum is given."""
        if self.momentum is None:
            return torch.optim.AdamW(net.parameters(), weight_decay=self.weight_decay)
        return torch.optim.SGD(
            net.parameters(), lr=self.top_rate, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=True
        )


def train(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    console: Console,
    *,
    checkpoint: Path | None = None,
) -> None:
    """Train in place; the net ends in inference mode.

    With a `checkpoint` its file is written after every epoch, and an interrupted training of the same recipe goes on
    from there as if nothing had been.
    """
    steps_an_epoch = len(images) // recipe.batch
    optimiser = recipe.optimiser(net)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.top_rate, total_steps=recipe.epochs * steps_an_epoch
    )
    draw = torch.Generator().manual_seed(recipe.seed)
    state = _State(net, optimiser, schedule, draw)
    done = state.read(checkpoint) if checkpoint is not None and checkpoint.is_file() else 0
    net.train()
    with Progress(console=console) as progress:
        task = progress.add_task("training", total=recipe.epochs * steps_an_epoch, completed=done * steps_an_epoch)
        for epoch in range(done, recipe.epochs):
            order = torch.randperm(len(images), generator=draw)[: steps_an_epoch * recipe.batch]
            for rows in order.split(recipe.batch):  # type: ignore[no-untyped-call]  # torch leaves it untyped
                batch = images[rows] if recipe.augment is None else recipe.augment(images[rows], draw)
                _step(net, batch.contiguous(memory_format=torch.channels_last), labels[rows], recipe, optimiser)
                schedule.step()
                progress.advance(task)
            if checkpoint is not None:
                state.write(checkpoint, epoch + 1)
    net.eval()


def _step(net: nn.Module, batch: Tensor, labels: Tensor, recipe: Recipe, optimiser: torch.optim.Optimizer) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.mixed):
        scores = net(batch)
    loss = functional.cross_entropy(scores.float(), labels, label_smoothing=recipe.smoothing)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimiser.step()


@dataclass(frozen=True)
class _State:
    """All that a training depends on from one epoch to the next."""

    net: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    draw: torch.Generator

    def write(self, path: Path, epochs: int) -> None:
        """Whole or not at all."""
        buffer = io.BytesIO()
        parts = {name: getattr(self, name).state_dict() for name in ("net", "optimiser", "schedule")}
        torch.save({"epochs": epochs, "draw": self.draw.get_state(), **parts}, buffer)
        replace_synced(path, buffer.getvalue())

    def read(self, path: Path) -> int:
        """Go on from the file; the epochs that are behind."""
        found = torch.load(path, weights_only=True)
        for name in ("net", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(found[name])
        self.draw.set_state(found["draw"])
        return int(found["epochs"])


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Percent of images classified as labelled."""
    hits = [net(x).argmax(1) == y for x, y in zip(torch.split(images, 500), torch.split(labels, 500), strict=True)]
    return 100 * float(torch.cat(hits).float().mean())


def to_onnx(net: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """The trained net as an ONNX file that keeps its BatchNormalization nodes, batch size free."""
    plain = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # missing from torch's types
    with warnings.catch_warnings():
        # The exporter's own use of deprecated parts of torch.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            plain,
            (torch.zeros(2, *shape),),
            input_names=[INPUT],
            output_names=[OUTPUT],
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
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def save(
    content: bytes,
    source: Dataset,
    output: Path,
    *,
    name: str,
    normalisation: Normalisation,
    labels: tuple[str, ...] | None,
    card: Callable[[str], str],
    pairs: int = 0,
) -> None:
    """Register the model and write the bundle.

    Args:
        card: is given the SHA-256 of the file.
        pairs: of batches that its gate is calibrated with, 0 for no calibration.
    """
    spec = read_input_spec(content, normalisation)
    draft = register(content, name=name, spec=spec, source=source, labels=labels, card=None)
    text = card(draft.manifest.frozen_sha256)
    bundle = register(content, name=name, spec=spec, source=source, labels=labels, card=text)
    if pairs:
        with TemporaryDirectory() as cache:
            bundle = calibrated(bundle, source, Path(cache), settings=Settings(pairs=pairs))
    shutil.rmtree(output, ignore_errors=True)
    write_bundle(output, bundle.manifest, bundle.files)


def tensors(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Planes and labels for torch."""
    assert dataset.labels is not None
    return torch.from_numpy(dataset.images), torch.from_numpy(dataset.labels)
