"""`foreoptic reproduce homogenization`: the paper's tables, made anew or read from an earlier run's folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from foreoptic import show
from foreoptic.following import progress_bar
from foreoptic.locate import find_model
from service.contract.bundle import Bundle, read_bundle, replace_synced
from service.contract.manifest import ModelManifest
from service.settings import Settings, shipped_models, shipped_names
from trainer.datasets import DatasetError
from trainer.frozen import FrozenError
from trainer.studies.homogenization.figures import draw_pictures
from trainer.studies.homogenization.nets import Net, UnfitModel
from trainer.studies.homogenization.protocol import PLANS, QUICK, Sizes, load_material
from trainer.studies.homogenization.report import regained_of, title_of, to_csv, to_json, to_markdown
from trainer.studies.homogenization.rows import Table, every_row, tables
from trainer.studies.homogenization.runs import Bench, Record, run_all
from trainer.studies.homogenization.tables import HEADINGS, filled
from trainer.task import NoSource

RECORDS = "records"
SHOWN = ("validation", "verification")
"""What fits on a terminal; the report has everything."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; None takes the paper's."""

    dataset: str
    data: Path
    seeds: int
    quick: bool
    kappa: float | None
    only: tuple[str, ...]
    ablate: bool
    output: Path
    model: str | None
    verifier: str | None
    device: str
    as_json: bool


def reproduce_homogenization(wanted: Wanted, settings: Settings) -> None:
    """Run what is not in the folder yet, write the report, print the tables."""
    torch.set_num_threads(settings.job_threads)
    try:
        bench = _bench(wanted, settings)
        found = tables(bench.plan, bench.sizes, ablate=wanted.ablate)
        rows = every_row(found, wanted.only)
        with progress_bar() as advance:
            records = run_all(bench, rows, range(wanted.seeds), advance)
    except (DatasetError, FrozenError, NoSource, UnfitModel, ValueError) as error:
        raise show.fail(str(error)) from error
    _write(bench, found, records, wanted.output)
    if wanted.as_json:
        show.print_json(to_json(found, records))
        return
    _print(bench, found, records, wanted.output)


def _bench(wanted: Wanted, settings: Settings) -> Bench:
    if wanted.device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"there is no device '{wanted.device}' here; leave --device out")
    plan = PLANS[wanted.dataset]
    net = Net(_model(wanted.model, plan.model, "--model", settings), plan)
    verifier = Net(_model(wanted.verifier, plan.verifier, "--verifier", settings), plan)
    if verifier.manifest.input.shape != net.manifest.input.shape:
        raise UnfitModel(
            f"model takes {net.manifest.input.shape}, verifier {verifier.manifest.input.shape}; both must agree"
        )
    sizes = QUICK if wanted.quick else Sizes()
    material = load_material(plan, wanted.data, net.manifest.input, sizes)
    for part in (net, verifier):
        part.must_know(material)
    return Bench(
        plan=plan,
        sizes=sizes,
        kappa=plan.kappa if wanted.kappa is None else wanted.kappa,
        net=net,
        verifier=verifier,
        material=material,
        folder=wanted.output / RECORDS,
        device=wanted.device,
    )


def _model(given: str | None, ships: str, option: str, settings: Settings) -> Bundle[ModelManifest]:
    if given is not None:
        return find_model(given, settings)
    if ships not in shipped_names():
        raise UnfitModel(f"model '{ships}' does not ship with this release; give a bundle's folder with {option}")
    return read_bundle(shipped_models() / ships, ModelManifest)


def _write(bench: Bench, found: Sequence[Table], records: list[Record], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    pictures = []
    for setting in dict.fromkeys(record.setting for record in records if record.setting != "baseline"):
        shown = [r for r in records if r.draw == records[0].draw and r.setting in ("baseline", setting)]
        pictures.append(f"{bench.plan.name}-{setting}.png")
        draw_pictures(bench, shown, output / pictures[-1])
    replace_synced(output / f"{bench.plan.name}.csv", to_csv(records).encode())
    replace_synced(output / f"{bench.plan.name}.md", to_markdown(bench, found, records, pictures=pictures).encode())


def _print(bench: Bench, found: Sequence[Table], records: list[Record], output: Path) -> None:
    for table, lines in filled(found, records):
        cells = [[line.name, *line.cells(SHOWN), regained_of(line)] for line in lines]
        title = f"{bench.material.name}, {title_of(table)}; accuracy in percent, in brackets the paper's"
        show.print_table(title, ["method", *(HEADINGS[metric] for metric in SHOWN), "regained"], cells)
        show.out.print()
    uncorrected = [record for record in records if record.setting == "baseline" and record.name == "Data set B"]
    values = ", ".join(f"{record.validation:.1f}" for record in uncorrected)
    show.out.print(f"uncorrected validation accuracy of each draw: {values}", soft_wrap=True)
    show.out.print(f"report in {output / bench.plan.name}.md", soft_wrap=True)
