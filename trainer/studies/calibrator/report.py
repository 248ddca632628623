"""The records of a pair as a table, as CSV and as a page of Markdown; the pictures are in `figures.py`."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from trainer.studies.calibrator.attempts import Study
from trainer.studies.calibrator.measures import MOVES, STINT, STINTS
from trainer.studies.calibrator.records import Record
from trainer.studies.calibrator.rows import PRINTED

HEAD = ("row", "seeds", "source", "lost", "target", "printed", "moving", "worst", "high", "size", "seconds")

LEGEND = f"""Accuracy in percent of the test sets, mean ± standard deviation over seeds. *Source* and *target*: what is
left of the one and won of the other; *lost*: points of source accuracy lost; *printed*: source and target in the paper
or the tutorial, of other classifiers than these. *Moving*: a device that moves between both at random ({STINTS} stints
of {STINT} images, a move before one in {round(1 / MOVES)}) and is not told where it is; *worst*: its worst ten stints
in a row. *High*: share of the target's power at high frequencies, before and after the corrector; *size*: numbers of
the corrector, and in brackets of the classifier; both of the first seed."""


@dataclass(frozen=True)
class Line:
    """All seeds of one row."""

    name: str
    records: tuple[Record, ...]

    def mean(self, part: str, *, before: bool = False) -> float:
        """Of one accuracy."""
        return float(np.mean([getattr(record.before if before else record.after, part) for record in self.records]))

    @property
    def lost(self) -> float:
        """Points of source accuracy."""
        return self.mean("source", before=True) - self.mean("source")

    def cells(self) -> tuple[str, ...]:
        """As HEAD says."""
        first = self.records[0]
        printed = PRINTED.get(first.pair, {}).get(self.name)
        high = None if first.high_after is None else f"{first.high_before:.2f} to {first.high_after:.2f}"
        size = f"{first.parameters:,} ({first.model_parameters:,})" if first.parameters else "-"
        return (
            self.name,
            str(len(self.records)),
            self._spread("source"),
            f"{self.lost:+.2f}".replace("+-", "-"),
            self._spread("target"),
            "-" if printed is None else " / ".join("-" if value is None else f"{value:.2f}" for value in printed),
            f"{self.mean('moving'):.2f}",
            f"{self.mean('worst'):.2f}",
            high or "-",
            size,
            f"{np.mean([record.seconds for record in self.records]):.0f}",
        )

    def _spread(self, part: str) -> str:
        values = [getattr(record.after, part) for record in self.records]
        return f"{np.mean(values):.2f}" + (f" ± {np.std(values):.2f}" if len(values) > 1 else "")


def lines_of(records: Sequence[Record]) -> tuple[Line, ...]:
    """One line a row, in the records' order."""
    names = dict.fromkeys(record.name for record in records)
    return tuple(Line(name, tuple(record for record in records if record.name == name)) for name in names)


def to_csv(records: Sequence[Record]) -> str:
    """One line a record."""
    flat = [_flat(record) for record in records]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()


def _flat(record: Record) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in asdict(record).items():
        found |= {f"{name}_{part}": one for part, one in value.items()} if isinstance(value, dict) else {name: value}
    return found


def to_markdown(study: Study, records: Sequence[Record], pictures: Sequence[str]) -> str:
    """The page: what was run, the table, every seed, the pictures by file name."""
    source, target = study.source, study.target
    title = f"# {source.name.upper()} to {target.name.upper()}"
    facts = (
        f"Frozen model {study.net.bundle.manifest.name}, `{study.net.bundle.manifest.frozen_sha256[:12]}`; "
        f"{len(target.train.images):,} target images to fit to, a batch is {study.sizes.few}; "
        f"{len(source.test.images):,} and {len(target.test.images):,} test images"
        + (f"; effort {study.sizes.effort:g}: these numbers mean nothing." if study.sizes.effort < 1 else ".")
    )
    seeds = [
        [record.name, str(record.seed), f"{record.after.source:.2f}", f"{record.after.target:.2f}"]
        for record in records
    ]
    parts = [
        title,
        facts,
        LEGEND,
        markdown_table(HEAD, [line.cells() for line in lines_of(records)]),
        *(f"![{name}]({name})" for name in pictures),
        "## Every seed\n\n" + markdown_table(("row", "seed", "source", "target"), seeds),
    ]
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def to_json(records: Sequence[Record]) -> dict[str, object]:
    """The same facts for scripts."""
    return {"records": [asdict(record) for record in records]}
