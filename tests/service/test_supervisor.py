"""The worker reads from its environment the settings that the service has."""

from pathlib import Path

import pytest

from service.jobs.supervisor import _environment
from service.settings import Settings


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"shipped": ()},
        {"shipped": ("digits-verifier", "digits")},
        {"worker": False, "adaptation_seed": 7, "job_timeout_s": 12.5, "threads": 3},
    ],
    ids=["defaults", "no model that ships", "two that ship", "others"],
)
def test_every_setting_survives_the_environment(
    changed: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home", port=0, **changed)
    environment = _environment(settings)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert Settings() == settings
    assert {"FOREOPTIC_HOME", "FOREOPTIC_SHIPPED", "FOREOPTIC_WORKER"} <= environment.keys()
