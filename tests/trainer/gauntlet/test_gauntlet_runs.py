"""A job fits what it is told to, judges on what no fit saw, and is done once."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.contract.digest import sha256_hex
from service.contract.job import JobSpec
from service.settings import shipped_models
from tests.trainer.gauntlet.gauntlet_case import record, tiny_material
from trainer.datasets import DatasetError
from trainer.plugins import UnknownPreset
from trainer.run import Clock, fit
from trainer.shifts.cases import make_case
from trainer.shifts.kind import Answer, Labelled
from trainer.shifts.registry import KINDS
from trainer.studies.gauntlet.jobs import Job, Terms, UnknownJob, jobs_of, key_of, program_digest
from trainer.studies.gauntlet.materials import Files, Material, digest_of, load_material
from trainer.studies.gauntlet.records import find_record, keep_record
from trainer.studies.gauntlet.runs import divide, measure_job, right_answer
from trainer.studies.gauntlet.workers import Run, WorkerDied, found_records, run_all

pytestmark = pytest.mark.usefixtures("one_thread")

TERMS = Terms(judged=100)
FILES = Files(shipped_models())


@pytest.fixture(scope="module")
def material(tiny) -> Material:
    return tiny_material(tiny)


def quiet(*_told: object) -> None: ...


# Jobs.


def test_jobs_come_seed_by_seed_and_those_of_their_own_size_once() -> None:
    found = jobs_of(["mnist"], ["blur", "too-small"], seeds=range(2), sizes=[32, 64], terms=TERMS)

    assert [(job.kind, job.seed, job.size) for job in found] == [
        ("blur", 0, 32),
        ("too-small", 0, 16),
        ("blur", 0, 64),
        ("blur", 1, 32),
        ("too-small", 1, 16),
        ("blur", 1, 64),
    ]


@pytest.mark.parametrize(
    ("materials", "kinds", "terms", "error", "message"),
    [
        (["svhn"], ["blur"], TERMS, UnknownJob, "no material 'svhn'; known: mnist, usps"),
        (["mnist"], ["fog"], TERMS, UnknownJob, "no kind 'fog'; known: clean, gamma"),
        (["mnist"], ["blur"], replace(TERMS, preset="fast"), UnknownPreset, "no preset 'fast'"),
        (["mnist"], ["blur"], replace(TERMS, offline="slow"), UnknownPreset, "no preset 'slow'"),
    ],
)
def test_a_name_that_means_nothing_is_refused_before_anything_is_done(materials, kinds, terms, error, message) -> None:
    with pytest.raises(error, match=message):
        jobs_of(materials, kinds, seeds=range(1), sizes=[16], terms=terms)


def test_a_key_depends_on_what_the_record_depends_on() -> None:
    job = Job("mnist", "blur", 0, 64)
    others = [replace(job, material="usps"), replace(job, kind="jpeg"), replace(job, seed=1), replace(job, size=65)]
    terms = [replace(TERMS, judged=99), replace(TERMS, preset="paper"), replace(TERMS, offline="paper")]

    keys = {key_of(j, TERMS, "a") for j in (job, *others)} | {key_of(job, t, "a") for t in terms}

    assert len(keys | {key_of(job, TERMS, "b")}) == 9
    assert key_of(job, TERMS, "a") == key_of(replace(job), replace(TERMS), "a")
    assert all("/" not in key and " " not in key for key in keys)


def test_the_program_has_the_same_name_twice_and_of_the_right_length() -> None:
    assert program_digest() == program_digest()
    assert len(program_digest()) == 12


# Materials.


def test_optdigits_needs_no_file_and_is_in_units_of_the_camera() -> None:
    found = load_material("optdigits", FILES)

    assert found.images.images.shape == (1797, 1, 28, 28)
    assert (found.images.images.min(), found.images.images.max()) == (0, 1)
    assert np.bincount(found.images.labels).min() > 170
    assert not found.is_source


def test_usps_is_both_of_its_parts_and_mnist_its_test_part_alone(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    sizes = {"train": 30, "test": 20}
    arrays = {f"x_{part}": draw.integers(0, 256, (n, 28, 28), dtype=np.uint8) for part, n in sizes.items()}
    arrays |= {f"y_{part}": np.arange(n) % 10 for part, n in sizes.items()}
    np.savez(tmp_path / "digits.npz", **arrays)
    files = replace(FILES, mnist=tmp_path / "digits.npz", usps=tmp_path / "digits.npz")

    mnist, usps = (load_material(name, files) for name in ("mnist", "usps"))

    np.testing.assert_allclose(mnist.images.images[:, 0], arrays["x_test"] / 255, atol=1e-6)
    np.testing.assert_array_equal(usps.images.labels, np.concatenate([arrays["y_train"], arrays["y_test"]]))
    assert (mnist.is_source, usps.is_source) == (True, False)
    assert digest_of("mnist", files) != digest_of("optdigits", files)


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_test=np.zeros((5, 28, 28), np.uint8))

    with pytest.raises(DatasetError, match="MNIST test has no labels"):
        load_material("mnist", replace(FILES, mnist=tmp_path / "x.npz"))


# One job.


def test_no_image_is_both_posted_and_judged_on_and_each_seed_divides_anew() -> None:
    images = Labelled(np.arange(50, dtype=np.float32).reshape(50, 1, 1, 1), np.arange(50))

    (pool, judged), (_, other) = (divide(images, 20, seed) for seed in (0, 1))

    assert sorted([*pool.labels, *judged.labels]) == list(range(50))
    assert (len(judged.labels), judged.images.ravel().tolist()) == (20, judged.labels.tolist())
    assert sorted(judged.labels) != sorted(other.labels)
    with pytest.raises(DatasetError, match="50 images to judge on leave none of 50"):
        divide(images, 50, 0)


def test_a_clean_batch_of_a_real_shift_is_a_shift() -> None:
    assert [right_answer(answer, is_source=False) for answer in Answer] == [Answer.SHIFT, Answer.SHIFT, Answer.HOSTILE]
    assert [right_answer(answer, is_source=True) for answer in Answer] == list(Answer)


def test_identity_and_unshifted_are_counted_by_onnxruntime_on_the_judged_images(tiny, tiny_onnx) -> None:
    material, job = tiny_material(tiny, least_contrast=0.1), Job("mnist", "inverted", 3, 3)

    found = measure_job(material, job, TERMS, "today", quiet)

    pool, judged = divide(material.images, 100, 3)
    shifted = make_case(KINDS["inverted"], pool, judged, count=3, seed=3).judged
    session = onnxruntime.InferenceSession(tiny_onnx, providers=["CPUExecutionProvider"])
    right = session.run(["logits"], {"image": shifted.images})[0].argmax(axis=1) == judged.labels
    assert found.identity == pytest.approx(100 * right.mean())
    assert 0 < found.identity < 100
    assert (found.unshifted, found.answer, found.program) == (100, Answer.SHIFT, "today")


def test_a_batch_that_cannot_be_fitted_is_a_record_that_says_so(material) -> None:
    found = measure_job(material, Job("mnist", "blur", 0, 3), replace(TERMS, offline="default"), "today", quiet)

    assert (found.decision, found.candidate, found.gain, found.images) == ("failed", None, 0, 3)
    assert "batch of 3 cannot be divided" in found.problem
    assert found.offline.decision == "failed"


def test_a_candidate_is_that_of_the_same_job_of_the_service_and_labels_only_count(material, tiny_onnx) -> None:
    job = Job("mnist", "colour", 2, 64)

    found = measure_job(material, job, TERMS, "today", quiet)
    labels = (material.images.labels + 1) % 4
    lies = measure_job(replace(material, images=Labelled(material.images.images, labels)), job, TERMS, "today", quiet)

    pool, judged = divide(material.images, 100, 2)
    case = make_case(KINDS["colour"], pool, judged, count=64, seed=2)
    manifest = material.model.manifest
    spec = JobSpec(
        id="0" * 32,
        model=manifest.name,
        domain="default",
        method="homogenizer",
        seed=2,
        frozen_sha256=manifest.frozen_sha256,
        batch_sha256=sha256_hex(case.batch.images.tobytes()),
        threads=1,
    )
    verdict, bundle = fit(spec, material.model, case.batch.images, None, quiet, Clock())
    assert (found.verdict, found.stages) == (verdict, bundle.manifest.stages)
    assert found.stages, "a job that comes to nothing would show nothing"
    front, back = (
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for content in (bundle.files["corrector.onnx"], tiny_onnx)
    )
    corrected = front.run(None, {"image": case.judged.images})[0]
    right = back.run(["logits"], {"image": corrected})[0].argmax(axis=1) == judged.labels
    assert found.candidate == pytest.approx(100 * right.mean())
    assert found.candidate != found.identity
    assert found.settings == case.settings
    assert 0 < sum(found.timings.values()) <= found.seconds + 0.01
    assert (lies.verdict, lies.stages) == (found.verdict, found.stages)
    assert lies.identity != found.identity


# Records and workers.


def test_a_record_comes_back_as_it_was_kept_infinite_numbers_too(tmp_path: Path) -> None:
    kept = record(forecast=3.0)

    keep_record(tmp_path / "records", "name", kept)

    assert find_record(tmp_path / "records", "name") == kept
    assert find_record(tmp_path / "records", "other") is None


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_done_once_and_an_interrupted_run_goes_on(workers: int, tmp_path: Path) -> None:
    # Batches of three fail at once: this is about who does what, not about fits.
    jobs = jobs_of(["optdigits"], ["clean", "blur"], seeds=range(2), sizes=[3], terms=TERMS)
    run = Run(FILES, TERMS, tmp_path, "today")

    class Stop(Exception): ...

    def interrupt(share: float, _words: str) -> None:
        if share >= 0.25:
            raise Stop

    if workers > 1:
        with pytest.raises(Stop):
            run_all(run, jobs, workers=workers, advance=interrupt)
    else:
        run_all(run, jobs[:1], workers=1, advance=quiet)
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert 1 <= len(before) <= 4
    assert len(found_records(run, jobs)) == len(before)

    records = run_all(run, jobs, workers=1, advance=quiet)

    assert [(r.kind, r.seed) for r in records] == [(job.kind, job.seed) for job in jobs]
    assert all(r.decision == "failed" for r in records)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before
    assert len(list(tmp_path.iterdir())) == 4


def test_a_worker_that_is_killed_ends_the_run_with_words(tmp_path: Path) -> None:
    jobs = jobs_of(["optdigits"], ["clean"], seeds=range(3), sizes=[3], terms=TERMS)

    def kill(_share: float, _words: str) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(WorkerDied, match="give fewer --workers"):
        run_all(Run(FILES, TERMS, tmp_path, "today"), jobs, workers=2, advance=kill)
    assert multiprocessing.active_children() == []
