"""Labels come with a batch in every form that can hold them, and mean the same in each."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from service.batches import Batch, Caps, read_batch
from service.contract.input_spec import InputSpec
from service.contract.job import UNKNOWN

SPEC = InputSpec(name="image", shape=(1, 8, 8))
WORDS = ("ant", "bee", "cat")
CAPS = Caps(images=(4, 100), bytes=1 << 20, tensor_bytes=1 << 20, json_bytes=1 << 20, pixels=10_000)
IMAGES = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
LABELS = np.array([2, UNKNOWN, 0, 1])


def read(kind: str, body: bytes) -> Batch:
    return read_batch(kind, body, SPEC, WORDS, CAPS)


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def pictures(table: str | None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index in range(4):
            picture = io.BytesIO()
            Image.new("L", (8, 8), 50 * index).save(picture, "PNG")
            archive.writestr(f"{index}.png", picture.getvalue())
        if table is not None:
            archive.writestr("labels.csv", table)
    return buffer.getvalue()


def tensors(*labels: dict[str, object]) -> bytes:
    images = {"datatype": "FP32", "shape": IMAGES.shape, "data": IMAGES.tolist()}
    return json.dumps({"inputs": [images, *labels]}).encode()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-npz", npz(x=IMAGES, y=LABELS)),
        ("application/x-npz", npz(x=IMAGES, y=LABELS.astype(np.int8))),
        ("application/zip", pictures("0.png,2\n2.png,0\n3.png,1\n")),
        ("application/zip", pictures("0.png,cat\n1.png,\n2.png,ant\n3.png,bee\n")),
        ("application/zip", pictures("name,label\n3.png,1\n1.png,-1\n0.png, cat \n2.png,0\n")),
        (
            "application/json",
            tensors({"name": "y", "datatype": "INT64", "shape": [4], "data": LABELS.tolist()}),
        ),
    ],
    ids=["npz", "npz of bytes", "csv of numbers, one left out", "csv of words, one empty", "csv in any order", "json"],
)
def test_labels_and_the_want_of_one_are_read_alike_in_every_form(kind: str, body: bytes) -> None:
    labels = read(kind, body).labels

    assert labels is not None
    assert (labels.tolist(), labels.dtype) == (LABELS.tolist(), np.int64)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-npz", npz(x=IMAGES)),
        ("application/zip", pictures(None)),
        ("application/json", tensors()),
    ],
    ids=["npz", "zip", "json"],
)
def test_a_batch_may_come_without_any(kind: str, body: bytes) -> None:
    assert read(kind, body).labels is None
