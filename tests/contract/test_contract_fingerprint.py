"""Fingerprints: what is read is what was written, and a damaged file says so."""

import io
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract.errors import FingerprintError
from service.contract.fingerprint import (
    Fingerprint,
    ForecastStatistics,
    OutcomeStatistics,
    PixelStatistics,
    ReferenceLoss,
    SignatureStatistics,
    TapStatistics,
)

LAW = settings(deadline=None, max_examples=60)


def tap(channels: int, classes: int, seed: int) -> TapStatistics:
    draw = np.random.default_rng(seed)
    shapes = ((channels,), (channels,), (classes, channels), (classes, channels))
    return TapStatistics(*(draw.random(shape) for shape in shapes))


def batchnorm() -> Fingerprint:
    return Fingerprint("a" * 64, "batchnorm", {"conv/0:0": tap(2, 0, 0), "conv.1": tap(3, 0, 1)})


def full() -> Fingerprint:
    draw = np.random.default_rng(7)
    return Fingerprint(
        "b" * 64,
        "full",
        # More than ten, and not in the order of the alphabet: tap1 is not tap10, and the order is kept.
        {f"tap {index}": tap(1 + index % 3, 4, index) for index in reversed(range(12))},
        images=300,
        labels_given=True,
        class_counts=np.array([100.0, 50.0, 75.0, 75.0]),
        confidence=np.sort(draw.random(101)),
        pixels=PixelStatistics(
            mean=draw.random(3),
            cov=draw.random((3, 3)),
            cdf_levels=np.linspace(0, 1, 256),
            cdf=np.sort(draw.random((3, 256))),
            spectrum=draw.random(5),
            border_mean=draw.random(3),
            border_std=draw.random(3),
            image_mean=draw.random((3, 4, 5)),
            cross_spectrum=draw.random((3, 3, 4, 5)) + 1j * draw.random((3, 3, 4, 5)),
        ),
        reference=ReferenceLoss(np.array([16.0, 64.0]), draw.random((2, 2)), draw.random((2, 2))),
        outcome=OutcomeStatistics(
            classes=np.array([0, 1, 3]),
            probability=np.sort(draw.random((3, 9))),
            entropy=np.sort(draw.random(9)),
            largest=np.sort(draw.random(9)),
            channels=np.array([0, 2]),
            channel_means=np.sort(draw.random((2, 9))),
            mean=draw.random(4),
            mean_entropy=draw.random(1),
            mean_largest=draw.random(1),
            sizes=np.array([16.0, 32.0]),
            nuclear_norm=draw.random(2),
            confusion=draw.random((4, 4)),
            accuracy=draw.random(1),
            entropy_threshold=draw.random(1),
        ),
        signature=SignatureStatistics(draw.random(5), draw.random((5, 5))),
        forecast=ForecastStatistics(
            names=np.array(["entropy_gap", "nuclear_ratio"]),
            scale=draw.random(2),
            weights=draw.random(2),
            spread=draw.random(2),
            errors=np.sort(draw.normal(size=2)),
            batches=np.array([120.0]),
        ),
    )


def without_labels() -> Fingerprint:
    """As source images without labels give it, of a model with very many classes."""
    outcome = full().outcome
    assert outcome is not None
    outcome = replace(outcome, confusion=None, accuracy=None, entropy_threshold=None)
    return replace(full(), outcome=outcome, forecast=None)


def before_outcome() -> Fingerprint:
    """As releases made it that knew neither outcome statistics nor signatures."""
    return replace(full(), outcome=None, signature=None, forecast=None)


def older() -> Fingerprint:
    """As releases made it that did not even know mean image and cross-spectrum."""
    pixels = full().pixels
    assert pixels is not None
    return replace(before_outcome(), pixels=replace(pixels, image_mean=None, cross_spectrum=None))


MAKERS = (batchnorm, full, without_labels, before_outcome, older)
makers = pytest.mark.parametrize("make", MAKERS, ids=[make.__name__ for make in MAKERS])


def assert_same(actual: Any, expected: Any) -> None:
    """Equal in every field and, for arrays, in type and shape: dataclasses of arrays do not compare by themselves."""
    if is_dataclass(expected):
        for item in fields(expected):
            assert_same(getattr(actual, item.name), getattr(expected, item.name))
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for name in expected:
            assert_same(actual[name], expected[name])
    elif isinstance(expected, np.ndarray):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(actual, expected)
    else:
        assert actual == expected


@makers
def test_a_written_fingerprint_reads_back_as_it_was(make: Callable[[], Fingerprint]) -> None:
    back = Fingerprint.from_bytes(make().to_bytes())

    assert_same(back, make())


@makers
def test_the_same_fingerprint_has_the_same_bytes(make: Callable[[], Fingerprint]) -> None:
    content = make().to_bytes()

    assert make().to_bytes() == content
    assert Fingerprint.from_bytes(content).to_bytes() == content


def test_the_order_of_arrays_in_memory_does_not_change_the_bytes() -> None:
    fingerprint = full()
    pixels = fingerprint.pixels
    assert pixels is not None
    turned = replace(fingerprint, pixels=replace(pixels, cov=np.asfortranarray(pixels.cov)))

    assert turned.to_bytes() == fingerprint.to_bytes()


def test_a_full_fingerprint_lacks_nothing_and_a_batchnorm_one_says_what() -> None:
    assert full().missing() == ()
    assert "label shift" in " ".join(batchnorm().missing())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (before_outcome, ["shift test", "signatures", "forecast"]),
        (without_labels, ["labels of the source images", "too many classes", "forecast"]),
        (lambda: replace(full(), signature=None), ["signatures"]),
        (lambda: replace(full(), forecast=None), ["--calibrate-gate"]),
    ],
    ids=["before outcome statistics", "without labels", "without signatures", "not calibrated"],
)
def test_a_full_fingerprint_that_lacks_a_part_says_what_it_cannot_do(
    make: Callable[[], Fingerprint], words: list[str]
) -> None:
    missing = make().missing()

    assert len(missing) == len(words)
    assert all(word in text for word, text in zip(words, missing, strict=True))


def test_moments_are_those_of_the_taps() -> None:
    fingerprint = batchnorm()

    moments = fingerprint.moments()

    assert list(moments) == ["conv/0:0", "conv.1"]
    assert np.array_equal(moments["conv.1"].mean, fingerprint.taps["conv.1"].mean)
    assert np.array_equal(moments["conv.1"].var, fingerprint.taps["conv.1"].var)


def saved(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def header(text: str) -> Any:
    return np.frombuffer(text.encode(), np.uint8)


def lone_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


def without(*names: str) -> bytes:
    with np.load(io.BytesIO(full().to_bytes())) as archive:
        return saved(**{key: archive[key] for key in archive.files if key not in names})


def in_the_words_of_an_older_release(make: Callable[[], Fingerprint], *names: str) -> bytes:
    """The file without some arrays, and with a header that does not speak of outcome and signature."""
    with np.load(io.BytesIO(make().to_bytes())) as archive:
        arrays = {key: archive[key] for key in archive.files if key not in names}
    words = json.loads(arrays["header"].tobytes())
    kept = {key: value for key, value in words.items() if key not in ("outcome", "signature")}
    return saved(**arrays | {"header": header(json.dumps(kept))})


def test_a_file_of_an_older_release_has_neither_outcome_nor_signature() -> None:
    assert_same(Fingerprint.from_bytes(in_the_words_of_an_older_release(before_outcome)), before_outcome())


def test_a_file_of_an_older_release_has_no_mean_image_and_no_cross_spectrum() -> None:
    back = Fingerprint.from_bytes(
        in_the_words_of_an_older_release(before_outcome, "pixels.image_mean", "pixels.cross_spectrum")
    )

    assert_same(back, older())
    assert back.pixels is not None
    assert (back.pixels.image_mean, back.pixels.cross_spectrum) == (None, None)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"not an archive", id="text"),
        pytest.param(lone_array(), id="a_single_array"),
        pytest.param(saved(x=np.ones(3)), id="no_header"),
        pytest.param(saved(header=header("{")), id="header_is_not_json"),
        pytest.param(saved(header=header("[]")), id="header_is_a_list"),
        pytest.param(saved(header=header("{}")), id="header_is_empty"),
        pytest.param(saved(header=header('{"format":1}')), id="header_lacks_fields"),
        pytest.param(saved(header=np.array([{"format": 1}], dtype=object)), id="pickled_header"),
        pytest.param(without("class_counts"), id="an_array_is_missing"),
        pytest.param(without("tap3.mean"), id="a_tap_lacks_its_mean"),
        pytest.param(without("pixels.cov"), id="pixels_lack_a_part"),
        pytest.param(without("outcome.entropy"), id="outcome_lacks_a_part"),
        pytest.param(without("signature.cov"), id="signature_lacks_a_part"),
        pytest.param(
            b"",
            id="nothing",
        ),
    ],
)
def test_what_is_no_fingerprint_is_a_fingerprint_error(content: bytes) -> None:
    with pytest.raises(FingerprintError, match="damaged"):
        Fingerprint.from_bytes(content)


def test_another_format_is_named() -> None:
    with pytest.raises(FingerprintError, match="has format 2; this release reads 1"):
        Fingerprint.from_bytes(saved(header=header('{"format":2}')))


@LAW
@given(st.data())
def test_a_fingerprint_that_ends_early_is_a_fingerprint_error(data: st.DataObject) -> None:
    content = batchnorm().to_bytes()
    kept = data.draw(st.integers(1, len(content) - 1))

    with pytest.raises(FingerprintError):
        Fingerprint.from_bytes(content[:kept])


def _flipped(bit: int) -> bytes:
    content = bytearray(batchnorm().to_bytes())
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def test_no_flipped_bit_in_the_archives_directory_raises_anything_but_a_fingerprint_error() -> None:
    content = batchnorm().to_bytes()
    directory = content.index(b"PK\x01\x02")

    for bit in range(8 * directory, 8 * len(content)):
        try:
            Fingerprint.from_bytes(_flipped(bit))
        except FingerprintError:
            continue


@st.composite
def tables(draw: st.DrawFn) -> ReferenceLoss:
    """Two to five rising batch sizes and positive losses."""
    sizes = sorted(draw(st.lists(st.integers(1, 4096), min_size=2, max_size=5, unique=True)))
    losses = st.lists(st.floats(1e-6, 1e3), min_size=2 * len(sizes), max_size=2 * len(sizes))
    fitted, reserved = (np.array(draw(losses)).reshape(-1, 2) for _ in range(2))
    return ReferenceLoss(np.array(sizes, np.float64), fitted, reserved)


@LAW
@given(tables(), st.booleans(), st.data())
def test_the_reference_loss_is_monotone_between_two_entries(
    table: ReferenceLoss, reserved: bool, data: st.DataObject
) -> None:
    row = data.draw(st.integers(0, len(table.sizes) - 2))
    inside = st.integers(int(table.sizes[row]), int(table.sizes[row + 1]))
    sizes = [table.sizes[row], *sorted([data.draw(inside), data.draw(inside)]), table.sizes[row + 1]]

    found = np.array([table.at(int(size), reserved=reserved) for size in sizes])

    losses = (table.reserved if reserved else table.fitted)[row : row + 2]
    # Both columns rise or fall all the way, up to the rounding of exp and log, and reach the entries at the ends.
    steps = np.diff(np.log(found), axis=0) * np.sign(np.diff(losses, axis=0))
    assert (steps >= -1e-12).all()
    # The code adds 1e-12 to losses of 1e-6 and more.
    np.testing.assert_allclose(found[[0, -1]], losses, rtol=2e-6)


@LAW
@given(tables(), st.booleans(), st.integers(1, 10**6))
def test_the_reference_loss_stays_at_the_ends_of_the_table(table: ReferenceLoss, reserved: bool, images: int) -> None:
    rows = table.reserved if reserved else table.fitted
    nearest = int(np.clip(images, table.sizes[0], table.sizes[-1]))

    found = table.at(images, reserved=reserved)

    assert found == table.at(nearest, reserved=reserved)
    assert (np.array(found) <= rows.max(axis=0) * (1 + 2e-6)).all()
    assert (np.array(found) >= rows.min(axis=0) * (1 - 2e-6)).all()


def test_the_reference_loss_is_a_straight_line_in_logarithms() -> None:
    table = ReferenceLoss(
        np.array([10.0, 1000.0]), np.array([[1.0, 4.0], [0.01, 4.0]]), np.array([[9.0, 9.0], [1.0, 1.0]])
    )

    assert table.at(100, reserved=False) == pytest.approx((0.1, 4.0), rel=1e-9)
    assert table.at(100, reserved=True) == pytest.approx((3.0, 3.0), rel=1e-9)
