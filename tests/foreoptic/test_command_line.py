"""The command line as a user types it: what it prints, what it leaves, how it refuses."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from onnx import load_model_from_string
from typer.testing import CliRunner

from foreoptic.cli import app
from service.contract.bundle import read_bundle, write_bundle
from service.contract.graph_rules import CORRECTOR, check_graph
from service.contract.kept_source import SOURCE_FILE
from service.contract.manifest import CorrectorManifest
from tests.conftest import random_rows
from trainer.homogenization import Paper
from trainer.methods import calibrator, homogenizer


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.setenv("FOREOPTIC_HOME", str(tmp_path / "home"))

    def run(*arguments: object):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def model_file(tmp_path, tiny_onnx):
    file = tmp_path / "model.onnx"
    file.write_bytes(tiny_onnx)
    return file


@pytest.fixture
def images(tmp_path):
    file = tmp_path / "images.npz"
    np.savez(file, x=random_rows(200), y=np.arange(200) % 4)
    return file


@pytest.fixture
def dark(tmp_path):
    """Images that the model sees a shift in."""
    file = tmp_path / "dark.npz"
    np.savez(file, x=0.4 * random_rows(200), y=np.arange(200) % 4)
    return file


def test_register_makes_a_model_that_ls_shows(invoke, model_file, images, tiny) -> None:
    registered = invoke("register", model_file, "--name", "mine", "--source", images, "--labels", "a,b,c,d", "--json")
    listed = invoke("ls", "--json")

    manifest = json.loads(registered.stdout)
    assert manifest["frozen_sha256"] == tiny.manifest.frozen_sha256
    assert manifest["labels"] == ["a", "b", "c", "d"]
    assert {"digits", "mine"} == {model["name"] for model in json.loads(listed.stdout)}


def test_register_without_images_uses_the_normalisation_nodes(invoke, model_file) -> None:
    done = invoke("register", model_file, "--name", "mine", "--json")

    assert json.loads(done.stdout)["fingerprint"] == "batchnorm"


def test_register_refuses_what_has_neither_images_nor_normalisation(invoke, tmp_path, tiny_onnx) -> None:
    model = load_model_from_string(tiny_onnx)
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            node.op_type = "Identity"
            del node.input[1:]
    file = tmp_path / "plain.onnx"
    file.write_bytes(model.SerializeToString())

    done = invoke("register", file, "--name", "plain")

    assert done.exit_code == 1
    assert "--source" in done.stderr


@pytest.mark.parametrize("name", ["Mine", "../x", "a b", ""])
def test_register_refuses_a_name_that_could_become_a_path(invoke, model_file, images, name) -> None:
    done = invoke("register", model_file, "--name", name, "--source", images)

    assert done.exit_code == 1
    assert "1 to 63 of a-z" in done.stderr


def test_the_same_name_cannot_be_given_to_other_bytes(invoke, model_file, images, tmp_path, tiny_onnx) -> None:
    invoke("register", model_file, "--name", "mine", "--source", images)
    other = load_model_from_string(tiny_onnx)
    other.doc_string = "other"
    file = tmp_path / "other.onnx"
    file.write_bytes(other.SerializeToString())

    done = invoke("register", file, "--name", "mine", "--source", images)

    assert done.exit_code == 1
    assert "choose another name" in done.stderr


def test_fit_writes_a_bundle_that_verify_accepts(invoke, model_file, images, tmp_path) -> None:
    invoke("register", model_file, "--name", "mine", "--source", images)
    output = tmp_path / "corrector"

    fitted = invoke("fit", "mine", images, "--output", output, "--json")
    verified = invoke("verify", output)

    assert json.loads(fitted.stdout)["decision"] in ("promote", "hold", "reject")
    assert verified.exit_code == 0
    assert read_bundle(output, CorrectorManifest).digest in verified.stdout


def test_fit_takes_a_preset_and_the_manifest_has_its_choices(invoke, model_file, images, dark, tmp_path) -> None:
    invoke("register", model_file, "--name", "mine", "--source", images)

    fitted = invoke("fit", "mine", dark, "--output", tmp_path / "corrector", "--preset", "paper", "--json")

    assert fitted.exit_code == 0, fitted.output
    bundle = read_bundle(tmp_path / "corrector", CorrectorManifest)
    assert bundle.manifest.stages == ("reconstruction",)
    assert bundle.manifest.configuration == asdict(Paper())
    check_graph(bundle.files["corrector.onnx"], CORRECTOR)


def test_fit_refuses_a_preset_that_there_is_not_with_those_that_are(invoke, model_file, images, tmp_path) -> None:
    invoke("register", model_file, "--name", "mine", "--source", images)

    done = invoke("fit", "mine", images, "--output", tmp_path / "corrector", "--preset", "other")

    assert done.exit_code == 1
    assert "no preset 'other'; known: default, cascade, paper" in done.stderr
    assert not (tmp_path / "corrector").exists()


def test_source_images_are_kept_only_if_asked_for_and_a_calibrator_is_fitted_with_them(
    invoke, model_file, images, dark, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(calibrator.PRESETS, "short", calibrator.Config(steps=5, width=4, recogniser_steps=20))
    keeping = ("register", model_file, "--name", "mine", "--source", images, "--keep-source", "--json")
    fitting = ("fit", "mine", dark, "--method", "calibrator", "--preset", "short", "--json")

    plain = json.loads(invoke("register", model_file, "--name", "mine", "--source", images, "--json").stdout)
    refused = invoke(*fitting, "--output", tmp_path / "none")
    by_hand = invoke(*fitting, "--output", tmp_path / "one", "--source", images)
    keeps = json.loads(invoke(*keeping).stdout)
    from_bundle = invoke(*fitting, "--output", tmp_path / "two")

    assert SOURCE_FILE not in plain["files"]
    assert SOURCE_FILE in keeps["files"]
    assert refused.exit_code == 1
    assert "--keep-source" in refused.stderr
    assert by_hand.exit_code == from_bundle.exit_code == 0, by_hand.output + from_bundle.output
    manifest = read_bundle(tmp_path / "two", CorrectorManifest).manifest
    assert manifest.method == "calibrator"
    assert manifest.stages[0] == "recognition"


def test_source_images_that_are_not_there_cannot_be_kept(invoke, model_file) -> None:
    done = invoke("register", model_file, "--name", "mine", "--keep-source")

    assert done.exit_code == 1
    assert "no source images to keep; give some with --source" in done.stderr


@pytest.mark.parametrize(
    ("choices", "said"),
    [({"criterion_weight": 1.0}, "need labels"), ({"features": "random_projection"}, "needs source images")],
    ids=["labels", "source"],
)
def test_a_preset_that_needs_what_a_batch_has_not_says_so(
    choices, said, invoke, model_file, images, dark, tmp_path, monkeypatch
) -> None:
    invoke("register", model_file, "--name", "mine", "--source", images)
    monkeypatch.setitem(homogenizer.PRESETS, "needy", Paper(**choices))

    done = invoke("fit", "mine", dark, "--output", tmp_path / "corrector", "--preset", "needy")

    assert done.exit_code == 1
    assert said in done.stderr


def test_verify_says_what_is_wrong(invoke, tmp_path, make_corrector) -> None:
    bundle = make_corrector(0.5)
    write_bundle(tmp_path / "b", bundle.manifest, bundle.files)
    (tmp_path / "b" / "more.txt").write_text("x")

    done = invoke("verify", tmp_path / "b")

    assert "more.txt" in str(done.exception)


def test_evaluate_prints_source_and_target_accuracy(invoke, model_file, images) -> None:
    invoke("register", model_file, "--name", "mine", "--source", images)

    done = invoke("evaluate", "mine", "--target", images, "--source", images, "--images", 64, "--seeds", 1, "--json")

    document = json.loads(done.stdout)
    assert 0 <= document["source"] <= 100
    assert [0] == [trial["seed"] for trial in document["trials"]]


def test_serve_refuses_an_address_that_others_can_reach(invoke) -> None:
    done = invoke("serve", "--host", "0.0.0.0")

    assert done.exit_code == 1
    assert "--insecure-bind" in done.stderr
