"""One attempt or more on each rule of the bundle format, in the order of the docstring of `service.contract`."""

import io
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.contract import bundle as bundle_module
from service.contract.bundle import MANIFEST, MAX_MANIFEST_BYTES, Bundle, describe, read_bundle, write_bundle
from service.contract.errors import (
    BadManifest,
    BundleError,
    DigestMismatch,
    FrozenMismatch,
    GoldenMismatch,
    MissingFile,
    TooLarge,
    UnlistedFile,
    UnsafeName,
)
from service.contract.input_spec import InputSpec
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.store import LocalStore
from service.engine.rehearsal import load_frozen, rehearse

FILES = {"corrector.onnx": b"a graph", "golden.npz": b"its answers", "verdict.json": b"{}"}

Change = Callable[[dict[str, Any]], object]
MakeCorrector = Callable[..., Bundle[CorrectorManifest]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound bundle on disk, for an attack to begin with."""
    manifest = CorrectorManifest(
        frozen_sha256="f" * 64,
        input=InputSpec(name="image", shape=(1, 8, 8)),
        files=describe(FILES),
        method="homogenizer",
        stages=(),
        opset=17,
        parameters=0,
        golden_tolerance=1e-3,
        seed=0,
        batch_sha256="b" * 64,
        configuration={},
        packages={},
    )
    write_bundle(tmp_path / "bundle", manifest, FILES)
    return tmp_path / "bundle"


def canonical(value: object) -> bytes:
    """Canonical JSON in the words of rule 1, but without its refusals: attackers write what they like."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def forge(folder: Path, change: Change) -> None:
    """Rewrite the manifest, canonically, with something else in it."""
    raw = json.loads((folder / MANIFEST).read_bytes())
    change(raw)
    (folder / MANIFEST).write_bytes(canonical(raw))


def extend(folder: Path, field: bytes) -> None:
    """Append a field that sorts last, as it is spelled."""
    content = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(content[:-1] + b',"zz":' + field + b"}")


def test_the_bundle_that_the_attacks_begin_with_is_sound(folder: Path) -> None:
    assert read_bundle(folder, CorrectorManifest).files == FILES


# Rule 1: canonical JSON, whose SHA-256 is the digest.


def spaced(content: bytes) -> bytes:
    return json.dumps(json.loads(content), sort_keys=True).encode()


def unsorted(content: bytes) -> bytes:
    return json.dumps(dict(reversed(json.loads(content).items())), separators=(",", ":")).encode()


def escaped(content: bytes) -> bytes:
    return content.replace(b'"image"', b'"im\\u0061ge"')


def duplicated(content: bytes) -> bytes:
    return b'{"batch_sha256":"' + b"0" * 64 + b'",' + content[1:]


@pytest.mark.parametrize(
    "rewrite",
    [
        pytest.param(spaced, id="spaces"),
        pytest.param(unsorted, id="unsorted_keys"),
        pytest.param(escaped, id="needless_escape"),
        pytest.param(duplicated, id="the_same_key_twice"),
        pytest.param(lambda content: content + b"\n", id="newline_at_the_end"),
        pytest.param(lambda content: b"\xef\xbb\xbf" + content, id="byte_order_mark"),
        pytest.param(lambda content: content.decode().encode("utf-16"), id="utf16"),
        pytest.param(lambda content: content.replace(b"0.001", b"1e-3"), id="another_spelling_of_a_number"),
        pytest.param(lambda content: content.replace(b'"seed":0', b'"seed":0.0'), id="float_for_an_integer"),
        pytest.param(lambda content: content.replace(b'"seed":0', b'"seed":"0"'), id="text_for_an_integer"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"not JSON", id="text"),
        pytest.param(lambda content: content[:-1], id="one_byte_short"),
        pytest.param(lambda content: content + content, id="twice"),
        pytest.param(lambda content: b"[" + content + b"]", id="in_a_list"),
        pytest.param(lambda _: b"null", id="null"),
        pytest.param(lambda _: b"\xff\xfe\xfd", id="no_unicode"),
        pytest.param(lambda _: b"9" * 5000, id="an_endless_number"),
    ],
)
def test_a_manifest_that_is_not_canonical_json_is_refused(folder: Path, rewrite: Callable[[bytes], bytes]) -> None:
    path = folder / MANIFEST
    path.write_bytes(rewrite(path.read_bytes()))

    with pytest.raises(BadManifest):
        read_bundle(folder, CorrectorManifest)


def test_an_unknown_field_that_json_cannot_carry_is_refused(folder: Path) -> None:
    extend(folder, b"NaN")

    with pytest.raises(BadManifest):
        read_bundle(folder, CorrectorManifest)


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda folder: forge(folder, lambda raw: raw["input"].update(std=[np.inf])), id="infinite_number"),
        pytest.param(lambda folder: extend(folder, rb'"\ud800"'), id="lone_surrogate"),
        pytest.param(lambda folder: extend(folder, b"[" * 400 + b"]" * 400), id="nested_400_deep"),
    ],
)
def test_a_manifest_that_cannot_be_written_back_is_refused(folder: Path, attack: Callable[[Path], None]) -> None:
    attack(folder)

    with pytest.raises(BadManifest):
        read_bundle(folder, CorrectorManifest)


def test_a_manifest_that_is_nested_without_end_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"[" * 100_000)

    with pytest.raises(BadManifest):
        read_bundle(folder, CorrectorManifest)


def test_no_flipped_bit_in_the_manifest_keeps_the_digest(folder: Path) -> None:
    content = (folder / MANIFEST).read_bytes()
    store = LocalStore(folder.parent / "store")
    digest = store.publish(read_bundle(folder, CorrectorManifest))
    published = folder.parent / "store" / digest / MANIFEST

    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        published.write_bytes(flipped)
        with pytest.raises(BundleError):
            store.read(digest, CorrectorManifest)


# Rule 2: every other file is listed with size and SHA-256, and nothing unlisted is there.


@pytest.mark.parametrize("name", ["extra.onnx", ".hidden", "manifest.json.bak", "MANIFEST.JSON", "corrector.onnx~"])
def test_an_unlisted_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")

    with pytest.raises(UnlistedFile, match="does not list"):
        read_bundle(folder, CorrectorManifest)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(MissingFile, match=f"'{name}'"):
        read_bundle(folder, CorrectorManifest)


def test_a_bundle_without_a_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()

    with pytest.raises(BadManifest, match=r"no manifest\.json"):
        read_bundle(folder, CorrectorManifest)


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(MissingFile):
        read_bundle(folder / "elsewhere", CorrectorManifest)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_wherever_it_is(folder: Path, name: str) -> None:
    content = FILES[name]

    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(flipped)
        with pytest.raises(DigestMismatch, match=f"'{name}'"):
            read_bundle(folder, CorrectorManifest)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, -1], ids=["emptied", "one_byte_short"])
def test_a_truncated_file_is_refused(folder: Path, name: str, kept: int) -> None:
    (folder / name).write_bytes(FILES[name][:kept])

    with pytest.raises(DigestMismatch, match=f"'{name}'"):
        read_bundle(folder, CorrectorManifest)


def test_two_files_with_their_contents_exchanged_are_refused(folder: Path) -> None:
    (folder / "corrector.onnx").write_bytes(FILES["golden.npz"])
    (folder / "golden.npz").write_bytes(FILES["corrector.onnx"])

    with pytest.raises((DigestMismatch, TooLarge)):
        read_bundle(folder, CorrectorManifest)


def test_a_manifest_that_lists_itself_is_refused(folder: Path) -> None:
    forge(folder, lambda raw: raw["files"].update({MANIFEST: {"sha256": "0" * 64, "size_bytes": 1}}))

    with pytest.raises(BundleError):
        read_bundle(folder, CorrectorManifest)


# Rule 3: plain names; no folder, no `..`, no link.


def linked_file(folder: Path) -> None:
    (folder / "corrector.onnx").rename(folder.parent / "outside")
    (folder / "corrector.onnx").symlink_to(folder.parent / "outside")


def linked_manifest(folder: Path) -> None:
    (folder / MANIFEST).rename(folder.parent / "outside")
    (folder / MANIFEST).symlink_to(folder.parent / "outside")


def linked_folder(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent, target_is_directory=True)


def dangling_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "nowhere")


def sub_folder(folder: Path) -> None:
    (folder / "deeper").mkdir()


def folder_for_a_file(folder: Path) -> None:
    (folder / "golden.npz").unlink()
    (folder / "golden.npz").mkdir()


def pipe_for_a_file(folder: Path) -> None:
    (folder / "golden.npz").unlink()
    os.mkfifo(folder / "golden.npz")


def socket_for_a_file(folder: Path) -> None:
    (folder / "golden.npz").unlink()
    # By a relative path: a socket's may have 108 bytes, and a temporary folder's name is longer.
    here = Path.cwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("golden.npz")
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    "attack",
    [
        linked_file,
        linked_manifest,
        linked_folder,
        dangling_link,
        sub_folder,
        folder_for_a_file,
        pipe_for_a_file,
        socket_for_a_file,
    ],
    ids=lambda attack: attack.__name__,
)
def test_only_plain_files_may_be_there(folder: Path, attack: Callable[[Path], None]) -> None:
    attack(folder)

    with pytest.raises(UnsafeName, match="only plain files"):
        read_bundle(folder, CorrectorManifest)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../outside", id="parent"),
        pytest.param("..", id="only_the_parent"),
        pytest.param(".", id="itself"),
        pytest.param("a/b", id="sub_folder"),
        pytest.param("/etc/hostname", id="absolute"),
        pytest.param("a\\b", id="backslash"),
        pytest.param("c:evil", id="drive"),
        pytest.param(".hidden", id="hidden"),
        pytest.param("-rf", id="looks_like_an_option"),
        pytest.param("", id="empty"),
        pytest.param("a\n", id="newline"),
        pytest.param("a\x00b", id="nul"),
        pytest.param("a b", id="space"),
        pytest.param("é.onnx", id="accent"),
        pytest.param("a" * 101, id="too_long"),
    ],
)
def test_a_manifest_that_lists_a_name_that_is_not_plain_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "outside").write_bytes(FILES["corrector.onnx"])
    forge(folder, lambda raw: raw["files"].update({name: raw["files"].pop("corrector.onnx")}))

    with pytest.raises(BadManifest, match="see files"):
        read_bundle(folder, CorrectorManifest)


# Rule 4: nothing larger than its cap is read.


def test_a_manifest_may_fill_its_cap_and_no_more(folder: Path) -> None:
    path = folder / MANIFEST
    extend(folder, b'"' + b"a" * (MAX_MANIFEST_BYTES - path.stat().st_size - len(b',"zz":""')) + b'"')
    filled = read_bundle(folder, CorrectorManifest)
    path.write_bytes(filled.manifest.to_bytes() + b" ")

    assert path.stat().st_size == MAX_MANIFEST_BYTES + 1
    with pytest.raises(TooLarge, match=f"'manifest.json' is larger than the {MAX_MANIFEST_BYTES} bytes"):
        read_bundle(folder, CorrectorManifest)


def test_a_file_larger_than_the_manifest_says_is_refused(folder: Path) -> None:
    (folder / "corrector.onnx").write_bytes(FILES["corrector.onnx"] + b"!")

    with pytest.raises(TooLarge, match=r"'corrector\.onnx' is larger than the 7 bytes"):
        read_bundle(folder, CorrectorManifest)


@pytest.mark.parametrize("name", [MANIFEST, "corrector.onnx"])
def test_a_file_of_a_terabyte_is_refused_without_reading_it(folder: Path, name: str) -> None:
    # A hole: it takes no room on the disk, and would take a terabyte of memory.
    os.truncate(folder / name, 1 << 40)

    with pytest.raises(TooLarge):
        read_bundle(folder, CorrectorManifest)


def test_a_manifest_that_permits_more_than_the_cap_does_not_lift_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real cap, 2 GiB, would have to be read up to here.
    monkeypatch.setattr(bundle_module, "MAX_FILE_BYTES", 6)

    with pytest.raises(TooLarge, match=r"'corrector\.onnx' is larger than the 6 bytes"):
        read_bundle(folder, CorrectorManifest)


# Rule 5: the schema's major number; unknown fields are kept.


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0", "", "x", "01.0", "v1.0", " 1.0", 2, None, ["1.0"]], ids=repr)
def test_another_major_schema_version_is_refused(folder: Path, version: object) -> None:
    forge(folder, lambda raw: raw.update(schema_version=version))

    with pytest.raises(BadManifest, match="this release reads 1"):
        read_bundle(folder, CorrectorManifest)


def test_a_manifest_without_a_schema_version_is_refused(folder: Path) -> None:
    forge(folder, lambda raw: raw.pop("schema_version"))

    with pytest.raises(BadManifest, match="absent"):
        read_bundle(folder, CorrectorManifest)


def test_a_later_minor_schema_is_read_and_its_fields_are_kept(folder: Path) -> None:
    forge(folder, lambda raw: raw.update(schema_version="1.9", later={"a": [1, None]}))

    manifest = read_bundle(folder, CorrectorManifest).manifest

    assert manifest.to_bytes() == (folder / MANIFEST).read_bytes()
    assert b'"later":{"a":[1,null]}' in manifest.to_bytes()


def test_a_bundle_of_the_other_kind_is_refused(folder: Path) -> None:
    with pytest.raises(BadManifest, match="does not fit ModelManifest"):
        read_bundle(folder, ModelManifest)


# Rules 6 to 8, which whoever loads a bundle applies: frozen model, shape, golden vectors.


def golden(x: object, y: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=x, y=y)
    return buffer.getvalue()


def lone_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, ROWS)
    return buffer.getvalue()


ROWS = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)


def test_a_sound_corrector_is_rehearsed(tiny: Bundle[ModelManifest], make_corrector: MakeCorrector) -> None:
    version = rehearse(make_corrector(gain=0.5), 7, tiny.manifest, threads=1)

    assert version.number == 7


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"frozen_sha256": "0" * 64}, id="another_frozen_model"),
        pytest.param({"input": InputSpec(name="image", shape=(3, 8, 8))}, id="another_input_shape"),
    ],
)
def test_a_corrector_for_something_else_is_refused(
    tiny: Bundle[ModelManifest], make_corrector: MakeCorrector, facts: dict[str, object]
) -> None:
    with pytest.raises(FrozenMismatch):
        rehearse(make_corrector(**facts), 1, tiny.manifest, threads=1)


def test_frozen_bytes_that_are_not_the_ones_named_are_refused(tiny: Bundle[ModelManifest]) -> None:
    forged = tiny.manifest.model_copy(update={"frozen_sha256": "0" * 64})

    with pytest.raises(FrozenMismatch):
        load_frozen(Bundle(tiny.digest, forged, tiny.files), threads=1)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(golden(ROWS, ROWS), id="other_answers"),
        pytest.param(golden(ROWS, np.full_like(ROWS, np.nan)), id="answers_are_nan"),
        pytest.param(golden(ROWS, ROWS[:1] / 2), id="too_few_answers"),
        pytest.param(golden(ROWS[:0], ROWS[:0]), id="no_inputs"),
        pytest.param(golden(ROWS[..., :4], ROWS[..., :4] / 2), id="inputs_of_another_shape"),
        pytest.param(golden(ROWS.astype(np.float64), ROWS.astype(np.float64) / 2), id="float64"),
        pytest.param(golden(np.array([{}], dtype=object), ROWS), id="pickled"),
        pytest.param(b"no archive", id="text"),
        pytest.param(
            b"",
            id="nothing",
        ),
        pytest.param(
            lone_array(),
            id="a_single_array",
        ),
    ],
)
def test_a_corrector_that_does_not_repeat_its_golden_answers_is_refused(
    tiny: Bundle[ModelManifest], make_corrector: MakeCorrector, content: bytes
) -> None:
    forged = make_corrector(gain=0.5, **{"golden.npz": content})

    with pytest.raises(GoldenMismatch):
        rehearse(forged, 1, tiny.manifest, threads=1)


@pytest.mark.parametrize("name", ["corrector.onnx", "golden.npz"])
def test_a_corrector_without_the_files_that_it_needs_is_refused(
    tiny: Bundle[ModelManifest], make_corrector: MakeCorrector, name: str
) -> None:
    sound = make_corrector(gain=0.5)
    files = {key: content for key, content in sound.files.items() if key != name}
    forged = sound.manifest.model_copy(update={"files": describe(files)})

    with pytest.raises(BundleError):
        rehearse(Bundle(sound.digest, forged, files), 1, tiny.manifest, threads=1)
