"""The store: a reader sees a whole bundle or none, whatever the disk does."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from service.contract.bundle import Bundle
from service.contract.errors import BundleError, ContractError, DigestMismatch, StoreError
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.store import STAGING, LocalStore

SYNCS_BEFORE_RENAME = 4
"""Two files, the manifest, their folder; the fifth is the store's own folder, after the rename."""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


@pytest.fixture
def full_disk_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the disk refuse one of the syncs to come, counted from 1."""

    def refuse_at(number: int) -> None:
        honest, calls = os.fsync, iter(range(1, 1000))

        def fsync(descriptor: int) -> None:
            if next(calls) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            honest(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    return refuse_at


def test_a_published_bundle_reads_back_as_it_was(store: LocalStore, bundle: Bundle[CorrectorManifest]) -> None:
    digest = store.publish(bundle)

    assert store.read(digest, CorrectorManifest) == bundle


def test_a_published_bundle_outlives_the_store_object(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    digest = store.publish(bundle)

    assert LocalStore(root).read(digest, CorrectorManifest) == bundle


def test_publishing_the_same_content_twice_keeps_one_bundle(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    first, second = store.publish(bundle), store.publish(bundle)

    assert second == first
    assert names(root) == [first]


def test_publishers_of_the_same_content_at_the_same_time_all_succeed(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(store.publish, [bundle] * 24))

    assert set(digests) == {bundle.digest}
    assert names(root) == [bundle.digest]


@pytest.mark.parametrize("digest", ["0" * 64, "nothing", "../elsewhere"])
def test_an_unknown_digest_is_a_store_error(store: LocalStore, digest: str) -> None:
    with pytest.raises(StoreError, match="no bundle"):
        store.read(digest, CorrectorManifest)


def test_a_bundle_under_another_name_is_refused(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    (root / store.publish(bundle)).rename(root / ("0" * 64))

    with pytest.raises(DigestMismatch):
        store.read("0" * 64, CorrectorManifest)


def test_a_bundle_that_claims_another_digest_is_not_published(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    with pytest.raises(ContractError):
        store.publish(replace(bundle, digest="0" * 64))

    assert names(root) == []


def test_a_bundle_whose_manifest_does_not_describe_its_files_is_not_published(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    with pytest.raises(DigestMismatch):
        store.publish(replace(bundle, files={**bundle.files, "more.bin": b""}))

    assert names(root) == []


def test_a_bundle_that_rots_in_the_store_is_refused(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    digest = store.publish(bundle)
    (root / digest / "golden.npz").write_bytes(b"its answerS")

    with pytest.raises(DigestMismatch):
        store.read(digest, CorrectorManifest)


def test_a_bundle_of_the_other_kind_is_refused(store: LocalStore, bundle: Bundle[CorrectorManifest]) -> None:
    digest = store.publish(bundle)

    with pytest.raises(BundleError):
        store.read(digest, ModelManifest)


def test_sweep_removes_what_interrupted_publishers_left(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    digest = store.publish(bundle)
    for name in ("one", "two"):
        (root / f"{STAGING}{name}").mkdir()
        (root / f"{STAGING}{name}" / "corrector.onnx").write_bytes(b"half a gr")

    removed = store.sweep(older_than_s=0)

    assert removed == 2
    assert names(root) == [digest]


def test_sweep_of_a_clean_store_removes_nothing(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest]
) -> None:
    digest = store.publish(bundle)

    assert store.sweep(older_than_s=0) == 0
    assert names(root) == [digest]


@pytest.mark.parametrize("number", range(1, SYNCS_BEFORE_RENAME + 1))
def test_a_disk_that_fills_up_leaves_nothing_visible(
    root: Path,
    store: LocalStore,
    bundle: Bundle[CorrectorManifest],
    full_disk_at: Callable[[int], None],
    number: int,
) -> None:
    full_disk_at(number)

    with pytest.raises(StoreError, match="No space left on device"):
        store.publish(bundle)

    assert names(root) == []


def test_a_rename_that_the_disk_did_not_confirm_is_not_reported_as_kept(
    store: LocalStore, bundle: Bundle[CorrectorManifest], full_disk_at: Callable[[int], None]
) -> None:
    full_disk_at(SYNCS_BEFORE_RENAME + 1)

    with pytest.raises(StoreError):
        store.publish(bundle)


def test_a_refused_rename_leaves_nothing_visible(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(path: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", rename)

    with pytest.raises(StoreError, match="Read-only file system"):
        store.publish(bundle)

    assert names(root) == []


def test_publishing_works_again_once_the_disk_does(
    store: LocalStore, bundle: Bundle[CorrectorManifest], full_disk_at: Callable[[int], None]
) -> None:
    full_disk_at(2)
    with pytest.raises(StoreError):
        store.publish(bundle)

    digest = store.publish(bundle)

    assert store.read(digest, CorrectorManifest) == bundle


def test_a_publisher_that_is_stopped_leaves_only_what_sweep_removes(
    root: Path, store: LocalStore, bundle: Bundle[CorrectorManifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(os, "fsync", stop)
        store.publish(bundle)

    with pytest.raises(StoreError):
        store.read(bundle.digest, CorrectorManifest)
    store.sweep(older_than_s=0)
    assert names(root) == []
