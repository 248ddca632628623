"""NVIDIA's own client, unmodified, gets what it asks for: the bits of onnxruntime, whatever form they travel in."""

import asyncio
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from PIL import Image
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.conftest import CLASSES, SHAPE, TINY, Service, random_rows

# The clients leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

MANY = 200
"""Rows of an answer that is worth compressing."""


@pytest.fixture
def client(shared_service: Service) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(shared_service.url.removeprefix("http://")) as made:
        yield made


def tensor(x: np.ndarray, *, binary: bool = True) -> triton.InferInput:
    made = triton.InferInput("image", list(x.shape), np_to_triton_dtype(x.dtype))
    made.set_data_from_numpy(x, binary_data=binary)
    return made


def pictures(count: int) -> tuple[list[bytes], np.ndarray]:
    """PNG pictures of the model's size, and the tensor that they are."""
    pixels = np.random.default_rng(4).integers(0, 256, (count, *SHAPE[1:]), dtype=np.uint8)
    encoded = []
    for each in pixels:
        buffer = io.BytesIO()
        Image.fromarray(each).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    return encoded, (pixels[:, None] / np.float32(255)).astype(np.float32)


# Tensors.


@pytest.mark.parametrize("binary_out", [True, False], ids=["raw answer", "json answer"])
@pytest.mark.parametrize("binary_in", [True, False], ids=["raw request", "json request"])
def test_tensors_travel_raw_or_as_json_in_either_direction(
    client: Any, bare: Callable, *, binary_in: bool, binary_out: bool
) -> None:
    x = random_rows(5)
    outputs = [triton.InferRequestedOutput("logits", binary_data=binary_out)]

    result = client.infer(TINY, [tensor(x, binary=binary_in)], outputs=outputs, request_id="mine")

    np.testing.assert_array_equal(result.as_numpy("logits"), bare(x))
    answer = result.get_response()
    assert answer["id"] == "mine"
    assert answer["model_name"] == TINY
    assert ("data" in answer["outputs"][0]) != binary_out


def test_without_outputs_the_client_asks_for_all_of_them_raw(client: Any, bare: Callable) -> None:
    x = random_rows(3)

    result = client.infer(TINY, [tensor(x)])

    np.testing.assert_array_equal(result.as_numpy("logits"), bare(x))
    assert result.get_response()["outputs"][0]["parameters"] == {"binary_data_size": 3 * CLASSES * 4}


@pytest.mark.parametrize("answer", [None, "gzip", "deflate"])
@pytest.mark.parametrize("request_", [None, "gzip", "deflate"])
def test_both_directions_may_be_compressed(
    client: Any, bare: Callable, request_: str | None, answer: str | None
) -> None:
    x = random_rows(MANY)

    result = client.infer(
        TINY, [tensor(x)], request_compression_algorithm=request_, response_compression_algorithm=answer
    )

    np.testing.assert_array_equal(result.as_numpy("logits"), bare(x))


def test_pictures_are_an_input_of_bytes(client: Any, bare: Callable) -> None:
    encoded, x = pictures(3)
    image = triton.InferInput("image", [3], "BYTES")
    image.set_data_from_numpy(np.array(encoded, dtype=object))

    result = client.infer(TINY, [image])

    # The service multiplies by 1 / 255.
    np.testing.assert_allclose(result.as_numpy("logits"), bare(x), rtol=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_the_most_probable_classes_are_named(client: Any, bare: Callable, *, binary: bool) -> None:
    x = random_rows(2)
    outputs = [triton.InferRequestedOutput("logits", binary_data=binary, class_count=2)]

    named = client.infer(TINY, [tensor(x)], outputs=outputs).as_numpy("logits")

    assert named.shape == (2, 2)
    for row, scores in zip(named, bare(x), strict=True):
        found = [(each.decode() if isinstance(each, bytes) else each).split(":") for each in row]
        assert [int(index) for _, index, _ in found] == np.argsort(-scores)[:2].tolist()
        np.testing.assert_allclose([float(score) for score, _, _ in found], np.sort(scores)[::-1][:2], atol=1e-5)


def test_several_requests_at_once_each_get_their_own(client: Any, bare: Callable, shared_service: Service) -> None:
    batches = [random_rows(1 + seed % 5, seed) for seed in range(32)]

    async def ask() -> list[np.ndarray]:
        async with triton_aio.InferenceServerClient(shared_service.url.removeprefix("http://")) as aio:
            results = await asyncio.gather(*(aio.infer(TINY, [tensor(x)]) for x in batches))
            return [result.as_numpy("logits") for result in results]

    for x, answer in zip(batches, asyncio.run(ask()), strict=True):
        np.testing.assert_array_equal(answer, bare(x))


def test_the_asynchronous_client_reads_compressed_answers(bare: Callable, shared_service: Service) -> None:
    x = random_rows(MANY)

    async def ask() -> np.ndarray:
        async with triton_aio.InferenceServerClient(shared_service.url.removeprefix("http://")) as aio:
            result = await aio.infer(
                TINY, [tensor(x)], request_compression_algorithm="gzip", response_compression_algorithm="deflate"
            )
            return result.as_numpy("logits")

    np.testing.assert_array_equal(asyncio.run(ask()), bare(x))


# Versions, domains, limits.


def test_a_version_is_a_number_or_an_alias(client: Any, bare: Callable) -> None:
    x = random_rows(2)

    for version in ("0", "champion"):
        np.testing.assert_array_equal(
            client.infer(TINY, [tensor(x)], model_version=version).as_numpy("logits"), bare(x)
        )


def test_parameters_name_the_domain_and_the_answer_says_by_what_it_was_made(service: Service, bare, make_corrector):
    x, number = random_rows(2), service.publish(make_corrector(0.5), domain="dock")
    service.http.put(f"/v1/models/{TINY}/domains/dock", json={}).raise_for_status()
    service.activate(number, domain="dock")

    with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        result = client.infer(TINY, [tensor(x)], parameters={"domain": "dock"}, priority=1, timeout=10_000_000)

    np.testing.assert_array_equal(result.as_numpy("logits"), bare(x * np.float32(0.5)))
    answer = result.get_response()
    assert answer["model_version"] == str(number)
    assert answer["parameters"]["domain"] == "dock"
    assert answer["parameters"]["corrected"] is True


@pytest.mark.parametrize(
    ("model", "version", "x", "part"),
    [
        ("nobody", "", random_rows(1), "nobody"),
        (TINY, "77", random_rows(1), "77"),
        (TINY, "", np.zeros((1, 1, 9, 9), np.float32), "items of shape [1, 8, 8]"),
        (TINY, "", np.full((1, *SHAPE), np.nan, np.float32), "NaN"),
        (TINY, "", np.zeros((1, *SHAPE), np.float64), "FP32"),
    ],
    ids=["model", "version", "shape", "not finite", "datatype"],
)
def test_errors_reach_the_client_as_words(client: Any, model: str, version: str, x: np.ndarray, part: str) -> None:
    with pytest.raises(InferenceServerException, match=part.replace("[", r"\[")):
        client.infer(model, [tensor(x)], model_version=version)


# Everything else that the client can ask.


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(TINY)
    assert not client.is_model_ready("nobody")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata(TINY)
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, *SHAPE]}]
    config = client.get_model_config(TINY)
    assert config["input"] == [{"name": "image", "data_type": "TYPE_FP32", "dims": list(SHAPE)}]
    assert config["max_batch_size"] > 1
    assert {"name": TINY, "version": "0", "state": "READY", "reason": ""} in client.get_model_repository_index()


def test_statistics_count_requests_and_images(service: Service) -> None:
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        for count in (1, 3, 4):
            client.infer(TINY, [tensor(random_rows(count))])
        (found,) = client.get_inference_statistics(TINY)["model_stats"]
        everything = client.get_inference_statistics()["model_stats"]

    assert everything == [found]
    assert (found["name"], found["version"]) == (TINY, "0")
    assert (found["inference_count"], found["execution_count"]) == (8, 3)
    durations = found["inference_stats"]
    assert durations["success"]["count"] == 3
    assert durations["fail"]["count"] == 0
    assert durations["success"]["ns"] >= durations["queue"]["ns"] + durations["compute_infer"]["ns"] > 0


def test_what_is_not_offered_says_so(client: Any) -> None:
    for ask in (
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        lambda: client.load_model(TINY),
        lambda: client.unload_model(TINY),
        client.get_trace_settings,
        client.get_log_settings,
    ):
        with pytest.raises(InferenceServerException, match=r"not offered|foreoptic register|set where"):
            ask()


def test_shared_memory_in_a_request_is_refused(client: Any) -> None:
    image = triton.InferInput("image", [1, *SHAPE], "FP32")
    image.set_shared_memory("region", 256)

    with pytest.raises(InferenceServerException, match="shared memory is not offered"):
        client.infer(TINY, [image])
