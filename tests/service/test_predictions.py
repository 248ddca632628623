"""Predictions over HTTP: which version answers, with which bits, and what every answer carries."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from tests.conftest import SHAPE, TINY, random_rows, running
from tests.service.forged import NAME, with_output


def outputs(response) -> np.ndarray:
    assert response.status_code == 200, response.text
    tensor = response.json()["outputs"][0]
    return np.array(tensor["data"], np.float32).reshape(tensor["shape"])


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("count", [1, 2, 3, 31, 32, 33, 64])
def test_version_0_gives_the_bits_of_onnxruntime_on_the_bare_file(service, bare, count) -> None:
    x = random_rows(count)

    assert np.array_equal(bare(x), outputs(service.infer(x, version="0")))


def test_version_0_gives_the_same_bits_whoever_shares_its_batch(service, bare, make_corrector) -> None:
    service.activate(service.publish(make_corrector(0.5)))
    sizes = [1, 2, 3, 5, 8] * 8
    batches = [random_rows(size, seed) for seed, size in enumerate(sizes)]

    def ask(index: int) -> np.ndarray:
        return outputs(service.infer(batches[index], version="0" if index % 2 else None))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(len(batches))))

    for index, (x, answer) in enumerate(zip(batches, answers, strict=True)):
        expected = bare(x) if index % 2 else bare(x * np.float32(0.5))
        assert np.array_equal(expected, answer), f"request {index}"


def test_batches_of_up_to_64_images_and_mixed_domains_answer_as_each_would_alone(service, make_corrector) -> None:
    """Tolerance 1e-5: corrected rows may be summed in another order in a batch of another size."""
    gains = {f"line-{place}": 0.3 + 0.1 * place for place in range(4)}
    for name, gain in gains.items():
        service.http.put(f"/v1/models/{TINY}/domains/{name}", json={}).raise_for_status()
        service.activate(service.publish(make_corrector(gain), domain=name), domain=name)
    sizes = [*range(1, 65, 7), 64] * 4
    asked = [(random_rows(size, seed), list(gains)[seed % 4]) for seed, size in enumerate(sizes)]
    alone = [[outputs(service.infer(row[None], domain=domain))[0] for row in x] for x, domain in asked]

    # So many that all of them together stay below what may wait.
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda one: outputs(service.infer(one[0], domain=one[1])), asked))

    for expected, answer in zip(alone, together, strict=True):
        np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-5)


def test_the_champion_answers_a_request_that_names_no_version(service, bare, make_corrector) -> None:
    x = random_rows(3)
    number = service.publish(make_corrector(0.25))
    service.activate(number)

    response = service.infer(x)

    assert np.array_equal(bare(x * np.float32(0.25)), outputs(response))
    assert response.json()["model_version"] == str(number)
    assert response.headers["foreoptic-version"] == str(number)
    assert response.headers["foreoptic-corrected"] == "true"


@pytest.mark.parametrize(
    ("version", "gain"), [("0", 1.0), ("1", 0.5), ("2", 0.25), ("champion", 0.25), ("previous", 0.5)]
)
def test_a_request_may_name_a_version_by_number_or_alias(service, bare, make_corrector, version, gain) -> None:
    for corrector in (make_corrector(0.5), make_corrector(0.25)):
        service.activate(service.publish(corrector))
    x = random_rows(2)

    assert np.array_equal(bare(x * np.float32(gain)), outputs(service.infer(x, version=version)))


def test_each_domain_has_its_own_champion(service, bare, make_corrector) -> None:
    service.http.put(f"/v1/models/{TINY}/domains/night", json={})
    service.activate(service.publish(make_corrector(0.5)), domain="night")
    x = random_rows(2)

    assert np.array_equal(bare(x), outputs(service.infer(x)))
    assert np.array_equal(bare(x * np.float32(0.5)), outputs(service.infer(x, domain="night")))


def test_a_picture_is_classified_as_the_tensor_that_it_becomes(service, bare) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, SHAPE[1:], dtype=np.uint8)
    logits = bare((pixels[None, None] / np.float32(255)).astype(np.float32))[0].astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum()

    answer = service.http.post(f"/v1/models/{TINY}/predict?top_k=4", content=png(pixels)).json()

    found = {item["index"]: item["probability"] for item in answer["predictions"]}
    assert [found[i] for i in range(4)] == pytest.approx(expected, abs=1e-6)
    assert sorted(found.values(), reverse=True) == [item["probability"] for item in answer["predictions"]]
    assert (answer["model"], answer["domain"], answer["version"], answer["corrected"]) == (TINY, "default", 0, False)


def test_every_prediction_names_the_frozen_bytes_and_repeats_the_request_id(service, tiny) -> None:
    picture = png(np.zeros((8, 8), np.uint8))

    response = service.http.post(f"/v1/models/{TINY}/predict", content=picture, headers={"X-Request-Id": "abc-1"})

    assert response.headers["foreoptic-frozen-sha256"] == tiny.manifest.frozen_sha256
    assert response.headers["x-request-id"] == "abc-1" == response.json()["request_id"]


def test_the_domain_may_come_in_a_header_but_not_as_two(service) -> None:
    service.http.put(f"/v1/models/{TINY}/domains/night", json={})
    picture = png(np.zeros((8, 8), np.uint8))
    path = f"/v1/models/{TINY}/predict"

    by_header = service.http.post(path, content=picture, headers={"Foreoptic-Domain": "night"})
    contradictory = service.http.post(f"{path}?domain=default", content=picture, headers={"Foreoptic-Domain": "night"})

    assert by_header.json()["domain"] == "night"
    assert contradictory.status_code == 400


def test_the_kill_switch_serves_every_domain_uncorrected(service, bare, make_corrector) -> None:
    number = service.publish(make_corrector(0.5))
    service.activate(number)
    x = random_rows(2)

    service.http.put(f"/v1/models/{TINY}/correction", json={"enabled": False})

    assert np.array_equal(bare(x), outputs(service.infer(x)))
    assert np.array_equal(bare(x), outputs(service.infer(x, version=str(number))))
    service.http.put(f"/v1/models/{TINY}/correction", json={"enabled": True})
    assert np.array_equal(bare(x * np.float32(0.5)), outputs(service.infer(x)))


def test_v2_repeats_the_id_and_serves_only_the_outputs_asked_for(service) -> None:
    x = random_rows(1)
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, *SHAPE], "data": x.tolist()}

    answer = service.http.post(
        f"/v2/models/{TINY}/infer", json={"id": "7", "inputs": [tensor], "outputs": [{"name": "logits"}]}
    ).json()

    assert answer["id"] == "7"
    assert [output["name"] for output in answer["outputs"]] == ["logits"]


def test_a_device_can_pull_its_corrector_and_skip_it_when_it_has_it(service, make_corrector) -> None:
    bundle = make_corrector(0.5)
    path = f"/v1/models/{TINY}/versions/{service.publish(bundle)}/corrector.onnx"

    first = service.http.get(path)
    second = service.http.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert first.content == bundle.files["corrector.onnx"]
    assert (second.status_code, second.content) == (304, b"")


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(helper.make_node("ReduceMax", ["logits"], ["extra"], axes=[1]), id="one_value_a_row"),
        pytest.param(helper.make_node("ReduceMean", ["logits"], ["extra"], keepdims=0), id="one_number"),
        pytest.param(helper.make_node("Concat", ["logits", "logits"], ["extra"], axis=0), id="two_rows_for_one"),
    ],
)
def test_scores_of_another_shape_than_was_registered_are_an_error_and_no_class(settings, tiny, node) -> None:
    with running(settings, with_output(tiny, node, scores="extra")) as service:
        response = service.http.post(f"/v1/models/{NAME}/predict", content=png(np.zeros(SHAPE[1:], np.uint8)))

    assert response.status_code == 500
    assert "predictions" not in response.json()
