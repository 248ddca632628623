"""The input contract: which arrays become the frozen model's tensor, with which values, and which are refused."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from service.contract.errors import InputError, NotFinite, WrongCount, WrongDtype, WrongShape
from service.contract.input_spec import InputSpec

SPEC = InputSpec(name="image", shape=(3, 4, 5))
EVERY_LEVEL = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, axis=1)
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("bounds", "mean", "std"),
    [
        pytest.param((0.0, 1.0), (0.0,), (1.0,), id="zero_to_one"),
        pytest.param((-1.0, 1.0), (0.0,), (1.0,), id="minus_one_to_one"),
        pytest.param((0.0, 255.0), (0.0,), (1.0,), id="raw_pixels"),
        pytest.param((0.0, 1.0), (0.5,), (0.25,), id="one_mean_for_all_channels"),
        pytest.param((0.0, 1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), id="a_mean_for_each_channel"),
        pytest.param((0.0, 255.0), (123.7, 116.3, 103.5), (1.0,), id="mean_for_each_std_for_all"),
        pytest.param((-2.0, 6.0), (1.0,), (0.5, 2.0, 4.0), id="everything_at_once"),
    ],
)
def test_pixels_become_the_tensor_of_the_formula(
    bounds: tuple[float, float], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    spec = InputSpec(name="image", shape=(3, 16, 16), bounds=bounds, mean=mean, std=std)
    lower, upper = bounds
    values = lower + (upper - lower) * EVERY_LEVEL.astype(np.float64) / 255
    expected = (values - np.reshape(mean, (1, -1, 1, 1))) / np.reshape(std, (1, -1, 1, 1))

    actual = spec.from_pixels(EVERY_LEVEL)

    assert actual.dtype == np.float32
    assert actual.shape == (1, 3, 16, 16)
    # Five roundings of float32 (6e-8 each), of values as large as the largest bound or mean over the smallest std.
    largest = max(abs(lower), abs(upper), *map(abs, mean)) / min(std)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=5 * 6e-8 * largest)


def test_each_channel_has_its_own_mean_and_std_by_hand() -> None:
    spec = InputSpec(name="image", shape=(3, 1, 1), bounds=(0.0, 255.0), mean=(0.0, 1.0, 2.0), std=(1.0, 2.0, 4.0))

    actual = spec.from_pixels(np.full((1, 3, 1, 1), 102, np.uint8))

    np.testing.assert_allclose(actual.ravel(), [102.0, 50.5, 25.0], rtol=1e-6)


def test_plane_bounds_are_what_black_and_white_become() -> None:
    spec = InputSpec(name="image", shape=(2, 1, 1), bounds=(-1.0, 3.0), mean=(0.5, 0.0), std=(0.5, 2.0))
    black_and_white = spec.from_pixels(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1).repeat(2, axis=1))

    low, high = spec.plane_bounds()

    np.testing.assert_allclose(low, [-3.0, -0.5], rtol=1e-6)
    np.testing.assert_allclose(high, [5.0, 1.5], rtol=1e-6)
    np.testing.assert_allclose([low, high], black_and_white.reshape(2, 2), rtol=1e-6)


def test_a_ready_tensor_passes_with_its_own_values() -> None:
    tensor = np.random.default_rng(0).normal(0, 1e3, (2, 3, 4, 5)).astype(np.float32)

    assert np.array_equal(SPEC.from_tensor(tensor), tensor)


def test_a_tensor_with_gaps_in_memory_becomes_contiguous() -> None:
    tensor = np.random.default_rng(0).random((2, 4, 5, 3), dtype=np.float32).transpose(0, 3, 1, 2)

    actual = SPEC.from_tensor(tensor)

    assert actual.flags.c_contiguous
    assert np.array_equal(actual, tensor)


def test_uint8_is_read_as_pixels_and_float32_as_the_tensor() -> None:
    spec = InputSpec(name="image", shape=(1, 1, 1))

    assert spec.from_array(np.full((1, 1, 1, 1), 255, np.uint8)).item() == pytest.approx(1.0, rel=1e-6)
    assert spec.from_array(np.full((1, 1, 1, 1), 255, np.float32)).item() == 255.0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32], ids=["pixels", "tensor"])
@pytest.mark.parametrize(
    ("shape", "error"),
    [
        pytest.param((3, 4, 5), WrongShape, id="item_without_a_batch"),
        pytest.param((), WrongShape, id="scalar"),
        pytest.param((1, 1, 3, 4, 5), WrongShape, id="five_dimensions"),
        pytest.param((1, 4, 5, 3), WrongShape, id="channels_last"),
        pytest.param((1, 3, 5, 4), WrongShape, id="height_and_width_swapped"),
        pytest.param((1, 1, 4, 5), WrongShape, id="too_few_channels"),
        pytest.param((0, 3, 4, 6), WrongShape, id="no_items_of_another_shape"),
        pytest.param((1, 3, 0, 5), WrongShape, id="no_rows"),
        pytest.param((0, 3, 4, 5), WrongCount, id="no_items"),
    ],
)
def test_an_array_of_another_shape_is_refused(
    shape: tuple[int, ...], error: type[InputError], dtype: type[np.generic]
) -> None:
    with pytest.raises(error, match=r"'image'.*\(.*3, 4, 5\)"):
        SPEC.from_array(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    "dtype", ["float64", "float16", ">f4", "int8", "int32", "int64", "uint16", "bool", "complex64", "U1", "O"]
)
def test_an_array_of_another_type_is_refused(dtype: str) -> None:
    with pytest.raises(WrongDtype, match=r"'image' takes .*float32, got"):
        SPEC.from_array(np.zeros((1, 3, 4, 5), dtype))


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "int64"])
def test_a_tensor_is_not_converted(dtype: str) -> None:
    with pytest.raises(WrongDtype):
        SPEC.from_tensor(np.zeros((1, 3, 4, 5), dtype))


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 2, 3, 4)], ids=["first", "last"])
def test_a_single_value_that_is_not_finite_is_refused(value: float, place: tuple[int, ...]) -> None:
    tensor: NDArray[np.float32] = np.zeros((2, 3, 4, 5), np.float32)
    tensor[place] = value

    with pytest.raises(NotFinite, match="'image'"):
        SPEC.from_array(tensor)


def test_the_largest_finite_values_are_accepted() -> None:
    tensor = np.full((1, 3, 4, 5), np.finfo(np.float32).max)

    assert np.array_equal(SPEC.from_array(tensor), tensor)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"shape": (3, 0, 5)}, id="no_rows"),
        pytest.param({"shape": (0, 4, 5)}, id="no_channels"),
        pytest.param({"shape": (3, -4, 5)}, id="negative_height"),
        pytest.param({"shape": (3, 4)}, id="two_dimensions"),
        pytest.param({"shape": (3, 4, 5, 6)}, id="four_dimensions"),
        pytest.param({"shape": (3, 4.5, 5)}, id="half_a_row"),
        pytest.param({"mean": (0.1, 0.2)}, id="two_means_for_three_channels"),
        pytest.param({"mean": ()}, id="no_mean"),
        pytest.param({"std": (1.0,) * 4}, id="four_stds_for_three_channels"),
        pytest.param({"std": ()}, id="no_std"),
        pytest.param({"std": (1.0, 0.0, 1.0)}, id="one_std_is_zero"),
        pytest.param({"std": (-1.0,)}, id="negative_std"),
        pytest.param({"bounds": (1.0, 1.0)}, id="bounds_meet"),
        pytest.param({"bounds": (1.0, 0.0)}, id="bounds_swapped"),
        pytest.param({"bounds": (0.0,)}, id="one_bound"),
        pytest.param({"dtype": "float64"}, id="double_precision"),
        pytest.param({"dtype": "uint8"}, id="uint8_with_bounds_of_its_own"),
        pytest.param({"layout": "CHWN"}, id="rows_last"),
        pytest.param({"batch": 0}, id="no_rows"),
        pytest.param({"resize": "nearest"}, id="another_resize"),
        pytest.param({"name": None}, id="no_name"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InputSpec(**{"name": "image", "shape": (3, 4, 5), **fields})


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"mean": (NAN,)}, id="mean_nan"),
        pytest.param({"mean": (INF,)}, id="mean_infinite"),
        pytest.param({"std": (NAN,)}, id="std_nan"),
        pytest.param({"std": (INF,)}, id="std_infinite"),
        pytest.param({"bounds": (0.0, NAN)}, id="bound_nan"),
        pytest.param({"bounds": (-INF, INF)}, id="bounds_infinite"),
    ],
)
def test_a_spec_with_a_number_that_is_not_finite_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InputSpec(**{"name": "image", "shape": (3, 4, 5), **fields})


def test_a_spec_keeps_fields_that_it_does_not_know() -> None:
    spec = InputSpec(name="image", shape=(3, 4, 5), gamma=2.2)

    assert spec.model_dump()["gamma"] == 2.2


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        SPEC.name = "other"  # type: ignore[misc]
