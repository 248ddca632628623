"""What a folder becomes on its way to the service: a zip of its pictures, and its labels under the same names."""

import csv
import io
import zipfile
from pathlib import Path

import pytest
from typer import Exit

from foreoptic.following import packed


def folder(path: Path) -> Path:
    (path / "dock").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "dock/c.jpeg"):
        (path / name).write_bytes(name.encode())
    (path / "notes.txt").write_text("no picture")
    return path


def unpacked(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_folder_becomes_a_zip_of_its_pictures_under_names_of_their_own(tmp_path: Path) -> None:
    media_type, body = packed(folder(tmp_path / "batch"))

    assert media_type == "application/zip"
    assert unpacked(body) == {"0.JPG": b"a.JPG", "1.png": b"b.png", "2.jpeg": b"dock/c.jpeg"}


def test_labels_in_a_folder_follow_their_pictures(tmp_path: Path) -> None:
    batch = folder(tmp_path / "batch")
    (batch / "labels.csv").write_text('dock/c.jpeg,seven\r\nb.png,"one, or two"\n\nlost.png,three\n')

    files = unpacked(packed(batch)[1])

    rows = list(csv.reader(io.StringIO(files.pop("labels.csv").decode(), newline="")))
    assert rows == [["2.jpeg", "seven"], ["1.png", "one, or two"], ["lost.png", "three"]]
    assert set(files) == {"0.JPG", "1.png", "2.jpeg"}


def test_what_is_neither_a_batch_nor_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(Exit):
        packed(tmp_path / "empty")
