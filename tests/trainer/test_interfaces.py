"""One frozen model behind many interfaces: each is registered, read with a gradient, fitted and rehearsed."""

from collections.abc import Iterator

import numpy as np
import onnxruntime
import pytest
import torch

from service.contract.bundle import Bundle
from service.contract.job import JobSpec
from service.contract.manifest import ModelManifest
from service.engine.rehearsal import rehearse
from tests.interface_variants import VARIANTS, fixed_rows
from trainer.corrector import Corrector
from trainer.datasets import Dataset
from trainer.export import ExportError, check_parity, to_onnx
from trainer.interface import Normalisation, RegistrationError, choose_scores, read_input_spec
from trainer.onnx_writer import GraphWriter
from trainer.reading import Reading, held_as, read_model
from trainer.registration import register
from trainer.run import Clock, fit
from trainer.stages import Stage

SIZE = (8, 8)
# Half precision keeps 11 bits and uint8 256 levels: what the float32 model gives differs by their rounding.
ROUNDING = {"float16": 5e-3, "uint8": 2e-2, "uint8 channels last": 2e-2}


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """`fit` sets the threads of its process, which is a test's here."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def pictures(count: int, seed: int = 5) -> np.ndarray:
    """Pixels (n, 1, 8, 8)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 1, *SIZE), dtype=np.uint8)


def registered(content: bytes, **told: str) -> Bundle[ModelManifest]:
    spec = read_input_spec(content, Normalisation(), size=SIZE)
    planes = spec.to_planes(spec.from_pixels(pictures(300)))
    return register(content, name="variant", spec=spec, source=Dataset(planes, None), labels=None, card=None, **told)


def reading_of(bundle: Bundle[ModelManifest]) -> Reading:
    manifest = bundle.manifest
    planes = manifest.input.to_planes(manifest.input.noise(3))
    taps = [tap.name for tap in manifest.taps]
    return read_model(
        bundle.files["model.onnx"], manifest.input, taps=taps, scores=manifest.output.name, example=planes
    )


@pytest.fixture(scope="module", params=list(VARIANTS))
def variant(request: pytest.FixtureRequest, tiny_onnx: bytes) -> tuple[str, Bundle[ModelManifest]]:
    return request.param, registered(VARIANTS[request.param](tiny_onnx))


@pytest.fixture(scope="module")
def plain(tiny_onnx: bytes) -> Bundle[ModelManifest]:
    return registered(tiny_onnx)


def planes_of(bundle: Bundle[ModelManifest], count: int) -> torch.Tensor:
    spec = bundle.manifest.input
    return torch.from_numpy(spec.to_planes(spec.from_pixels(pictures(count, seed=9))))


def test_the_registered_interface_is_the_file_s(variant) -> None:
    name, bundle = variant
    spec = bundle.manifest.input

    assert spec.layout == ("NHWC" if "channels last" in name else "NCHW")
    assert spec.dtype == ("uint8" if "uint8" in name else "float16" if name == "float16" else "float32")
    assert spec.batch == {"one row": 1, "three rows": 3}.get(name)
    assert spec.shape == (1, *SIZE)
    assert bundle.manifest.output.classes == 4
    assert bundle.manifest.output.scores == ("probabilities" if name == "softmax inside" else "logits")


@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_reading_gives_the_scores_of_onnxruntime_for_any_number_of_rows(variant, plain, tiny_onnx, count) -> None:
    name, bundle = variant
    # The oracle is the plain model: what a variant changes is the interface alone.
    x = planes_of(plain, count).numpy()
    expected = onnxruntime.InferenceSession(tiny_onnx).run(None, {"image": x})[0]
    if name == "softmax inside":
        expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)

    scores, taps = reading_of(bundle).scores_and_taps(planes_of(bundle, count))

    np.testing.assert_allclose(expected, scores.numpy(), atol=ROUNDING.get(name, 1e-5))
    assert {tap.name: (count, tap.channels) for tap in bundle.manifest.taps} == {
        tap: tuple(value.shape[:2]) for tap, value in taps.items()
    }


def test_the_gradient_reaches_the_planes_through_every_interface(variant, plain) -> None:
    name, bundle = variant
    expected = gradient(plain, planes_of(plain, 4))
    low, high = bundle.manifest.input.bounds

    got = gradient(bundle, planes_of(bundle, 4)) * (high - low)

    largest = float(expected.abs().max())
    np.testing.assert_allclose(expected / largest, got / largest, atol=ROUNDING.get(name, 1e-5))


def gradient(bundle: Bundle[ModelManifest], planes: torch.Tensor) -> torch.Tensor:
    """Of the summed squares of every tap."""
    planes = planes.clone().requires_grad_()
    _, taps = reading_of(bundle).scores_and_taps(planes)
    total = torch.stack([value.square().mean() for value in taps.values()]).sum()
    return torch.autograd.grad(total, planes)[0]


def test_a_corrector_fitted_behind_an_interface_hands_over_the_model_s_own_tensor(variant) -> None:
    _, bundle = variant
    spec = bundle.manifest.input
    planes = spec.to_planes(spec.from_pixels((pictures(64) // 2) + 90))
    job = JobSpec(
        id="a" * 32,
        model="variant",
        domain="default",
        method="homogenizer",
        seed=0,
        frozen_sha256=bundle.manifest.frozen_sha256,
        batch_sha256="0" * 64,
        threads=1,
    )

    _, corrector = fit(job, bundle, planes, None, lambda progress: None, Clock())

    # Rehearsal refuses another element type or shape, and answers that differ from the golden ones.
    served = rehearse(corrector, 1, bundle.manifest, threads=1)
    assert served.graph is not None
    tensor = spec.to_tensor(planes[:5])
    corrected = served.graph.run(tensor)[0]
    assert (corrected.dtype, corrected.shape) == (tensor.dtype, tensor.shape)
    # The frozen file takes it as it is.
    session = onnxruntime.InferenceSession(bundle.files["model.onnx"])
    rows = corrected if spec.batch is None else corrected[np.arange(spec.batch) % len(corrected)]
    assert np.isfinite(session.run([bundle.manifest.output.name], {spec.name: rows})[0]).all()


class Drifting(Stage):
    """Exports another number than it computes with: on its way to uint8 every pixel is rounded to the next level."""

    name = "drifting"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.3

    def write(self, graph: GraphWriter, x: str) -> str:
        return graph.node("Add", x, graph.constant(np.array(0.7, np.float32)))


def test_an_export_that_rounds_otherwise_is_refused_though_no_pixel_is_off_by_more_than_a_level(tiny_onnx) -> None:
    manifest = registered(VARIANTS["uint8"](tiny_onnx)).manifest
    planes = manifest.input.to_planes(pictures(8))
    corrector = Corrector([Drifting()])

    with pytest.raises(ExportError, match="pixels differently"):
        check_parity(corrector, to_onnx(corrector, manifest, method="homogenizer"), planes, manifest.input)


@pytest.mark.parametrize(
    ("dtype", "values", "held", "slope"),
    [
        ("float32", [-3.0, 0.3, 300.0], [-3.0, 0.3, 300.0], [1, 1, 1]),
        # Half to even, as onnxruntime rounds; no gradient where it saturates.
        ("uint8", [-3.0, 0.4, 1.5, 2.5, 254.6, 300.0], [0, 0, 2, 2, 255, 255], [0, 1, 1, 1, 1, 0]),
        ("float16", [0.1, 2049.0], [np.float16(0.1), 2048.0], [1, 1]),
    ],
)
def test_rounding_is_straight_through(dtype, values, held, slope) -> None:
    planes = torch.tensor(values, requires_grad=True)

    rounded = held_as(planes, dtype)

    np.testing.assert_array_equal(np.float32(held), rounded.detach().numpy())
    np.testing.assert_array_equal(slope, torch.autograd.grad(rounded.sum(), planes)[0].numpy())


def test_the_scores_can_be_named(tiny_onnx: bytes) -> None:
    content = VARIANTS["several outputs"](tiny_onnx)

    assert registered(content, scores="logits").manifest.output.name == "logits"
    with pytest.raises(RegistrationError, match=r"no output 'logit'.*'relu2' \(3, 8, 8, 8\), 'logits' \(3, 4\)"):
        registered(content, scores="logit")
    with pytest.raises(RegistrationError, match=r"'relu2' has shape \(3, 8, 8, 8\); \(n, classes\)"):
        registered(content, scores="relu2")


@pytest.mark.parametrize(
    ("shapes", "scores"),
    [
        ({"a": (3, 10)}, "a"),
        ({"map": (3, 10, 8, 8), "a": (3, 10), "b": (3, 5)}, "a"),
        ({"pooled": (3, 10, 1, 1)}, "pooled"),
        ({"score": (3, 1), "a": (3, 2)}, "a"),
    ],
    ids=["only one", "first of two", "pooled", "not a single number"],
)
def test_the_first_output_that_can_be_class_scores_is_taken(shapes, scores) -> None:
    assert choose_scores(shapes, wanted=None, rows=3) == scores


def test_a_file_that_fixes_its_rows_must_give_one_answer_a_row(tiny_onnx: bytes) -> None:
    def transposed(content: bytes) -> bytes:
        import onnx

        model = onnx.load_model_from_string(content)
        model.graph.node.append(onnx.helper.make_node("Transpose", ["logits"], ["turned"]))
        model.graph.output.append(onnx.helper.make_tensor_value_info("turned", onnx.TensorProto.FLOAT, [4, 3]))
        return bytes(model.SerializeToString())

    with pytest.raises(RegistrationError, match=r"fixes 3 rows.*'turned' has shape \(4, 3\)"):
        registered(transposed(fixed_rows(3)(tiny_onnx)))


@pytest.mark.parametrize(
    ("size", "message"),
    [(None, "--size HEIGHTxWIDTH"), ((16, 16), None)],
)
def test_an_open_size_is_asked_for(tiny_onnx: bytes, size, message) -> None:
    content = VARIANTS["open size"](tiny_onnx)
    if message is None:
        assert read_input_spec(content, Normalisation(), size=size).size == size
        return
    with pytest.raises(RegistrationError, match=message):
        read_input_spec(content, Normalisation(), size=size)


def test_a_size_that_contradicts_the_file_is_refused(tiny_onnx: bytes) -> None:
    with pytest.raises(RegistrationError, match="has the size 8x8, not 16x16"):
        read_input_spec(tiny_onnx, Normalisation(), size=(16, 16))


def test_a_layout_that_is_stated_overrules_the_guess(tiny_onnx: bytes) -> None:
    spec = read_input_spec(tiny_onnx, Normalisation(), layout="NHWC")

    assert (spec.shape, spec.item_shape) == ((8, 1, 8), (1, 8, 8))
