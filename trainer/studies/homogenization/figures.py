"""The pictures of a draw: ground truth, distorted, and every method, as in figures 3 to 5 of the paper."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trainer.studies.homogenization.rows import DISTORTED, TRUE
from trainer.studies.homogenization.runs import Bench, Record, pictures_of

WORDS = {TRUE: "Ground truth", DISTORTED: "Distorted"}
INCHES = 0.6
MARGIN = 1.6


def draw_pictures(bench: Bench, records: Sequence[Record], path: Path) -> None:
    """One line of images a record, each line stretched to its own range, into a PNG file."""
    strips = [(WORDS.get(record.name, record.name), _strip(pictures_of(bench, record))) for record in records]
    columns = len(pictures_of(bench, records[0]))
    figure = Figure(figsize=(INCHES * columns + MARGIN, INCHES * len(strips)), dpi=150)
    FigureCanvasAgg(figure)
    left = MARGIN / (INCHES * columns + MARGIN)
    for index, (words, strip) in enumerate(strips):
        bottom = 1 - (index + 1) / len(strips)
        axes = figure.add_axes((left, bottom, 1 - left, 0.96 / len(strips)))
        axes.imshow(strip, interpolation="nearest", aspect="auto", vmin=0, vmax=1, cmap="gray")
        axes.set_axis_off()
        figure.text(left * 0.95, bottom + 0.5 / len(strips), words, ha="right", va="center", fontsize=7)
    figure.savefig(path, metadata={"Software": None})


def _strip(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (n, C, H, W) side by side, (H, n W) or (H, n W, 3), from 0 to 1 over all of them."""
    low, high = float(images.min()), float(images.max())
    row = np.concatenate(list((images - low) / max(high - low, 1e-12)), axis=2)
    return np.asarray(row[0] if len(row) == 1 else row.transpose(1, 2, 0), dtype=np.float32)
