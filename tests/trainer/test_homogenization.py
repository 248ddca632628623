"""The preset `paper`: it fits what the paper says to what the paper says, and refuses what the task cannot give."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from service.contract.norm_distances import norm_loss
from service.contract.statistics import pool
from tests.trainer.paper_case import images, paper_task
from trainer.corrector import Corrector
from trainer.export import check_parity, to_onnx
from trainer.homogenization import Paper, fit_paper
from trainer.losses.smoothness import roughness
from trainer.measure import tap_moments
from trainer.methods import homogenizer
from trainer.task import NoSource

SHORT = Paper(epochs=15, batch=32)
LONG = Paper(epochs=80, batch=64, settled=True)


pytestmark = pytest.mark.usefixtures("one_thread")


def loss_of(task, corrector) -> float:
    moments = tap_moments(task.frozen, corrector, task.fit, task.fitted_taps[1:])
    return norm_loss(pool(moments), task.fingerprint.moments(), task.fitted_taps[1:])


@torch.no_grad()
def criterion_of(task, corrector) -> float:
    scores, _ = task.frozen.scores_and_taps(corrector(task.fit))
    return float(torch.nn.functional.cross_entropy(scores, task.labels))


def test_both_presets_are_named_and_the_default_is_what_a_job_gets() -> None:
    assert homogenizer.PRESETS["default"] == homogenizer.Config()
    assert homogenizer.PRESETS["paper"] == Paper()
    assert (Paper().rate, Paper().epochs, Paper().batch, Paper().width, Paper().depth) == (0.1, 100, 128, 8, 8)


def test_unlabelled_statistics_come_closer_to_the_sources(tiny) -> None:
    task = paper_task(tiny, labels=None, source=None, random_network=None)

    corrector = homogenizer.fit(task, LONG)

    assert corrector.names() == ("reconstruction",)
    assert loss_of(task, corrector) < 0.5 * loss_of(task, Corrector())


@pytest.mark.parametrize("features", [None, "all_taps", "penultimate", "random_network", "random_projection"])
def test_with_labels_the_fitted_images_are_classified_better(features: str | None, tiny) -> None:
    task = paper_task(tiny)
    config = replace(SHORT, features=features, stats_weight=0.01, criterion_weight=1.0, epochs=80, settled=True)

    corrector = fit_paper(task, config)

    assert criterion_of(task, corrector) < 0.8 * criterion_of(task, Corrector())


@pytest.mark.parametrize("features", ["all_taps", "penultimate", "random_network", "random_projection"])
def test_class_by_class_gives_another_corrector(features: str, tiny) -> None:
    task, config = paper_task(tiny), replace(SHORT, features=features, epochs=2)

    plain, by_class = (fit_paper(task, replace(config, class_conditional=cc)) for cc in (False, True))

    x = torch.from_numpy(images(4, 7))
    assert not torch.equal(plain(x), by_class(x))
    assert by_class(x).isfinite().all()


def test_the_smoothness_term_makes_images_smoother(tiny) -> None:
    task, config = paper_task(tiny), replace(SHORT, epochs=40, settled=True)

    rough, smooth = (fit_paper(task, replace(config, smoothness_weight=weight)) for weight in (0.0, 10.0))

    with torch.no_grad():
        assert roughness(smooth(task.fit)) < roughness(rough(task.fit))


def test_settled_normalisations_are_those_of_all_images(tiny) -> None:
    task = paper_task(tiny)
    (running,), (settled,) = (
        fit_paper(task, replace(SHORT, epochs=2, settled=settled)).stages for settled in (False, True)
    )

    with torch.no_grad():
        of_batch, of_all, lagging = settled.train()(task.fit), settled.eval()(task.fit), running(task.fit)

    # An unbiased variance in place of the biased one.
    torch.testing.assert_close(of_all, of_batch, atol=0.01, rtol=0.01)
    assert (lagging - of_batch).abs().max() > 0.1


def test_the_same_task_gives_the_same_bytes_and_another_seed_others(tiny) -> None:
    config = replace(SHORT, epochs=2)

    first, again, other = (
        to_onnx(fit_paper(paper_task(tiny, seed=seed), config), tiny.manifest, method="homogenizer")
        for seed in (0, 0, 1)
    )

    assert first == again
    assert first != other


def test_nothing_is_drawn_from_torchs_own_generator(tiny) -> None:
    task = paper_task(tiny)
    torch.manual_seed(0)
    before = torch.get_rng_state()

    fit_paper(task, replace(SHORT, epochs=1))

    assert torch.equal(before, torch.get_rng_state())


def test_what_was_fitted_is_what_onnxruntime_computes(tiny) -> None:
    corrector = fit_paper(paper_task(tiny), replace(SHORT, epochs=3))
    content = to_onnx(corrector, tiny.manifest, method="homogenizer")

    assert check_parity(corrector, content, images(9, 2), tiny.manifest.input) >= 0
    # Behind the fit nothing depends on the other rows of a batch.
    x = torch.from_numpy(images(5, 2))
    np.testing.assert_allclose(corrector(x)[:1].detach(), corrector(x[:1]).detach(), atol=1e-5)


def test_what_the_task_cannot_give_is_refused_by_name(tiny) -> None:
    task = paper_task(tiny)

    with pytest.raises(NoSource, match="need labels"):
        fit_paper(replace(task, labels=None), replace(SHORT, criterion_weight=1.0))
    with pytest.raises(NoSource, match="need labels"):
        fit_paper(replace(task, labels=None), replace(SHORT, class_conditional=True))
    with pytest.raises(ValueError, match="nothing to fit to"):
        fit_paper(task, replace(SHORT, features=None))
    bare = {
        name: replace(tap, class_first=np.zeros((0, 0)), class_second=np.zeros((0, 0)))
        for name, tap in task.fingerprint.taps.items()
    }
    with pytest.raises(NoSource, match="class moments"):
        fit_paper(
            replace(task, fingerprint=replace(task.fingerprint, taps=bare)), replace(SHORT, class_conditional=True)
        )
