"""`foreoptic evaluate`: a table of trials and its medians."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from foreoptic import show
from foreoptic.following import progress_bar
from foreoptic.locate import find_model
from service.settings import Settings
from trainer.datasets import DatasetError, load_dataset
from trainer.evaluation import Classifier, Trial, trials
from trainer.plugins import UnknownMethod


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
        source_accuracy = _source_accuracy(bundle, source)
        with progress_bar() as advance:
            found = trials(
                bundle,
                target,
                images=images,
                seeds=seeds,
                method=method,
                threads=settings.job_threads,
                report=lambda p: advance((len(done) + p.share) / len(seeds), f"seed {seeds[len(done)]}: {p.step}"),
            )
            done.extend(found)
    except (DatasetError, UnknownMethod) as error:
        raise show.fail(str(error)) from error
    if as_json:
        medians = {name: _median(done, name) for name in ("before", "candidate", "after", "seconds")}
        show.print_json({"source": source_accuracy, "trials": [asdict(t) for t in done], "median": medians})
        return
    _print(done, source_accuracy, images)


def _source_accuracy(bundle, source: Path | None) -> float | None:  # type: ignore[no-untyped-def]  # Bundle[ModelManifest]
    if source is None:
        return None
    try:
        dataset = load_dataset(source, bundle.manifest.input, part="test")
    except DatasetError:
        dataset = load_dataset(source, bundle.manifest.input)
    if dataset.labels is None:
        raise DatasetError(f"{source} has no labels")
    return Classifier(bundle).accuracy(dataset)


def _print(done: list[Trial], source_accuracy: float | None, images: int) -> None:
    if source_accuracy is not None:
        show.out.print(f"source accuracy {source_accuracy:.2f} %")
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
