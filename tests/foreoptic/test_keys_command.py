"""`foreoptic keys`: what is made can be used, is shown once, and ends."""

import json

import pytest
from typer.testing import CliRunner

from foreoptic.cli import app
from service.auth import Keyring, Scope
from service.database import keys
from service.database.engine import Database
from service.errors import Unauthorized
from service.settings import Settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FOREOPTIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def invoke(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def keyring() -> Keyring:
    database = Database(Settings().url)
    ring = Keyring(open_without_keys=False)
    with database.read() as connection:
        ring.replace(keys.every(connection))
    database.close()
    return ring


def test_a_key_does_what_it_was_made_for_until_it_is_revoked(home) -> None:
    made = invoke("keys", "add", "camera", "--scope", "predict", "--scope", "observe", "--domain", "dock-3", "--json")
    key = json.loads(made.stdout)["key"]

    principal = keyring().authenticate(f"Bearer {key}".encode(), "")
    assert principal.scopes == {Scope.PREDICT, Scope.OBSERVE}
    assert principal.domains == {"dock-3"}
    assert invoke("keys", "revoke", "camera").exit_code == 0
    with pytest.raises(Unauthorized):
        keyring().authenticate(f"Bearer {key}".encode(), "")


def test_the_list_shows_keys_and_nothing_secret(home) -> None:
    key = json.loads(invoke("keys", "add", "camera", "--scope", "admin", "--days", "2", "--json").stdout)["key"]

    for shown in (invoke("keys", "ls").stdout, invoke("keys", "ls", "--json").stdout):
        assert "camera" in shown
        assert "admin" in shown
        assert key.split("_", 2)[2] not in shown
        assert "sha256" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "camera", "--scope", "root"), "predict, adapt, observe, admin"),
        (("add", "../x", "--scope", "predict"), "a name is"),
        (("add", "x", "--scope", "predict", "--domain", "A B"), "a name is"),
        (("revoke", "nobody"), "no key 'nobody'"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(home, arguments, said) -> None:
    done = invoke("keys", *arguments)

    assert done.exit_code == 1
    assert said in done.stderr


def test_a_name_is_given_once_even_after_it_was_revoked(home) -> None:
    for verb in (("add", "a", "--scope", "predict"), ("revoke", "a")):
        assert invoke("keys", *verb).exit_code == 0

    done = invoke("keys", "add", "a", "--scope", "predict")

    assert done.exit_code == 1
    assert "not given twice" in done.stderr
