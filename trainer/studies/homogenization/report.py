"""The records of a study as CSV and as a page of Markdown; the pictures are in `figures.py`."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np

from trainer.studies.homogenization.rows import DISTORTED, TRUE, Table
from trainer.studies.homogenization.runs import METRICS, Bench, Record
from trainer.studies.homogenization.tables import HEADINGS, Line, filled, lines_of

LEGEND = (
    "Ours, mean ± standard deviation over the draws; in brackets what the paper printed. Accuracies and SSIM in "
    "percent, PSNR in dB. *Accuracy of B* is of the images that were fitted; *validation* (frozen model) and "
    "*verification* (a second network) are of images never fitted. *Regained* is the median over the draws of the "
    "share of the lost validation accuracy that came back. A figure that is not finite is in no mean."
)


def to_csv(records: Sequence[Record]) -> str:
    """One line a record."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in fields(Record)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    return buffer.getvalue()


def to_markdown(bench: Bench, tables: Sequence[Table], records: Sequence[Record], *, pictures: Sequence[str]) -> str:
    """The page: what was run, the tables, every draw, the pictures by file name."""
    parts = [_heading(bench), LEGEND]
    parts += [f"## {title_of(table)}\n\n{_table(lines)}" for table, lines in filled(tables, records)]
    parts.append(f"## Every draw: validation accuracy of each row\n\n{_draws(records)}")
    parts += [f"![{name}]({name})" for name in pictures]
    return "\n\n".join(parts) + "\n"


def title_of(table: Table) -> str:
    """As the paper numbers it."""
    return (
        f"Table {table.number}: {table.title}" if table.number is not None else table.title[0].upper() + table.title[1:]
    )


def _heading(bench: Bench) -> str:
    sizes, manifests = bench.sizes, (bench.net.manifest, bench.verifier.manifest)
    models = [f"| {part} | {m.name}, `{m.frozen_sha256[:12]}` |" for part, m in zip(PARTS, manifests, strict=True)]
    facts = [
        f"# Homogenization on {bench.material.name}",
        "",
        "| | |",
        "|---|---|",
        *models,
        f"| kappa | {bench.kappa} |",
        f"| images of A, B, C | {len(bench.material.source.images):,}, {sizes.fitted}, "
        f"{len(bench.material.validation.images):,} |",
        f"| epochs | {sizes.epochs} |",
    ]
    return "\n".join(facts)


PARTS = ("frozen model", "verifier")


def _table(lines: Sequence[Line]) -> str:
    head = ["method", "draws", *HEADINGS.values(), "regained"]
    rows = [[line.name, str(line.draws), *line.cells(), regained_of(line)] for line in lines]
    return _markdown(head, rows)


def regained_of(line: Line) -> str:
    """Median over draws, as text."""
    return f"{np.median(line.regained):.0f} %" if line.regained else "-"


def _draws(records: Sequence[Record]) -> str:
    draws = sorted({record.draw for record in records})
    rows = dict.fromkeys((record.setting, record.name) for record in records)
    table = []
    for setting, name in rows:
        found = {record.draw: record for record in records if (record.setting, record.name) == (setting, name)}
        words = name if name in (TRUE, DISTORTED) else f"{name}, {setting}"
        table.append([words, *(f"{found[draw].validation:.1f}" if draw in found else "-" for draw in draws)])
    return _markdown(["row", *(f"draw {draw}" for draw in draws)], table)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def to_json(tables: Sequence[Table], records: Sequence[Record]) -> dict[str, object]:
    """The same facts for scripts."""
    return {
        "records": [asdict(record) for record in records],
        "tables": [
            {"number": table.number, "title": table.title, "lines": [_line(line) for line in lines_of(table, records)]}
            for table in tables
        ],
    }


def _line(line: Line) -> dict[str, object]:
    figures = {
        side: {metric: found[metric]._asdict() for metric in METRICS if metric in found}
        for side, found in (("ours", line.ours), ("paper", line.paper))
    }
    return {"name": line.name, "draws": line.draws, "regained": line.regained, **figures}
