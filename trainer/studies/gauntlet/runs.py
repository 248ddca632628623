"""One job from top to bottom: draw the batch, let the product fit and judge, count hits on images that it never saw."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

from service.contract.digest import sha256_hex
from service.contract.job import JobSpec
from trainer.datasets import Dataset, DatasetError
from trainer.evaluation import Classifier
from trainer.run import Clock, fit
from trainer.shifts.cases import from_units, make_case
from trainer.shifts.kind import Answer, Labelled, Planes
from trainer.shifts.registry import KINDS
from trainer.studies.gauntlet.jobs import Job, Terms
from trainer.studies.gauntlet.materials import Material
from trainer.studies.gauntlet.records import Fitted, Record
from trainer.task import Report

CUT = 20_260_701
"""Beside a seed: which images are judged on. Another stream than those that batches are drawn by."""


def measure_job(material: Material, job: Job, terms: Terms, program: str, report: Report) -> Record:
    """The record of one job.

    Raises:
        DatasetError: the material has too few images.
    """
    kind = KINDS[job.kind]
    pool, judged = divide(material.images, terms.judged, job.seed)
    case = make_case(kind, pool, judged, count=job.size, seed=job.seed)
    spec = material.model.manifest.input
    batch = from_units(case.batch.images, spec)
    classifier = Classifier(material.model)
    shifted = Dataset(from_units(case.judged.images, spec), case.judged.labels)

    def fitted(preset: str) -> Fitted:
        return _fit(
            material, batch, job, terms.method, preset, lambda front: classifier.accuracy(shifted, front), report
        )

    return Record(
        **dict(fitted(terms.preset)),
        material=material.name,
        title=material.title,
        kind=kind.name,
        use=kind.use,
        answer=right_answer(kind.answer, is_source=material.is_source),
        seed=job.seed,
        size=job.size,
        images=len(batch),
        settings=case.settings,
        identity=classifier.accuracy(shifted),
        unshifted=classifier.accuracy(Dataset(from_units(judged.images, spec), judged.labels)),
        offline=fitted(terms.offline) if terms.offline else None,
        program=program,
    )


def divide(images: Labelled, judged: int, seed: int) -> tuple[Labelled, Labelled]:
    """The pool that batches are drawn from, and the images that are judged on; no image is in both.

    Raises:
        DatasetError: nothing would be left to draw from.
    """
    if judged >= len(images.labels):
        raise DatasetError(
            f"{judged} images to judge on leave none of {len(images.labels)} to post; give a smaller number"
        )
    order = np.random.default_rng([seed, CUT]).permutation(len(images.labels))
    return images.take(order[judged:]), images.take(order[:judged])


def right_answer(answer: Answer, *, is_source: bool) -> Answer:
    """What is right for a material: one that is shifted itself has no clean batches."""
    return Answer.SHIFT if answer is Answer.CLEAN and not is_source else answer


def _fit(
    material: Material,
    batch: Planes,
    job: Job,
    method: str,
    preset: str,
    accuracy: Callable[[bytes], float],
    report: Report,
) -> Fitted:
    manifest = material.model.manifest
    spec = JobSpec(
        id=f"{job.seed:032x}",
        model=manifest.name,
        domain="gauntlet",
        method=method,
        seed=job.seed,
        frozen_sha256=manifest.frozen_sha256,
        batch_sha256=sha256_hex(batch.tobytes()),
        threads=1,
    )
    clock, started = Clock(), perf_counter()
    try:
        verdict, bundle = fit(spec, material.model, batch, None, report, clock, preset=preset)
    # Whatever the product does with a batch is a result: the service would serve on as before, and so it is counted.
    except Exception as error:  # noqa: BLE001
        return Fitted(verdict=None, problem=f"{type(error).__name__}: {error}", seconds=perf_counter() - started)
    seconds = perf_counter() - started
    stages = bundle.manifest.stages
    return Fitted(
        verdict=verdict,
        stages=stages,
        candidate=accuracy(bundle.files["corrector.onnx"]) if stages else None,
        seconds=seconds,
        timings=clock.seconds,
    )
