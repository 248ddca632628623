"""Kept source images: what goes in comes out, there is a cap, and what is not theirs is refused."""

import numpy as np
import pytest

from service.contract.errors import BadManifest
from service.contract.input_spec import InputSpec
from service.contract.job import UNKNOWN
from service.contract.kept_source import MOST_IMAGES, MOST_VALUES, from_bytes, room_for, to_bytes


def spec(*shape: int) -> InputSpec:
    return InputSpec(
        name="image",
        dtype="float32",
        layout="NCHW",
        shape=shape,
        batch=None,
        bounds=(0.0, 1.0),
        mean=(0.0,),
        std=(1.0,),
    )


IMAGES = np.random.default_rng(0).random((5, 1, 4, 6), dtype=np.float32)


@pytest.mark.parametrize("labels", [None, np.arange(5)], ids=["unlabelled", "labelled"])
def test_what_goes_in_comes_out(labels: np.ndarray | None) -> None:
    planes, found = from_bytes(to_bytes(IMAGES, labels), spec(1, 4, 6))

    np.testing.assert_array_equal(planes, IMAGES)
    np.testing.assert_array_equal(found, np.full(5, UNKNOWN) if labels is None else labels)


def test_the_same_images_give_the_same_bytes() -> None:
    assert to_bytes(IMAGES, None) == to_bytes(IMAGES.copy(), None)


def test_images_of_another_input_are_refused() -> None:
    with pytest.raises(BadManifest, match=r"source.npz"):
        from_bytes(to_bytes(IMAGES, None), spec(1, 6, 4))


@pytest.mark.parametrize("content", [b"", b"words", b"PK\x03\x04 torn"])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(BadManifest, match="no archive"):
        from_bytes(content, spec(1, 4, 6))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 224, 224)])
def test_there_is_room_for_so_many_images_and_values(shape: tuple[int, int, int]) -> None:
    room = room_for(spec(*shape))

    assert 0 < room <= MOST_IMAGES
    assert room * np.prod(shape) <= MOST_VALUES
