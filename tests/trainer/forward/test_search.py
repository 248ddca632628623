"""A search finds what was done to the images, within its budget, the same every time, and without torch."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foreoptic.demo_target import load_target
from service.contract.bundle import Bundle, read_bundle
from service.contract.distances import statistics_loss
from service.contract.fingerprint import Fingerprint
from service.contract.manifest import ModelManifest
from service.contract.pictures import to_pixels
from service.contract.statistics import pool
from service.settings import shipped_models
from tests.trainer.tiny_case import shifted, source
from trainer.corrector import Corrector
from trainer.export import check_parity, to_onnx
from trainer.forward import Config, Outcome, TapGraph, apply, families, search, stages
from trainer.forward.kernels import channel_affine, depthwise
from trainer.forward.search import joined
from trainer.forward.warps import AffineWarp
from trainer.frame import Frame, frame_of

ROOT = Path(__file__).parents[3]
FRAME = Frame((1, 8, 8), None, (1.0,))
PLENTY = 20_000


def fingerprint_of(tiny: Bundle[ModelManifest]) -> Fingerprint:
    return Fingerprint.from_bytes(tiny.files["fingerprint.npz"])


def graph_of(tiny: Bundle[ModelManifest], *, reserved: bool = False) -> TapGraph:
    manifest, moments = tiny.manifest, fingerprint_of(tiny).moments()
    taps = manifest.reserved_taps() if reserved else manifest.fitted_taps()
    return TapGraph(tiny.files["model.onnx"], manifest.input, {name: moments[name] for name in taps}, threads=1)


def searched(tiny: Bundle[ModelManifest], planes: np.ndarray, budget: int = PLENTY, **changed) -> Outcome:
    fingerprint = replace(fingerprint_of(tiny), **changed)
    return search(graph_of(tiny), fingerprint, planes, FRAME, budget=budget, config=Config(slopes=32))


def test_contrast_and_brightness_are_undone_on_images_that_were_not_fitted(tiny) -> None:
    outcome, others = searched(tiny, shifted(128, seed=3)), shifted(128, seed=4)

    restored = apply(outcome.best.parts, others)

    # Even noise has the same statistics as its negative: either is right.
    wanted = source(128, seed=4)
    assert min(np.abs(restored - x).max() for x in (wanted, 1 - wanted)) < 0.1
    assert outcome.best.loss <= 2 * outcome.goal < outcome.found[0].loss


def test_without_pixel_statistics_least_squares_find_it(tiny) -> None:
    outcome, others = searched(tiny, shifted(128, seed=3), pixels=None), shifted(128, seed=4)

    assert np.abs(apply(outcome.best.parts, others) - source(128, seed=4)).max() < 0.15
    reserved = graph_of(tiny, reserved=True)
    losses = [
        statistics_loss(pool(reserved.moments(x)), fingerprint_of(tiny).moments(), reserved.taps)
        for x in (others, apply(outcome.best.parts, others))
    ]
    assert losses[1] < 0.1 * losses[0]


def test_clean_images_are_looked_at_and_left(tiny) -> None:
    reference = fingerprint_of(tiny).reference
    assert reference is not None
    generous = replace(reference, fitted=1e3 * reference.fitted)

    outcome = searched(tiny, source(128, seed=5), reference=generous)

    assert () == outcome.best.parts
    assert 128 == outcome.images


def test_the_same_arguments_give_the_same_numbers(tiny) -> None:
    first, second = (searched(tiny, shifted(96, seed=3), pixels=None) for _ in range(2))

    assert [found.name for found in first.found] == [found.name for found in second.found]
    for one, other in zip(first.found, second.found, strict=True):
        assert (one.loss, one.images) == (other.loss, other.images)
        for (_, theta), (_, again) in zip(one.parts, other.parts, strict=True):
            np.testing.assert_array_equal(theta, again)


class Counting(TapGraph):
    """A tap graph that counts what it is shown."""

    shown = 0

    def see(self, planes):
        self.shown += len(planes)
        return super().see(planes)


@pytest.mark.parametrize("budget", [64, 200, 700, 3000])
def test_the_budget_holds_and_every_image_is_counted(budget, tiny) -> None:
    manifest, moments = tiny.manifest, fingerprint_of(tiny).moments()
    fitted = {name: moments[name] for name in manifest.fitted_taps()}
    graph = Counting(tiny.files["model.onnx"], manifest.input, fitted, threads=1)

    outcome = search(
        graph, fingerprint_of(tiny), shifted(64, seed=3), FRAME, budget=budget, config=Config(probe=16, slopes=16)
    )

    assert graph.shown == outcome.images == sum(found.images for found in outcome.found) <= budget


def test_a_budget_below_one_look_is_refused(tiny) -> None:
    with pytest.raises(ValueError, match="pays for no look"):
        searched(tiny, shifted(64, seed=3), budget=63)


def test_what_is_found_is_exported_and_computes_the_same(tiny) -> None:
    x = shifted(64, seed=3)
    corrector = Corrector(stages(searched(tiny, x).best.parts))

    content = to_onnx(corrector, tiny.manifest, method="homogenizer")

    assert corrector.names()
    check_parity(corrector, content, x, tiny.manifest.input)


def test_a_family_joins_what_was_found_in_its_place() -> None:
    affine, kernel, warp = channel_affine(FRAME), depthwise(FRAME), AffineWarp(FRAME)
    x = source(3, seed=1)
    parts = ((affine, np.array([0.3, -0.2])),)

    grown = joined(parts, kernel)
    assert grown is not None
    both = joined(grown, warp)

    assert both is not None
    assert ["affine warp", "depthwise kernel"] == [family.name for family, _ in both]
    np.testing.assert_allclose(apply(both, x), apply(parts, x), atol=1e-6)
    assert joined(grown, affine) is None


def test_every_family_has_a_place_in_a_row() -> None:
    for family in families(FRAME):
        assert joined((), family) is not None


def test_a_fit_without_a_gradient_never_loads_torch() -> None:
    code = "import trainer.forward, sys; print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert "False" == done.stdout.strip()


def test_the_demo_s_model_recovers_from_one_unlabelled_batch_without_a_gradient() -> None:
    model, target = read_bundle(shipped_models() / "digits", ModelManifest), load_target(0)
    manifest, content, fingerprint = model.manifest, model.files["model.onnx"], fingerprint_of(model)
    spec, moments = manifest.input, fingerprint.moments()

    def planes(pictures: np.ndarray) -> np.ndarray:
        return spec.from_pixels(np.stack([to_pixels(Image.fromarray(picture), spec) for picture in pictures]))

    posted, measured = planes(target.posted), planes(target.measured)
    taps = TapGraph(content, spec, {name: moments[name] for name in manifest.fitted_taps()}, threads=1)
    scores = TapGraph(content, spec, {}, threads=1, scores=manifest.output.name)
    frame = frame_of(manifest.input, posted)

    outcome = search(taps, fingerprint, posted, frame, budget=30_000, config=Config())

    accuracies = [
        np.mean(scores.see(apply(found.parts, measured)).scores.argmax(axis=1) == target.measured_labels)
        for found in (outcome.found[0], outcome.best)
    ]
    assert accuracies[0] < 0.25
    assert accuracies[1] > 0.8, [(found.name, found.loss, found.images) for found in outcome.found] + accuracies
