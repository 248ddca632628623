"""Protocol v2 beside JSON: raw tensors and pictures, content codings, time limits. Every defect is a 400 in words."""

import gzip
import io
import zlib

import httpx
import numpy as np
import orjson
import pytest
from PIL import Image

from tests.conftest import CLASSES, SHAPE, TINY, Service, random_rows, running

PATH = f"/v2/models/{TINY}/infer"
LENGTH = "inference-header-content-length"
ROW_BYTES = int(np.prod(SHAPE)) * 4


def body_of(document: dict, raw: bytes = b"") -> tuple[bytes, dict[str, str]]:
    head = orjson.dumps(document)
    return head + raw, {LENGTH: str(len(head))}


def image(shape: list[int], **changed: object) -> dict:
    parameters = {"binary_data_size": ROW_BYTES * shape[0]}
    return {"name": "image", "datatype": "FP32", "shape": shape, "parameters": parameters, **changed}


def request(x: np.ndarray, **changed: object) -> tuple[bytes, dict[str, str]]:
    return body_of({"inputs": [image(list(x.shape))], **changed}, x.tobytes())


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def raw_scores(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    head = orjson.loads(response.content[: int(response.headers[LENGTH])])
    (output,) = head["outputs"]
    behind = response.content[int(response.headers[LENGTH]) :]
    assert len(behind) == output["parameters"]["binary_data_size"]
    return np.frombuffer(behind, "<f4").reshape(output["shape"])


# A body that is nothing but its input.


def test_a_whole_body_may_be_one_rows_tensor(shared_service: Service, bare) -> None:
    x = random_rows(1)

    response = shared_service.http.post(PATH, content=x.tobytes(), headers={LENGTH: "0"})

    np.testing.assert_array_equal(raw_scores(response), bare(x))
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["foreoptic-version"] == "0"


@pytest.mark.parametrize("size", [(8, 8), (40, 30)])
def test_a_whole_body_may_be_a_picture(shared_service: Service, size: tuple[int, int]) -> None:
    response = shared_service.http.post(PATH, content=png(size), headers={LENGTH: "0"})
    predicted = shared_service.http.post(f"/v1/models/{TINY}/predict?top_k={CLASSES}", content=png(size)).json()

    order = np.argsort(-raw_scores(response)[0]).tolist()
    assert order == [each["index"] for each in predicted["predictions"]]


@pytest.mark.parametrize("content", [b"", b"neither", random_rows(2).tobytes()], ids=["empty", "text", "two rows"])
def test_a_whole_body_that_is_neither_is_refused(shared_service: Service, content: bytes) -> None:
    response = shared_service.http.post(PATH, content=content, headers={LENGTH: "0"})

    assert response.status_code == 400
    assert response.json()["error"]


# What is wrong with raw tensors.


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "", "9" * 30, "١"])
def test_a_length_that_is_no_number_is_refused(shared_service: Service, length: str) -> None:
    response = shared_service.http.post(PATH, content=b"{}", headers={LENGTH: length.encode()})

    assert response.status_code == 400
    assert "whole number" in response.json()["error"]


X = random_rows(2)
HEAD = {"inputs": [image([2, *SHAPE])]}


@pytest.mark.parametrize(
    ("document", "raw", "part"),
    [
        (HEAD, X.tobytes()[:-1], "announce"),
        (HEAD, X.tobytes() + b"0", "announce"),
        ({"inputs": [image([3, *SHAPE]) | {"parameters": {"binary_data_size": 2 * ROW_BYTES}}]}, X.tobytes(), "holds"),
        ({"inputs": [image([2, *SHAPE], parameters={"binary_data_size": -1})]}, b"", "whole number"),
        ({"inputs": [image([2, *SHAPE], parameters={"binary_data_size": True})]}, b"", "whole number"),
        ({"inputs": [image([2, *SHAPE], parameters=[])]}, X.tobytes(), "announce 0 bytes"),
        ({"inputs": [image([2, *SHAPE], parameters="much")]}, b"", "JSON object"),
        ({"inputs": [image([2, *SHAPE], datatype="FP16")]}, X.tobytes(), "FP32"),
        ({"inputs": [image([2, *SHAPE])] * 2}, X.tobytes() * 2, "one input"),
        ({"inputs": [image([0, *SHAPE])]}, b"", "no items"),
        ({"inputs": [1]}, b"", "objects"),
        ({**HEAD, "outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]}, X.tobytes(), "true or false"),
        ({**HEAD, "outputs": [{"name": "logits", "parameters": {"classification": -1}}]}, X.tobytes(), "whole number"),
        ({**HEAD, "outputs": [{}]}, X.tobytes(), "name"),
        ({**HEAD, "outputs": [{"name": "odds"}]}, X.tobytes(), "logits"),
        ({**HEAD, "parameters": {"timeout": "soon"}}, X.tobytes(), "timeout"),
        ({**HEAD, "parameters": {"priority": -1}}, X.tobytes(), "priority"),
        ({**HEAD, "parameters": {"domain": 5}}, X.tobytes(), "domain"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(shared_service: Service, document: dict, raw: bytes, part: str) -> None:
    content, headers = body_of(document, raw)

    response = shared_service.http.post(PATH, content=content, headers=headers)

    assert response.status_code == 400
    assert part in response.json()["error"]


@pytest.mark.parametrize(
    ("shape", "raw", "part"),
    [
        ([2], b"\x01\x00\x00\x00a", "announces 2 pictures"),
        ([1], b"\xff\xff\xff\xffa", "announces 1 pictures"),
        ([1], b"\x01\x00", "announces 1 pictures"),
        ([1], b"\x01\x00\x00\x00a", "PNG"),
        ([0], b"", "announces 0 pictures"),
        ([1, 2], b"\x01\x00\x00\x00a", r"[n]"),
    ],
)
def test_pictures_that_do_not_come_as_announced_are_refused(shared_service: Service, shape, raw, part) -> None:
    entry = {"name": "image", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": len(raw)}}
    content, headers = body_of({"inputs": [entry]}, raw)

    response = shared_service.http.post(PATH, content=content, headers=headers)

    assert response.status_code == 400
    assert part in response.json()["error"]


def test_more_rows_than_accepted_are_too_large(settings, tiny) -> None:
    with running(settings.model_copy(update={"infer_max_images": 2}), tiny) as service:
        content, headers = request(random_rows(3))
        response = service.http.post(PATH, content=content, headers=headers)

    assert response.status_code == 413


# Codings.


def test_a_small_request_that_inflates_beyond_the_limit_is_refused(settings, tiny) -> None:
    bomb = gzip.compress(bytes(1 << 26))
    with running(settings.model_copy(update={"predict_body_bytes": 1 << 20}), tiny) as service:
        response = service.http.post(PATH, content=bomb, headers={"content-encoding": "gzip"})

    assert len(bomb) < 1 << 17
    assert response.status_code == 413
    assert "inflated" in response.json()["error"]


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", b"plain"),
        ("deflate", gzip.compress(b"{}")),
        ("gzip", gzip.compress(b"{}")[:-3]),
        ("gzip", gzip.compress(b"{}") + b"more"),
        ("br", b"anything"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
    ],
)
def test_a_body_that_is_not_in_its_coding_is_refused(shared_service: Service, coding: str, content: bytes) -> None:
    response = shared_service.http.post(PATH, content=content, headers={"content-encoding": coding})

    assert response.status_code == 400


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("gzip", "gzip"),
        ("br, DEFLATE;q=0.5", "deflate"),
        ("gzip;q=0", None),
        ("gzip; q=0, deflate", "deflate"),
        ("*", None),
    ],
)
def test_a_long_answer_comes_in_the_coding_that_is_asked_for(shared_service: Service, bare, asked, used) -> None:
    x = random_rows(200)
    content, headers = request(x, parameters={"binary_data_output": True})
    headers["accept-encoding"] = asked

    with shared_service.http.stream("POST", PATH, content=content, headers=headers) as got:
        raw = b"".join(got.iter_raw())

    assert got.headers.get("content-encoding") == used
    plain = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[used](raw)
    np.testing.assert_array_equal(
        np.frombuffer(plain[int(got.headers[LENGTH]) :], "<f4").reshape(len(x), CLASSES), bare(x)
    )


def test_a_short_answer_is_sent_as_it_is(shared_service: Service) -> None:
    content, headers = request(random_rows(1))

    response = shared_service.http.post(PATH, content=content, headers={**headers, "accept-encoding": "gzip"})

    assert "content-encoding" not in response.headers


# Limits of time, and what is counted.


def test_a_request_that_is_not_answered_within_its_own_time_is_told_so(service: Service) -> None:
    content, headers = request(random_rows(64), parameters={"timeout": 1})

    response = service.http.post(PATH, content=content, headers=headers)

    assert response.status_code == 503
    assert "limit" in response.json()["error"]
    assert 'nv_inference_request_failure{model="tiny",reason="CANCELED",version="0"} 1.0' in metrics(service)


def metrics(service: Service) -> str:
    return service.http.get("/metrics").text


def test_triton_names_count_requests_images_and_runs(service: Service) -> None:
    for count in (1, 8):
        content, headers = request(random_rows(count))
        assert service.http.post(PATH, content=content, headers=headers).status_code == 200
    lines = metrics(service).splitlines()

    labels = '{model="tiny",version="0"}'
    for name, value in (("request_success", 2), ("count", 9), ("exec_count", 2)):
        assert f"nv_inference_{name}{labels} {value}.0" in lines
    (micros,) = [line.split()[-1] for line in lines if line.startswith(f"nv_inference_request_duration_us{labels}")]
    assert float(micros) > 0
    assert not [line for line in lines if line.startswith("nv_") and "_total" in line]


def test_made_up_domains_versions_and_paths_add_no_series(shared_service: Service) -> None:
    names = shared_service.context.metrics.registry
    shared_service.infer(random_rows(1))
    shared_service.infer(random_rows(1), domain="nobody")
    shared_service.http.get("/nowhere")
    before = sum(len(family.samples) for family in names.collect())

    for number in range(100):
        shared_service.infer(random_rows(1), domain=f"made-up-{number}")
        shared_service.http.get(f"/made/up/{number}")
        shared_service.infer(random_rows(1), version=f"{number + 1000}")

    assert sum(len(family.samples) for family in names.collect()) == before


def test_a_picture_as_long_as_a_tensor_is_a_picture(shared_service: Service) -> None:
    x = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(x).save(buffer, "PNG")
    # What follows a PNG's end is not read.
    content = buffer.getvalue().ljust(ROW_BYTES, b"\0")
    assert len(content) == ROW_BYTES

    answers = [
        raw_scores(shared_service.http.post(PATH, content=body, headers={LENGTH: "0"}))
        for body in (content, buffer.getvalue())
    ]

    np.testing.assert_array_equal(*answers)


def test_pictures_of_one_request_have_a_limit_together(settings, tiny) -> None:
    elements = [png((20, 20))] * 9
    raw = b"".join(len(each).to_bytes(4, "little") + each for each in elements)
    entry = {"name": "image", "datatype": "BYTES", "shape": [9], "parameters": {"binary_data_size": len(raw)}}
    content, headers = body_of({"inputs": [entry]}, raw)
    with running(settings.model_copy(update={"max_pixels": 800}), tiny) as service:
        response = service.http.post(PATH, content=content, headers=headers)

    assert response.status_code == 413
    assert "3600 pixels together" in response.json()["error"]
