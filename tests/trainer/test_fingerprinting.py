"""A fingerprint's numbers are those that numpy gets from onnxruntime's own intermediate tensors."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from service.contract.bundle import Bundle
from service.contract.digest import sha256_hex
from service.contract.distances import statistics_loss
from service.contract.fingerprint import (
    MISSING_IN_BATCHNORM,
    MISSING_WITHOUT_FORECAST,
    MISSING_WITHOUT_LABELS,
    Fingerprint,
)
from service.contract.manifest import ModelManifest
from service.contract.statistics import ImageMoments
from trainer.datasets import Dataset
from trainer.interface import Normalisation, read_input_spec
from trainer.registration import register

CLASSES = 4
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""Sums of at most 72 float32 products of order 1, taken by two libraries in different orders."""

Arrays = dict[str, np.ndarray]


def resized(content: bytes, shape: tuple[int, int, int]) -> bytes:
    """The tiny model with another input: its head pools, so any height and width will do."""
    model = onnx.load_model_from_string(content)
    for dim, side in zip(model.graph.input[0].type.tensor_type.shape.dim[1:], shape, strict=True):
        dim.dim_value = side
    (first,) = (tensor for tensor in model.graph.initializer if tensor.name == "w0")
    kernel = np.random.default_rng(8).normal(0, 0.3, (6, shape[0], 3, 3)).astype(np.float32)
    first.CopyFrom(numpy_helper.from_array(kernel, "w0"))
    return model.SerializeToString()


def fingerprint(content: bytes, source: Dataset | None, **normalisation: tuple[float, ...]) -> Fingerprint:
    spec = read_input_spec(content, Normalisation(**normalisation))
    bundle = register(content, name="tiny", spec=spec, source=source, labels=None, card=None)
    return Fingerprint.from_bytes(bundle.files["fingerprint.npz"])


def onnxruntime_values(content: bytes, images: np.ndarray, names: list[str]) -> Arrays:
    """Intermediate tensors, float64, from a session that also returns them."""
    model = onnx.load_model_from_string(content)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return {name: session.run([name], {"image": images})[0].astype(np.float64) for name in names}


def uniform(count: int, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *shape), dtype=np.float32)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return uniform(300)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(4).choice(CLASSES, 300, p=[0.1, 0.2, 0.3, 0.4])


@pytest.fixture(scope="module")
def full(tiny_onnx: bytes, images: np.ndarray, labels: np.ndarray) -> Fingerprint:
    return fingerprint(tiny_onnx, Dataset(images, labels))


@pytest.fixture(scope="module")
def activations(tiny_onnx: bytes, images: np.ndarray) -> Arrays:
    return onnxruntime_values(tiny_onnx, images, ["conv0", "conv1", "conv2", "logits"])


def test_it_names_its_model_and_its_images(full: Fingerprint, tiny_onnx: bytes) -> None:
    assert (full.frozen_sha256, full.kind, full.images) == (sha256_hex(tiny_onnx), "full", 300)
    assert full.missing() == MISSING_WITHOUT_FORECAST
    assert list(full.taps) == ["conv0", "conv1", "conv2"]


# Taps.


@pytest.mark.parametrize("tap", ["conv0", "conv1", "conv2"])
def test_tap_moments_are_those_of_onnxruntimes_tensors(full: Fingerprint, activations: Arrays, tap: str) -> None:
    np.testing.assert_allclose(full.taps[tap].mean, activations[tap].mean(axis=(0, 2, 3)), **CLOSE)
    np.testing.assert_allclose(full.taps[tap].var, activations[tap].var(axis=(0, 2, 3)), **CLOSE)


@pytest.mark.parametrize("tap", ["conv0", "conv1", "conv2"])
def test_class_moments_are_those_of_the_images_of_each_class(
    full: Fingerprint, activations: Arrays, labels: np.ndarray, tap: str
) -> None:
    for index in range(CLASSES):
        of_class = activations[tap][labels == index]
        np.testing.assert_allclose(full.taps[tap].class_first[index], of_class.mean(axis=(0, 2, 3)), **CLOSE)
        np.testing.assert_allclose(full.taps[tap].class_second[index], (of_class**2).mean(axis=(0, 2, 3)), **CLOSE)


@pytest.mark.parametrize("tap", ["conv0", "conv1", "conv2"])
def test_class_moments_weighted_by_their_counts_are_the_overall_ones(full: Fingerprint, tap: str) -> None:
    weights = full.class_counts / full.class_counts.sum()
    statistics = full.taps[tap]

    # float64 throughout: only the order of the sums differs.
    np.testing.assert_allclose(weights @ statistics.class_first, statistics.mean, rtol=1e-9)
    np.testing.assert_allclose(weights @ statistics.class_second, statistics.var + statistics.mean**2, rtol=1e-9)


def test_class_counts_are_those_of_the_labels_given(full: Fingerprint, labels: np.ndarray) -> None:
    assert full.labels_given
    assert [int((labels == index).sum()) for index in range(CLASSES)] == full.class_counts.tolist()


def test_without_labels_the_models_own_predictions_stand_in_and_are_marked(
    tiny_onnx: bytes, images: np.ndarray, activations: Arrays
) -> None:
    predicted = activations["logits"].argmax(axis=1)

    made = fingerprint(tiny_onnx, Dataset(images, None))

    assert not made.labels_given
    assert np.bincount(predicted, minlength=CLASSES).tolist() == made.class_counts.tolist()
    for index in range(CLASSES):
        expected = activations["conv1"][predicted == index]
        if len(expected):
            np.testing.assert_allclose(made.taps["conv1"].class_first[index], expected.mean(axis=(0, 2, 3)), **CLOSE)


def test_a_class_without_an_image_has_no_moments(tiny_onnx: bytes, images: np.ndarray, labels: np.ndarray) -> None:
    made = fingerprint(tiny_onnx, Dataset(images, np.where(labels == 2, 1, labels)))

    assert made.class_counts[2] == 0
    for tap in made.taps.values():
        assert np.isnan(tap.class_first[2]).all()
        assert np.isnan(tap.class_second[2]).all()
        assert np.isfinite(tap.class_first[[0, 1, 3]]).all()


def test_more_than_ten_thousand_images_are_thinned_evenly(tiny_onnx: bytes) -> None:
    # Each image is brighter than the one before: an even spread keeps mean and extremes, a head or tail does not.
    ramp = np.linspace(0, 1, 10_400, dtype=np.float32)[:, None, None, None]
    made = fingerprint(resized(tiny_onnx, (1, 2, 2)), Dataset(np.broadcast_to(ramp, (10_400, 1, 2, 2)).copy(), None))

    assert made.images == 10_000
    assert made.pixels is not None
    assert made.pixels.mean[0] == pytest.approx(0.5, abs=1e-4)
    assert made.pixels.cdf[0][[0, -1]] == pytest.approx([1e-4, 1.0])


# Confidence and reference.


def test_confidence_holds_the_percentiles_of_the_largest_probability(full: Fingerprint, activations: Arrays) -> None:
    powers = np.exp(activations["logits"])
    largest = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)

    assert len(full.confidence) == 101
    np.testing.assert_allclose(full.confidence, np.percentile(largest, range(101)), **CLOSE)


def test_confidence_is_the_same_for_a_model_that_ends_in_softmax(
    tiny_onnx: bytes, images: np.ndarray, full: Fingerprint
) -> None:
    model = onnx.load_model_from_string(tiny_onnx)
    model.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["p"], axis=1))
    model.graph.output[0].name = "p"

    made = fingerprint(model.SerializeToString(), Dataset(images, None))

    np.testing.assert_allclose(made.confidence, full.confidence, **CLOSE)


@pytest.mark.parametrize("reserved", [False, True], ids=["fitted taps", "reserved taps"])
def test_the_loss_of_clean_batches_falls_as_they_grow(full: Fingerprint, *, reserved: bool) -> None:
    assert full.reference is not None
    table, sizes = full.reference.reserved if reserved else full.reference.fitted, full.reference.sizes

    # Doubling, and never more than there are source images.
    assert (sizes[1:] == 2 * sizes[:-1]).all()
    assert sizes[-1] == 256
    assert (np.diff(table, axis=0) < 0).all()
    # The 95 % quantile lies above the mean.
    assert (table[:, 1] > table[:, 0]).all()


def test_the_loss_of_clean_batches_is_what_fresh_source_images_have(tiny_onnx: bytes) -> None:
    # As many source images as in a batch, so that the source's own error weighs as much as the batch's.
    size, ratios, alarms = 128, [], []
    fresh = onnxruntime_values(tiny_onnx, uniform(40 * size, seed=77), ["conv1"])
    batches = [{"conv1": ImageMoments.of(part).pooled()} for part in np.split(fresh["conv1"], 40)]

    for seed in range(12):
        made = fingerprint(tiny_onnx, Dataset(uniform(size, seed=seed), None))
        assert made.reference is not None
        mean, high = made.reference.at(size, reserved=True)
        losses = np.array([statistics_loss(batch, made.moments(), ["conv1"]) for batch in batches])
        ratios.append(losses.mean() / mean)
        alarms.append((losses > high).mean())

    # The source's error is one draw a fingerprint: over four sets of seeds ratios ran from 0.5 to 2.4 and
    # their means from 0.94 to 1.03; without the source's own share they would be about twice that.
    assert 0.6 < np.mean(ratios) < 1.4
    # 5 % by definition.
    assert 0.0 < np.mean(alarms) < 0.1


# Pixels.

COLOUR = (3, 10, 6)


@pytest.fixture(scope="module")
def colour(tiny_onnx: bytes) -> tuple[np.ndarray, Fingerprint]:
    """Correlated channels with different offsets, in a normalised range."""
    images = uniform(140, COLOUR, seed=5)
    images[:, 1] = 0.5 * images[:, 0] + 0.25 * images[:, 1]
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    normalised = (images - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]
    return normalised, fingerprint(resized(tiny_onnx, COLOUR), Dataset(normalised, None), mean=mean, std=std)


def test_pixel_moments_are_numpys(colour: tuple[np.ndarray, Fingerprint]) -> None:
    images, made = colour
    assert made.pixels is not None
    flat = np.stack([images[:, channel].ravel() for channel in range(3)]).astype(np.float64)

    np.testing.assert_allclose(made.pixels.mean, flat.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(made.pixels.cov, np.cov(flat), rtol=1e-9)


def test_border_moments_are_those_of_the_outermost_pixels(colour: tuple[np.ndarray, Fingerprint]) -> None:
    images, made = colour
    assert made.pixels is not None
    outer = np.ones(COLOUR[1:], bool)
    outer[1:-1, 1:-1] = False

    # Corners count in a row and in a column, hence twice; here that is 4 pixels of 28.
    np.testing.assert_allclose(made.pixels.border_mean, images[..., outer].mean(axis=(0, 2)), atol=0.05)
    np.testing.assert_allclose(made.pixels.border_std, images[..., outer].std(axis=(0, 2)), atol=0.05)


def test_a_dark_frame_around_a_picture_is_seen(tiny_onnx: bytes) -> None:
    images = uniform(130)
    images[:, :, 0] = images[:, :, -1] = images[:, :, :, 0] = images[:, :, :, -1] = 0.125

    pixels = fingerprint(tiny_onnx, Dataset(images, None)).pixels

    assert pixels is not None
    assert (pixels.border_mean[0], pixels.border_std[0]) == (0.125, 0.0)


def test_the_cdf_rises_to_one_over_the_range_of_the_input(colour: tuple[np.ndarray, Fingerprint]) -> None:
    images, made = colour
    assert made.pixels is not None
    levels, cdf = made.pixels.cdf_levels, made.pixels.cdf

    assert cdf.shape == (3, 256)
    assert cdf.min() >= 0
    assert (np.diff(cdf, axis=1) >= 0).all()
    assert cdf[:, -1].tolist() == [1.0, 1.0, 1.0]
    for channel in range(3):
        share = [(images[:, channel] <= level).mean() for level in levels[::50]]
        np.testing.assert_allclose(cdf[channel, ::50], share, atol=1e-9)


def test_the_cdf_of_uniform_values_is_a_straight_line(full: Fingerprint) -> None:
    assert full.pixels is not None

    # 19,200 values: the largest deviation is below 1.63 / sqrt(n) in 99 of 100 draws (Kolmogorov).
    assert np.abs(full.pixels.cdf[0] - full.pixels.cdf_levels).max() < 1.63 / np.sqrt(19_200)


def spectrum(content: bytes, images: np.ndarray) -> np.ndarray:
    pixels = fingerprint(resized(content, images.shape[1:]), Dataset(images.astype(np.float32), None)).pixels
    assert pixels is not None
    return pixels.spectrum


@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 64, 48)], ids=str)
def test_the_spectrum_of_white_noise_is_flat(tiny_onnx: bytes, shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(6).normal(0, 0.5, (130, *shape))

    # Power of white noise at every frequency: variance times pixels. The lowest ring holds 9 frequencies, 5 of them
    # independent: 650 draws of an exponential, 4 %; five of them.
    np.testing.assert_allclose(spectrum(tiny_onnx, noise) / (0.25 * shape[1] * shape[2]), 1.0, atol=0.2)


@pytest.mark.parametrize("shape", [(64, 64), (64, 32), (32, 64)], ids=str)
@pytest.mark.parametrize(("along_rows", "frequency", "ring"), [(True, 1 / 16, 2), (False, 1 / 8, 4), (True, 3 / 8, 12)])
def test_the_spectrum_of_a_wave_lies_in_its_ring(
    tiny_onnx: bytes, shape: tuple[int, int], *, along_rows: bool, frequency: float, ring: int
) -> None:
    phases = np.random.default_rng(7).random((130, 1, 1, 1))
    position = np.indices(shape)[0 if along_rows else 1]

    power = spectrum(tiny_onnx, np.sin(2 * np.pi * (frequency * position + phases)))

    # Ring r of 16 spans r / 32 to (r + 1) / 32 waves a pixel, whatever the picture's sides.
    assert np.argmax(power) == ring
    assert power[ring] > 1e6 * np.delete(power, ring).max()


def test_a_flat_picture_has_power_at_zero_alone(tiny_onnx: bytes) -> None:
    power = spectrum(tiny_onnx, np.full((130, 1, 32, 32), 0.5))

    assert power[0] > 0
    assert power[1:].max() == pytest.approx(0, abs=1e-9)


# Outcome and signature.


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test_outcome_statistics_are_those_of_onnxruntimes_scores(
    full: Fingerprint, activations: Arrays, labels: np.ndarray
) -> None:
    probability, outcome = softmax(activations["logits"]), full.outcome

    assert outcome is not None
    np.testing.assert_allclose(outcome.mean, probability.mean(axis=0), **CLOSE)
    # The middle of 257 quantiles: at least half of 300 images at or below it.
    np.testing.assert_allclose(outcome.probability[:, 128], np.sort(probability, axis=0)[149], **CLOSE)
    np.testing.assert_allclose(outcome.largest[[0, -1]], [probability.max(1).min(), probability.max()], **CLOSE)
    assert outcome.accuracy == pytest.approx([(probability.argmax(axis=1) == labels).mean()])
    assert outcome.confusion is not None
    np.testing.assert_allclose(outcome.confusion[2], probability[labels == 2].mean(axis=0), **CLOSE)


def test_channel_means_of_the_first_tap_are_kept(full: Fingerprint, activations: Arrays) -> None:
    means = activations["conv0"].mean(axis=(2, 3))

    assert full.outcome is not None
    assert full.outcome.channels.tolist() == list(range(6))
    np.testing.assert_allclose(full.outcome.channel_means[:, [0, -1]].T, [means.min(0), means.max(0)], **CLOSE)


def test_without_labels_confusion_is_by_predicted_class(
    tiny_onnx: bytes, images: np.ndarray, activations: Arrays
) -> None:
    made, probability = fingerprint(tiny_onnx, Dataset(images, None)), softmax(activations["logits"])

    assert made.outcome is not None
    assert made.outcome.accuracy is None
    assert made.outcome.confusion is not None
    assert made.missing() == MISSING_WITHOUT_LABELS + MISSING_WITHOUT_FORECAST
    for index in range(CLASSES):
        of_class = probability.argmax(axis=1) == index
        expected = probability[of_class].mean(axis=0) if of_class.any() else np.full(CLASSES, np.nan)
        np.testing.assert_allclose(made.outcome.confusion[index], expected, **CLOSE)


def test_the_signature_is_that_of_the_source_images(full: Fingerprint, images: np.ndarray) -> None:
    assert full.signature is not None
    np.testing.assert_allclose(full.signature.mean[0], images.mean(), rtol=1e-6)
    np.testing.assert_allclose(full.signature.mean[1], images.std(axis=(1, 2, 3)).mean(), rtol=1e-6)
    assert np.linalg.eigvalsh(full.signature.cov).min() > 0


# From BatchNormalization alone.


@pytest.fixture(scope="module")
def trained(tiny_onnx: bytes) -> tuple[bytes, dict[str, np.ndarray]]:
    """The tiny model with running statistics that are no longer 0 and 1."""
    model, draw, stored = onnx.load_model_from_string(tiny_onnx), np.random.default_rng(9), {}
    for tensor in model.graph.initializer:
        if tensor.name[0] in "mv" and tensor.name[1:].isdigit():
            stored[tensor.name] = draw.uniform(0.2, 2.0, tensor.dims[0]).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(stored[tensor.name], tensor.name))
    return model.SerializeToString(), stored


def test_a_batchnorm_fingerprint_is_the_running_statistics(trained: tuple[bytes, dict[str, np.ndarray]]) -> None:
    content, stored = trained

    made = fingerprint(content, None)

    assert (made.kind, made.images, list(made.taps)) == ("batchnorm", 0, ["conv0", "conv1", "conv2"])
    for index, tap in enumerate(made.taps.values()):
        np.testing.assert_array_equal(tap.mean, stored[f"m{index}"].astype(np.float64))
        np.testing.assert_array_equal(tap.var, stored[f"v{index}"].astype(np.float64))
        assert tap.class_first.size == tap.class_second.size == 0


def test_a_batchnorm_fingerprint_says_what_it_lacks(trained: tuple[bytes, dict[str, np.ndarray]]) -> None:
    made = fingerprint(trained[0], None)

    assert made.missing() == MISSING_IN_BATCHNORM
    for word in ("reference", "class-conditional", "pixel", "outcome"):
        assert any(word in text for text in made.missing())
    assert made.pixels is None
    assert made.reference is None
    assert (made.confidence.size, made.class_counts.size) == (0, 0)


def test_images_prevail_over_running_statistics(
    trained: tuple[bytes, dict[str, np.ndarray]], images: np.ndarray
) -> None:
    made = fingerprint(trained[0], Dataset(images, None))

    expected = onnxruntime_values(trained[0], images, ["conv1"])["conv1"]
    assert made.kind == "full"
    np.testing.assert_allclose(made.taps["conv1"].mean, expected.mean(axis=(0, 2, 3)), **CLOSE)


@pytest.mark.parametrize("make", [lambda images: Dataset(images, None), lambda images: None], ids=["full", "batchnorm"])
def test_the_same_source_gives_the_same_bytes(
    tiny_onnx: bytes, images: np.ndarray, make: Callable[[np.ndarray], Dataset | None]
) -> None:
    first, second = (fingerprint(tiny_onnx, make(images)).to_bytes() for _ in range(2))

    assert first == second


def test_what_was_registered_is_what_is_read(tiny: Bundle[ModelManifest]) -> None:
    content = tiny.files["fingerprint.npz"]

    assert Fingerprint.from_bytes(content).to_bytes() == content
