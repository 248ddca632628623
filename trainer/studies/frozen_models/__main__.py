"""Measures what can be read and writes the tables of the page.

    python -m trainer.studies.frozen_models             # 300 files, then the page; about eight minutes
    python -m trainer.studies.frozen_models --quick     # each architecture once per exporter, page untouched
    python -m trainer.studies.frozen_models --operators # only the page's table of operators, at once

Exit status 1: a file is refused, or a comparison is beyond its tolerance.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from trainer.studies.frozen_models.checks import Reading, examine
from trainer.studies.frozen_models.exporters import ExportFailed, ways
from trainer.studies.frozen_models.page import operator_table, readings_table, with_part
from trainer.studies.zoo import ARCHITECTURES, build


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="trainer.studies.frozen_models"
    )
    parser.add_argument("--quick", action="store_true", help="each exporter once, at its usual opset")
    parser.add_argument("--only", default="", metavar="TEXT", help="architectures whose name has this in it")
    parser.add_argument("--operators", action="store_true", help="write the table of operators and stop")
    parser.add_argument("--json", action="store_true", help="rows as JSON instead of a table")
    parser.add_argument("--page", type=Path, default=Path("docs/frozen-models.md"), help="the page with the markers")
    arguments = parser.parse_args()
    # At every export torch notes in its log that torchvision is not installed, across the progress bar.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    _write(arguments.page, "operators", operator_table())
    if arguments.operators:
        return
    readings = measure(arguments.only, quick=arguments.quick, console=Console(stderr=True))
    _report(readings, as_json=arguments.json)
    if not arguments.quick and not arguments.only:
        _write(arguments.page, "readings", readings_table(readings))
    sys.exit(0 if all(reading.holds for reading in readings) else 1)


def measure(only: str, *, quick: bool, console: Console) -> list[Reading]:
    """Every architecture with `only` in its name, every way."""
    names = [name for name in ARCHITECTURES if only.lower() in name.lower()]
    nets = {name: build(name) for name in names}
    tasks = [(name, way) for name in names for way in ways(name, quick=quick)]
    readings = []
    for name, way in track(tasks, "reading", console=console):
        try:
            readings.append(examine(name, nets[name], way))
        except ExportFailed as error:
            console.print(f"[yellow]torch does not export[/] {name}, {error}", highlight=False)
    return readings


def _report(readings: Sequence[Reading], *, as_json: bool) -> None:
    if as_json:
        json.dump([{**asdict(reading), "holds": reading.holds} for reading in readings], sys.stdout, indent=1)
        return
    table = Table("architecture", "exporter", "opset", "open axes", "taps", "norms kept", "parity", "gradient")
    for reading in readings:
        way = reading.way
        kept = f"{reading.with_statistics}/{reading.norms}"
        numbers = (str(reading.taps), kept, f"{reading.parity:.1e}", f"{reading.gradient:.1e}")
        result = ("refused", "", "", "") if reading.refusal else numbers
        style = "" if reading.holds else "red"
        table.add_row(reading.architecture, way.exporter, str(way.opset), way.axes, *result, style=style)
    console = Console()
    console.print(table)
    for reading in readings:
        if reading.refusal:
            console.print(f"{reading.architecture}, {reading.way.exporter}: {reading.refusal}", markup=False)


def _write(page: Path, part: str, content: str) -> None:
    page.write_text(with_part(page.read_text(encoding="utf-8"), part, content), encoding="utf-8")


if __name__ == "__main__":
    main()
