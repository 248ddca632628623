"""Accepting a batch: a folder, a row and a queue entry, all on disk before the caller hears of it, or none of them."""

import errno
import io
import secrets
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from service.contract.bundle import sync_folder, write_synced
from service.contract.digest import sha256_hex
from service.contract.job import BATCH
from service.database import domains, jobs
from service.database.domains import DomainRow, Mode
from service.database.engine import Database
from service.database.jobs import JobRow, State
from service.jobs.queue import JobQueue

SEED_BITS = 31


class QueueFull(Exception):
    """As many jobs wait as may wait."""


class AdaptationOff(Exception):
    """The domain's mode is off."""


class TooManyDomains(Exception):
    """The batch names a new domain, and the model has as many as it may have."""


class KeyReused(Exception):
    """The idempotency key was used for another request."""


class NoSpace(Exception):
    """The disk takes no more."""


@dataclass(frozen=True)
class PostedBatch:
    """A validated request for an adaptation.

    Attributes:
        images: (n, C, H, W) float32, the frozen model's own tensor.
        labels: (n,) int64 where the caller knows them.
        body_sha256: of the request's body, to recognise a repetition.
        key: the caller's idempotency key.
    """

    model: str
    domain: str
    method: str
    frozen_sha256: str
    images: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    body_sha256: str
    key: str | None


class Submission:
    """Accepts batches.

    Args:
        seed: fixes how batches are split; random where None, so that nobody who posts can foresee the split.
    """

    def __init__(
        self, database: Database, queue: JobQueue, jobs_dir: Path, *, limit: int, domain_limit: int, seed: int | None
    ) -> None:
        self._database = database
        self._queue = queue
        self._jobs_dir = jobs_dir
        self._limit = limit
        self._domain_limit = domain_limit
        self._seed = seed

    def check_room(self) -> None:
        """Refuse before a large body is read for nothing; `accept` decides for good.

        Raises:
            QueueFull: no more jobs may wait.
        """
        with self._database.read() as connection:
            self._require_room(connection)

    def accept(self, batch: PostedBatch) -> JobRow:
        """Take a batch; the same key with the same content gives the job that it made the first time.

        Raises:
            QueueFull, AdaptationOff, TooManyDomains, KeyReused, NoSpace: nothing was accepted.
        """
        key = sha256_hex(f"{batch.model}/{batch.domain}/{batch.key}".encode()) if batch.key is not None else None
        if key is not None and (known := self._known(key, batch)) is not None:
            return known
        row, content = self._draw_up(batch, key)
        folder = self._jobs_dir / row.id
        try:
            folder.mkdir(parents=True)
            write_synced(folder / BATCH, content)
            sync_folder(folder)
            sync_folder(self._jobs_dir)
            self._enter(row)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise NoSpace from error
            raise
        except IntegrityError:
            # The same key, accepted a moment ago over another connection.
            shutil.rmtree(folder, ignore_errors=True)
            if key is None or (known := self._known(key, batch)) is None:
                raise
            return known
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return row

    def discard(self, row: JobRow) -> None:
        """Remove the images of a job that will not run."""
        shutil.rmtree(self._jobs_dir / row.id, ignore_errors=True)

    def _draw_up(self, batch: PostedBatch, key: str | None) -> tuple[JobRow, bytes]:
        arrays = {"x": batch.images} if batch.labels is None else {"x": batch.images, "y": batch.labels}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        content = buffer.getvalue()
        row = JobRow(
            id=uuid.uuid4().hex,
            model=batch.model,
            domain=batch.domain,
            method=batch.method,
            seed=self._seed if self._seed is not None else secrets.randbits(SEED_BITS),
            images=len(batch.images),
            frozen_sha256=batch.frozen_sha256,
            batch_sha256=sha256_hex(content),
            body_sha256=batch.body_sha256,
            created_at=time.time(),
            idempotency_key=key,
        )
        return row, content

    def _enter(self, row: JobRow) -> None:
        with self._database.write() as connection:
            self._require_room(connection)
            domain = domains.find(connection, row.model, row.domain)
            if domain is None:
                if domains.count(connection, row.model) >= self._domain_limit:
                    raise TooManyDomains(f"the model has {self._domain_limit} domains already; delete one first")
                domains.add(connection, DomainRow(row.model, row.domain))
            elif domain.mode == Mode.OFF:
                raise AdaptationOff(f"domain '{row.domain}' takes no batches: its mode is off")
            jobs.add(connection, row)
            self._queue.enqueue(connection, row.id)

    def _require_room(self, connection: Connection) -> None:
        waiting = jobs.count_by_state(connection).get(State.QUEUED, 0)
        if waiting >= self._limit:
            raise QueueFull(f"{waiting} jobs wait already, at most {self._limit} may")

    def _known(self, key: str, batch: PostedBatch) -> JobRow | None:
        with self._database.read() as connection:
            known = jobs.find_by_key(connection, key)
        if known is not None and (known.body_sha256, known.method) != (batch.body_sha256, batch.method):
            raise KeyReused("this Idempotency-Key was used for another batch; use a new one")
        return known
