"""Figure 2 of the paper, source against target accuracy of everyone; and what a calibrator does to pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trainer.studies.calibrator.records import Record
from trainer.studies.calibrator.report import Line, lines_of

COLOURS = {"frozen": "tab:blue", "changed": "tab:orange", "tutorial": "tab:green"}
WORDS = {
    "frozen": "in front of the frozen model",
    "changed": "the model, or a copy, is changed",
    "tutorial": "on the tutorial's classifier",
}
MARKS = "osD^v<>PX*hp"


def draw_trade_off(title: str, records: Sequence[Record], path: Path) -> None:
    """Source accuracy across, target accuracy up; one point a row, its mean over the seeds."""
    figure = Figure(figsize=(9, 5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for group, colour in COLOURS.items():
        lines = [line for line in lines_of(records) if line.records[0].group == group]
        if lines:
            axes.plot([], [], "s", color=colour, markersize=9, label=WORDS[group].upper())
        for mark, line in zip(MARKS, lines, strict=False):
            _point(axes, line, colour, mark)
    axes.set_title(f"{title}: top right is best")
    axes.set_xlabel("source accuracy (percent)")
    axes.set_ylabel("target accuracy (percent)")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False)
    figure.savefig(path, metadata={"Software": None})


def _point(axes: Axes, line: Line, colour: str, mark: str) -> None:
    axes.plot(line.mean("source"), line.mean("target"), mark, color=colour, markersize=7, alpha=0.8, label=line.name)


def draw_pictures(before: NDArray[np.float32], after: NDArray[np.float32], path: Path) -> None:
    """Target images, corrected ones and their difference, and the spectra of all, as in the paper's figure 6."""
    count = min(10, len(before))
    figure = Figure(figsize=(0.7 * count + 3, 2.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, count + 3)
    rows = (("target", before), ("corrected", after), ("change", after - before))
    for index, (words, images) in enumerate(rows):
        for column in range(count):
            axes = figure.add_subplot(grid[index, column])
            axes.imshow(images[column].mean(axis=0), cmap="gray", interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(words, fontsize=6)
    axes = figure.add_subplot(grid[:, count:])
    for words, images in rows[:2]:
        axes.semilogy(*_spectrum(images), label=words)
    axes.set_xlabel("cycles a pixel", fontsize=6)
    axes.set_title("power", fontsize=7)
    axes.tick_params(labelsize=5)
    axes.legend(fontsize=6, frameon=False)
    figure.savefig(path, metadata={"Software": None})


def _spectrum(images: NDArray[np.float32], rings: int = 12) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power in rings of spatial frequency, the lowest left out with the means."""
    values = images.astype(np.float64)
    power = np.mean(np.abs(np.fft.fft2(values - values.mean(axis=(2, 3), keepdims=True))) ** 2, axis=(0, 1))
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in power.shape), indexing="ij"))
    ring = np.minimum((radius / 0.5 * rings).astype(int), rings - 1).ravel()
    total = np.bincount(ring, weights=power.ravel(), minlength=rings)
    return (np.arange(rings) + 0.5) * 0.5 / rings, total / np.maximum(np.bincount(ring, minlength=rings), 1)
