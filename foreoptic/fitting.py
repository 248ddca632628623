"""`foreoptic fit`: the trainer's `run.fit` through the command line's door."""

from pathlib import Path

from foreoptic.following import progress_bar
from foreoptic.locate import find_model
from foreoptic.show import fail
from service.contract.bundle import write_bundle
from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.job import JobSpec, Progress
from service.contract.verdict import Verdict
from service.settings import Settings
from trainer.datasets import DatasetError, load_dataset
from trainer.export import ExportError
from trainer.forward import TapGraphError
from trainer.frozen import FrozenError
from trainer.plugins import UnknownMethod, UnknownPreset
from trainer.run import Clock, fit
from trainer.task import NoSource, Source, source_of


def fit_file(
    model: str,
    batch: Path,
    output: Path,
    settings: Settings,
    *,
    method: str,
    preset: str,
    seed: int,
    part: str | None,
    source: Path | None = None,
) -> Verdict:
    """Fit a corrector to the images in a file and write its bundle, whatever the verdict.

    Args:
        source: of source images, with the same part as the batch's if it has parts.
    """
    if output.exists():
        raise fail(f"{output} is there already; name a new folder")
    bundle = find_model(model, settings)
    try:
        images = load_dataset(batch, bundle.manifest.input, part=part).images
        shown = _source(source, bundle.manifest.input, part)
        job = JobSpec(
            id="0" * 32,
            model=bundle.manifest.name,
            domain="default",
            method=method,
            seed=seed,
            frozen_sha256=bundle.manifest.frozen_sha256,
            batch_sha256=sha256_hex(images.tobytes()),
            threads=settings.job_threads,
        )
        with progress_bar() as advance:

            def report(progress: Progress) -> None:
                advance(progress.share, progress.step)

            verdict, fitted = fit(job, bundle, images, None, report, Clock(), preset=preset, source=shown)
    except (
        DatasetError,
        ExportError,
        FrozenError,
        NoSource,
        TapGraphError,
        UnknownMethod,
        UnknownPreset,
        ValueError,
    ) as error:
        raise fail(str(error)) from error
    write_bundle(output, fitted.manifest, fitted.files)
    return verdict


def _source(path: Path | None, spec: InputSpec, part: str | None) -> Source | None:
    if path is None:
        return None
    return source_of(load_dataset(path, spec, part=part))
