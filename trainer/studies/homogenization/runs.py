"""One record: one row of a table for one draw of the perturbation, kept so that an interrupted study goes on.

A record's file is named by everything that its numbers depend on. It is written as a whole when all of it is known, and
never again: a study that is asked for the same thing reads it.
"""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.contract.bundle import replace_synced
from service.contract.digest import canonical_json, sha256_hex
from service.contract.job import Progress
from trainer.corrector import Corrector
from trainer.frame import Frame, frame_of
from trainer.homogenization import Paper
from trainer.methods import homogenizer
from trainer.shifts.distortion import Distortion
from trainer.split import split
from trainer.studies.homogenization.metrics import psnr, ssim, unit_vector_error
from trainer.studies.homogenization.nets import Net, Normalised, apply
from trainer.studies.homogenization.protocol import Material, Plan, Sizes, Space
from trainer.studies.homogenization.rows import TRUE, Row
from trainer.task import Report, Source, Task

FORMAT = 5
"""Part of every record's name: raised when the computation changes."""
PICTURES = 10

METRICS = ("accuracy", "validation", "verification", "l2_error", "psnr", "ssim")


@dataclass(frozen=True)
class Record:
    """What is known of one row and draw.

    Attributes:
        accuracy: percent of B, through the frozen model. validation: of C. verification: of C, through the verifier.
        l2_error, psnr, ssim: see `metrics`; of B. None where not finite, as when a fit diverges.
        seconds: of the fit.
        key: name of the record's file, and of the one beside it with pictures, see `pictures_of`.
    """

    name: str
    setting: str
    draw: int
    accuracy: float
    validation: float
    verification: float
    l2_error: float | None
    psnr: float | None
    ssim: float | None
    seconds: float
    key: str


@dataclass(frozen=True)
class Bench:
    """What all records of a study share."""

    plan: Plan
    sizes: Sizes
    kappa: float
    net: Net
    verifier: Net
    material: Material
    folder: Path
    device: str = "cpu"

    @cached_property
    def reading(self) -> Normalised:
        """The frozen model behind normalised images."""
        return self.net.reading().to(self.device)

    @cached_property
    def random_network(self) -> Normalised:
        """The same with random weights; made once."""
        return self.net.random_reading(self.material.source).to(self.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return self.net.manifest.input.shape


def record_of(bench: Bench, row: Row, draw: int, report: Report) -> Record:
    """The record, from the folder or made now."""
    found = find_record(bench, row, draw)
    return found if found is not None else _make(bench, row, draw, report)


def find_record(bench: Bench, row: Row, draw: int) -> Record | None:
    """The record if it was made before."""
    path = _path(bench, row, draw)
    return Record(**json.loads(path.read_bytes())) if path.is_file() else None


def pictures_of(bench: Bench, record: Record) -> NDArray[np.float32]:
    """The first images of B as they came out of a record's run, (PICTURES, C, H, W)."""
    with np.load(bench.folder / f"{record.key}.npz", allow_pickle=False) as archive:
        return np.asarray(archive["pictures"], dtype=np.float32)


def key_of(bench: Bench, row: Row, draw: int) -> str:
    """A name for everything that a record's numbers depend on but the machine: device and threads round differently."""
    facts = {
        "format": FORMAT,
        "row": row.name,
        "setting": row.setting,
        "config": None if row.config is None else asdict(row.config),
        "draw": draw,
        "kappa": bench.kappa,
        "sizes": asdict(bench.sizes),
        "data": bench.material.digest,
        "model": bench.net.bundle.digest,
        "verifier": bench.verifier.bundle.digest,
    }
    words = f"{row.setting}-{row.name}-{draw}".lower().replace(" ", "-")
    return f"{words}-{sha256_hex(canonical_json(facts))[:12]}"


def _path(bench: Bench, row: Row, draw: int) -> Path:
    return bench.folder / f"{key_of(bench, row, draw)}.json"


def _make(bench: Bench, row: Row, draw: int, report: Report) -> Record:
    distortion: nn.Module = Distortion.draw(bench.shape, bench.kappa, draw) if row.name != TRUE else nn.Identity()
    truth = bench.material.drawn(draw, bench.sizes.fitted)
    distorted = Source(apply(distortion, truth.images), truth.labels)
    started = perf_counter()
    corrector = _fit(bench, row, distorted, draw, report)
    seconds = perf_counter() - started
    transform = nn.Sequential(distortion, corrector)
    images, validation = (apply(transform, part.images) for part in (truth, bench.material.validation))
    labels = bench.material.validation.labels
    record = Record(
        name=row.name,
        setting=row.setting,
        draw=draw,
        accuracy=bench.net.accuracy(images, truth.labels),
        validation=bench.net.accuracy(validation, labels),
        verification=bench.verifier.accuracy(validation, labels),
        l2_error=_finite(unit_vector_error(lambda units: apply(transform, units), bench.shape)),
        psnr=_finite(psnr(truth.images.numpy(), images.numpy())),
        ssim=_finite(ssim(truth.images.numpy(), images.numpy())),
        seconds=round(seconds, 2),
        key=key_of(bench, row, draw),
    )
    _keep(bench, record, images)
    return record


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _keep(bench: Bench, record: Record, images: Tensor) -> None:
    bench.folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, pictures=images[:PICTURES].numpy().astype(np.float16))
    # The record last: whoever finds it finds its pictures.
    replace_synced(bench.folder / f"{record.key}.npz", buffer.getvalue())
    replace_synced(bench.folder / f"{record.key}.json", canonical_json(asdict(record)))


def _fit(bench: Bench, row: Row, distorted: Source, draw: int, report: Report) -> nn.Module:
    """The corrector of normalised images that the row's method finds; the identity for a row without one."""
    if row.config is None:
        return nn.Identity()
    if isinstance(row.config, Paper):
        task = paper_task(bench, row.config, distorted, draw, report)
        return homogenizer.fit(task, row.config).cpu()
    return _BehindPlanes(homogenizer.fit(default_task(bench, distorted, draw, report), row.config), bench.net.space)


def paper_task(bench: Bench, config: Paper, distorted: Source, draw: int, report: Report) -> Task:
    """All of B to fit, every tap fitted, normalised images."""
    source = bench.material.source
    images = distorted.images.to(bench.device)
    return Task(
        frozen=bench.reading,
        fingerprint=bench.net.fingerprint,
        fitted_taps=bench.reading.taps,
        reserved_taps=(),
        frame=Frame(bench.shape, None, (1.0,) * bench.shape[0]),
        fit=images,
        select=images[:0],
        seed=draw,
        report=report,
        labels=distorted.labels.to(bench.device),
        source=Source(source.images.to(bench.device), source.labels),
        random_network=bench.random_network if config.features == "random_network" else None,
    )


def default_task(bench: Bench, distorted: Source, draw: int, report: Report) -> Task:
    """As a job of the service, but for the gate's part of the batch, which is fitted too, and for labels."""
    manifest = bench.net.manifest
    planes = bench.net.space.to_planes(distorted.images).numpy().astype(np.float32)
    parts = split(len(planes), draw)
    fit = np.concatenate([parts.fit, parts.judge])
    reading = bench.net.plane_reading()
    return Task(
        frozen=reading,
        fingerprint=bench.net.fingerprint,
        fitted_taps=manifest.fitted_taps(),
        reserved_taps=manifest.reserved_taps(),
        frame=frame_of(manifest.input, planes[fit]),
        fit=torch.from_numpy(planes[fit]),
        select=torch.from_numpy(planes[parts.select]),
        seed=draw,
        report=report,
        labels=distorted.labels[torch.from_numpy(fit)],
    )


class _BehindPlanes(nn.Module):
    """A corrector of planes as one of normalised images."""

    def __init__(self, corrector: Corrector, space: Space) -> None:
        super().__init__()
        self._corrector, self._space = corrector, space

    def forward(self, images: Tensor) -> Tensor:
        corrected: Tensor = self._corrector(self._space.to_planes(images))
        return self._space.from_planes(corrected)


def run_all(bench: Bench, rows: tuple[Row, ...], draws: range, advance: Callable[[float, str], None]) -> list[Record]:
    """Every row of every draw, draw by draw; `advance` is told the share that is behind and what is being done."""
    jobs = [(row, draw) for draw in draws for row in rows]
    records = []
    for index, (row, draw) in enumerate(jobs):
        words = f"draw {draw}, {row.setting} {row.name}"

        def report(progress: Progress, index: int = index, words: str = words) -> None:
            advance((index + progress.share) / len(jobs), f"{words}: {progress.step}")

        advance(index / len(jobs), words)
        records.append(record_of(bench, row, draw, report))
    return records
