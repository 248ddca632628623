"""The tutorial's baselines on small sets: each changes a copy, the same seed gives the same, and the maths is right."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer.baselines.classifier import Classifier, Labelled, Schedule, fit_classifier, shuffled
from trainer.baselines.cyclegan import CycleGan, fit_cyclegan
from trainer.baselines.dann import Dann, fit_dann
from trainer.baselines.deep_coral import DeepCoral, coral, fit_deep_coral

SHORT = Schedule(epochs=2, rate=1e-3, batch=16)

pytestmark = pytest.mark.usefixtures("one_thread")


def silent(_share: float) -> None:
    pass


def bars(count: int, seed: int, *, brightness: float = 1.0) -> Labelled:
    """Pictures of which the label says where a bar stands."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count)
    images = 0.1 * random.random((count, 1, 28, 28), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, :, 2 * label + 4 : 2 * label + 6] = brightness
    return Labelled(torch.from_numpy(images), torch.from_numpy(labels))


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier()


def weights(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def test_the_classifier_has_the_tutorials_size(classifier: Classifier) -> None:
    assert sum(parameter.numel() for parameter in classifier.parameters()) == 504_842


def test_plain_training_learns(classifier: Classifier) -> None:
    data = bars(320, 1)

    fit_classifier(classifier, data, Schedule(epochs=4, rate=1e-3, batch=16), 0, silent)

    fresh = bars(100, 2)
    assert (classifier(fresh.images).argmax(1) == fresh.labels).float().mean() > 0.9


@pytest.mark.parametrize(
    ("fit", "config"),
    [
        (fit_dann, Dann(schedule=SHORT)),
        (fit_deep_coral, DeepCoral(schedule=SHORT)),
    ],
    ids=["dann", "coral"],
)
def test_a_copy_is_changed_and_the_same_seed_changes_it_the_same_way(fit, config, classifier: Classifier) -> None:
    before, source, target = weights(classifier), bars(64, 1), bars(48, 2, brightness=0.5).images
    shares: list[float] = []

    first = fit(classifier, source, target, config, 3, shares.append)
    second = fit(classifier, source, target, config, 3, silent)

    assert torch.equal(weights(classifier), before)
    assert not torch.equal(weights(first), before)
    assert torch.equal(weights(first), weights(second))
    assert shares == sorted(shares)
    assert len(shares) == 2 * (48 // 16)


def test_coral_is_the_squared_distance_of_numpys_covariances() -> None:
    random = np.random.default_rng(0)
    source, target = random.normal(size=(30, 6)), random.normal(0, 2, (25, 6))

    expected = np.square(np.cov(source.T) - np.cov(target.T)).sum() / (4 * 6**2)

    assert float(coral(torch.from_numpy(source), torch.from_numpy(target))) == pytest.approx(expected)


def test_deep_coral_keeps_covariances_together_where_labels_alone_drive_them_apart(classifier: Classifier) -> None:
    source, target = bars(64, 1), bars(64, 2, brightness=0.3).images
    schedule = Schedule(epochs=10, rate=1e-3, batch=16)

    free, held = (
        fit_deep_coral(classifier, source, target, DeepCoral(schedule=schedule, weight=weight), 0, silent)
        for weight in (0.0, 500.0)
    )

    with torch.no_grad():
        apart, together = (float(coral(net.features(source.images), net.features(target))) for net in (free, held))
    assert together < 0.2 * apart


def test_cyclegan_translates_within_the_range_and_learns_the_way_back() -> None:
    source, target = bars(32, 1).images, bars(32, 2, brightness=0.5).images
    config = CycleGan(schedule=Schedule(epochs=40, rate=3e-3, batch=16), width=4)

    untrained = fit_cyclegan(source, target, replace(config, schedule=replace(config.schedule, epochs=0)), 0, silent)
    found = fit_cyclegan(source, target, config, 0, silent)

    styled = found.stylised(source)
    assert styled.shape == source.shape
    assert 0.0 <= float(styled.min()) and float(styled.max()) <= 1.0
    lost = [float((net.restored(net.stylised(source)) - source).abs().mean()) for net in (untrained, found)]
    assert lost[1] < 0.75 * lost[0]


def test_every_image_comes_once_before_any_comes_again() -> None:
    rows = shuffled(10, 5, torch.Generator().manual_seed(0))

    assert sorted(torch.cat([next(rows), next(rows)]).tolist()) == list(range(10))


def test_fewer_images_than_a_step_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer than the 8"):
        next(shuffled(5, 8, torch.Generator()))
