"""What can be registered, what cannot and why, and which taps are held back."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.contract.bundle import Bundle, read_bundle, write_bundle
from service.contract.digest import sha256_hex
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from trainer.datasets import Dataset
from trainer.frozen import FrozenError
from trainer.interface import Normalisation, RegistrationError, read_input_spec
from trainer.registration import choose_taps, register

Edit = Callable[[onnx.ModelProto], None]
CLASSES = 4


def edited(content: bytes, *edits: Edit) -> bytes:
    model = onnx.load_model_from_string(content)
    for edit in edits:
        edit(model)
    return model.SerializeToString()


def images(count: int = 128) -> Dataset:
    return Dataset(np.random.default_rng(2).random((count, 1, 8, 8), dtype=np.float32), None)


def registered(
    content: bytes, source: Dataset | None = None, labels: tuple[str, ...] | None = None, card: str | None = None
) -> Bundle[ModelManifest]:
    spec = read_input_spec(content, Normalisation())
    return register(content, name="tiny", spec=spec, source=source, labels=labels, card=card)


def node(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if output in node.output)


def without_normalisation(*indices: int) -> Edit:
    """Takes BatchNormalization nodes away, as exporters do that fold them."""

    def edit(model: onnx.ModelProto) -> None:
        for index in indices:
            model.graph.node.remove(node(model, f"norm{index}"))
            node(model, f"relu{index}").input[0] = f"conv{index}"

    return edit


def two_convolutions(model: onnx.ModelProto) -> None:
    for name in ("conv2", "norm2", "relu2"):
        model.graph.node.remove(node(model, name))
    node(model, "pool").input[0] = "relu1"


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, ["n", 1]))


def input_type(kind: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = kind

    return edit


def input_shape(*sides: int | str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, sides))

    return edit


def ends_in(operator: str, **attributes: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        last = model.graph.output[0].name
        model.graph.node.append(helper.make_node(operator, [last], [f"{last}_"], **attributes))
        model.graph.output[0].name = f"{last}_"

    return edit


def ends_at(tensor: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.output[0].CopyFrom(onnx.ValueInfoProto(name=tensor))

    return edit


# Taps.


@pytest.mark.parametrize(
    "pattern",
    [".R.", "..R.", "...R.", ".R..R.", "..R..R.", "...R..R.", ".R..R..R.", "..R..R..R."],
    ids=lambda pattern: f"{len(pattern)} taps",
)
def test_every_third_tap_from_the_last_but_one_is_reserved_and_never_the_first(pattern: str) -> None:
    names = tuple(f"t{index}" for index in range(len(pattern)))

    taps = choose_taps(names, {name: 1 + index for index, name in enumerate(names)})

    assert pattern == "".join("R" if tap.reserved else "." for tap in taps)
    assert names == tuple(tap.name for tap in taps)
    assert list(range(1, len(names) + 1)) == [tap.channels for tap in taps]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_taps_are_refused(count: int) -> None:
    names = tuple(f"t{index}" for index in range(count))

    with pytest.raises(RegistrationError, match=f"has {count} tensors to compare.*3 are needed"):
        choose_taps(names, dict.fromkeys(names, 1))


# What is registered.


def test_a_registered_model_is_described(tiny_onnx: bytes) -> None:
    manifest = registered(tiny_onnx, images(), card="# tiny").manifest

    assert manifest.frozen_sha256 == sha256_hex(tiny_onnx)
    assert (manifest.input.name, manifest.input.shape) == ("image", (1, 8, 8))
    assert (manifest.output.name, manifest.output.classes, manifest.output.scores) == ("logits", CLASSES, "logits")
    assert manifest.labels == ("0", "1", "2", "3")
    assert [(tap.name, tap.channels) for tap in manifest.taps] == [("conv0", 6), ("conv1", 8), ("conv2", 8)]
    assert (manifest.fitted_taps(), manifest.reserved_taps()) == (("conv0", "conv2"), ("conv1",))
    assert manifest.fingerprint == "full"
    assert set(manifest.files) == {"model.onnx", "fingerprint.npz", "README.md"}


def test_the_models_bytes_are_kept_as_they_came(tiny_onnx: bytes) -> None:
    bundle = registered(tiny_onnx, images(), card="# tiny")

    assert bundle.files["model.onnx"] == tiny_onnx
    assert bundle.files["README.md"] == b"# tiny"
    assert Fingerprint.from_bytes(bundle.files["fingerprint.npz"]).frozen_sha256 == sha256_hex(tiny_onnx)


def test_labels_given_are_kept_in_order(tiny_onnx: bytes) -> None:
    labels = ("cat", "dog", "ant", "bee")

    assert registered(tiny_onnx, images(), labels).manifest.labels == labels


def test_normalisation_reaches_the_input_contract(tiny_onnx: bytes) -> None:
    spec = read_input_spec(tiny_onnx, Normalisation(bounds=(-1.0, 1.0), mean=(0.5,), std=(0.25,)))

    assert (spec.bounds, spec.mean, spec.std) == ((-1.0, 1.0), (0.5,), (0.25,))


def test_running_statistics_do_for_a_model_without_source_images(tiny_onnx: bytes) -> None:
    bundle = registered(tiny_onnx)

    assert bundle.manifest.fingerprint == "batchnorm"
    assert [tap.name for tap in bundle.manifest.taps] == ["conv0", "conv1", "conv2"]
    assert Fingerprint.from_bytes(bundle.files["fingerprint.npz"]).kind == "batchnorm"


def test_source_images_do_for_a_model_without_running_statistics(tiny_onnx: bytes) -> None:
    bundle = registered(edited(tiny_onnx, without_normalisation(0, 1, 2)), images())

    assert bundle.manifest.fingerprint == "full"
    assert [tap.name for tap in bundle.manifest.taps] == ["conv0", "conv1", "conv2"]


@pytest.mark.parametrize(
    ("edits", "scores"),
    [
        ((), "logits"),
        ((ends_in("Softmax", axis=1),), "probabilities"),
        ((ends_in("Softmax", axis=-1),), "probabilities"),
        ((ends_in("LogSoftmax", axis=1),), "logits"),
        ((ends_in("Softmax", axis=1), ends_in("Log")), "logits"),
    ],
    ids=["linear", "softmax", "softmax over the last axis", "log-softmax", "softmax that is not the end"],
)
def test_probabilities_are_told_from_logits(tiny_onnx: bytes, edits: tuple[Edit, ...], scores: str) -> None:
    assert scores == registered(edited(tiny_onnx, *edits), images()).manifest.output.scores


@pytest.mark.parametrize("source", [images(), None], ids=["full", "batchnorm"])
def test_the_bundle_survives_the_disk(tiny_onnx: bytes, source: Dataset | None, tmp_path) -> None:
    bundle = registered(tiny_onnx, source, card="# tiny")

    digest = write_bundle(tmp_path / "tiny", bundle.manifest, bundle.files)

    read = read_bundle(tmp_path / "tiny", ModelManifest)
    assert (bundle.digest, bundle.digest) == (digest, read.digest)
    assert (bundle.manifest, dict(bundle.files)) == (read.manifest, dict(read.files))


@pytest.mark.parametrize("source", [images(), None], ids=["full", "batchnorm"])
def test_the_same_model_and_images_give_the_same_bundle(tiny_onnx: bytes, source: Dataset | None) -> None:
    assert registered(tiny_onnx, source).digest == registered(tiny_onnx, source).digest


# What is refused.


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(second_input, r"2 inputs \('image', 'age'\)", id="two inputs"),
        pytest.param(input_type(TensorProto.DOUBLE), "'image' is double; float32, float16, uint8", id="float64"),
        pytest.param(input_type(TensorProto.INT64), "'image' is int64", id="int64"),
        pytest.param(input_shape("n", 1, "h", "w"), r"\(open, 1, open, open\).*--size", id="free height and width"),
        pytest.param(input_shape("n", 1, 8, "w"), r"\(open, 1, 8, open\).*--size", id="free width"),
        pytest.param(input_shape("n", "c", 8, 8), "leaves its channels open", id="free channels"),
        pytest.param(input_shape("n", 64), "2 sides; pictures have four", id="vectors"),
        pytest.param(input_shape(), "0 sides; pictures have four", id="a scalar"),
    ],
)
def test_an_input_that_cannot_be_corrected_is_refused(tiny_onnx: bytes, edit: Edit, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        read_input_spec(edited(tiny_onnx, edit), Normalisation())


def test_a_weight_that_is_listed_as_an_input_is_none(tiny_onnx: bytes) -> None:
    def older_style(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("hb", TensorProto.FLOAT, [CLASSES]))

    assert read_input_spec(edited(tiny_onnx, older_style), Normalisation()).name == "image"


@pytest.mark.parametrize(
    ("edit", "source", "message"),
    [
        pytest.param(
            without_normalisation(0, 1, 2), None, "no BatchNormalization.*--source", id="no statistics at all"
        ),
        pytest.param(without_normalisation(1), None, "has 2 tensors to compare", id="two normalisations and no images"),
        pytest.param(two_convolutions, images(), "has 2 tensors to compare", id="two convolutions"),
        pytest.param(lambda model: None, images(127), "127 source images.*at least 128", id="too few images"),
        pytest.param(ends_at("relu2"), None, r"no output is \(n, classes\).*'relu2' \(3, 8, 8, 8\)", id="an image"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    tiny_onnx: bytes, edit: Edit, source: Dataset | None, message: str
) -> None:
    with pytest.raises(RegistrationError, match=message):
        registered(edited(tiny_onnx, edit), source)


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_the_wrong_number_of_labels_is_refused(tiny_onnx: bytes, count: int) -> None:
    with pytest.raises(RegistrationError, match=f"{count} labels were given; the model has 4"):
        registered(tiny_onnx, images(), tuple(f"label {index}" for index in range(count)))


@pytest.mark.parametrize("label", [CLASSES, 99, -1])
def test_source_labels_outside_the_models_classes_are_refused(tiny_onnx: bytes, label: int) -> None:
    source = images()

    with pytest.raises(RegistrationError):
        registered(tiny_onnx, Dataset(source.images, np.full(len(source.images), label)))


def test_source_images_of_another_size_are_refused(tiny_onnx: bytes) -> None:
    with pytest.raises(FrozenError, match="invalid dimensions"):
        registered(tiny_onnx, Dataset(np.zeros((128, 1, 9, 8), np.float32), None))
