"""What is exported is what was fitted, byte for byte the same each time, and tells nothing of a single image."""

import io
from copy import deepcopy

import numpy as np
import onnx
import pytest
import torch

from service.contract.bundle import Bundle, read_bundle, write_bundle
from service.contract.digest import sha256_hex
from service.contract.job import JobSpec
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.verdict import Decision, Verdict
from trainer.corrector import Corrector
from trainer.export import ExportError, assemble, check_parity, golden_vectors, run_onnx, to_onnx
from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage
from trainer.stages.filter import Filter
from trainer.stages.residual import Residual
from trainer.stages.warp import Warp

SHAPE = (1, 8, 8)
FRAME = Frame(SHAPE, (0.1,), (1.0,))


class Liar(Stage):
    """Writes itself as what it is not."""

    name = "liar"

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.offset

    def write(self, graph: GraphWriter, x: str) -> str:
        return graph.node("Relu", x)


class Blender(Liar):
    """Right for one image, and a mean over the batch for several."""

    def write(self, graph: GraphWriter, x: str) -> str:
        zeros = graph.node("Sub", x, x)
        return graph.node("Add", zeros, graph.node("ReduceMean", x, axes=[0], keepdims=1))


def images(count: int = 6) -> np.ndarray:
    return np.random.default_rng(4).random((count, *SHAPE), dtype=np.float32)


@pytest.fixture
def corrector() -> Corrector:
    draw = torch.Generator().manual_seed(1)
    corrector = Corrector([Warp(FRAME), Filter(FRAME), Residual(FRAME)])
    with torch.no_grad():
        for parameter in corrector.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return corrector


def job(model: ModelManifest) -> JobSpec:
    return JobSpec(
        id="0" * 32,
        model=model.name,
        domain="default",
        method="homogenizer",
        seed=3,
        frozen_sha256=model.frozen_sha256,
        batch_sha256="1" * 64,
        threads=2,
    )


def bundled(corrector: Corrector, tiny: Bundle[ModelManifest]) -> tuple[CorrectorManifest, dict[str, bytes]]:
    model = tiny.manifest
    content = to_onnx(corrector, model, method="homogenizer")
    verdict = Verdict(decision=Decision.HOLD, reasons=(), numbers={"loss_before": 1.0})
    golden = golden_vectors(content, model)
    return assemble(
        corrector, model, job(model), content=content, golden=golden, verdict=verdict, configuration={"steps": 5}
    )


def golden_of(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return archive["x"], archive["y"]


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(Liar(2e-4), id="slightly off"),
        pytest.param(Liar(-0.5), id="below zero"),
        pytest.param(Liar(float("nan")), id="nan"),
        pytest.param(
            Liar(float("inf")),
            id="infinite",
        ),
        pytest.param(Blender(), id="right for one image only"),
    ],
)
def test_a_form_that_differs_is_not_exported(stage: Stage, tiny: Bundle[ModelManifest]) -> None:
    corrector = Corrector([stage])
    content = to_onnx(corrector, tiny.manifest, method="homogenizer")

    with pytest.raises(ExportError, match=r"differ|not finite"):
        check_parity(corrector, content, images(), tiny.manifest.input)


def test_parity_gives_the_largest_difference(tiny: Bundle[ModelManifest]) -> None:
    corrector = Corrector([Liar(5e-5)])
    content = to_onnx(corrector, tiny.manifest, method="homogenizer")

    # Within the tolerance of 1e-4; one unit of float32 near 1 is 6e-8.
    assert check_parity(corrector, content, images(), tiny.manifest.input) == pytest.approx(5e-5, abs=1.2e-7)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_batch_size_is_free(count: int, corrector: Corrector, tiny: Bundle[ModelManifest]) -> None:
    content = to_onnx(corrector, tiny.manifest, method="homogenizer")

    y = run_onnx(content, images(count), tiny.manifest.input)

    assert y.shape == (count, *SHAPE)
    assert check_parity(corrector, content, images(count), tiny.manifest.input) < 1e-5  # values of order 1 in float32


@pytest.mark.parametrize("opset", [13, 15, 16, 20])
def test_other_operator_sets_compute_the_same(opset: int, corrector: Corrector, tiny: Bundle[ModelManifest]) -> None:
    content = to_onnx(corrector, tiny.manifest, method="homogenizer", opset=opset)

    assert onnx.load_model_from_string(content).opset_import[0].version == opset
    assert check_parity(corrector, content, images(), tiny.manifest.input) < 1e-5  # as above


def test_the_graph_has_one_free_input_and_output_of_the_models_shape(
    corrector: Corrector, tiny: Bundle[ModelManifest]
) -> None:
    graph = onnx.load_model_from_string(to_onnx(corrector, tiny.manifest, method="homogenizer")).graph

    (given,), (made,) = graph.input, graph.output
    assert given.name == tiny.manifest.input.name
    for side in (given, made):
        tensor = side.type.tensor_type
        assert tensor.elem_type == onnx.TensorProto.FLOAT
        assert tensor.shape.dim[0].dim_param
        assert tuple(dim.dim_value for dim in tensor.shape.dim[1:]) == SHAPE


def test_no_stage_exports_as_the_identity(tiny: Bundle[ModelManifest]) -> None:
    content = to_onnx(Corrector(), tiny.manifest, method="homogenizer")

    np.testing.assert_array_equal(run_onnx(content, images(), tiny.manifest.input), images())
    assert Corrector().size() == 0


def test_metadata_names_the_frozen_model_and_the_method(corrector: Corrector, tiny: Bundle[ModelManifest]) -> None:
    model = onnx.load_model_from_string(to_onnx(corrector, tiny.manifest, method="homogenizer"))

    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "foreoptic.frozen_sha256": sha256_hex(tiny.files["model.onnx"]),
        "foreoptic.method": "homogenizer",
    }


def test_the_same_corrector_gives_the_same_bytes(corrector: Corrector, tiny: Bundle[ModelManifest]) -> None:
    first, second = bundled(corrector, tiny), bundled(deepcopy(corrector), tiny)

    assert first[0].to_bytes() == second[0].to_bytes()
    assert first[1] == second[1]


def test_another_corrector_gives_another_digest(corrector: Corrector, tiny: Bundle[ModelManifest]) -> None:
    before = bundled(corrector, tiny)[0]
    with torch.no_grad():
        next(corrector.parameters()).add_(1e-3)

    assert bundled(corrector, tiny)[0].to_bytes() != before.to_bytes()


def test_golden_outputs_are_the_correctors(corrector: Corrector, tiny: Bundle[ModelManifest]) -> None:
    x, y = golden_of(bundled(corrector, tiny)[1]["golden.npz"])

    with torch.no_grad():
        expected = corrector(torch.from_numpy(x)).numpy()

    assert x.dtype == y.dtype == np.float32
    assert len(x) > 0
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)  # values of order 1 in float32


def test_golden_inputs_lie_in_the_input_range_and_hold_no_given_image(tiny: Bundle[ModelManifest]) -> None:
    given = images(40)
    x, _ = golden_of(golden_vectors(to_onnx(Corrector(), tiny.manifest, method="none"), tiny.manifest))

    distance = np.abs(x[:, None] - given[None]).mean(axis=(2, 3, 4))
    correlation = np.corrcoef(x.reshape(len(x), -1), given.reshape(len(given), -1))[: len(x), len(x) :]
    assert 0 <= x.min() < x.max() <= 1
    # Independent noise lies 0.25 away in the mean; of 64 pixels, chance correlates up to about 4 / sqrt(64).
    assert distance.min() > 0.15
    assert np.abs(correlation).max() < 0.5


def test_the_manifest_says_how_the_corrector_came_about(corrector: Corrector, tiny: Bundle[ModelManifest]) -> None:
    manifest, files = bundled(corrector, tiny)

    assert set(files) == {"corrector.onnx", "golden.npz", "verdict.json"} == set(manifest.files)
    assert manifest.frozen_sha256 == tiny.manifest.frozen_sha256
    assert manifest.input == tiny.manifest.input
    assert manifest.stages == ("warp", "filter", "residual")
    assert manifest.parameters == sum(parameter.numel() for parameter in corrector.parameters())
    assert manifest.opset == onnx.load_model_from_string(files["corrector.onnx"]).opset_import[0].version
    assert (manifest.seed, manifest.batch_sha256, manifest.configuration) == (3, "1" * 64, {"steps": 5})
    assert manifest.packages["torch"] == torch.__version__


def test_a_bundle_survives_the_disk(corrector: Corrector, tiny: Bundle[ModelManifest], tmp_path) -> None:
    manifest, files = bundled(corrector, tiny)

    digest = write_bundle(tmp_path / "bundle", manifest, files)

    read = read_bundle(tmp_path / "bundle", CorrectorManifest)
    assert (digest, manifest, files) == (read.digest, read.manifest, dict(read.files))
