"""What the images and the compose files promise, read from the files; their health checks are run for real."""

import io
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
import typer
import yaml
from dockerfile_parse import DockerfileParser

from foreoptic import __version__
from foreoptic.cli import app
from foreoptic.options import settings
from service.__main__ import DRAIN_S
from service.jobs import health

ROOT = Path(__file__).parent.parent
TARGETS = {"service", "trainer"}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GPU = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())
SERVICES = COMPOSE["services"]
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
each_target = pytest.mark.parametrize("target", sorted(TARGETS))


def read_stages() -> dict[str, list[tuple[str, str]]]:
    """Stages of the Dockerfile by name, each with its instructions, FROM first."""
    parser = DockerfileParser(fileobj=io.BytesIO((ROOT / "Dockerfile").read_bytes()))
    stages: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for step in parser.structure:
        if step["instruction"] == "FROM":
            name = step["value"].rpartition(" AS ")[2]
        if name and step["instruction"] != "COMMENT":
            stages.setdefault(name, []).append((step["instruction"], step["value"]))
    return stages


STAGES = read_stages()


def lineage(name: str) -> list[tuple[str, str]]:
    """Instructions that make a stage's own file system: its ancestors' first."""
    parent = STAGES[name][0][1].partition(" ")[0]
    return [*(lineage(parent) if parent in STAGES else []), *STAGES[name]]


def sources(name: str) -> set[str]:
    """All stages that a stage takes anything from, itself included."""
    parent, *others = (value for _, value in STAGES[name])
    taken = {parent.partition(" ")[0], *re.findall(r"\bfrom=([\w-]+)", " ".join(others))}
    return {name}.union(*(sources(other) for other in taken & STAGES.keys()))


def last(target: str, instruction: str) -> str:
    return [value for word, value in lineage(target) if word == instruction][-1]


def environment(target: str) -> dict[str, str]:
    set_ = " ".join(value for word, value in lineage(target) if word == "ENV")
    return {name: value for name, value in re.findall(r'(\w+)="?([^"\s]+)', set_) if name != "PATH"}


def health_check(target: str) -> list[str]:
    return yaml.safe_load(last(target, "HEALTHCHECK").partition("CMD ")[2])


def is_in_context(path: str) -> bool:
    """Docker's rule: the last line that matches the path or a folder above it decides."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    kept = True
    for line in lines:
        pattern = line.removeprefix("!").removeprefix("**/")
        whole = [str(part) for part in (PurePosixPath(path), *PurePosixPath(path).parents)]
        names = PurePosixPath(path).parts if "**/" in line else whole
        if any(fnmatch(name, pattern) for name in names):
            kept = line.startswith("!")
    return kept


def requirements(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "deploy/requirements.py", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def names(listed: str) -> list[str]:
    return [re.match(r"[\w.-]+", line).group() for line in listed.splitlines()]


def parsed(command: list[str]) -> dict[str, object]:
    """The options of a `foreoptic` command line, as the command line itself reads them."""
    commands = typer.main.get_command(app).commands
    return commands[command[0]].make_context(command[0], command[1:]).params


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    copied = [
        source
        for steps in STAGES.values()
        for word, value in steps
        if word == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]

    assert copied
    assert [] == [source for source in copied if not (ROOT / source).exists() or not is_in_context(source)]


@pytest.mark.parametrize("package", ["foreoptic", "service", "trainer", "models"])
def test_the_whole_project_reaches_the_build(package) -> None:
    files = [file for file in (ROOT / package).rglob("*") if file.is_file() and "__pycache__" not in file.parts]

    assert [] == [str(file) for file in files if not is_in_context(file.relative_to(ROOT).as_posix())]


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", ".foreoptic/foreoptic.db", "tests/conftest.py", "data.npz", "shared/x",
     "service/__pycache__/app.pyc", "trainer/frozen/__pycache__/graph.pyc", ".env", "deploy/other"],
)  # fmt: skip
def test_data_history_and_environments_stay_out_of_the_build(path) -> None:
    assert not is_in_context(path)


def test_the_service_takes_nothing_from_the_stage_that_holds_torch() -> None:
    assert "trainer-dependencies" in sources("trainer")
    assert {"service", "runtime", "dependencies", "project"} == sources("service")


def test_the_service_lists_no_library_of_the_trainer() -> None:
    light, full = names(requirements("cpu").stdout), names(requirements("cpu", "trainer").stdout)

    assert {"matplotlib", "onnxscript", "scikit-image", "scikit-learn", "scipy", "torch"} == set(full) - set(light)
    assert set(light) < set(full)


@pytest.mark.parametrize(("accelerator", "runtime"), [("cpu", "onnxruntime"), ("gpu", "onnxruntime-gpu")])
def test_an_image_gets_exactly_one_onnxruntime(accelerator, runtime) -> None:
    listed = names(requirements(accelerator, "trainer").stdout)

    assert [runtime] == [name for name in listed if name.startswith("onnxruntime")]


def test_an_unknown_accelerator_ends_the_build_and_names_the_known_ones() -> None:
    done = requirements("tpu")

    assert done.returncode != 0
    assert "'tpu'; build with one of cpu, gpu" in done.stderr


@each_target
def test_an_image_runs_as_a_fixed_user_without_rights(target) -> None:
    assert "10001:10001" == last(target, "USER")


@each_target
def test_an_image_carries_its_version(target) -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in last(target, "LABEL").split()


@each_target
def test_an_image_starts_a_command_that_there_is(target) -> None:
    assert ["foreoptic"] == yaml.safe_load(last(target, "ENTRYPOINT"))
    assert parsed(yaml.safe_load(last(target, "CMD")))


@each_target
def test_an_image_leaves_no_trace_of_onnxruntime_in_its_users_home(target, tiny_onnx, tmp_path) -> None:
    (tmp_path / "model.onnx").write_bytes(tiny_onnx)
    (tmp_path / "home").mkdir()
    code = "import onnxruntime as o; o.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])"
    held = {**environment(target), "HOME": str(tmp_path / "home")}

    subprocess.run([sys.executable, "-c", code], env=held, cwd=tmp_path, check=True)

    assert [] == list((tmp_path / "home").rglob("*"))


def test_the_services_health_check_passes_while_it_answers_and_fails_when_nobody_does(shared_service) -> None:
    command = [sys.executable, *health_check("service")[1:]]
    answering = shared_service.url.rpartition(":")[2]

    passed = subprocess.run(command, env={**os.environ, "FOREOPTIC_PORT": answering})
    failed = subprocess.run(command, env={**os.environ, "FOREOPTIC_PORT": "1"}, stderr=subprocess.DEVNULL)

    assert (0, 1) == (passed.returncode, failed.returncode)


def test_the_workers_health_check_passes_while_one_works_and_fails_when_none_does(home_with_database) -> None:
    command = [sys.executable, "-m", *health_check("trainer")]
    held = {**os.environ, "FOREOPTIC_HOME": str(home_with_database)}

    with health.hold(home_with_database):
        passed = subprocess.run(command, env=held, cwd=ROOT)
    failed = subprocess.run(command, env=held, cwd=ROOT, stderr=subprocess.DEVNULL)

    assert (0, 1) == (passed.returncode, failed.returncode)


@pytest.fixture
def home_with_database(shared_service) -> Path:
    return shared_service.context.settings.home


@each_service
def test_a_container_is_built_from_a_target_and_runs_a_command_that_there_is(service) -> None:
    assert service["build"]["target"] in TARGETS
    assert parsed(service["command"])


def test_the_service_serves_without_a_worker_and_its_settings_allow_the_address() -> None:
    options = parsed(SERVICES["service"]["command"])

    chosen = settings(host=options["host"], insecure_bind=options["insecure_bind"], worker=options["worker"])

    assert ("0.0.0.0", False) == (chosen.host, chosen.worker)


def test_only_the_service_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    port = environment("service")["FOREOPTIC_PORT"]

    assert {"service": [f"127.0.0.1:{port}:{port}"]} == published
    assert "none" == SERVICES["worker"]["network_mode"]
    assert not any("ports" in service for service in GPU["services"].values())


@each_service
def test_a_container_can_change_nothing_but_the_volume(service) -> None:
    assert service["read_only"]
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert [f"home:{environment(service['build']['target'])['FOREOPTIC_HOME']}"] == service["volumes"]


@each_service
def test_a_container_has_limits_and_as_many_threads_as_processors(service) -> None:
    limits = service["deploy"]["resources"]["limits"]
    threads = {value for name, value in service["environment"].items() if name.endswith("THREADS")}

    assert {"cpus", "memory", "pids"} == limits.keys()
    assert {limits["cpus"]} == threads


def test_a_stop_leaves_the_service_the_time_to_finish() -> None:
    assert int(SERVICES["service"]["stop_grace_period"].removesuffix("s")) > DRAIN_S


def test_the_worker_waits_for_the_service_and_both_come_back() -> None:
    assert {"service": {"condition": "service_healthy"}} == SERVICES["worker"]["depends_on"]
    assert {("unless-stopped", True)} == {(service["restart"], service["init"]) for service in SERVICES.values()}


def test_the_gpu_file_changes_containers_that_there_are_and_asks_for_a_known_accelerator() -> None:
    assert SERVICES.keys() == GPU["services"].keys()
    for service in GPU["services"].values():
        assert requirements(service["build"]["args"]["ACCELERATOR"]).returncode == 0
