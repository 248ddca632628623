"""Whatever a client sends: a clear problem+json, and the service goes on."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import SHAPE, TINY, random_rows

PREDICT = f"/v1/models/{TINY}/predict"
ADAPT = f"/v1/models/{TINY}/domains/default/adaptations"
INFER = f"/v2/models/{TINY}/infer"


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def png(side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def huge_png(side: int = 20_000) -> bytes:
    """A valid grey PNG of side x side pixels, all zero: some hundred kilobytes that decode to 400 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def tensor(**changed: object) -> bytes:
    x = random_rows(1)
    fields = {"name": "image", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist(), **changed}
    return json.dumps({"inputs": [fields]}).encode()


def labelled(labels: Iterable[object], **changed: object) -> bytes:
    """A JSON batch of 64 images with labels beside them."""
    x, y = random_rows(64), list(labels)
    images = {"name": "image", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
    return json.dumps(
        {"inputs": [images, {"name": "y", "datatype": "INT64", "shape": [len(y)], "data": y, **changed}]}
    ).encode()


HEADER = "{{'descr': '<f4', 'fortran_order': False, 'shape': {}}}"


def npy_header(text: str) -> bytes:
    """An .npy file of version 2 with this header and nothing behind it."""
    header = text.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header


def repacked(content: bytes, method: int) -> bytes:
    """The same archive under another compression."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


def understated(content: bytes) -> bytes:
    """The same archive, its directory announcing 200 bytes for every entry."""
    changed = bytearray(content)
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        start = changed.find(signature)
        changed[start + offset : start + offset + 4] = struct.pack("<I", 200)
    return bytes(changed)


def assert_problem(response: httpx.Response, status: int) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["error"] == document["detail"]
    assert document["type"].startswith("urn:foreoptic:problem:")
    assert len(response.headers["x-request-id"]) > 0
    for leak in ("Traceback", "site-packages", ".py", "0x", "Error(", str(SHAPE[1:]) + "object"):
        assert leak not in response.text
    assert not any(
        word.startswith("/") and not word.startswith(("/v", "/openapi")) for word in document["detail"].split()
    ), "a path leaks"


BAD_PICTURES = {
    "empty": (b"", 400),
    "text named png": (b"this is no picture", 415),
    "gif": (b"GIF89a" + bytes(40), 415),
    "truncated png": (png(64)[:60], 400),
    "20000 x 20000": (huge_png(), 413),
    "random bytes": (np.random.default_rng(0).bytes(2000), 415),
}


@pytest.mark.parametrize(("body", "status"), BAD_PICTURES.values(), ids=BAD_PICTURES.keys())
def test_a_bad_picture_is_refused_and_the_next_one_answered(shared_service, body, status) -> None:
    assert_problem(shared_service.http.post(PREDICT, content=body), status)

    assert shared_service.http.post(PREDICT, content=png()).status_code == 200


BAD_TENSORS = {
    "empty": (b"", 400),
    "not json": (b"{", 400),
    "deep json": (b"[" * 100_000, 400),
    "no inputs": (b"{}", 400),
    "two inputs": (json.dumps({"inputs": [{}, {}]}).encode(), 400),
    "other name": (tensor(name="x"), 400),
    "other type": (tensor(datatype="INT64"), 400),
    "wrong shape": (tensor(shape=[1, 1, 8, 9]), 400),
    "no rows": (tensor(shape=[0, *SHAPE], data=[]), 400),
    "negative side": (tensor(shape=[-1, *SHAPE]), 400),
    "nan": (tensor().replace(b'"data": [', b'"data": [NaN, '), 400),
    "infinite": (tensor(data=[1e39] * 64), 400),
    "null": (tensor(data=[None] * 64), 400),
    "strings": (tensor(data=["a"] * 64), 400),
    "ragged": (tensor(data=[[1.0], [1.0, 2.0]]), 400),
    "too many": (tensor(shape=[100_000, *SHAPE], data=[]), 413),
    "a truth value as side": (tensor(shape=[True, *SHAPE]), 400),
    "seventy sides": (tensor(shape=[1] * 70), 400),
    "sides beyond every integer": (tensor(shape=[0, 2**40, 2**40, 2**40], data=[]), 400),
    "an output twice": (tensor()[:-1] + b', "outputs": [{"name": "logits"}, {"name": "logits"}]}', 400),
    "an unknown output": (tensor()[:-1] + b', "outputs": [{"name": "x"}]}', 400),
    "large and not json": (b"[" + b"0," * 100_000, 400),
}


@pytest.mark.parametrize(("body", "status"), BAD_TENSORS.values(), ids=BAD_TENSORS.keys())
def test_a_bad_tensor_is_refused_on_v2_with_an_error_member(shared_service, body, status) -> None:
    assert_problem(shared_service.http.post(INFER, content=body), status)

    assert shared_service.infer(random_rows(1)).status_code == 200


GOOD = random_rows(64)
NAN = GOOD.copy()
NAN[3, 0, 2, 2] = np.nan
BAD_BATCHES = {
    "empty": ("application/x-npy", b"", 400),
    "no type": ("", npy(GOOD), 415),
    "unknown type": ("text/plain", b"hello", 415),
    "one image": ("application/x-npy", npy(GOOD[:1]), 422),
    "no images": ("application/x-npy", npy(GOOD[:0]), 422),
    "too many": ("application/x-npy", npy(np.zeros((5000, *SHAPE), np.uint8)), 413),
    "wrong shape": ("application/x-npy", npy(np.zeros((64, 3, 8, 8), np.float32)), 422),
    "scalar": ("application/x-npy", npy(np.float32(1)), 422),
    "wrong type": ("application/x-npy", npy(GOOD.astype(np.float64)), 422),
    "integers": ("application/x-npy", npy(np.zeros((64, *SHAPE), np.int64)), 422),
    "nan": ("application/x-npy", npy(NAN), 422),
    "objects": ("application/x-npy", npy(np.array([{}] * 64, dtype=object)), 400),
    "truncated": ("application/x-npy", npy(GOOD)[:-7], 400),
    "no npy": ("application/x-npy", b"\x93NUMPY" + bytes(50), 400),
    "no x": ("application/x-npz", npz(z=GOOD), 400),
    "no zip": ("application/x-npz", b"PK" + bytes(100), 400),
    "npz of objects": ("application/x-npz", npz(x=np.array([{}] * 64, dtype=object)), 400),
    "bomb": ("application/x-npz", npz(x=np.zeros((70_000_000,), np.float32)), 413),
    "labels of another length": ("application/x-npz", npz(x=GOOD, y=np.zeros(3, np.int64)), 422),
    "labels out of range": ("application/x-npz", npz(x=GOOD, y=np.full(64, 9)), 422),
    "labels below the one for none": ("application/x-npz", npz(x=GOOD, y=np.full(64, -2)), 422),
    "labels with a fraction": ("application/x-npz", npz(x=GOOD, y=np.zeros(64)), 422),
    "labels in two columns": ("application/x-npz", npz(x=GOOD, y=np.zeros((64, 2), np.int64)), 422),
    "a label that is no word of the model": (
        "application/zip",
        archive(labels__csv=b"0.png,zebra", **{f"{i}__png": png() for i in range(64)}),
        422,
    ),
    "json labels of another length": ("application/json", labelled(range(3)), 422),
    "json labels out of range": ("application/json", labelled([9] * 64), 422),
    "json labels as text": ("application/json", labelled(["1"] * 64), 400),
    "json labels with a fraction": ("application/json", labelled([0.5] * 64), 400),
    "json labels of another type": ("application/json", labelled([1] * 64, datatype="FP32"), 400),
    "a second tensor that is no labels": ("application/json", labelled([1] * 64, name="z"), 400),
    "truth values": ("application/x-npy", npy(np.ones((64, *SHAPE), bool)), 400),
    "complex numbers": ("application/x-npy", npy(GOOD.astype(np.complex64)), 400),
    "records": ("application/x-npy", npy(np.zeros(64, [("a", "f4")])), 400),
    "a header that is no dictionary": ("application/x-npy", npy_header("{[]: 1}"), 400),
    "a header without end": ("application/x-npy", npy_header("{" * 9000), 400),
    "a negative side": ("application/x-npy", npy_header(HEADER.format("(-1, 1, 8, 8)")) + GOOD.tobytes(), 400),
    "a truth value as side": ("application/x-npy", npy_header(HEADER.format("(True, 1, 8, 8)")) + bytes(256), 400),
    "bzip2": ("application/x-npz", repacked(npz(x=GOOD), zipfile.ZIP_BZIP2), 400),
    "an entry that announces less than it holds": ("application/x-npz", understated(npz(x=GOOD)), 400),
    "a label of five thousand digits": (
        "application/zip",
        archive(
            labels__csv=b"".join(f"{i}.png,{'9' * 5000}\n".encode() for i in range(64)),
            **{f"{i}__png": png() for i in range(64)},
        ),
        422,
    ),
    "10,000 entries": ("application/zip", archive(**{f"{i}__png": b"" for i in range(10_000)}), 413),
    "zip without pictures": ("application/zip", archive(readme__txt=b"hello"), 400),
    "zip of text": ("application/zip", archive(**{f"{i}__png": b"text" for i in range(64)}), 415),
    "zip with a huge picture": ("application/zip", archive(**{f"{i}__png": huge_png(3000) for i in range(40)}), 413),
    "labels for other names": (
        "application/zip",
        archive(labels__csv=b"x.png,1", **{f"{i}__png": png() for i in range(64)}),
        422,
    ),
    "window": ("application/json", b'{"source": "window"}', 422),
    "json without tensor": ("application/json", b'{"inputs": []}', 400),
}


@pytest.mark.parametrize(("kind", "body", "status"), BAD_BATCHES.values(), ids=BAD_BATCHES.keys())
def test_a_bad_batch_is_refused_and_leaves_nothing_behind(shared_service, kind, body, status) -> None:
    assert_problem(shared_service.http.post(ADAPT, content=body, headers={"content-type": kind}), status)

    assert list(shared_service.context.settings.jobs_dir.iterdir()) == []
    assert "foreoptic_jobs" in shared_service.http.get("/metrics").text


UNKNOWN = {
    "model on v1": ("POST", "/v1/models/other/predict", 404),
    "model on v2": ("POST", "/v2/models/other/infer", 404),
    "domain of a prediction": ("POST", f"{PREDICT}?domain=nowhere", 404),
    "version number": ("POST", f"{PREDICT}?version=99", 404),
    "version word": ("POST", f"{PREDICT}?version=best", 404),
    "absent alias": ("POST", f"{PREDICT}?version=shadow", 404),
    "huge version": ("POST", f"{PREDICT}?version=99999999999999999999", 404),
    "top_k of words": ("POST", f"{PREDICT}?top_k=many", 400),
    "top_k of zero": ("POST", f"{PREDICT}?top_k=0", 400),
    "adaptation": ("GET", f"/v1/adaptations/{'0' * 32}", 404),
    "odd adaptation": ("GET", "/v1/adaptations/..%2f..", 404),
    "domain": ("GET", f"/v1/models/{TINY}/domains/nowhere", 404),
    "domain with a path in it": ("PUT", f"/v1/models/{TINY}/domains/..%2fx", 404),
    "domain with capitals": ("PUT", f"/v1/models/{TINY}/domains/Night", 400),
    "method": ("POST", f"{ADAPT}?method=os.path", 422),
    "method that needs source images": ("POST", f"{ADAPT}?method=calibrator", 409),
    "version beyond every integer": ("GET", f"/v1/models/{TINY}/versions/{10**25}", 422),
    "page": ("GET", "/nowhere", 404),
    "verb": ("DELETE", "/v1/models", 405),
    "verb of the hot path": ("GET", PREDICT, 405),
}


@pytest.mark.parametrize(("verb", "path", "status"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_does_not_exist_is_named_as_such(shared_service, verb, path, status) -> None:
    json_body = None if verb in ("GET", "DELETE") else {}
    assert_problem(shared_service.http.request(verb, path, json=json_body), status)


def test_a_body_beyond_its_cap_is_refused_whether_announced_or_not(shared_service) -> None:
    size = shared_service.context.settings.predict_body_bytes + 1

    announced = shared_service.http.post(PREDICT, content=bytes(size))
    chunked = shared_service.http.post(PREDICT, content=(bytes(1 << 20) for _ in range(9)))

    assert_problem(announced, 413)
    assert_problem(chunked, 413)


@pytest.mark.parametrize("path", ["correction", "domains/adaptations"])
def test_the_small_documents_of_the_framework_have_a_cap_too(shared_service, path: str) -> None:
    path = f"/v1/models/{TINY}/{path}"
    body = b'{"enabled": true' + b" " * (2 << 20) + b"}"
    headers = {"content-type": "application/json"}

    announced = shared_service.http.put(path, content=body, headers=headers)
    chunked = shared_service.http.put(path, content=iter([body]), headers=headers)

    assert_problem(announced, 413)
    assert_problem(chunked, 413)


def test_what_is_not_json_is_malformed(shared_service) -> None:
    headers = {"content-type": "application/json"}

    assert_problem(shared_service.http.put(f"/v1/models/{TINY}/correction", content=b"{", headers=headers), 400)


def test_a_verb_that_is_not_allowed_is_answered_with_those_that_are(shared_service) -> None:
    assert shared_service.http.delete("/v1/models").headers["allow"] == "GET"


def test_a_defect_of_ours_is_a_problem_without_its_cause(service, monkeypatch) -> None:
    def fail() -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(service.context.registry, "names", fail)
    response = service.http.get("/v1/models")

    assert_problem(response, 500)
    assert "secret" not in response.text
    monkeypatch.undo()
    assert 'code="500"' in service.http.get("/metrics").text


def test_a_compressed_body_is_refused(shared_service) -> None:
    response = shared_service.http.post(PREDICT, content=png(), headers={"content-encoding": "gzip"})

    assert_problem(response, 415)


def test_random_paths_add_no_metric_series(shared_service) -> None:
    def ask_for(word: str) -> int:
        shared_service.http.get(f"/{word}/x")
        shared_service.http.post(f"/v1/models/{word}/predict", content=b"x")
        shared_service.http.post(f"/v1/models/{TINY}/predict?domain={word}", content=b"x")
        return len(shared_service.http.get("/metrics").text.splitlines())

    # Each route's own series appear with its first request, those of /metrics after its first answer.
    ask_for("first")
    before = ask_for("second")
    after = [ask_for(f"word{index}") for index in range(30)]

    assert [before] * 30 == after
