"""Of the models that ship the demo's alone is served, unless an operator names others."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from foreoptic.cli import app
from foreoptic.locate import find_model, open_home
from service import catalog
from service.database import models
from service.settings import Settings, shipped_models, shipped_names


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FOREOPTIC_SHIPPED", raising=False)
    monkeypatch.setenv("FOREOPTIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def listed() -> Result:
    return CliRunner().invoke(app, ["ls", "--json"])


def names(shown: Result) -> list[str]:
    return [model["name"] for model in json.loads(shown.stdout)]


def test_studies_models_ship_and_are_not_served_unless_asked_for(home: Path) -> None:
    assert {"digits", "digits-verifier"} <= set(shipped_names())
    assert names(listed()) == ["digits"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits-verifier", ["digits-verifier"]),
        (" digits , digits-verifier,", ["digits", "digits-verifier"]),
        ("digits,digits", ["digits"]),
        ("", []),
    ],
    ids=["another", "several", "twice", "none"],
)
def test_the_environment_names_those_that_are_served(
    text: str, expected: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREOPTIC_SHIPPED", text)

    assert names(listed()) == expected


def test_what_does_not_ship_is_refused_in_one_line_with_what_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("FOREOPTIC_SHIPPED", "digits,imagenet,../digits")

    done = listed()

    assert done.exit_code == 1
    assert "no model that ships is called imagenet, ../digits;" in done.stderr
    assert f"known: {', '.join(shipped_names())};" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not home.exists()


def test_a_program_gives_names_as_a_sequence(tmp_path: Path) -> None:
    assert Settings(home=tmp_path, shipped=("digits",)).shipped == ("digits",)
    with pytest.raises(ValidationError, match="imagenet"):
        Settings(home=tmp_path, shipped=["imagenet"])


def test_a_name_that_is_no_longer_listed_stays_registered(home: Path) -> None:
    open_home(Settings(home=home, shipped=("digits", "digits-verifier")))[0].close()

    database, store = open_home(Settings(home=home, shipped=()))
    with database.read() as connection:
        found = [row.name for row in models.every(connection)]
    again = catalog.install_shipped(shipped_models(), ("digits",), database, store)
    database.close()

    assert found == ["digits", "digits-verifier"]
    assert again == []


def test_a_model_that_ships_can_be_fitted_by_its_name_without_being_served(home: Path) -> None:
    assert find_model("digits-verifier", Settings(home=home)).manifest.name == "digits-verifier"
    assert names(listed()) == ["digits"]
