"""The demo's picture: what the camera sent, what the frozen model saw, and what it was worth."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import onnxruntime
from matplotlib import pyplot
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from foreoptic.client import Client
from foreoptic.demo_target import Target
from service.contract.input_spec import InputSpec
from service.contract.pictures import to_pixels

SHOWN = 10


def draw_report(path: Path, client: Client, target: Target, result: dict[str, Any]) -> Path:
    """Draw and save; the corrected images come from the corrector that a device would pull."""
    spec = InputSpec.model_validate(client.model()["input"])
    # One image of each class, so that nobody has to wonder whether they were picked.
    rows = [int(np.flatnonzero(target.measured_labels == label)[0]) for label in range(SHOWN)]
    sent = spec.from_pixels(np.stack([to_pixels(Image.fromarray(target.measured[row]), spec) for row in rows]))
    seen = _correct(client.corrector(result["version"]), sent) if result["version"] else sent
    figure = pyplot.figure(figsize=(11, 5.2), layout="constrained")
    grid = figure.add_gridspec(3, SHOWN, height_ratios=(1, 1, 1.3))
    for line, (title, images) in enumerate((("sent", sent), ("corrected", seen))):
        for column in range(SHOWN):
            _show(figure.add_subplot(grid[line, column]), images[column, 0], title if column == 0 else "", spec)
    _bars(figure.add_subplot(grid[2, :]), result)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path


def _correct(corrector: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(corrector, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


def _show(axes: Axes, image: NDArray[np.float32], title: str, spec: InputSpec) -> None:
    axes.imshow(image, cmap="gray", vmin=spec.bounds[0], vmax=spec.bounds[1])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_ylabel(title, fontsize=12)


def _bars(axes: Axes, result: dict[str, Any]) -> None:
    names = ("trained on the target,\nwith labels", "after", "before")
    values = (result["trained_on_target"], result["after"], result["before"])
    bars = axes.barh(names, values, color=("0.75", "tab:blue", "tab:red"))
    axes.bar_label(bars, fmt="%.1f %%", padding=4)
    axes.set_xlim(0, 110)
    axes.set_xlabel("accuracy on target images that no fit has seen, percent")
    axes.spines[["top", "right"]].set_visible(False)
