"""Bundles kept under the name of their content. Publishing is one rename: a reader sees a whole bundle or none."""

import shutil
import time
import uuid
from pathlib import Path
from typing import Protocol

from service.contract.bundle import Bundle, M, read_bundle, sync_folder, write_bundle
from service.contract.errors import BundleError, DigestMismatch, StoreError

STAGING = ".staging-"


class ArtifactStore(Protocol):
    """Where bundles live."""

    def publish(self, bundle: Bundle[M]) -> str:
        """Keep a bundle; keeping the same content twice is one bundle."""

    def read(self, digest: str, kind: type[M]) -> Bundle[M]:
        """A verified bundle by its digest."""


class LocalStore:
    """A folder with one sub-folder a bundle."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def publish(self, bundle: Bundle[M]) -> str:
        """Write beside, sync, rename.

        Raises:
            StoreError: the disk is full or refuses; nothing half-written is visible.
            DigestMismatch: the bundle is not what it says it is.
        """
        final = self._root / bundle.digest
        staging = self._root / f"{STAGING}{uuid.uuid4().hex}"
        try:
            if final.is_dir():
                if self._is_whole(final, bundle):
                    return bundle.digest
                # Rotten on disk: the same content heals it.
                shutil.rmtree(final)
            if write_bundle(staging, bundle.manifest, bundle.files) != bundle.digest:
                raise DigestMismatch(f"the bundle claims digest {bundle.digest[:12]}, its manifest has another")
            self._place(staging, final)
            sync_folder(self._root)
        except OSError as error:
            raise StoreError(f"the store cannot keep bundle {bundle.digest[:12]}: {error.strerror}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return bundle.digest

    @staticmethod
    def _place(staging: Path, final: Path) -> None:
        try:
            staging.rename(final)
        except OSError:
            # A concurrent publisher of the same content may have won: then the bundle is there.
            if not final.is_dir():
                raise

    def read(self, digest: str, kind: type[M]) -> Bundle[M]:
        """Read and verify a bundle.

        Raises:
            StoreError: there is none of that digest.
            BundleError: it is there and breaks a rule.
        """
        folder = self._root / digest
        if not folder.is_dir():
            raise StoreError(f"the store has no bundle {digest[:12]}")
        try:
            bundle = read_bundle(folder, kind)
        except OSError as error:
            raise StoreError(f"bundle {digest[:12]} cannot be read: {error.strerror}") from error
        if bundle.digest != digest:
            raise DigestMismatch(f"the bundle under {digest[:12]} has digest {bundle.digest[:12]}")
        return bundle

    @staticmethod
    def _is_whole(folder: Path, bundle: Bundle[M]) -> bool:
        try:
            return read_bundle(folder, type(bundle.manifest)).digest == bundle.digest
        except BundleError:
            return False

    def sweep(self, *, older_than_s: float) -> int:
        """Remove what interrupted publishers left that long ago; returns how many folders went.

        A younger one may belong to somebody who is publishing right now.
        """
        latest = time.time() - older_than_s
        staging = [entry for entry in self._root.iterdir() if entry.name.startswith(STAGING)]
        leftovers = [entry for entry in staging if entry.stat().st_mtime <= latest]
        for entry in leftovers:
            shutil.rmtree(entry, ignore_errors=True)
        return len(leftovers)
