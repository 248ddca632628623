"""The registry: nothing unrehearsed is served, and whatever fails, what was served stays."""

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from onnx import helper
from sqlalchemy import update

from service.catalog import NameTaken, install
from service.contract.bundle import Bundle, describe
from service.contract.digest import sha256_hex
from service.contract.errors import ContractError, FrozenMismatch, GoldenMismatch
from service.contract.store import LocalStore
from service.database import domains, tables, versions
from service.database.engine import Database
from service.database.migrate import migrate
from service.engine.session import SessionError
from service.metrics import Metrics
from service.registry import Registry, Stale, Unknown
from tests.conftest import SHAPE, TINY, random_rows
from tests.service.forged import NAME, with_output


class Home:
    """Database, store and a registry that serves the tiny model."""

    def __init__(self, settings, tiny) -> None:
        self.settings = settings
        self.database = Database(settings.url)
        migrate(self.database)
        self.store = LocalStore(settings.store_dir)
        install(tiny, self.database, self.store)
        self.sha256 = tiny.manifest.frozen_sha256
        self.registry = self.restart()

    def restart(self) -> Registry:
        self.now = 100.0
        registry = Registry(
            self.database, self.store, Metrics(), threads=1, micro_batch=4, pinned=2, clock=lambda: self.now
        )
        registry.refresh()
        return registry

    def publish(self, bundle) -> int:
        digest = self.store.publish(bundle)
        with self.database.write() as connection:
            number = versions.next_number(connection, self.sha256)
            versions.add(
                connection, versions.VersionRow(self.sha256, number, digest, "default", None, "promote", "m", 0.0)
            )
        return number

    def champion(self) -> int:
        return self.registry.champion(TINY, "default").version.number


@pytest.fixture
def home(settings, tiny) -> Iterator[Home]:
    home = Home(settings, tiny)
    yield home
    home.database.close()


def golden(x: np.ndarray, y: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=x, y=y)
    return buffer.getvalue()


X = random_rows(2)
MISFITS = {
    "another frozen model": ({"frozen_sha256": "f" * 64}, FrozenMismatch),
    "golden answers of another corrector": ({"golden.npz": golden(X, X * np.float32(0.7))}, GoldenMismatch),
    "golden answers with nan": ({"golden.npz": golden(X, X * np.float32(np.nan))}, GoldenMismatch),
    "golden inputs of another shape": ({"golden.npz": golden(X[:, :, :4], X[:, :, :4])}, GoldenMismatch),
    "no golden inputs": ({"golden.npz": golden(X[:0], X[:0])}, GoldenMismatch),
    "unreadable golden file": ({"golden.npz": b"nothing"}, GoldenMismatch),
    "no graph": ({"corrector.onnx": b"nothing"}, SessionError),
}


@pytest.mark.parametrize(("changed", "error"), MISFITS.values(), ids=MISFITS.keys())
def test_a_bundle_that_does_not_fit_is_refused_and_the_champion_stays(home, make_corrector, changed, error) -> None:
    good = home.publish(make_corrector(0.5))
    home.registry.activate(TINY, "default", good)
    bad = home.publish(make_corrector(0.5, **changed))

    with pytest.raises(error):
        home.registry.activate(TINY, "default", bad)

    assert home.champion() == good
    with home.database.read() as connection:
        assert domains.find(connection, TINY, "default").champion == good


def test_a_corrector_for_another_input_shape_is_refused(home, make_corrector, tiny) -> None:
    wider = tiny.manifest.input.model_copy(update={"shape": (1, 8, 9)})
    number = home.publish(make_corrector(0.5, input=wider))

    with pytest.raises(FrozenMismatch):
        home.registry.activate(TINY, "default", number)


@pytest.mark.parametrize("name", ["corrector.onnx", "golden.npz", "verdict.json", "manifest.json"])
def test_a_bit_that_flipped_on_disk_is_noticed_before_it_serves(home, make_corrector, name) -> None:
    number = home.publish(make_corrector(0.5))
    file = next(home.settings.store_dir.glob(f"*/{name}"), None)
    with home.database.read() as connection:
        file = home.settings.store_dir / versions.find(connection, home.sha256, number).digest / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(ContractError):
        home.registry.activate(TINY, "default", number)

    assert home.champion() == 0


def test_a_frozen_model_whose_bytes_changed_is_not_served(home, tiny) -> None:
    with home.database.read() as connection:
        digest = connection.execute(tables.models.select()).one().digest
    file = home.settings.store_dir / digest / "model.onnx"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)

    assert home.restart().names() == []


def test_a_bundle_whose_manifest_lies_about_the_frozen_bytes_is_not_served(settings, tiny) -> None:
    files = {**tiny.files, "model.onnx": tiny.files["model.onnx"] + b"\x00"}
    manifest = tiny.manifest.model_copy(update={"files": describe(files)})
    home = Home(settings, Bundle(sha256_hex(manifest.to_bytes()), manifest, files))

    assert home.registry.names() == []
    home.database.close()


def test_a_restart_serves_what_was_served(home, make_corrector) -> None:
    home.registry.activate(TINY, "default", home.publish(make_corrector(0.5)))

    assert home.restart().champion(TINY, "default").version.number == 1


def test_another_process_follows_an_activation_at_its_next_refresh(home, make_corrector) -> None:
    other = home.restart()
    home.registry.activate(TINY, "default", home.publish(make_corrector(0.5)))

    other.refresh()

    assert other.champion(TINY, "default").version.number == 1


def test_an_alias_that_points_at_a_damaged_version_leaves_what_was_served(home, make_corrector) -> None:
    home.registry.activate(TINY, "default", home.publish(make_corrector(0.5)))
    bad = home.publish(make_corrector(0.25, **{"golden.npz": b"nothing"}))
    with home.database.write() as connection:
        connection.execute(update(tables.domains).values(champion=bad, generation=99))

    home.registry.refresh()

    assert home.champion() == 1
    assert home.restart().champion(TINY, "default").version.number == 0


def test_of_two_activations_that_rest_on_the_same_generation_one_is_stale(home, make_corrector) -> None:
    first, second = home.publish(make_corrector(0.5)), home.publish(make_corrector(0.25))
    generation = home.registry.domain(TINY, "default").generation
    home.registry.activate(TINY, "default", first, generation=generation)

    with pytest.raises(Stale):
        home.registry.activate(TINY, "default", second, generation=generation)

    assert home.champion() == first


def test_activating_the_champion_again_keeps_its_predecessor(home, make_corrector) -> None:
    first, second = home.publish(make_corrector(0.5)), home.publish(make_corrector(0.25))
    for number in (first, second, second):
        row = home.registry.activate(TINY, "default", number)

    assert (row.champion, row.previous) == (second, first)


def test_what_belongs_to_an_activation_is_undone_with_it(home, make_corrector) -> None:
    number = home.publish(make_corrector(0.5))

    def refuse(_connection) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        home.registry.activate(TINY, "default", number, also=refuse)

    assert home.champion() == 0
    assert home.restart().champion(TINY, "default").version.number == 0


def test_a_name_cannot_be_given_to_other_bytes(home, tiny) -> None:
    other = tiny.manifest.model_copy(update={"frozen_sha256": "e" * 64})

    with pytest.raises(NameTaken):
        install(Bundle(sha256_hex(other.to_bytes()), other, tiny.files), home.database, home.store)


def test_versions_that_requests_name_are_forgotten_when_there_are_too_many(home, make_corrector) -> None:
    numbers = [home.publish(make_corrector(gain)) for gain in (0.1, 0.2, 0.3, 0.4)]

    found = [home.registry.pinned(TINY, "default", str(number)).version.number for number in numbers * 2]

    assert numbers * 2 == found


def test_unknown_names_say_where_to_look_and_repeat_nothing_unprintable(home) -> None:
    with pytest.raises(Unknown, match="/v1/models") as caught:
        home.registry.champion("x\x1b[31m\n" * 40, "default")

    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 120
    assert SHAPE == home.registry.model(TINY).manifest.input.shape


def test_a_model_that_cannot_be_loaded_is_tried_again_after_a_while_and_not_at_every_look(home, tiny) -> None:
    (stored,) = home.settings.store_dir.rglob("model.onnx")
    stored.write_bytes(b"damaged")
    registry = home.restart()
    stored.write_bytes(tiny.files["model.onnx"])

    registry.refresh()
    early = registry.names()
    home.now += 30.0
    registry.refresh()

    assert ([], [TINY]) == (early, registry.names())


A_NUMBER = helper.make_node("ReduceMean", ["logits"], ["extra"], keepdims=0)


def test_a_model_with_an_output_that_is_one_number_is_served_each_caller_alone(home, tiny) -> None:
    install(with_output(tiny, A_NUMBER), home.database, home.store)

    home.registry.refresh()

    assert not home.registry.model(NAME).mixes
    assert home.registry.model(TINY).mixes


def test_a_model_that_fails_as_nobody_foresaw_is_not_served_and_all_others_are(home, tiny) -> None:
    # Rows that the file fixes are put together again, which one number cannot be.
    install(with_output(tiny, A_NUMBER, rows=2), home.database, home.store)

    home.registry.refresh()

    assert home.registry.names() == [TINY]
    assert home.restart().champion(TINY, "default").version.number == 0


def test_a_version_that_fails_as_nobody_foresaw_leaves_what_was_served_and_every_other_domain(
    home, make_corrector
) -> None:
    class Failing(LocalStore):
        def read(self, digest, kind):
            if digest == broken:
                raise RuntimeError("no such failure was foreseen")
            return super().read(digest, kind)

    numbers = [home.publish(make_corrector(gain)) for gain in (0.5, 0.25)]
    with home.database.write() as connection:
        broken = versions.find(connection, home.sha256, numbers[0]).digest
        domains.add(connection, replace(domains.find(connection, TINY, "default"), name="night"))
        for name, number in zip(("default", "night"), numbers, strict=True):
            domains.point(connection, domains.find(connection, TINY, name), champion=number)
    home.store = Failing(home.settings.store_dir)

    registry = home.restart()

    assert registry.champion(TINY, "default").version.number == 0
    assert registry.champion(TINY, "night").version.number == numbers[1]


def test_a_model_with_versions_cannot_get_another_input(home, tiny, make_corrector) -> None:
    spec = tiny.manifest.input.model_copy(update={"bounds": (0.0, 255.0)})
    manifest = tiny.manifest.model_copy(update={"input": spec})
    other = Bundle(sha256_hex(manifest.to_bytes()), manifest, tiny.files)

    home.publish(make_corrector())

    with pytest.raises(NameTaken, match="1 versions that were fitted for another shape, range"):
        install(other, home.database, home.store)
    install(tiny, home.database, home.store)
