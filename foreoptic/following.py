"""Posting a batch from disk and following its job with a progress bar."""

import csv
import io
import math
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from foreoptic import show
from foreoptic.client import Client

CONTENT_TYPES = {".npy": "application/x-npy", ".npz": "application/x-npz", ".zip": "application/zip"}
PICTURES = (".png", ".jpg", ".jpeg")
LABELS = "labels.csv"


def packed(batch: Path) -> tuple[str, bytes]:
    """Media type and body for a file, or for a folder of pictures, and of labels if it has some, as a zip.

    Raises:
        typer.Exit: neither; it has been said why.
    """
    if batch.is_file() and batch.suffix in CONTENT_TYPES:
        return CONTENT_TYPES[batch.suffix], batch.read_bytes()
    pictures = sorted(file for file in batch.rglob("*") if file.suffix.lower() in PICTURES) if batch.is_dir() else []
    if not pictures:
        raise show.fail(f"{batch} is no {', '.join(CONTENT_TYPES)} file and no folder of PNG or JPEG pictures")
    names = {file.relative_to(batch).as_posix(): f"{i}{file.suffix}" for i, file in enumerate(pictures)}
    files = {name: (batch / path).read_bytes() for path, name in names.items()}
    return CONTENT_TYPES[".zip"], zip_of(files | _labels(batch / LABELS, names))


def _labels(file: Path, names: dict[str, str]) -> dict[str, bytes]:
    """The folder's labels under the names that its pictures have in the archive; nothing where it has none."""
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [[names.get(row[0], row[0]), *row[1:]] for row in csv.reader(lines) if row]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return {LABELS: text.getvalue().encode()}


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip archive of these files, uncompressed: pictures are compressed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@contextmanager
def progress_bar() -> Iterator[Callable[[float, str], None]]:
    """A bar on standard error; call what it yields with a share from 0 to 1 and what is being done."""
    columns = (
        BarColumn(24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=show.err) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda share, step: bar.update(task, completed=share, description=step)
        bar.update(task, completed=1.0)


def follow_job(client: Client, job_id: str, *, limit_s: float = math.inf) -> dict[str, Any]:
    """Show progress until the job ends or `limit_s` seconds have passed; returns the job."""
    deadline = time.monotonic() + limit_s
    with progress_bar() as advance:
        share = 0.0
        for event in client.follow(job_id):
            if time.monotonic() > deadline or event.get("state") == "awaiting_approval":
                break
            share = max(share, event.get("progress", 0.0))
            advance(share, event.get("step") or event.get("state", ""))
    return client.adaptation(job_id)
