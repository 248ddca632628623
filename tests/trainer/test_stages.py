"""Every stage starts as the identity or says that it does not, keeps the shape, and is the same in onnxruntime."""

from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import onnxruntime
import pytest
import torch
from scipy.ndimage import correlate, map_coordinates

import trainer.stages
from trainer.corrector import Corrector
from trainer.frame import Frame
from trainer.onnx_writer import GraphWriter
from trainer.stages import Stage
from trainer.stages.filter import Filter
from trainer.stages.residual import BOUND, Residual
from trainer.stages.warp import Warp

for file in iter_modules(trainer.stages.__path__):
    import_module(f"trainer.stages.{file.name}")
STAGES = [kind for kind in Stage.__subclasses__() if kind.__module__.startswith("trainer.stages.")]

FRAMES = {
    "grey tall": Frame((1, 9, 6), None, (1.0,)),
    "grey wide, background": Frame((1, 6, 9), (0.2,), (2.0,)),
    "colour tall, background": Frame((3, 8, 5), (0.9, 0.1, -0.4), (1.0, 2.0, 3.0)),
    "colour wide": Frame((3, 5, 8), None, (1.0, 2.0, 3.0)),
}

SMALL = 1e-5
"""Values and weights are of order 1, sums have at most 150 terms: float32 loses a few units of 1e-7 a term."""
LOOSE = {"translator": 10 * SMALL}
"""Twenty-three normalisations one behind the other, the inner ones over as few as four values."""

every_stage = pytest.mark.parametrize("kind", STAGES, ids=lambda kind: kind.name)
every_frame = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)


def images(frame: Frame, count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).random((count, *frame.shape), dtype=np.float32)


def compute(stage: Stage, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return stage(torch.from_numpy(x)).numpy()


def exported(stage: Stage, frame: Frame, x: np.ndarray, opset: int = 17) -> np.ndarray:
    graph = GraphWriter(opset)
    content = graph.to_bytes(inputs="image", output=stage.write(graph, "image"), shape=frame.shape, metadata={})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": x})[0]


@torch.no_grad()
def randomised(stage: Stage, spread: float = 0.3) -> Stage:
    draw = torch.Generator().manual_seed(7)
    for parameter in stage.parameters():
        # No larger than keeps the values of a network of many layers in their order of magnitude.
        terms = max(1, parameter[0].numel()) if parameter.dim() > 2 else 1
        scale = min(spread, 2 / terms**0.5)
        parameter.copy_(scale * torch.randn(parameter.shape, generator=draw))
    return stage


@torch.no_grad()
def moved(frame: Frame, matrix: list[list[float]]) -> Warp:
    warp = Warp(frame)
    warp.delta.copy_(torch.tensor(matrix) - torch.eye(2, 3))
    return warp


def test_the_stages_that_the_package_names_are_found() -> None:
    assert {"warp", "filter", "tone", "deconvolution", "residual"} <= {kind.name for kind in STAGES}


@every_stage
@every_frame
def test_a_new_stage_is_the_identity_or_says_that_it_is_not(kind: type[Stage], frame: Frame) -> None:
    x = images(frame)

    y = compute(kind(frame), x)

    assert y.shape == x.shape
    if kind.starts_as_identity:
        np.testing.assert_allclose(y, x, rtol=0, atol=SMALL)
    else:
        assert np.abs(y - x).max() > SMALL


@every_stage
@every_frame
def test_the_exported_stage_is_the_fitted_one(kind: type[Stage], frame: Frame) -> None:
    stage, x = randomised(kind(frame)), images(frame)

    y = compute(stage, x)

    assert y.shape == x.shape
    assert np.abs(y - x).max() > 0.1, "random parameters must change something"
    np.testing.assert_allclose(exported(stage, frame, x), y, rtol=0, atol=LOOSE.get(kind.name, SMALL))


@every_stage
def test_rows_of_a_batch_do_not_see_each_other(kind: type[Stage]) -> None:
    frame = FRAMES["colour tall, background"]
    stage, x = randomised(kind(frame)), images(frame, 5)

    whole = exported(stage, frame, x)

    for row in range(5):
        np.testing.assert_allclose(exported(stage, frame, x[row : row + 1]), whole[row : row + 1], rtol=0, atol=SMALL)


@every_stage
def test_every_parameter_can_be_fitted_from_the_start(kind: type[Stage]) -> None:
    frame = FRAMES["colour wide"]
    stage = kind(frame)

    (stage(torch.from_numpy(images(frame))) - 0.5).square().sum().backward()

    gradients = [parameter.grad for parameter in stage.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)


def test_a_corrector_applies_its_stages_in_order_in_both_forms() -> None:
    frame = FRAMES["colour tall, background"]
    warp, filter_, residual = (randomised(kind(frame)) for kind in (Warp, Filter, Residual))
    corrector, x = Corrector([warp, filter_, residual]), images(frame)

    by_hand = compute(residual, compute(filter_, compute(warp, x)))

    assert corrector.names() == ("warp", "filter", "residual")
    assert corrector.size() == sum(p.numel() for stage in (warp, filter_, residual) for p in stage.parameters())
    np.testing.assert_array_equal(compute(corrector, x), by_hand)
    # A filter with random weights has a gain of about 3, which the next stage's rounding inherits.
    np.testing.assert_allclose(exported(corrector, frame, x), by_hand, rtol=0, atol=10 * SMALL)


# Warp.


@every_frame
@pytest.mark.parametrize("opset", [13, 15, 16, 17, 20])
def test_a_warp_is_the_same_as_gathers_and_as_grid_sample(frame: Frame, opset: int) -> None:
    warp, x = randomised(Warp(frame)), images(frame)

    np.testing.assert_allclose(exported(warp, frame, x, opset), compute(warp, x), rtol=0, atol=SMALL)


@every_frame
@pytest.mark.parametrize("opset", [13, 17])
def test_a_warp_that_looks_far_outside_sees_background_or_edge(frame: Frame, opset: int) -> None:
    warp, x = moved(frame, [[1.0, 0.0, 40.0], [0.0, 1.0, 40.0]]), images(frame)

    y = compute(warp, x)

    corner = x[:, :, -1:, -1:] if frame.background is None else np.float32(frame.background).reshape(1, -1, 1, 1)
    np.testing.assert_allclose(y, np.broadcast_to(corner, x.shape), rtol=0, atol=SMALL)
    np.testing.assert_allclose(exported(warp, frame, x, opset), y, rtol=0, atol=SMALL)


@pytest.mark.parametrize("frame_name", ["colour wide", "colour tall, background"])
def test_a_warp_by_whole_pixels_moves_them(frame_name: str) -> None:
    frame = FRAMES[frame_name]
    _, height, width = frame.shape
    x = images(frame)
    down, right = 2, 1

    # Reading from above and from the left moves the picture down and to the right.
    y = compute(moved(frame, [[1.0, 0.0, -2 * right / width], [0.0, 1.0, -2 * down / height]]), x)

    np.testing.assert_allclose(y[:, :, down:, right:], x[:, :, :-down, :-right], rtol=0, atol=SMALL)
    if frame.background is None:
        np.testing.assert_allclose(y[:, :, 0, right:], x[:, :, 0, :-right], rtol=0, atol=SMALL)
    else:
        background = np.broadcast_to(np.float32(frame.background)[:, None, None], (len(x), 3, down, width))
        np.testing.assert_allclose(y[:, :, :down], background, rtol=0, atol=SMALL)


@every_frame
def test_a_warp_is_what_scipy_samples(frame: Frame) -> None:
    matrix = [[0.9, 0.25, 0.2], [-0.3, 1.15, -0.1]]
    x = images(frame, 2)
    _, height, width = frame.shape
    row, column = np.mgrid[:height, :width]
    # -1 to 1 over the image's area: pixel centres lie half a pixel inside.
    position = np.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1, np.ones((height, width))])
    across, down = np.tensordot(np.array(matrix), position, axes=1)
    where = np.stack([((down + 1) * height - 1) / 2, ((across + 1) * width - 1) / 2])

    y = compute(moved(frame, matrix), x)

    for channel in range(frame.shape[0]):
        outside = (
            {"mode": "nearest"}
            if frame.background is None
            else {"mode": "grid-constant", "cval": frame.background[channel]}
        )
        for got, picture in zip(y[:, channel], x[:, channel], strict=True):
            np.testing.assert_allclose(got, map_coordinates(picture, where, order=1, **outside), rtol=0, atol=SMALL)


def test_a_stretch_by_two_halves_the_content() -> None:
    frame = Frame((1, 16, 16), (0.0,), (1.0,))
    x = np.zeros((1, *frame.shape), np.float32)
    x[:, :, 4:12, 2:14] = 1.0
    warp = Warp(frame)
    warp.stretch(2.0, 1.0)

    y = compute(warp, x)

    # 12 columns become 6; the rows stay.
    np.testing.assert_allclose(y[0, 0, 4:12].sum(axis=1), 6.0, rtol=1e-5)
    assert max(y[0, 0, :4].max(), y[0, 0, 12:].max()) < SMALL


# Filter.


@every_frame
def test_a_filter_is_what_scipy_correlates(frame: Frame) -> None:
    stage = randomised(Filter(frame))
    x = images(frame, 2).astype(np.float64)
    kernel, bias = (parameter.detach().double().numpy() for parameter in (stage.kernel, stage.bias))
    background = np.array(frame.background or (0.0,) * frame.shape[0])
    centred = x - background[:, None, None]

    y = compute(stage, x.astype(np.float32))

    for output in range(frame.shape[0]):
        channels = range(frame.shape[0])
        parts = [[correlate(image[c], kernel[output, c], mode="nearest") for c in channels] for image in centred]
        expected = np.sum(parts, axis=1) + bias[output] + background[output]
        np.testing.assert_allclose(y[:, output], expected, rtol=0, atol=SMALL)


def test_a_kernel_leaves_a_picture_of_nothing_but_background_alone() -> None:
    frame = FRAMES["colour tall, background"]
    stage = randomised(Filter(frame))
    with torch.no_grad():
        stage.bias.zero_()
    empty = np.broadcast_to(np.float32(frame.background).reshape(1, 3, 1, 1), (2, *frame.shape)).copy()

    np.testing.assert_allclose(compute(stage, empty), empty, rtol=0, atol=SMALL)
    # The exported form has the background folded into the bias: there the terms must cancel.
    np.testing.assert_allclose(exported(stage, frame, empty), empty, rtol=0, atol=SMALL)


@every_frame
def test_scale_starts_a_filter_from_gain_and_offset(frame: Frame) -> None:
    x, channels = images(frame), frame.shape[0]
    gain, offset = (
        np.linspace(-1.5, 2.0, channels, dtype=np.float32),
        np.linspace(0.3, -0.7, channels, dtype=np.float32),
    )
    stage = Filter(frame)
    stage.scale(torch.from_numpy(gain), torch.from_numpy(offset))

    expected = gain[:, None, None] * x + offset[:, None, None]

    np.testing.assert_allclose(compute(stage, x), expected, rtol=0, atol=SMALL)
    np.testing.assert_allclose(exported(stage, frame, x), expected, rtol=0, atol=SMALL)


# Residual.


@every_frame
def test_a_residual_never_moves_a_value_beyond_its_bound(frame: Frame) -> None:
    stage, x = randomised(Residual(frame), spread=100.0), images(frame)
    bound = BOUND * np.float32(frame.span).reshape(1, -1, 1, 1)

    for y in (compute(stage, x), exported(stage, frame, x)):
        share = np.abs(y - x) / bound

        # Weights this large saturate it: the bound is reached, and passed by no more than a rounding of the sum.
        assert 0.99 < share.max() <= 1 + SMALL
