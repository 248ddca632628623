"""A user's own files become the model's tensor, or are refused with what would be right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.contract.input_spec import InputSpec
from trainer.datasets import Dataset, DatasetError, load_dataset, pixels_of

GREY = InputSpec(name="image", shape=(1, 8, 6))
COLOUR = InputSpec(name="image", shape=(3, 8, 6), mean=(0.5,), std=(0.25,))


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def pictures(folder: Path, files: dict[str, np.ndarray]) -> Path:
    for name, picture in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)
    return folder


# What is read.


def test_ready_pixels_are_scaled_and_labels_kept(tmp_path: Path) -> None:
    x, y = pixels(5, 1, 8, 6), np.array([3, 0, 1, 1, 2], np.uint8)

    dataset = load_dataset(npz(tmp_path, x=x, y=y), GREY)

    assert dataset.images.dtype == np.float32
    np.testing.assert_allclose(dataset.images, x / 255, atol=1e-6)  # float32
    assert dataset.labels is not None
    assert (dataset.labels.dtype, dataset.labels.tolist()) == (np.int64, [3, 0, 1, 1, 2])


def test_float32_is_the_models_own_tensor(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 3, (5, 3, 8, 6)).astype(np.float32)

    dataset = load_dataset(npz(tmp_path, x=x), COLOUR)

    np.testing.assert_array_equal(dataset.images, x)
    assert dataset.labels is None
    assert dataset.names is None


def test_a_part_is_read_by_its_own_names(tmp_path: Path) -> None:
    parts = {name: pixels(count, 1, 8, 6) for name, count in (("train", 4), ("test", 2))}
    path = npz(tmp_path, **{f"x_{name}": x for name, x in parts.items()}, y_train=np.arange(4), y_test=np.array([7, 8]))

    test = load_dataset(path, GREY, part="test")

    np.testing.assert_allclose(test.images, parts["test"] / 255, atol=1e-6)
    assert test.labels is not None
    assert test.labels.tolist() == [7, 8]
    assert len(load_dataset(path, GREY, part="train").images) == 4


@pytest.mark.parametrize(
    ("spec", "shape"),
    [(GREY, (8, 6)), (GREY, (16, 12)), (GREY, (5, 7)), (COLOUR, (8, 6, 3)), (COLOUR, (24, 9, 3))],
    ids=["grey", "grey, twice as large", "grey, other sides", "colour", "colour, larger"],
)
def test_pictures_are_stretched_to_the_models_size(spec: InputSpec, shape: tuple[int, ...], tmp_path: Path) -> None:
    # A brightness that rises evenly from left to right keeps doing so at every size.
    ramp = np.linspace(0, 255, shape[1]).astype(np.uint8).reshape(1, -1, *(1 for _ in shape[2:]))
    x = np.broadcast_to(ramp, (3, *shape)).copy()

    made = pixels_of(x, spec)

    assert (made.dtype, made.shape) == (np.uint8, (3, *spec.shape))
    assert (made == made[:1, :1, :1]).all()
    assert (np.diff(made.astype(int), axis=3) > 0).all()
    assert made[..., 0].max() < 70 < 185 < made[..., -1].min()
    assert load_dataset(npz(tmp_path, x=x), spec).images.shape == (3, *spec.shape)


def test_channels_keep_their_order(tmp_path: Path) -> None:
    x = np.zeros((2, 16, 12, 3), np.uint8)
    x[..., 0], x[..., 1], x[..., 2] = 255, 102, 0

    images = load_dataset(npz(tmp_path, x=x), COLOUR).images

    # Bounds 0 to 1, mean 0.5, standard deviation 0.25: 0 becomes -2, 255 becomes 2.
    np.testing.assert_allclose(images[:, :, 4, 3], [[2.0, -0.4, -2.0]] * 2, atol=1e-5)


def test_class_folders_are_classes_in_alphabetical_order(tmp_path: Path) -> None:
    zero, one, two = (np.full((8, 6), value, np.uint8) for value in (0, 100, 200))
    folder = pictures(tmp_path / "pictures", {"ant/b.png": one, "ant/a.PNG": zero, "bee/x.png": two, "ant/c.png": two})
    (folder / "ant" / "notes.txt").write_text("no picture")
    (folder / "read-me.png").write_bytes(b"beside the class folders, hence not looked at")

    dataset = load_dataset(folder, GREY)

    assert dataset.names == ("ant", "bee")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(dataset.images[:, 0, 0, 0] * 255, [0, 100, 200, 200], atol=1e-3)


@pytest.mark.parametrize(("spec", "stored"), [(GREY, (16, 12, 3)), (COLOUR, (16, 12))], ids=["to grey", "to colour"])
def test_pictures_take_the_models_channels_and_size(spec: InputSpec, stored: tuple[int, ...], tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", {"a/1.png": np.full(stored, 255, np.uint8), "b/2.jpg": pixels(*stored)})

    dataset = load_dataset(folder, spec)

    assert dataset.images.shape == (2, *spec.shape)
    np.testing.assert_allclose(dataset.images[0], spec.plane_bounds()[1][0], atol=1e-5)


@pytest.mark.parametrize("labels", [None, np.array([5, 6, 7, 8])], ids=["without labels", "with labels"])
def test_rows_are_taken_with_their_labels_in_the_order_asked(labels: np.ndarray | None) -> None:
    images = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)

    taken = Dataset(images, labels, ("a",)).take(np.array([2, 0]))

    assert taken.images.ravel().tolist() == [2.0, 0.0]
    assert (None if taken.labels is None else taken.labels.tolist()) == (None if labels is None else [7, 5])
    assert taken.names == ("a",)


# What is refused.

X = pixels(3, 1, 8, 6)

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no x": ({"images": X}, "no array 'x'"),
    "float64": ({"x": X.astype(np.float64)}, "takes float32, got float64"),
    "int64": ({"x": X.astype(np.int64)}, "images are int64; give uint8"),
    "pickled objects": ({"x": np.array([None, "a"], dtype=object)}, "without pickles"),
    "one picture alone": ({"x": pixels(8, 6)}, r"shape \(8, 6\)"),
    "a single number": ({"x": np.uint8(1)}, r"shape \(\)"),
    "ready pixels of another size": ({"x": pixels(3, 1, 8, 7)}, r"shape \(3, 1, 8, 7\)"),
    "colour for a grey model": ({"x": pixels(3, 8, 6, 3)}, r"shape \(3, 8, 6, 3\)"),
    "four channels": ({"x": pixels(3, 8, 6, 4)}, r"shape \(3, 8, 6, 4\)"),
    "fewer labels than images": ({"x": X, "y": np.arange(2)}, "no 3 whole numbers"),
    "one-hot labels": ({"x": X, "y": np.eye(3, dtype=int)}, "no 3 whole numbers"),
    "fractional labels": ({"x": X, "y": np.arange(3.0)}, "no 3 whole numbers"),
    "labels in words": ({"x": X, "y": np.array(["a", "b", "c"])}, "no 3 whole numbers"),
}


@pytest.mark.parametrize(("arrays", "message"), REFUSED.values(), ids=REFUSED)
def test_arrays_that_do_not_fit_are_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        load_dataset(npz(tmp_path, **arrays), GREY)


def test_grey_pictures_for_a_colour_model_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"shape \(3, 8, 6\)"):
        pixels_of(pixels(3, 8, 6), COLOUR)


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no array 'x_test'"):
        load_dataset(npz(tmp_path, x_train=X), GREY, part="test")


def damaged(path: Path) -> None:
    """One flipped bit in the array: the archive's checksum does not fit."""
    np.savez(path, x=X)
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes())] ^= 1
    path.write_bytes(content)


def an_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, X)


BROKEN = {
    "text": lambda path: path.write_text("this is no archive"),
    "damaged": damaged,
    "an .npy by another name": an_npy,
    "empty": lambda path: path.touch(),
}


@pytest.mark.parametrize("write", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_no_npz_is_refused(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "data.npz")

    with pytest.raises(DatasetError, match="cannot be read as"):
        load_dataset(tmp_path / "data.npz", GREY)


@pytest.mark.parametrize(
    "x",
    [np.zeros((3, 1, 9, 6), np.float32), np.zeros((3, 8, 6), np.float32), pixels(0, 8, 6), pixels(0, 1, 8, 6)],
    ids=["float32 of another size", "float32 without channels", "no picture", "no ready pixels"],
)
def test_an_array_of_another_shape_is_a_dataset_error(x: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        load_dataset(npz(tmp_path, x=x), GREY)


@pytest.mark.parametrize("name", ["nothing", "data.npy", "data.csv"])
def test_what_is_neither_npz_nor_folder_is_refused(name: str, tmp_path: Path) -> None:
    if name != "nothing":
        (tmp_path / name).write_bytes(b"")

    with pytest.raises(DatasetError, match=r"neither an \.npz file nor a folder"):
        load_dataset(tmp_path / name, GREY)


@pytest.mark.parametrize("content", ["empty", "pictures without class", "class without picture"])
def test_a_folder_without_classes_or_pictures_is_refused(content: str, tmp_path: Path) -> None:
    if content == "pictures without class":
        pictures(tmp_path, {"a.png": pixels(8, 6)})
    if content == "class without picture":
        (tmp_path / "ant").mkdir()

    with pytest.raises(DatasetError, match="no class folders"):
        load_dataset(tmp_path, GREY)


def test_a_damaged_picture_is_a_dataset_error_that_names_the_file(tmp_path: Path) -> None:
    pictures(tmp_path, {"ant/a.png": pixels(8, 6)})
    (tmp_path / "ant" / "broken.png").write_bytes(b"nonsense")

    with pytest.raises(DatasetError, match=r"broken\.png"):
        load_dataset(tmp_path, GREY)
