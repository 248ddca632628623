"""`foreoptic evaluate`: a table of trials and its medians."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from foreoptic import show
from foreoptic.following import progress_bar
from foreoptic.locate import find_model
from service.contract.bundle import Bundle
from service.contract.manifest import ModelManifest
from service.jobs.methods import needs_source
from service.settings import Settings
from trainer.datasets import Dataset, DatasetError, load_dataset
from trainer.evaluation import Classifier, Trial, trials
from trainer.plugins import UnknownMethod
from trainer.task import NoSource


def run_evaluation(
    model: str,
    target: Path,
    source: Path | None,
    settings: Settings,
    *,
    images: int,
    seeds: range,
    method: str,
    as_json: bool,
) -> None:
    """Evaluate and print."""
    bundle = find_model(model, settings)
    done: list[Trial] = []
    try:
        known = None if source is None else _labelled(bundle, source)
        source_accuracy = None if known is None else Classifier(bundle).accuracy(known)
        with progress_bar() as advance:
            found = trials(
                bundle,
                target,
                images=images,
                seeds=seeds,
                method=method,
                source=known,
                shown=_shown(bundle, source) if source is not None and needs_source(method) else None,
                threads=settings.job_threads,
                report=lambda p: advance((len(done) + p.share) / len(seeds), f"seed {seeds[len(done)]}: {p.step}"),
            )
            done.extend(found)
    except (DatasetError, NoSource, UnknownMethod) as error:
        raise show.fail(str(error)) from error
    if as_json:
        medians = {name: _median(done, name) for name in ("before", "candidate", "after", "seconds")}
        if source_accuracy is not None:
            medians["source_candidate"] = _median(done, "source_candidate")
        show.print_json({"source": source_accuracy, "trials": [asdict(t) for t in done], "median": medians})
        return
    _print(done, source_accuracy, images)


def _labelled(bundle: Bundle[ModelManifest], source: Path) -> Dataset:
    """What source accuracy is measured on: the test part, or all where there are no parts."""
    try:
        dataset = load_dataset(source, bundle.manifest.input, part="test")
    except DatasetError:
        dataset = load_dataset(source, bundle.manifest.input)
    if dataset.labels is None:
        raise DatasetError(f"{source} has no labels")
    return dataset


def _shown(bundle: Bundle[ModelManifest], source: Path) -> Dataset | None:
    """What a method that needs source images may see: the training part, never what accuracy is measured on."""
    try:
        return load_dataset(source, bundle.manifest.input, part="train")
    except DatasetError:
        return None


def _print(done: list[Trial], source_accuracy: float | None, images: int) -> None:
    if source_accuracy is not None:
        behind = _median(done, "source_candidate")
        show.out.print(f"source accuracy {source_accuracy:.2f} %, through the corrector {behind:.2f} %")
    rows: list[list[object]] = [
        [t.seed, "+".join(t.stages) or "-", t.decision, *(f"{v:.2f}" for v in (t.before, t.after)), f"{t.seconds:.1f}"]
        for t in done
    ]
    medians = [f"{_median(done, 'before'):.2f}", f"{_median(done, 'after'):.2f}", f"{_median(done, 'seconds'):.1f}"]
    rows.append(["median", "", "", *medians])
    title = f"target accuracy in percent, {images} unlabelled images a fit"
    show.print_table(title, ["seed", "stages", "verdict", "before", "after", "seconds"], rows, left=3)


def _median(done: list[Trial], name: str) -> float:
    return float(np.median([getattr(trial, name) for trial in done]))
