"""Posted batches: npy, npz, a zip of pictures, or a v2 tensor body, to the frozen model's own tensor.

Every size is compared with its cap before memory is taken for it, nothing is unpickled, and names inside an archive are
compared, never used.

Labels are welcome in every form but npy, which holds one array: they are for the gate alone, and an image may be
without one (`UNKNOWN`).
"""

import csv
import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.contract.input_spec import InputSpec, Tensor
from service.contract.job import UNKNOWN
from service.contract.pictures import decode_picture
from service.datatypes import DATATYPES, read_numbers
from service.errors import Malformed, TooLarge, Unprocessable, UnsupportedType

Labels = NDArray[np.int64]

LABELS_FILE = "labels.csv"
LABELS_TENSOR, LABELS_TYPE = "y", "INT64"
NO_LABEL = UNKNOWN - 1
"""Stands for a word that is no label of the model; refused."""
TENSOR_TYPES = {DATATYPES[dtype]: dtype for dtype in ("float32", "float16", "uint8")}
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Caps:
    """What a batch may cost.

    Attributes:
        images: fewest and most images.
        bytes: most bytes after inflating.
        tensor_bytes: most bytes of all images as the model's float32.
        json_bytes: most bytes of a batch as JSON, which costs many times its size while it is read.
        pixels: most pixels of one picture.
    """

    images: tuple[int, int]
    bytes: int
    tensor_bytes: int
    json_bytes: int
    pixels: int


@dataclass(frozen=True)
class Batch:
    """Images as the frozen model's tensor and, where they came with it, labels (n,) int64, or UNKNOWN."""

    images: Tensor
    labels: Labels | None


def read_batch(content_type: str | None, body: bytes, spec: InputSpec, labels: tuple[str, ...], caps: Caps) -> Batch:
    """Read and check a posted batch.

    Raises:
        UnsupportedType: a media type that is not in READERS.
        Malformed: it cannot be read as what it claims to be.
        TooLarge: more images, pixels or inflated bytes than `caps` allow.
        Unprocessable: too few images, or labels that do not fit.
        InputError: shape, type or values do not fit `spec`.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind not in READERS:
        raise UnsupportedType(f"send the batch as one of {', '.join(READERS)}")
    if not body:
        raise Malformed("the body is empty; send a batch of images")
    batch = READERS[kind](body, spec, labels, caps)
    fewest, most = caps.images
    count = len(batch.images)
    if count > most:
        raise TooLarge(f"the batch has {count} images; at most {most} are accepted")
    if count < fewest:
        raise Unprocessable(f"the batch has {count} images; at least {fewest} are needed to fit, choose and judge")
    return batch


def _read_npy(body: bytes, spec: InputSpec, _labels: tuple[str, ...], caps: Caps) -> Batch:
    return Batch(spec.from_array(_capped(_array(body), caps)), None)


def _read_npz(body: bytes, spec: InputSpec, labels: tuple[str, ...], caps: Caps) -> Batch:
    with _open_zip(body, most_entries=16, most_bytes=caps.bytes) as archive:
        names = set(archive.namelist())
        if "x.npy" not in names:
            raise Malformed("the npz archive has no array 'x'")
        images = spec.from_array(_capped(_array(_member(archive, "x.npy")), caps))
        given = _array(_member(archive, "y.npy")) if "y.npy" in names else None
    return Batch(images, None if given is None else _checked_labels(given, len(images), len(labels)))


def _read_zip(body: bytes, spec: InputSpec, labels: tuple[str, ...], caps: Caps) -> Batch:
    with _open_zip(body, most_entries=caps.images[1] + 1, most_bytes=caps.bytes) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        pictures = [name for name in names if name.lower().endswith(PICTURE_SUFFIXES)]
        if not pictures:
            raise Malformed(f"the zip holds no file ending in {', '.join(PICTURE_SUFFIXES)}")
        _check_cost(len(pictures), math.prod(spec.shape), caps)
        pixels = [decode_picture(_member(archive, name), spec, max_pixels=caps.pixels) for name in pictures]
        table = _member(archive, LABELS_FILE) if LABELS_FILE in names else None
    given = None if table is None else _checked_labels(_labels_of(table, pictures, labels), len(pictures), len(labels))
    return Batch(spec.from_pixels(np.stack(pixels)), given)


def _read_tensor(body: bytes, spec: InputSpec, labels: tuple[str, ...], caps: Caps) -> Batch:
    if len(body) > caps.json_bytes:
        raise TooLarge(f"a JSON batch has at most {caps.json_bytes} bytes; send application/x-npy")
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed("the body is not JSON") from error
    if isinstance(request, dict) and request.get("source") == "window":
        raise Unprocessable("this release keeps no window of past requests; post the images themselves")
    try:
        pictures, *others = request["inputs"]
        array = _numbers(pictures, TENSOR_TYPES)
        y = _given_labels(others)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        kinds = ", ".join(TENSOR_TYPES)
        raise Malformed(
            f'a JSON batch holds {{"inputs": [{{"datatype": one of {kinds}; "shape", "data"}}]}} and, where labels are '
            f'known, beside it {{"name": "{LABELS_TENSOR}", "datatype": "{LABELS_TYPE}", "shape", "data"}}'
        ) from error
    images = spec.from_array(array)
    return Batch(images, None if y is None else _checked_labels(y, len(images), len(labels)))


def _given_labels(others: list[dict[str, Any]]) -> NDArray[Any] | None:
    """Raises as `_numbers`, also where there is anything but labels."""
    if not others:
        return None
    (tensor,) = others
    if tensor["name"] != LABELS_TENSOR:
        raise ValueError(f"a second tensor must be '{LABELS_TENSOR}'")
    return _numbers(tensor, {LABELS_TYPE: "int64"})


def _numbers(tensor: dict[str, Any], types: Mapping[str, str]) -> NDArray[Any]:
    """One tensor of a JSON batch. Raises KeyError, TypeError, ValueError or OverflowError: it is none."""
    return read_numbers(tensor["data"], types[tensor["datatype"]]).reshape([max(0, side) for side in tensor["shape"]])


READERS: dict[str, Callable[[bytes, InputSpec, tuple[str, ...], Caps], Batch]] = {
    "application/x-npy": _read_npy,
    "application/x-npz": _read_npz,
    "application/zip": _read_zip,
    "application/json": _read_tensor,
}


def _array(content: bytes) -> NDArray[Any]:
    """An .npy file as an array, its announced size compared with its real one before anything is allocated."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran_order, dtype = read(stream)
        if dtype.kind not in "fiu":
            raise Malformed("the array holds something other than numbers")
        if not all(type(side) is int and side >= 0 for side in shape):
            raise Malformed("the array announces a shape that none can have")
        flat = np.frombuffer(content, dtype=dtype, offset=stream.tell())
        array = flat.reshape(shape, order="F" if fortran_order else "C")
    except Malformed:
        raise
    # The header is a Python literal: what numpy raises on a hostile one is not a closed list.
    except Exception as error:
        raise Malformed("the array is damaged or no .npy file") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _capped(array: NDArray[Any], caps: Caps) -> NDArray[Any]:
    """Refuse too much before it is converted to the model's wider type."""
    _check_cost(len(array) if array.ndim else 0, math.prod(array.shape[1:]), caps)
    return array


def _check_cost(images: int, values: int, caps: Caps) -> None:
    """Compare the number of images, and what they become as float32, with the caps."""
    if images > caps.images[1]:
        raise TooLarge(f"the batch has {images} images; at most {caps.images[1]} are accepted")
    if 4 * images * values > caps.tensor_bytes:
        raise TooLarge(
            f"the batch takes {4 * images * values} bytes as float32; at most {caps.tensor_bytes} are accepted"
        )


def _open_zip(body: bytes, *, most_entries: int, most_bytes: int) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(io.BytesIO(body))
    # zipfile reports damage through several unrelated types.
    except Exception as error:
        raise Malformed("the archive is damaged or no zip file") from error
    entries = archive.infolist()
    if len(entries) > most_entries:
        raise TooLarge(f"the archive has {len(entries)} entries; at most {most_entries} are accepted")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise Malformed("the archive uses a compression other than deflate")
    inflated = sum(entry.file_size for entry in entries)
    if inflated > most_bytes:
        raise TooLarge(f"the archive inflates to {inflated} bytes; at most {most_bytes} are accepted")
    return archive


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One entry, inflated only as far as the directory announces: its word has been compared with the cap."""
    announced = archive.getinfo(name).file_size
    try:
        with archive.open(name) as file:
            content = file.read(announced + 1)
    # As above; an encrypted entry and an unknown compression come out as two more types.
    except Exception as error:
        raise Malformed("an entry of the archive is damaged or encrypted") from error
    if len(content) != announced:
        raise Malformed("an entry of the archive has another size than announced")
    return content


def _labels_of(table: bytes, pictures: list[str], labels: tuple[str, ...]) -> Labels:
    """Class indices from lines `name,label`, where label is the model's own word or its index.

    An empty label, and a picture without a line, is UNKNOWN.
    """
    known = {label: index for index, label in enumerate(labels)}
    try:
        rows = {row[0]: row[1] for row in csv.reader(io.StringIO(table.decode("utf-8"))) if len(row) == 2}
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"{LABELS_FILE} is not UTF-8 lines of name,label") from error
    if not any(name in rows for name in pictures):
        raise Unprocessable(
            f"{LABELS_FILE} has no line for any of the {len(pictures)} pictures; name them as the zip does"
        )
    return np.array([_label_of(rows.get(name, "").strip(), known) for name in pictures])


def _label_of(word: str, known: Mapping[str, int]) -> int:
    if word in known:
        return known[word]
    if word in ("", str(UNKNOWN)):
        return UNKNOWN
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else NO_LABEL


def _checked_labels(given: NDArray[Any], images: int, classes: int) -> Labels:
    if given.shape != (images,) or given.dtype.kind not in "iu":
        raise Unprocessable(
            f"labels are {given.dtype} of shape {given.shape}; they must be {images} whole numbers, one an image, "
            f"{UNKNOWN} where none is known"
        )
    if images and not (given.min() >= UNKNOWN and given.max() < classes):
        raise Unprocessable(
            f"labels must be the model's {classes} classes, or their numbers from 0 to {classes - 1}, or {UNKNOWN} for "
            "an image without one"
        )
    return given.astype(np.int64)
