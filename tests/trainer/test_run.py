"""A job folder goes in, a staged bundle and an outcome come out; whatever fails leaves neither."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import trainer
from service.contract.bundle import Bundle, read_bundle, write_bundle
from service.contract.digest import sha256_hex
from service.contract.errors import BundleError, DigestMismatch, FrozenMismatch
from service.contract.fingerprint import Fingerprint
from service.contract.input_spec import InputSpec
from service.contract.job import BATCH, CHAMPION, JOB, MODEL, OUTCOME, STAGED, UNKNOWN, JobOutcome, JobSpec, Progress
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.verdict import Decision, ReasonCode, Verdict
from service.engine.rehearsal import rehearse
from trainer.frame import frame_of
from trainer.interface import Normalisation, read_input_spec
from trainer.plugins import UnknownMethod, known_methods
from trainer.registration import register
from trainer.run import adapt
from trainer.split import split

ROOT = Path(trainer.__path__[0]).parent
COUNT = 64


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """`adapt` sets the threads of its process, which is a test's here."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def source(count: int = COUNT, seed: int = 11) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, 8, 8), dtype=np.float32)


def shifted(count: int = COUNT, seed: int = 11) -> np.ndarray:
    return (0.5 * source(count, seed) + 0.3).astype(np.float32)


def make_job(
    folder: Path,
    model: Bundle[ModelManifest],
    images: np.ndarray,
    champion: Bundle[CorrectorManifest] | None = None,
    labels: np.ndarray | None = None,
    **changed: object,
) -> Path:
    """The folder as service and worker leave it."""
    buffer = io.BytesIO()
    np.savez(buffer, **({"x": images} if labels is None else {"x": images, "y": labels}))
    spec = JobSpec(
        id="a" * 32,
        model=model.manifest.name,
        domain="default",
        method="homogenizer",
        seed=0,
        frozen_sha256=model.manifest.frozen_sha256,
        batch_sha256=sha256_hex(buffer.getvalue()),
        threads=1,
    )
    write_bundle(folder / MODEL, model.manifest, model.files)
    if champion is not None:
        write_bundle(folder / CHAMPION, champion.manifest, champion.files)
    (folder / BATCH).write_bytes(buffer.getvalue())
    (folder / JOB).write_text(spec.model_copy(update=changed).model_dump_json())
    return folder


def staged(folder: Path) -> Bundle[CorrectorManifest]:
    return read_bundle(folder / STAGED, CorrectorManifest)


def outcome(folder: Path) -> JobOutcome:
    return JobOutcome.model_validate_json((folder / OUTCOME).read_bytes())


def verdict_of(folder: Path) -> Verdict:
    verdict = outcome(folder).verdict
    assert verdict is not None
    return verdict


def run_command(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", "adapt", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny: Bundle[ModelManifest]) -> tuple[Path, list[Progress]]:
    """A shifted batch, adapted to in this process, and what was reported; nobody writes to it."""
    folder, told = make_job(tmp_path_factory.mktemp("done") / "job", tiny, shifted()), list[Progress]()

    def report(progress: Progress) -> None:
        assert not (folder / OUTCOME).exists(), "the outcome comes last"
        told.append(progress)

    adapt(folder, report)
    return folder, told


def quiet(progress: Progress) -> None:
    """Nobody listens."""


def test_a_shifted_batch_is_corrected_and_promoted(done: tuple[Path, list[Progress]]) -> None:
    verdict = verdict_of(done[0])

    assert (verdict.decision, verdict.reasons[0].code) == (Decision.PROMOTE, ReasonCode.LOSS_FALLS)
    assert verdict.numbers["images"] == len(split(COUNT, 0).judge)
    assert verdict.numbers["loss_after"] < 0.5 * verdict.numbers["loss_before"]


def test_the_staged_bundle_verifies_and_rehearses_in_the_service(
    done: tuple[Path, list[Progress]], tiny: Bundle[ModelManifest]
) -> None:
    bundle = staged(done[0])

    version = rehearse(bundle, 1, tiny.manifest, threads=1)

    assert bundle.manifest.batch_sha256 == sha256_hex((done[0] / BATCH).read_bytes())
    assert Verdict.model_validate_json(bundle.files["verdict.json"]) == verdict_of(done[0])
    assert version.number == 1


def test_the_staged_corrector_undoes_the_shift_on_images_of_another_batch(
    done: tuple[Path, list[Progress]], tiny: Bundle[ModelManifest]
) -> None:
    version = rehearse(staged(done[0]), 1, tiny.manifest, threads=1)
    assert version.graph is not None

    corrected = version.graph.run(shifted(200, 99))[0]

    # Source pixels are uniform: mean 0.5, standard deviation 0.289; shifted ones have 0.55 and 0.144.
    assert corrected.mean() == pytest.approx(0.5, abs=0.06)
    assert corrected.std() == pytest.approx(0.289, abs=0.06)


def test_the_outcome_is_written_last_and_tells_how_long_each_step_took(done: tuple[Path, list[Progress]]) -> None:
    folder = done[0]
    others = [path.stat().st_mtime_ns for path in (folder / STAGED).iterdir()]

    assert (folder / OUTCOME).stat().st_mtime_ns >= max(others)
    timings = outcome(folder).timings
    assert list(timings) == ["read", "load", "screen", "fit", "export", "judge", "stage"]
    assert all(seconds >= 0 for seconds in timings.values())
    assert timings["fit"] > 0


def test_nothing_is_left_beside_what_the_contract_names(done: tuple[Path, list[Progress]]) -> None:
    assert {JOB, BATCH, MODEL, STAGED, OUTCOME} == {path.name for path in done[0].iterdir()}


def test_progress_rises_and_names_its_steps(done: tuple[Path, list[Progress]]) -> None:
    told = done[1]

    shares = [progress.share for progress in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
    assert [progress.step for progress in told][-2:] == ["export", "judge"]
    assert any(progress.step.startswith("fit ") and progress.loss is not None for progress in told)


def test_what_is_given_is_not_written_to(done: tuple[Path, list[Progress]], tiny: Bundle[ModelManifest]) -> None:
    assert read_bundle(done[0] / MODEL, ModelManifest).digest == tiny.digest


def test_the_command_gives_the_same_bundle_and_a_progress_line_a_step(
    done: tuple[Path, list[Progress]], tmp_path: Path, tiny: Bundle[ModelManifest]
) -> None:
    folder = make_job(tmp_path / "job", tiny, shifted())

    ended = run_command(folder)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert staged(folder).digest == staged(done[0]).digest
    assert verdict_of(folder) == verdict_of(done[0])
    told = [Progress.model_validate_json(line) for line in ended.stdout.splitlines()]
    assert told[0] == Progress(share=0.0, step="load")
    assert told[1:] == done[1]


def test_the_same_job_again_replaces_what_it_left(
    done: tuple[Path, list[Progress]], tmp_path: Path, tiny: Bundle[ModelManifest]
) -> None:
    folder = make_job(tmp_path / "job", tiny, shifted())
    (folder / STAGED).mkdir()
    (folder / STAGED / "corrector.onnx").write_bytes(b"half of an attempt that was killed")

    adapt(folder, quiet)

    assert staged(folder).digest == staged(done[0]).digest


def test_another_seed_is_another_bundle(
    done: tuple[Path, list[Progress]], tmp_path: Path, tiny: Bundle[ModelManifest]
) -> None:
    folder = make_job(tmp_path / "job", tiny, shifted(), seed=1)

    adapt(folder, quiet)

    assert staged(folder).digest != staged(done[0]).digest
    assert staged(folder).manifest.seed == 1


def test_the_trainer_keeps_to_the_threads_of_the_job(tmp_path: Path, tiny: Bundle[ModelManifest]) -> None:
    torch.set_num_threads(2)

    adapt(make_job(tmp_path / "job", tiny, source(), threads=1), quiet)

    assert torch.get_num_threads() == 1


# Other verdicts.


def test_a_clean_batch_is_held_with_nothing_to_correct(tmp_path: Path, tiny: Bundle[ModelManifest]) -> None:
    folder = make_job(tmp_path / "job", tiny, source())

    returned = adapt(folder, quiet)

    assert returned == outcome(folder)
    verdict = verdict_of(folder)
    assert (verdict.decision, verdict.reasons[0].code) == (Decision.HOLD, ReasonCode.NOTHING_TO_CORRECT)
    assert staged(folder).manifest.stages == ()
    rehearse(staged(folder), 1, tiny.manifest, threads=1)


def test_a_rejected_candidate_leaves_no_staged_folder(tmp_path: Path, tiny: Bundle[ModelManifest]) -> None:
    # The part that judges has more contrast than the source, the others less: what helps them harms it.
    images, judge = shifted(), split(COUNT, 0).judge
    images[judge] = 1.5 * source()[judge] - 0.25
    folder = make_job(tmp_path / "job", tiny, images)
    (folder / STAGED).mkdir()
    (folder / STAGED / "manifest.json").write_bytes(b"of an earlier attempt")

    adapt(folder, quiet)

    assert (verdict_of(folder).decision, verdict_of(folder).reasons[0].code) == (
        Decision.REJECT,
        ReasonCode.LOSS_RISES,
    )
    assert not (folder / STAGED).exists()


def test_a_champion_that_is_beaten_is_replaced(
    tmp_path: Path, tiny: Bundle[ModelManifest], make_corrector: Callable[..., Bundle[CorrectorManifest]]
) -> None:
    folder = make_job(tmp_path / "job", tiny, shifted(), make_corrector(gain=0.9))

    adapt(folder, quiet)

    verdict = verdict_of(folder)
    assert verdict.decision is Decision.PROMOTE
    assert verdict.numbers["champion_loss_before"] > verdict.numbers["champion_loss_after"]
    assert verdict.numbers["champion_loss_after"] == verdict.numbers["loss_after"]


@pytest.mark.parametrize("seed", range(3))
def test_a_champion_that_the_candidate_repeats_stays(tmp_path: Path, tiny: Bundle[ModelManifest], seed: int) -> None:
    # Of fewer images the judge part is so small that a candidate may be held for what it leaves.
    images = shifted(192)
    adapt(make_job(tmp_path / "first", tiny, images, seed=seed), quiet)
    folder = make_job(tmp_path / "second", tiny, images, staged(tmp_path / "first"), seed=seed)

    adapt(folder, quiet)

    verdict = verdict_of(folder)
    assert verdict.numbers["champion_ratio_high"] == pytest.approx(1, abs=1e-3)
    assert (verdict.decision, verdict.reasons[0].code) == (Decision.HOLD, ReasonCode.CHAMPION_AS_GOOD)


def test_labels_of_the_judge_part_reach_the_verdict_and_those_of_other_parts_reach_nothing(
    done: tuple[Path, list[Progress]], tmp_path: Path, tiny: Bundle[ModelManifest]
) -> None:
    judge = split(COUNT, 0).judge
    clean = onnxruntime.InferenceSession(tiny.files["model.onnx"]).run(None, {"image": source()})[0]
    labels = np.random.default_rng(0).integers(0, 4, COUNT)
    labels[judge] = clean.argmax(axis=1)[judge]
    labels[judge[0]] = UNKNOWN

    adapt(make_job(tmp_path / "job", tiny, shifted(), labels=labels), quiet)

    verdict = verdict_of(tmp_path / "job")
    assert verdict.numbers["labels_images"] == len(judge) - 1
    plain = {name: value for name, value in verdict.numbers.items() if not name.startswith("labels_")}
    assert (verdict.decision, plain) == (verdict_of(done[0]).decision, verdict_of(done[0]).numbers)
    assert staged(tmp_path / "job").files["corrector.onnx"] == staged(done[0]).files["corrector.onnx"]


def test_running_statistics_alone_give_a_verdict_that_says_what_it_lacks(
    tmp_path: Path, tiny_onnx: bytes, tiny: Bundle[ModelManifest]
) -> None:
    model, taps = onnx.load_model_from_string(tiny_onnx), Fingerprint.from_bytes(tiny.files["fingerprint.npz"]).taps
    for tensor in model.graph.initializer:
        if tensor.name[0] in "mv" and tensor.name[1:].isdigit():
            tap = taps[f"conv{tensor.name[1:]}"]
            values = tap.mean if tensor.name[0] == "m" else tap.var
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    content = model.SerializeToString()
    spec = read_input_spec(content, Normalisation())
    bare = register(content, name="bare", spec=spec, source=None, labels=None, card=None)
    folder = make_job(tmp_path / "job", bare, shifted())

    adapt(folder, quiet)

    verdict = verdict_of(folder)
    missing = [reason for reason in verdict.reasons if reason.code is ReasonCode.EVIDENCE_MISSING]
    assert len(missing) == len(Fingerprint.from_bytes(bare.files["fingerprint.npz"]).missing()) > 0
    assert "reference" not in verdict.numbers


# What cannot be done.


def test_an_unknown_method_is_a_problem_of_the_callers_and_no_failure(
    tmp_path: Path, tiny: Bundle[ModelManifest]
) -> None:
    folder = make_job(tmp_path / "job", tiny, shifted(), method="calibrate-more")

    ended = run_command(folder)

    assert (ended.returncode, ended.stderr) == (0, "")
    left = outcome(folder)
    assert left.verdict is None
    assert left.problem is not None
    assert all(name in left.problem for name in known_methods())
    assert not (folder / STAGED).exists()


def test_a_method_outside_the_folder_is_unknown(tmp_path: Path, tiny: Bundle[ModelManifest]) -> None:
    folder = make_job(tmp_path / "job", tiny, shifted(), method="__init__")
    spec = json.loads((folder / JOB).read_bytes())

    with pytest.raises(ValueError, match="method"):
        adapt(folder, quiet)
    (folder / JOB).write_text(json.dumps(spec | {"method": "os"}))
    with pytest.raises(UnknownMethod):
        adapt(folder, quiet)


def other_batch(folder: Path) -> None:
    np.savez(folder / BATCH, x=source())


def other_model_in_the_job(folder: Path) -> None:
    spec = json.loads((folder / JOB).read_bytes())
    (folder / JOB).write_text(json.dumps(spec | {"frozen_sha256": "f" * 64}))


def changed_model(folder: Path) -> None:
    path = folder / MODEL / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def changed_champion(folder: Path) -> None:
    (folder / CHAMPION / "golden.npz").write_bytes(b"")


def empty_champion(folder: Path) -> None:
    (folder / CHAMPION / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (other_batch, DigestMismatch),
        (other_model_in_the_job, FrozenMismatch),
        (changed_model, DigestMismatch),
        (changed_champion, DigestMismatch),
        (empty_champion, BundleError),
    ],
    ids=lambda value: value.__name__,
)
def test_what_does_not_belong_together_is_refused_and_leaves_nothing(
    spoil: Callable[[Path], None],
    error: type[Exception],
    tmp_path: Path,
    tiny: Bundle[ModelManifest],
    make_corrector: Callable[..., Bundle[CorrectorManifest]],
) -> None:
    folder = make_job(tmp_path / "job", tiny, shifted(), make_corrector())
    spoil(folder)

    with pytest.raises(error):
        adapt(folder, quiet)

    assert not (folder / OUTCOME).exists()
    assert not (folder / STAGED).exists()


def test_a_champion_of_another_frozen_model_is_refused(
    tmp_path: Path, tiny: Bundle[ModelManifest], make_corrector: Callable[..., Bundle[CorrectorManifest]]
) -> None:
    folder = make_job(tmp_path / "job", tiny, shifted(), make_corrector(frozen_sha256="f" * 64))

    with pytest.raises(FrozenMismatch):
        adapt(folder, quiet)


# The frame.


def framed(width: int, value: float = 0.25, noise: float = 0.0) -> np.ndarray:
    """Noise with a border `width` pixels wide that is nearly `value`."""
    images = source()
    inner = images[:, :, width:-width, width:-width].copy()
    images[:] = value + noise * (images - 0.5)
    images[:, :, width:-width, width:-width] = inner
    return images


FRAMED = {
    "an even border": (framed(1), (0.25,)),
    "a border of black": (framed(2, 0.0), (0.0,)),
    "a border that varies by less than 5 percent of the range": (framed(1, noise=0.09), (0.25,)),
    "a border that varies by more": (framed(1, noise=0.4), None),
    "no border": (source(), None),
}


@pytest.mark.parametrize(("images", "background"), FRAMED.values(), ids=FRAMED)
def test_an_even_border_is_the_background(
    images: np.ndarray, background: tuple[float, ...] | None, tiny: Bundle[ModelManifest]
) -> None:
    frame = frame_of(tiny.manifest.input, images)

    assert frame.shape == (1, 8, 8)
    assert frame.span == (1.0,)
    # The median of noise around the value.
    assert frame.background == (None if background is None else pytest.approx(background, abs=5e-3))


def test_every_channel_must_have_an_even_border(tiny: Bundle[ModelManifest]) -> None:
    spec = InputSpec(name="image", shape=(2, 8, 8), bounds=(-1.0, 1.0), std=(1.0, 0.5))
    manifest = tiny.manifest.model_copy(update={"input": spec})
    even, noisy = framed(1), source()

    both, one = (
        frame_of(manifest.input, np.concatenate(pair, axis=1)) for pair in ((even, even - 0.5), (even, noisy * 4))
    )

    assert both.background == pytest.approx((0.25, -0.25))
    assert both.span == (2.0, 4.0)
    assert one == replace(both, background=None)
