"""`foreoptic reproduce calibrator` and `reproduce tutorial`: rows made anew or read from an earlier run's folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from foreoptic import show
from foreoptic.following import progress_bar
from foreoptic.locate import find_model
from service.contract.bundle import replace_synced
from service.contract.input_spec import InputSpec
from service.settings import Settings
from trainer.datasets import DatasetError
from trainer.frozen import FrozenError
from trainer.studies.calibrator.attempts import Study
from trainer.studies.calibrator.domains import PAIRS, QUICK, Domain, Sizes, load_domain
from trainer.studies.calibrator.figures import draw_pictures, draw_trade_off
from trainer.studies.calibrator.models import Net, kept_net, train_plain
from trainer.studies.calibrator.records import Record, pictures_of, run_all
from trainer.studies.calibrator.report import lines_of, to_csv, to_json, to_markdown
from trainer.studies.calibrator.rows import OURS, OURS_FEW, PRINTED, Group, rows_of

MODELS = "models"
SHIPPED = "digits"
"""The frozen model of MNIST."""
PICTURED_ROWS = (OURS_FEW, OURS)


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    pairs: tuple[str, ...]
    files: dict[str, tuple[Path, ...]]
    groups: tuple[Group, ...]
    only: tuple[str, ...]
    seeds: int
    quick: bool
    mixed: bool
    output: Path
    as_json: bool


def files_of(mnist: Path, usps: Path | None, svhn: Path | None) -> dict[str, tuple[Path, ...]]:
    """The files of each data set that was named."""
    found: dict[str, tuple[Path, ...]] = {"mnist": (mnist,)}
    if usps is not None:
        found["usps"] = (usps,)
    return found if svhn is None else {**found, "svhn": tuple(svhn / f"{part}_32x32.mat" for part in ("train", "test"))}


def chosen_pairs(named: tuple[str, ...], files: dict[str, tuple[Path, ...]]) -> tuple[str, ...]:
    """The pairs that were named, or all that there are files for. Raises typer.Exit; it has been said why."""
    if unknown := set(named) - set(PAIRS):
        raise show.fail(f"there is no pair {', '.join(sorted(unknown))}; there are {', '.join(PAIRS)}")
    found = named or tuple(pair for pair, domains in PAIRS.items() if set(domains) <= set(files))
    if not found:
        raise show.fail("a pair needs two data sets; name another file beside --mnist, with --usps or --svhn")
    return found


def reproduce(wanted: Wanted, settings: Settings) -> None:
    """Every pair: run what is not in the folder yet, write the report, print the table."""
    torch.set_num_threads(settings.job_threads)
    made: list[Record] = []
    for pair in wanted.pairs:
        try:
            rows = rows_of(pair, wanted.only, groups=wanted.groups)
            study = _study(pair, wanted, settings)
            with progress_bar() as advance:
                records = run_all(study, rows, wanted.seeds, advance)
        except (DatasetError, FrozenError, ValueError) as error:
            raise show.fail(str(error)) from error
        made += records
        report = wanted.output / "-".join((pair, *wanted.groups))
        _write(study, records, report)
        if not wanted.as_json:
            _print(study, records, report)
    if wanted.as_json:
        show.print_json(to_json(made))


def _study(pair: str, wanted: Wanted, settings: Settings) -> Study:
    bundle = find_model(SHIPPED, settings)
    sizes = QUICK if wanted.quick else Sizes()
    spec = bundle.manifest.input
    source, target = (_domain(name, wanted, spec, sizes) for name in PAIRS[pair])
    return Study(
        pair=pair,
        source=source,
        target=target,
        net=_net(source, wanted, settings, sizes),
        oracle=_net(target, wanted, settings, sizes),
        sizes=sizes,
        folder=_folder(wanted),
        mixed=wanted.mixed,
    )


def _domain(name: str, wanted: Wanted, spec: InputSpec, sizes: Sizes) -> Domain:
    if name not in wanted.files:
        raise DatasetError(f"the images of {name} are needed; name their file with --{name}")
    return load_domain(name, wanted.files[name], spec, sizes)


def _net(domain: Domain, wanted: Wanted, settings: Settings, sizes: Sizes) -> Net:
    """The shipped model of MNIST with the images that its training held back; another domain's is trained here."""
    if domain.name == "mnist":
        return Net(find_model(SHIPPED, settings), domain.held_back())
    folder = _folder(wanted) / f"{domain.name}-{domain.digest[:8]}"
    return kept_net(folder, domain.train, lambda images, labels: train_plain(images, labels, sizes.effort))


def _folder(wanted: Wanted) -> Path:
    """Of whatever is trained: quick nets and mixed ones lie apart from full ones."""
    return wanted.output / MODELS / (("quick" if wanted.quick else "full") + ("-mixed" if wanted.mixed else ""))


def _write(study: Study, records: Sequence[Record], report: Path) -> None:
    """Table, figures and every record beside one another; `report` without its ending."""
    output = report.parent
    output.mkdir(parents=True, exist_ok=True)
    pictures = [f"{report.name}.png"]
    draw_trade_off(f"{study.source.name} to {study.target.name}", records, output / pictures[0])
    shown = {record.name for record in records}
    for row in (row for row in rows_of(study.pair) if row.name in shown):
        found = pictures_of(study, row, 0) if row.name in PICTURED_ROWS else None
        if found is not None:
            pictures.append(f"{study.pair}-{row.name.replace(', ', '-').replace(' ', '-')}.png")
            draw_pictures(*found, output / pictures[-1])
    replace_synced(output / f"{report.name}.csv", to_csv(records).encode())
    replace_synced(output / f"{report.name}.md", to_markdown(study, records, pictures).encode())


def _print(study: Study, records: Sequence[Record], report: Path) -> None:
    cells = []
    for line in lines_of(records):
        printed = PRINTED.get(study.pair, {}).get(line.name)
        words = "-" if printed is None else " / ".join("-" if value is None else f"{value:.1f}" for value in printed)
        cells.append([line.name, f"{line.mean('source'):.2f}", f"{line.lost:.2f}", f"{line.mean('target'):.2f}", words])
    title = f"{study.source.name} to {study.target.name}: test accuracy in percent, mean over seeds"
    show.print_table(title, ["row", "source", "lost", "target", "printed"], cells)
    show.out.print()
    show.out.print(f"report in {report}.md", soft_wrap=True)
