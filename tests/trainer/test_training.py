"""Training of the small classifiers: what an interrupted one leaves is what the next goes on from."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from trainer.studies import training
from trainer.studies.training import Recipe, accuracy, train

RECIPE = Recipe(epochs=3, top_rate=0.05, batch=16, seed=5, momentum=0.9)


def net() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))


def images() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    return x, (x.mean(dim=(1, 2, 3)) > 0).long()


def trained(checkpoint: Path | None = None) -> nn.Module:
    found = net()
    train(found, *images(), RECIPE, Console(quiet=True), checkpoint=checkpoint)
    return found


def test_a_training_learns() -> None:
    found = net()
    train(found, *images(), Recipe(epochs=20, top_rate=0.01, batch=16), Console(quiet=True))

    assert not found.training
    assert accuracy(found, *images()) == 100.0


def test_an_interrupted_training_ends_where_a_whole_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, steps, step = trained(), [0], training._step

    def stop_in_the_third_epoch(*arguments: object) -> None:
        steps[0] += 1
        if steps[0] == 10:
            raise KeyboardInterrupt
        step(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_step", stop_in_the_third_epoch)
        trained(tmp_path / "checkpoint")
    resumed = trained(tmp_path / "checkpoint")

    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_finished_training_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(tmp_path / "checkpoint")
    monkeypatch.setattr(training, "_step", None)

    again = trained(tmp_path / "checkpoint")

    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())
