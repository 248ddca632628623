"""A method is named by its file; nothing outside the folder can be named."""

from pathlib import Path
from types import ModuleType

import pytest

import trainer.methods
from service.jobs import methods as known_to_the_service
from trainer.plugins import DEFAULT, JOB_PRESET, UnknownMethod, UnknownPreset, known_methods, load_method, load_preset


def test_every_file_of_the_folder_is_a_method_and_nothing_else_is() -> None:
    files = {file.stem for file in Path(trainer.methods.__path__[0]).glob("*.py")}

    assert set(known_methods()) == files - {"__init__"}
    assert "homogenizer" in known_methods()
    assert sorted(known_methods()) == list(known_methods())


@pytest.mark.parametrize("name", known_methods())
def test_a_known_method_is_loaded_from_the_folder(name: str) -> None:
    module = load_method(name)

    assert isinstance(module, ModuleType)
    assert module.__name__ == f"trainer.methods.{name}"


@pytest.mark.parametrize(
    "name",
    [
        "os.path",
        "os",
        "../run",
        "../x",
        "/etc/passwd",
        "__init__",
        "",
        ".",
        "homogenizer.py",
        "Homogenizer",
        " homogenizer",
        "homogenizer\n",
        "homogenizer.Config",
        "*",
    ],
    ids=repr,
)
def test_what_is_no_method_is_refused_with_the_list_of_those_that_are(name: str) -> None:
    with pytest.raises(UnknownMethod) as refusal:
        load_method(name)

    assert all(known in str(refusal.value) for known in known_methods())
    assert not name.strip() or "passwd" not in str(refusal.value)


@pytest.mark.parametrize("name", known_methods())
def test_every_method_has_the_preset_that_a_job_gets(name: str) -> None:
    method = load_method(name)

    assert load_preset(method, DEFAULT) == method.Config()
    with pytest.raises(UnknownPreset, match=f"{name} has no preset 'Default'; known: default"):
        load_preset(method, "Default")


def test_a_job_gets_the_cascade_of_a_method_that_has_one_and_else_its_default() -> None:
    class Lone(ModuleType):
        Config = dict

    assert load_preset(load_method("homogenizer"), JOB_PRESET) != load_preset(load_method("homogenizer"), DEFAULT)
    assert load_preset(Lone("trainer.methods.lone"), JOB_PRESET) == load_preset(Lone("trainer.methods.lone"), DEFAULT)


def test_the_service_knows_the_same_methods_without_importing_them() -> None:
    assert known_to_the_service.known_methods() == known_methods()
