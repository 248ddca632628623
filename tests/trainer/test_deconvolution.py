"""A deconvolution is what scipy correlates, from any start and for small images too, and the same in onnxruntime."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from tests.trainer.test_stages import FRAMES, SMALL, compute, every_frame, exported, images, randomised
from trainer.frame import Frame
from trainer.stages.deconvolution import SIZE, Deconvolution, kernel_size

both_kinds = pytest.mark.parametrize("pattern", [True, False], ids=["bias image", "bias of each channel"])


def begun(frame: Frame, seed: int, *, pattern: bool = True, means: tuple[int, ...] | None = None) -> Deconvolution:
    """With a start of random numbers; mean images of the frame's shape, or (C, 1, 1)."""
    stage, draw = Deconvolution(frame, pattern=pattern), np.random.default_rng(seed)
    channels, size = frame.shape[0], stage.size
    inputs = channels * size**2
    stage.begin(
        mean=draw.normal(0, 1, means or frame.shape),
        wanted=draw.normal(0, 1, means or frame.shape),
        # Sums of inputs terms that are of order 1 together.
        kernel=draw.normal(0, 1 / np.sqrt(inputs), (channels, channels, size, size)),
        whitening=draw.normal(0, 1 / inputs, (inputs, inputs)),
    )
    return stage


def by_hand(stage: Deconvolution, frame: Frame, x: np.ndarray) -> np.ndarray:
    """(x - m) * k + w + s b with k = k0 + s t A, borders reflected without repeating the outermost pixel."""
    buffers = {name: value.double().numpy() for name, value in stage.named_buffers()}
    weights, bias = (parameter.detach().double().numpy() for parameter in (stage.weights, stage.bias))
    span = np.array(frame.span)
    fitted = (span[:, None] * weights) @ buffers["whitening"]
    kernel = buffers["start"] + fitted.reshape(buffers["start"].shape)
    centred = x - buffers["mean"]
    parts = [
        [sum(correlate(c, k, mode="mirror") for c, k in zip(image, row, strict=True)) for row in kernel]
        for image in centred
    ]
    return np.array(parts) + buffers["wanted"] + span[:, None, None] * bias


@every_frame
@both_kinds
@pytest.mark.parametrize("seed", range(2))
def test_it_is_what_scipy_correlates_about_its_means(frame: Frame, seed: int, *, pattern: bool) -> None:
    stage, x = randomised(begun(frame, seed, pattern=pattern), 0.05), images(frame, 3)

    expected = by_hand(stage, frame, x.astype(np.float64))

    assert np.abs(expected - x).max() > 0.1
    np.testing.assert_allclose(compute(stage, x), expected, rtol=0, atol=SMALL)


@every_frame
@both_kinds
@pytest.mark.parametrize("seed", range(2))
def test_its_graph_is_the_same_after_any_start(frame: Frame, seed: int, *, pattern: bool) -> None:
    stage, x = randomised(begun(frame, seed, pattern=pattern), 0.05), images(frame, 3)

    np.testing.assert_allclose(exported(stage, frame, x), compute(stage, x), rtol=0, atol=SMALL)


@every_frame
def test_one_number_for_each_channel_stands_for_a_mean_image(frame: Frame) -> None:
    channels = frame.shape[0]
    stage = begun(frame, 3, means=(channels, 1, 1))

    for buffer in (stage.mean, stage.wanted):
        assert buffer.shape == frame.shape
        assert [len(plane.unique()) for plane in buffer] == [1] * channels
    np.testing.assert_allclose(compute(stage, images(frame)), by_hand(stage, frame, images(frame)), rtol=0, atol=SMALL)


@every_frame
def test_before_a_step_its_kernel_is_the_one_that_it_began_with(frame: Frame) -> None:
    stage = begun(frame, 4)

    torch.testing.assert_close(stage.kernel(), stage.start, rtol=0, atol=0)


@every_frame
def test_the_mean_image_becomes_the_wanted_one_whatever_the_kernel(frame: Frame) -> None:
    x = images(frame, 50)
    stage = begun(frame, 5)
    wanted = stage.wanted.numpy()
    stage.begin(mean=x.mean(axis=0), wanted=wanted, kernel=stage.start.numpy(), whitening=stage.whitening.numpy())

    np.testing.assert_allclose(compute(stage, x).mean(axis=0), wanted, rtol=0, atol=SMALL)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(1, 1, 1), (2, 2, 1), (3, 9, 3), (9, 4, 3), (5, 5, 5), (8, 9, 7), (9, 9, 9), (10, 12, 9), (64, 64, SIZE)],
)
def test_the_kernel_is_odd_and_no_larger_than_the_image(height: int, width: int, size: int) -> None:
    frame = Frame((2, height, width), None, (1.0, 1.0))
    stage, x = randomised(Deconvolution(frame)), images(frame)

    assert size == kernel_size(height, width) == stage.size
    assert stage.kernel().shape == (2, 2, size, size)
    np.testing.assert_allclose(compute(stage, x), by_hand(stage, frame, x), rtol=0, atol=SMALL)
    np.testing.assert_allclose(exported(stage, frame, x), compute(stage, x), rtol=0, atol=SMALL)


def test_without_a_pattern_it_has_one_bias_for_each_channel() -> None:
    frame = FRAMES["colour tall, background"]

    sizes = [sum(p.numel() for p in Deconvolution(frame, pattern=pattern).parameters()) for pattern in (True, False)]

    assert sizes[0] - sizes[1] == 3 * 8 * 5 - 3
