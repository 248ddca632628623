"""Reading, checking and writing one bundle folder. Everything is read once, checked, and used from memory.

A frozen model or a corrector is never loaded from a path: what was hashed is what runs.
"""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from service.contract.digest import sha256_hex
from service.contract.errors import BadManifest, DigestMismatch, MissingFile, TooLarge, UnlistedFile, UnsafeName
from service.contract.manifest import FileEntry, Manifest

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 2 << 30
"""Protobuf, hence ONNX without external data, ends at 2 GiB."""

M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True)
class Bundle(Generic[M]):
    """A verified bundle in memory."""

    digest: str
    manifest: M
    files: Mapping[str, bytes]


def describe(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """The manifest's `files` entry for these contents."""
    return {
        name: FileEntry(sha256=sha256_hex(content), size_bytes=len(content)) for name, content in sorted(files.items())
    }


def read_bundle(folder: Path, kind: type[M]) -> Bundle[M]:
    """Read and verify every file of a bundle.

    Raises:
        BundleError: one of the rules in the package's docstring is broken; the class says which.
    """
    names = _plain_names(folder)
    if MANIFEST not in names:
        raise BadManifest("the bundle has no manifest.json")
    raw = _read_capped(folder / MANIFEST, MAX_MANIFEST_BYTES)
    manifest = kind.from_bytes(raw)
    unlisted = sorted(names - set(manifest.files) - {MANIFEST})
    if unlisted:
        raise UnlistedFile(f"the bundle holds '{unlisted[0]}', which its manifest does not list")
    files = {name: _read_listed(folder, name, entry, names) for name, entry in manifest.files.items()}
    return Bundle(sha256_hex(raw), manifest, files)


def write_bundle(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Write a bundle into a new folder, every byte on disk before this returns, and return its digest.

    Raises:
        DigestMismatch: `manifest.files` does not describe `files`.
        FileExistsError: the folder is already there.
    """
    if MANIFEST in files or manifest.files != describe(files):
        raise DigestMismatch("the manifest does not describe the files to be written")
    folder.mkdir(parents=True)
    raw = manifest.to_bytes()
    for name, content in {**files, MANIFEST: raw}.items():
        write_synced(folder / name, content)
    sync_folder(folder)
    return sha256_hex(raw)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_synced(path: Path, content: bytes) -> None:
    """Put a file in place as a whole: a reader sees the old bytes or the new, a power cut leaves one of them."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        write_synced(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's entries: a rename is durable only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain_names(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise MissingFile("the bundle's folder is not there")
    names = set()
    for entry in folder.iterdir():
        if entry.is_symlink() or not entry.is_file():
            raise UnsafeName(f"'{entry.name}' in the bundle is a link or a folder; only plain files may be there")
        names.add(entry.name)
    return names


def _read_listed(folder: Path, name: str, entry: FileEntry, present: set[str]) -> bytes:
    if name not in present:
        raise MissingFile(f"the manifest lists '{name}', which is not in the bundle")
    content = _read_capped(folder / name, min(entry.size_bytes, MAX_FILE_BYTES))
    if len(content) != entry.size_bytes or sha256_hex(content) != entry.sha256:
        raise DigestMismatch(f"'{name}' is not the file that the manifest promises (SHA-256 or size differs)")
    return content


def _read_capped(path: Path, limit_bytes: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise TooLarge(f"'{path.name}' is larger than the {limit_bytes} bytes that it may have")
    return content
