"""Bundles on disk, used as intended; what breaks a rule is in tests/attacks/test_attack_bundles.py."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from service.contract.bundle import MANIFEST, Bundle, describe, read_bundle, replace_synced, write_bundle
from service.contract.digest import sha256_hex
from service.contract.errors import DigestMismatch
from service.contract.manifest import CorrectorManifest, FileEntry


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_written_bundle_reads_back_as_it_was(tmp_path: Path, bundle: Bundle[CorrectorManifest]) -> None:
    write_bundle(tmp_path / "new", bundle.manifest, bundle.files)

    assert read_bundle(tmp_path / "new", CorrectorManifest) == bundle


def test_the_digest_is_the_sha256_of_the_manifest_on_disk(tmp_path: Path, bundle: Bundle[CorrectorManifest]) -> None:
    digest = write_bundle(tmp_path / "new", bundle.manifest, bundle.files)

    assert digest == sha256_hex((tmp_path / "new" / MANIFEST).read_bytes())


def test_the_folder_holds_the_listed_files_and_the_manifest(tmp_path: Path, bundle: Bundle[CorrectorManifest]) -> None:
    write_bundle(tmp_path / "new", bundle.manifest, bundle.files)

    assert names(tmp_path / "new") == ["corrector.onnx", "golden.npz", "manifest.json"]


def test_the_same_bundle_written_twice_has_the_same_digest(tmp_path: Path, bundle: Bundle[CorrectorManifest]) -> None:
    first = write_bundle(tmp_path / "first", bundle.manifest, bundle.files)
    turned = dict(reversed(bundle.files.items()))
    second = write_bundle(tmp_path / "second", bundle.manifest, turned)

    assert second == first


def test_a_bundle_without_files_and_an_empty_file_are_sound(tmp_path: Path, bundle: Bundle[CorrectorManifest]) -> None:
    for name, files in (("none", {}), ("empty", {"empty.bin": b""})):
        manifest = bundle.manifest.model_copy(update={"files": describe(files)})

        write_bundle(tmp_path / name, manifest, files)

        assert read_bundle(tmp_path / name, CorrectorManifest).files == files


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"corrector.onnx": b"a graph"}, id="one_too_few"),
        pytest.param({"corrector.onnx": b"a graph", "golden.npz": b"its answers", "more": b""}, id="one_too_many"),
        pytest.param({"corrector.onnx": b"a grapf", "golden.npz": b"its answers"}, id="other_content"),
    ],
)
def test_files_that_the_manifest_does_not_describe_are_not_written(
    tmp_path: Path, bundle: Bundle[CorrectorManifest], files: dict[str, bytes]
) -> None:
    with pytest.raises(DigestMismatch):
        write_bundle(tmp_path / "new", bundle.manifest, files)

    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path, bundle: Bundle[CorrectorManifest]) -> None:
    with pytest.raises(FileExistsError):
        write_bundle(tmp_path, bundle.manifest, bundle.files)

    assert names(tmp_path) == []


def test_a_file_that_would_hide_the_manifest_is_refused(tmp_path: Path, bundle: Bundle[CorrectorManifest]) -> None:
    files = {MANIFEST: b"{}"}
    manifest = bundle.manifest.model_copy(update={"files": describe(files)})

    with pytest.raises(DigestMismatch):
        write_bundle(tmp_path / "new", manifest, files)


def test_describe_gives_size_and_sha256_of_every_file() -> None:
    described = describe({"b": b"abc", "a": b""})

    assert described == {
        "a": FileEntry(sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", size_bytes=0),
        "b": FileEntry(sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", size_bytes=3),
    }


def test_a_bundle_cannot_be_changed(bundle: Bundle[CorrectorManifest]) -> None:
    with pytest.raises(AttributeError):
        bundle.digest = "0" * 64  # type: ignore[misc]

    assert replace(bundle, digest="0" * 64) != bundle


def test_a_replaced_file_has_the_new_content_and_no_company(tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_bytes(b"old")

    replace_synced(tmp_path / "outcome.json", b"new")

    assert (tmp_path / "outcome.json").read_bytes() == b"new"
    assert names(tmp_path) == ["outcome.json"]


def test_a_replacement_that_the_disk_refuses_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outcome.json").write_bytes(b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(OSError, match="No space left"):
        replace_synced(tmp_path / "outcome.json", b"new")

    assert (tmp_path / "outcome.json").read_bytes() == b"old"
