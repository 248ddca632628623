"""One adaptation from top to bottom: batch in, staged bundle and verdict out. Read this first.

Both doors lead here: the worker's job folder, and `foreoptic fit` on the command line.
"""

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.contract import kept_source
from service.contract.bundle import Bundle, read_bundle, replace_synced, write_bundle
from service.contract.digest import sha256_hex
from service.contract.errors import DigestMismatch, FrozenMismatch
from service.contract.fingerprint import Fingerprint
from service.contract.input_spec import InputSpec
from service.contract.job import BATCH, CHAMPION, JOB, MODEL, OUTCOME, STAGED, JobOutcome, JobSpec, Progress
from service.contract.kept_source import SOURCE_FILE
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.verdict import Decision, Verdict
from trainer.corrector import Corrector
from trainer.export import assemble, check_parity, golden_vectors, run_onnx, to_onnx
from trainer.forward import TapGraph
from trainer.frame import frame_of
from trainer.gate.decide import decide
from trainer.gate.judging import Judged, case_of
from trainer.gate.keeping import keeping_of
from trainer.gate.labels import Classes
from trainer.gate.reweighting import Reweighting, reweigh
from trainer.gate.screen import Screening, screen
from trainer.measure import Measured, measure
from trainer.plugins import JOB_PRESET, load_method, load_preset
from trainer.reading import Reading, read_model
from trainer.split import Parts, split
from trainer.task import Report, Source, Task

UNSEEN, MOST_UNSEEN = 5, 2_000
"""Of so many source images one is kept from every fit; and how many of them the gate looks at."""

Images = NDArray[np.float32]
"""Planes (n, C, H, W)."""


def adapt(folder: Path, report: Report) -> JobOutcome:
    """Do the job in `folder` and write its outcome last; see `service.contract.job` for the files.

    Raises:
        BundleError, FrozenError, TapGraphError, UnknownMethod, ExportError: the job cannot be done; nothing is staged.
    """
    clock = Clock()
    with clock.time("read"):
        job = JobSpec.model_validate_json((folder / JOB).read_bytes())
        model = read_bundle(folder / MODEL, ModelManifest)
        images, labels = _read_batch(folder / BATCH, job, model.manifest.input)
        champion = read_bundle(folder / CHAMPION, CorrectorManifest) if (folder / CHAMPION).is_dir() else None
        if champion is not None and champion.manifest.frozen_sha256 != job.frozen_sha256:
            raise FrozenMismatch("the champion belongs to another frozen model")
    verdict, bundle = fit(job, model, images, champion, report, clock, labels=labels)
    with clock.time("stage"):
        shutil.rmtree(folder / STAGED, ignore_errors=True)
        if verdict.decision is not Decision.REJECT:
            write_bundle(folder / STAGED, bundle.manifest, bundle.files)
    outcome = JobOutcome(verdict=verdict, timings=clock.seconds)
    replace_synced(folder / OUTCOME, outcome.model_dump_json().encode())
    return outcome


def fit(
    job: JobSpec,
    model: Bundle[ModelManifest],
    images: Images,
    champion: Bundle[CorrectorManifest] | None,
    report: Report,
    clock: "Clock",
    *,
    preset: str = JOB_PRESET,
    labels: Classes | None = None,
    source: Source | None = None,
) -> tuple[Verdict, Bundle[CorrectorManifest]]:
    """Fit, export, compare both forms, judge. The same arguments give the same bytes.

    Args:
        preset: name of the method's choices; the manifest has every one of them.
        labels: (n,), UNKNOWN where an image has none. Only those of the judge part are looked at, and only by the gate.
        source: source images for a method that needs some; those that are kept beside the model where None.
    """
    torch.set_num_threads(job.threads)
    with clock.time("load"):
        frozen, fingerprint = _load(job, model, images)
    with clock.time("screen"):
        screening, parts, identity = _look(frozen, fingerprint, images, model.manifest, job.seed)
        images = images[screening.rows]
        known = None if labels is None else labels[screening.rows][parts.judge]
    with clock.time("fit"):
        method = load_method(job.method)
        config = load_preset(method, preset)
        shown, unseen = _halves(source or _kept(model))
        task = _task(model.manifest, frozen, fingerprint, images, parts, job.seed, report, shown)
        corrector, reweighting = Corrector(), None
        if screening.reason is None:
            graphed = replace(task, tap_graph=_tap_graph(job, model, fingerprint))
            corrector, reweighting = _fitted(graphed, partial(method.fit, config=config), model.manifest)
        seen_as = fingerprint if reweighting is None else reweighting.fingerprint
    with clock.time("export"):
        report(Progress(share=0.9, step="export"))
        content = to_onnx(corrector, model.manifest, method=job.method)
        check_parity(corrector, content, images[parts.judge], model.manifest.input)
        golden = golden_vectors(content, model.manifest)
    with clock.time("judge"):
        report(Progress(share=0.95, step="judge"))
        judged = _judged(identity, corrector, champion, task, images[parts.judge], model.manifest.input)
        case = case_of(
            judged,
            known,
            seen_as,
            model.manifest,
            screening,
            reweighting,
            None if unseen is None else keeping_of(frozen, corrector, unseen),
            seed=job.seed,
            fits_answers=getattr(method, "FITS_ANSWERS", False),
        )
        verdict = decide(case)
    manifest, files = assemble(
        corrector, model.manifest, job, content=content, golden=golden, verdict=verdict, configuration=asdict(config)
    )
    return verdict, Bundle(sha256_hex(manifest.to_bytes()), manifest, files)


class Clock:
    """Seconds spent in each named step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Count the block under `step`."""
        started = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - started, 3)


def _read_batch(path: Path, job: JobSpec, spec: InputSpec) -> tuple[Images, Classes | None]:
    content = path.read_bytes()
    if sha256_hex(content) != job.batch_sha256:
        raise DigestMismatch("the batch is not the one that the job was made for")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return spec.to_planes(archive["x"]), archive.get("y")


def _load(job: JobSpec, model: Bundle[ModelManifest], images: Images) -> tuple[Reading, Fingerprint]:
    content = model.files["model.onnx"]
    fingerprint = Fingerprint.from_bytes(model.files["fingerprint.npz"])
    if not sha256_hex(content) == fingerprint.frozen_sha256 == job.frozen_sha256:
        raise FrozenMismatch("job, fingerprint and frozen model do not belong together")
    taps = [tap.name for tap in model.manifest.taps]
    return read_model(
        content, model.manifest.input, taps=taps, scores=model.manifest.output.name, example=images
    ), fingerprint


def _look(
    frozen: Reading, fingerprint: Fingerprint, images: Images, manifest: ModelManifest, seed: int
) -> tuple[Screening, Parts, Measured]:
    """What the batch shows before a fit, its parts, and the judge part uncorrected; all other moments are let go."""
    uncorrected = measure(frozen, Corrector(), torch.from_numpy(images))
    screening = screen(images, uncorrected, fingerprint, manifest, seed=seed)
    parts = split(len(screening.rows), seed)
    return screening, parts, uncorrected.of_rows(screening.rows[parts.judge])


def _task(
    manifest: ModelManifest,
    frozen: Reading,
    fingerprint: Fingerprint,
    images: Images,
    parts: Parts,
    seed: int,
    report: Report,
    source: Source | None,
) -> Task:
    return Task(
        frozen=frozen,
        fingerprint=fingerprint,
        fitted_taps=manifest.fitted_taps(),
        reserved_taps=manifest.reserved_taps(),
        frame=frame_of(manifest.input, images[parts.fit]),
        fit=torch.from_numpy(images[parts.fit]),
        select=torch.from_numpy(images[parts.select]),
        seed=seed,
        scores=manifest.output.scores,
        source=source,
        report=lambda progress: report(progress.model_copy(update={"share": 0.05 + 0.85 * progress.share})),
    )


def _kept(model: Bundle[ModelManifest]) -> Source | None:
    if SOURCE_FILE not in model.files:
        return None
    images, labels = kept_source.from_bytes(model.files[SOURCE_FILE], model.manifest.input)
    return Source(torch.from_numpy(images), torch.from_numpy(labels))


def _halves(source: Source | None) -> tuple[Source | None, torch.Tensor | None]:
    """What a fit may see of the source images, and every fifth of them, which only the gate sees."""
    if source is None or len(source.images) < UNSEEN:
        return source, None
    is_unseen = torch.arange(len(source.images)) % UNSEEN == UNSEEN - 1
    unseen = source.images[is_unseen]
    spread = torch.linspace(0, len(unseen) - 1, min(len(unseen), MOST_UNSEEN)).long()
    return Source(source.images[~is_unseen], source.labels[~is_unseen]), unseen[spread]


def _tap_graph(job: JobSpec, model: Bundle[ModelManifest], fingerprint: Fingerprint) -> TapGraph:
    """The frozen model up to its fitted taps, without torch."""
    fitted = {name: fingerprint.moments()[name] for name in model.manifest.fitted_taps()}
    return TapGraph(model.files["model.onnx"], model.manifest.input, fitted, threads=job.threads)


def _fitted(
    task: Task, fit_to: Callable[[Task], Corrector], manifest: ModelManifest
) -> tuple[Corrector, Reweighting | None]:
    """A fit; and where class frequencies behind it call for another source, that source and a fit to it."""
    first = fit_to(task)
    reweighting = _reweighting(task, first, manifest)
    if reweighting is None:
        return first, None

    def report(progress: Progress) -> None:
        # The first fit has told all of its progress; it must not fall.
        task.report(progress.model_copy(update={"share": 1.0}))

    return fit_to(replace(task, fingerprint=reweighting.fingerprint, report=report)), reweighting


def _reweighting(task: Task, corrector: Corrector, manifest: ModelManifest) -> Reweighting | None:
    """What class frequencies behind a first corrector call for; nothing where there is none."""
    if not corrector.names():
        return None
    measured = measure(task.frozen, corrector, torch.cat([task.fit, task.select]))
    taps = [tap.name for tap in manifest.taps]
    return reweigh(measured, task.fingerprint, taps, scores=manifest.output.scores, seed=task.seed)


def _judged(
    identity: Measured,
    corrector: Corrector,
    champion: Bundle[CorrectorManifest] | None,
    task: Task,
    images: Images,
    spec: InputSpec,
) -> Judged:
    """The judge part behind nothing, behind the candidate and behind what is served."""
    candidate = measure(task.frozen, corrector, torch.from_numpy(images)) if corrector.names() else identity
    if champion is None:
        return Judged(identity, candidate, None)
    served = torch.from_numpy(run_onnx(champion.files["corrector.onnx"], images, spec))
    return Judged(identity, candidate, measure(task.frozen, Corrector(), served))
