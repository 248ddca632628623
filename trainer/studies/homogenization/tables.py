"""From records to tables: mean and standard deviation over the draws, and the paper's figure beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.studies.homogenization.anchors import Figure, printed
from trainer.studies.homogenization.rows import DISTORTED, TRUE, Row, Table
from trainer.studies.homogenization.runs import METRICS, Record

HEADINGS = {
    "accuracy": "accuracy of B",
    "validation": "validation",
    "verification": "verification",
    "l2_error": "l2 error",
    "psnr": "PSNR",
    "ssim": "SSIM",
}
UNKNOWN = "-"


@dataclass(frozen=True)
class Line:
    """One row over all its draws.

    Attributes:
        ours: by metric; nothing where no draw has a finite value. paper: likewise.
        regained: for each draw the share of the lost validation accuracy that came back, in percent; nothing where the
            uncorrected or the true data set was not run, or nothing was lost.
    """

    name: str
    draws: int
    ours: dict[str, Figure]
    paper: dict[str, Figure]
    regained: tuple[float, ...]

    def cells(self, metrics: Sequence[str] = METRICS) -> list[str]:
        """Some metrics as text: ours, and the paper's in brackets."""
        return [f"{text(self.ours.get(metric))} ({text(self.paper.get(metric))})" for metric in metrics]


def lines_of(table: Table, records: Sequence[Record]) -> list[Line]:
    """The rows of a table that have a record."""
    lines = []
    for row in table.rows:
        found = [record for record in records if (record.name, record.setting) == (row.name, row.setting)]
        if found:
            paper = dict(printed(table.number, row.name))
            lines.append(Line(row.name, len(found), _summary(found), paper, _regained(row, found, records)))
    return lines


def filled(tables: Sequence[Table], records: Sequence[Record]) -> list[tuple[Table, list[Line]]]:
    """The tables of which a method has a record, and their lines."""
    methods = {(record.name, record.setting) for record in records if record.setting != "baseline"}
    return [
        (table, lines_of(table, records))
        for table in tables
        if any((row.name, row.setting) in methods for row in table.rows)
    ]


def text(figure: Figure | None) -> str:
    """A cell: the mean, and the deviation where there is one."""
    if figure is None:
        return UNKNOWN
    return f"{figure.mean:.1f}" + (f" ± {figure.deviation:.1f}" if figure.deviation is not None else "")


def _summary(records: Sequence[Record]) -> dict[str, Figure]:
    found = {}
    for metric in METRICS:
        values = [value for record in records if (value := getattr(record, metric)) is not None]
        if values:
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
            found[metric] = Figure(float(np.mean(values)), deviation)
    return found


def _regained(row: Row, found: Sequence[Record], records: Sequence[Record]) -> tuple[float, ...]:
    if row.config is None:
        return ()
    base = {(record.name, record.draw): record.validation for record in records if record.setting == "baseline"}
    shares = []
    for record in found:
        clean, distorted = (base.get((name, record.draw)) for name in (TRUE, DISTORTED))
        if clean is not None and distorted is not None and clean > distorted:
            shares.append(100 * (record.validation - distorted) / (clean - distorted))
    return tuple(shares)
