"""The service in front of models that take other layouts, element types, rows and outputs, over real sockets."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.input_spec import InputSpec
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.datatypes import DATATYPES, read_numbers
from service.settings import Settings
from tests.conftest import TINY, Service, running
from tests.interface_variants import VARIANTS
from trainer.corrector import Corrector
from trainer.datasets import Dataset
from trainer.export import golden_vectors, to_onnx
from trainer.interface import Normalisation, read_input_spec
from trainer.onnx_writer import GraphWriter
from trainer.registration import register
from trainer.stages import Stage

SIZE = (8, 8)


class Darker(Stage):
    """Halves every plane, which every element type here can hold."""

    name = "darker"

    def forward(self, x):
        return x * 0.5

    def write(self, graph: GraphWriter, x: str) -> str:
        return graph.node("Mul", x, graph.constant(np.array(0.5, np.float32)))


def registered(content: bytes) -> Bundle[ModelManifest]:
    spec = read_input_spec(content, Normalisation(), size=SIZE)
    planes = spec.to_planes(spec.noise(130))
    return register(content, name=TINY, spec=spec, source=Dataset(planes, None), labels=None, card=None)


def darker(model: Bundle[ModelManifest]) -> Bundle[CorrectorManifest]:
    content = to_onnx(Corrector([Darker()]), model.manifest, method="homogenizer")
    files = {
        "corrector.onnx": content,
        "golden.npz": golden_vectors(content, model.manifest),
        "verdict.json": b"{}",
    }
    manifest = CorrectorManifest(
        frozen_sha256=model.manifest.frozen_sha256,
        input=model.manifest.input,
        files=describe(files),
        method="homogenizer",
        stages=("darker",),
        opset=17,
        parameters=1,
        golden_tolerance=1.0,
        seed=0,
        batch_sha256="0" * 64,
        configuration={},
        packages={},
    )
    return Bundle(sha256_hex(manifest.to_bytes()), manifest, files)


@pytest.fixture(scope="module", params=list(VARIANTS))
def served(
    request: pytest.FixtureRequest, tiny_onnx: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bundle[ModelManifest], Service]]:
    model = registered(VARIANTS[request.param](tiny_onnx))
    home = tmp_path_factory.mktemp("variant") / "home"
    with running(Settings(home=home, worker=False, threads=2, refresh_interval_s=0.02), model) as service:
        yield model, service


def tensor_of(spec: InputSpec, count: int) -> np.ndarray:
    pixels = np.random.default_rng(count).integers(0, 256, (count, 1, *SIZE), dtype=np.uint8)
    return spec.from_pixels(pixels)


def infer(service: Service, spec: InputSpec, x: np.ndarray, version: int) -> dict[str, Any]:
    tensor = {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": list(x.shape), "data": x.ravel().tolist()}
    answer = service.http.post(f"/v2/models/{TINY}/versions/{version}/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def outputs(document: dict[str, Any]) -> list[np.ndarray]:
    names = {wire: dtype for dtype, wire in DATATYPES.items()}
    return [
        np.array(tensor["data"], names[tensor["datatype"]]).reshape(tensor["shape"]) for tensor in document["outputs"]
    ]


def bare(model: Bundle[ModelManifest], x: np.ndarray) -> list[np.ndarray]:
    """Every output of onnxruntime on the frozen file, run as often as a fixed number of rows asks for."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(model.files["model.onnx"], options)
    name, rows = session.get_inputs()[0].name, model.manifest.input.batch
    if rows is None:
        return session.run(None, {name: x})
    filled = np.concatenate([x, np.repeat(x[-1:], -len(x) % rows, axis=0)])
    runs = [session.run(None, {name: filled[i : i + rows]}) for i in range(0, len(filled), rows)]
    return [np.concatenate(parts)[: len(x)] for parts in zip(*runs, strict=True)]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_version_0_gives_the_bits_of_onnxruntime(served, count: int) -> None:
    model, service = served
    x = tensor_of(model.manifest.input, count)

    got = outputs(infer(service, model.manifest.input, x, 0))

    expected = bare(model, x)
    assert [value.dtype for value in expected] == [value.dtype for value in got]
    assert all(np.array_equal(a, b) for a, b in zip(expected, got, strict=True))


def test_a_corrector_stands_in_front_of_every_interface(served) -> None:
    model, service = served
    spec = model.manifest.input
    number = service.publish(darker(model))
    x = tensor_of(spec, 5)
    halved = spec.to_tensor(spec.to_planes(x) * np.float32(0.5))

    document = infer(service, spec, x, number)

    assert document["parameters"]["corrected"] is True
    assert all(np.array_equal(a, b) for a, b in zip(bare(model, halved), outputs(document), strict=True))


def test_a_picture_is_classified_as_its_tensor_is(served) -> None:
    model, service = served
    pixels = np.random.default_rng(3).integers(0, 256, SIZE, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")

    answer = service.http.post(f"/v1/models/{TINY}/predict?version=0", content=buffer.getvalue())

    names = [tensor["name"] for tensor in service.http.get(f"/v2/models/{TINY}").json()["outputs"]]
    scores = bare(model, model.manifest.input.from_pixels(pixels[None, None]))[names.index(model.manifest.output.name)]
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["index"] == int(scores.ravel().argmax())


def test_metadata_says_what_the_file_says(served) -> None:
    model, service = served
    spec = model.manifest.input

    document = service.http.get(f"/v2/models/{TINY}").json()

    session = onnxruntime.InferenceSession(model.files["model.onnx"])
    assert document["inputs"] == [{"name": "image", "datatype": DATATYPES[spec.dtype], "shape": [-1, *spec.item_shape]}]
    assert [output.name for output in session.get_outputs()] == [output["name"] for output in document["outputs"]]
    answered = infer(service, spec, tensor_of(spec, 2), 0)["outputs"]
    assert [(each["name"], each["datatype"]) for each in answered] == [
        (each["name"], each["datatype"]) for each in document["outputs"]
    ]


def test_a_batch_is_taken_as_pixels_and_as_the_model_s_own_tensor(served) -> None:
    model, service = served
    spec = model.manifest.input
    pixels = np.random.default_rng(4).integers(0, 256, (40, *spec.item_shape), dtype=np.uint8)

    for array in (pixels, tensor_of(spec, 40)):
        buffer = io.BytesIO()
        np.save(buffer, array)
        answer = service.http.post(
            f"/v1/models/{TINY}/domains/default/adaptations",
            content=buffer.getvalue(),
            headers={"content-type": "application/x-npy"},
        )
        assert answer.status_code == 202, answer.text


def test_another_element_type_is_refused(served) -> None:
    model, service = served
    spec = model.manifest.input
    tensor = {"name": spec.name, "datatype": "FP64", "shape": [1, *spec.item_shape], "data": [0.0] * 64}

    answer = service.http.post(f"/v2/models/{TINY}/infer", json={"inputs": [tensor]})

    assert answer.status_code == 400
    assert DATATYPES[spec.dtype] in answer.json()["error"]


@pytest.mark.parametrize("data", [[256], [-1], [1.5], ["1"], [True, None]])
def test_whole_numbers_are_not_rounded_nor_wrapped(data: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_numbers(data, "uint8")


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize(
    "data", [["1", "2"], "12", True, [True, False], [1, True], [[1], [True]], [None], {"a": 1}, [[1], [2, 3]]], ids=repr
)
def test_only_numbers_are_numbers(data: object, dtype: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_numbers(data, dtype)


def test_numbers_are_read_as_they_stand() -> None:
    assert np.array_equal(read_numbers([[0, 255]], "uint8"), np.array([[0, 255]], np.uint8))
    assert np.array_equal(read_numbers([0.5, 1e39], "float32"), np.array([0.5, np.inf], np.float32))
