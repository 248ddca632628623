"""One record: one row of one pair for one seed, kept so that an interrupted study goes on.

A record's file is named by everything that its numbers depend on but the program. It is written as a whole when all of
it is known; a study that is asked for the same thing reads it.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from service.contract.bundle import replace_synced
from service.contract.digest import canonical_json, sha256_hex
from service.contract.job import Progress
from trainer.datasets import Dataset
from trainer.studies.calibrator.attempts import Attempt, Correct, Study
from trainer.studies.calibrator.measures import Predict, high_frequency_share, hits, journey, percent
from trainer.studies.calibrator.rows import Row
from trainer.task import Report

FORMAT = 2
"""Part of every record's name: raised when the computation changes."""
RECORDS = "records"
PICTURES = ".npz"
PICTURED = 64
"""Images that are kept with a record, to look at."""

Pictures = NDArray[np.float32]
"""(n, C, H, W)."""


@dataclass(frozen=True)
class Accuracy:
    """In percent.

    Attributes:
        source, target: of the test sets.
        moving, worst: of a device that moves among both, on the whole way and in its worst ten stints in a row.
    """

    source: float
    target: float
    moving: float
    worst: float


@dataclass(frozen=True)
class Record:
    """What is known of one row and seed.

    Attributes:
        high_before, high_after: percent of the target's power at high frequencies; None where nothing is corrected.
        images: target images used. seconds: of everything that the row did.
    """

    name: str
    group: str
    pair: str
    seed: int
    before: Accuracy
    after: Accuracy
    changed: bool
    parameters: int
    model_parameters: int
    images: int
    high_before: float | None
    high_after: float | None
    seconds: float


def key_of(study: Study, row: Row, seed: int) -> str:
    """A name for everything that a record's numbers depend on but the program."""
    facts = {
        "format": FORMAT,
        "row": row.name,
        "pair": study.pair,
        "seed": seed,
        "sizes": asdict(study.sizes),
        "data": [study.source.digest, study.target.digest],
        "models": [study.net.bundle.digest, study.oracle.bundle.digest],
        "mixed": study.mixed,
    }
    words = "".join(letter if letter.isalnum() else "-" for letter in row.name.lower())
    return f"{study.pair}-{words}-{seed}-{sha256_hex(canonical_json(facts))[:12]}"


def record_of(study: Study, row: Row, seed: int, report: Report) -> Record:
    """The record, from the folder or made now."""
    path = study.folder / RECORDS / f"{key_of(study, row, seed)}.json"
    if path.is_file():
        found = json.loads(path.read_bytes())
        return Record(**{**found, **{part: Accuracy(**found[part]) for part in ("before", "after")}})
    started = perf_counter()
    attempt = row.contender(study, seed, report)
    seconds = perf_counter() - started
    record = _measured(study, row, seed, attempt, round(seconds, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    if attempt.correct is not None:
        # The record last: whoever finds it finds its pictures.
        _keep(attempt.correct, study.target.test, path.with_suffix(PICTURES))
    replace_synced(path, canonical_json(asdict(record)))
    return record


def pictures_of(study: Study, row: Row, seed: int) -> tuple[Pictures, Pictures] | None:
    """The first target test images of a record and what became of them; None where nothing was corrected."""
    path = study.folder / RECORDS / f"{key_of(study, row, seed)}{PICTURES}"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as archive:
        before, after = (archive[name].astype(np.float32) for name in ("before", "after"))
    return before, after


def _keep(correct: Correct, target: Dataset, path: Path) -> None:
    before = target.images[:PICTURED]
    buffer = io.BytesIO()
    np.savez(buffer, before=before.astype(np.float16), after=correct(before).astype(np.float16))
    replace_synced(path, buffer.getvalue())


def _measured(study: Study, row: Row, seed: int, attempt: Attempt, seconds: float) -> Record:
    target = study.target.test
    before, after = None, None
    if attempt.correct is not None:
        before, after = (high_frequency_share(images) for images in (target.images, attempt.correct(target.images)))
    return Record(
        name=row.name,
        group=row.group,
        pair=study.pair,
        seed=seed,
        before=_accuracy(attempt.before, study.source.test, target, seed),
        after=_accuracy(attempt.after, study.source.test, target, seed),
        changed=attempt.changed,
        parameters=attempt.parameters,
        model_parameters=attempt.model_parameters,
        images=attempt.images,
        high_before=before,
        high_after=after,
        seconds=seconds,
    )


def _accuracy(predict: Predict, source: Dataset, target: Dataset, seed: int) -> Accuracy:
    there, here = hits(predict, source), hits(predict, target)
    way = journey(there, here, seed)
    return Accuracy(percent(there), percent(here), way.mean, way.worst)


def run_all(study: Study, rows: Sequence[Row], seeds: int, advance: Callable[[float, str], None]) -> list[Record]:
    """Every row for every seed, row by row; `advance` is told the share that is behind and what is being done."""
    jobs = [(row, seed) for row in rows for seed in range(min(seeds, row.seeds or seeds))]
    records = []
    for index, (row, seed) in enumerate(jobs):
        words = f"{study.pair}, {row.name}, seed {seed}"

        def report(progress: Progress, index: int = index, words: str = words) -> None:
            advance((index + progress.share) / len(jobs), f"{words}: {progress.step}")

        advance(index / len(jobs), words)
        records.append(record_of(study, row, seed, report))
    return records
