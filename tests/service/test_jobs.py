"""Jobs: accepted as a whole or not at all, done by the real trainer, published once, settled by the service."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from service.catalog import install
from service.contract.bundle import describe, write_bundle
from service.contract.digest import sha256_hex
from service.contract.job import OUTCOME, STAGED, JobOutcome, Progress
from service.contract.store import LocalStore
from service.contract.verdict import Decision, ReasonCode, Verdict
from service.database import domains, jobs, versions
from service.database.domains import DomainRow, Mode
from service.database.engine import Database
from service.database.jobs import State
from service.database.migrate import migrate
from service.jobs import queue
from service.jobs.queue import JobQueue
from service.jobs.runner import LOG, TrainerFailed, TrainerKilled, TrainerTimeout, Unwanted, run_trainer
from service.jobs.settlement import Settlement
from service.jobs.submission import AdaptationOff, KeyReused, PostedBatch, QueueFull, Submission, TooManyDomains
from service.jobs.worker import Worker
from service.metrics import Metrics
from service.registry import Registry
from tests.conftest import TINY, random_rows


class Shop:
    """All that jobs touch, over one home."""

    def __init__(self, settings, tiny) -> None:
        self.settings = settings
        self.database = Database(settings.url)
        migrate(self.database)
        queue.prepare(self.database)
        self.store = LocalStore(settings.store_dir)
        settings.jobs_dir.mkdir(parents=True)
        install(tiny, self.database, self.store)
        self.sha256 = tiny.manifest.frozen_sha256
        self.queue = JobQueue(self.database)
        self.submission = Submission(self.database, self.queue, settings.jobs_dir, limit=3, domain_limit=2, seed=7)
        self.worker = Worker(self.database, self.store, settings.jobs_dir, timeout_s=600, attempts=2, threads=2)
        self.registry = Registry(self.database, self.store, Metrics(), threads=1, micro_batch=2, pinned=2)
        self.registry.refresh()
        self.settlement = Settlement(self.database, self.registry)

    def batch(self, **changed: object) -> PostedBatch:
        images = random_rows(64, 5) * np.float32(0.5)
        posted = PostedBatch(
            TINY, "default", "homogenizer", self.sha256, images, None, sha256_hex(images.tobytes()), None
        )
        return replace(posted, **changed)

    def job(self, job_id: str) -> jobs.JobRow:
        with self.database.read() as connection:
            row = jobs.find(connection, job_id)
        assert row is not None
        return row

    def judged(self, bundle, decision: Decision = Decision.PROMOTE) -> jobs.JobRow:
        """A job as a worker leaves it: claimed, published, waiting for the service."""
        row = self.submission.accept(self.batch())
        with self.database.write() as connection:
            claimed = jobs.claim(connection, row.id, most_attempts=2)
            jobs.start(connection, claimed, domains.find(connection, TINY, "default").generation)
        verdict = Verdict(decision=decision, reasons=(), numbers={})
        staged = self.settings.jobs_dir / row.id / STAGED
        write_bundle(staged, bundle.manifest, bundle.files)
        self.worker._publish(claimed, JobOutcome(verdict=verdict))
        return self.job(row.id)

    def close(self) -> None:
        self.queue.close()
        self.database.close()


@pytest.fixture
def shop(settings, tiny) -> Iterator[Shop]:
    shop = Shop(settings, tiny)
    yield shop
    shop.close()


def test_the_real_trainer_brings_a_job_to_a_verdict_and_its_images_are_gone(shop) -> None:
    row = shop.submission.accept(shop.batch())

    shop.worker.run(row.id)

    done = shop.job(row.id)
    assert done.state in (State.VALIDATING, State.SUCCEEDED), done.problem
    verdict = Verdict.model_validate_json(done.verdict)
    assert verdict.reasons and verdict.numbers
    assert set(json.loads(done.timings)) >= {"load", "fit", "export", "judge"}
    with shop.database.read() as connection:
        version = versions.find(connection, shop.sha256, done.version or 0)
    assert (version is not None) == (verdict.decision is not Decision.REJECT)
    assert [LOG] == [file.name for file in (shop.settings.jobs_dir / row.id).iterdir()]


def test_the_same_batch_and_seed_give_the_same_bundle(shop) -> None:
    rows = [shop.submission.accept(shop.batch()) for _ in range(2)]
    for row in rows:
        shop.worker.run(row.id)

    with shop.database.read() as connection:
        digests = {version.digest for version in versions.of_model(connection, shop.sha256)}

    assert len(digests) == 1


def test_an_unknown_method_fails_the_job_and_names_the_known_ones(shop) -> None:
    row = shop.submission.accept(shop.batch(method="witchcraft"))

    shop.worker.run(row.id)

    assert shop.job(row.id).state == State.FAILED
    assert "homogenizer" in shop.job(row.id).problem


def test_a_method_that_needs_source_images_fails_the_job_where_none_are_kept(shop) -> None:
    row = shop.submission.accept(shop.batch(method="calibrator"))

    shop.worker.run(row.id)

    assert shop.job(row.id).state == State.FAILED
    assert "--keep-source" in shop.job(row.id).problem


def test_a_batch_that_was_changed_on_disk_is_not_fitted(shop) -> None:
    row = shop.submission.accept(shop.batch())
    file = shop.settings.jobs_dir / row.id / "batch.npz"
    file.write_bytes(file.read_bytes() + b"x")

    shop.worker.run(row.id)

    assert shop.job(row.id).state == State.FAILED


def test_a_job_that_was_interrupted_too_often_is_given_up(shop) -> None:
    row = shop.submission.accept(shop.batch())
    with shop.database.write() as connection:
        for _ in range(2):
            jobs.claim(connection, row.id, most_attempts=2)

    shop.worker.run(row.id)

    assert shop.job(row.id).state == State.FAILED
    assert "2 attempts" in shop.job(row.id).problem


def test_a_worker_that_was_overtaken_publishes_nothing(shop, make_corrector) -> None:
    row = shop.submission.accept(shop.batch())
    with shop.database.write() as connection:
        slow = jobs.claim(connection, row.id, most_attempts=2)
        jobs.claim(connection, row.id, most_attempts=2)
    bundle = make_corrector(0.5)
    write_bundle(shop.settings.jobs_dir / row.id / STAGED, bundle.manifest, bundle.files)

    shop.worker._publish(slow, JobOutcome(verdict=Verdict(decision=Decision.PROMOTE, reasons=(), numbers={})))

    assert shop.job(row.id).state == State.RUNNING
    with shop.database.read() as connection:
        assert versions.of_model(connection, shop.sha256) == []


def test_a_cancelled_job_is_never_started(shop) -> None:
    row = shop.submission.accept(shop.batch())
    with shop.database.write() as connection:
        jobs.move(connection, row, State.CANCELLED)

    shop.worker.run(row.id)

    assert shop.job(row.id).state == State.CANCELLED
    assert shop.job(row.id).attempt == 0


def test_a_promoted_version_becomes_champion_in_one_step_with_its_job(shop, make_corrector) -> None:
    row = shop.judged(make_corrector(0.5))

    shop.settlement.settle_all()

    assert shop.job(row.id).state == State.SUCCEEDED
    assert shop.registry.champion(TINY, "default").version.number == row.version == 1


def test_a_version_that_cannot_be_served_fails_its_job_and_moves_nothing(shop, make_corrector) -> None:
    row = shop.judged(make_corrector(0.5, **{"golden.npz": b"nothing"}))

    shop.settlement.settle_all()

    assert shop.job(row.id).state == State.FAILED
    assert shop.registry.champion(TINY, "default").version.number == 0


def test_a_held_version_is_published_and_moves_nothing(shop, make_corrector) -> None:
    row = shop.judged(make_corrector(0.5), Decision.HOLD)

    shop.settlement.settle_all()

    assert (row.state, row.version) == (State.SUCCEEDED, 1)
    assert shop.registry.champion(TINY, "default").version.number == 0


def test_a_promotion_that_was_judged_against_another_champion_is_held(shop, make_corrector) -> None:
    row = shop.judged(make_corrector(0.5))
    set_mode(shop, Mode.AUTO)

    shop.settlement.settle_all()

    verdict = Verdict.model_validate_json(shop.job(row.id).verdict)
    assert (verdict.decision, verdict.reasons[0].code) == (Decision.HOLD, ReasonCode.DOMAIN_CHANGED)
    assert shop.registry.champion(TINY, "default").version.number == 0


def test_a_job_waits_a_moment_until_its_predecessor_is_settled(shop, make_corrector) -> None:
    shop.judged(make_corrector(0.5))
    second = shop.submission.accept(shop.batch())
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        shop.settlement.settle_all()

    worker = Worker(
        shop.database, shop.store, shop.settings.jobs_dir, timeout_s=120, attempts=2, threads=2, pause=pause
    )
    worker.run(second.id)

    assert len(pauses) == 1
    assert shop.job(second.id).generation == 2


def test_a_fault_of_the_machine_costs_an_attempt_and_not_the_batch(shop, monkeypatch) -> None:
    row = shop.submission.accept(shop.batch())
    worker = Worker(
        shop.database, shop.store, shop.settings.jobs_dir, timeout_s=120, attempts=2, threads=2, pause=lambda _s: None
    )
    faults = iter([OSError("disk")])
    fit = worker._fit

    def flaky(claimed):
        for fault in faults:
            raise fault
        return fit(claimed)

    monkeypatch.setattr(worker, "_fit", flaky)
    worker.run(row.id)

    done = shop.job(row.id)
    assert (done.state in (State.VALIDATING, State.SUCCEEDED), done.attempt) == (True, 2)


def test_where_the_mode_is_recommend_a_promotion_waits_for_approval(shop, make_corrector) -> None:
    set_mode(shop, Mode.RECOMMEND)
    row = shop.judged(make_corrector(0.5))
    shop.settlement.settle_all()
    waiting = shop.job(row.id)
    before = shop.registry.champion(TINY, "default").version.number

    shop.settlement.approve(waiting)

    assert (waiting.state, before) == (State.AWAITING_APPROVAL, 0)
    assert shop.job(row.id).state == State.SUCCEEDED
    assert shop.registry.champion(TINY, "default").version.number == 1


def test_where_the_mode_is_off_no_batch_is_taken(shop) -> None:
    set_mode(shop, Mode.OFF)

    with pytest.raises(AdaptationOff):
        shop.submission.accept(shop.batch())

    assert list(shop.settings.jobs_dir.iterdir()) == []


def test_a_full_queue_takes_nothing_and_keeps_nothing(shop) -> None:
    for _ in range(3):
        shop.submission.accept(shop.batch())

    with pytest.raises(QueueFull):
        shop.submission.accept(shop.batch())

    assert len(list(shop.settings.jobs_dir.iterdir())) == 3


def test_a_repeated_request_gets_the_job_that_it_made_the_first_time(shop) -> None:
    first = shop.submission.accept(shop.batch(key="k"))
    second = shop.submission.accept(shop.batch(key="k"))

    assert first.id == second.id
    with pytest.raises(KeyReused):
        shop.submission.accept(shop.batch(key="k", body_sha256="0" * 64))


def test_the_first_batch_creates_its_domain(shop) -> None:
    shop.submission.accept(shop.batch(domain="night"))

    with shop.database.read() as connection:
        assert domains.find(connection, TINY, "night") == DomainRow(TINY, "night")


def test_batches_cannot_create_domains_without_end(shop) -> None:
    shop.submission.accept(shop.batch(domain="second"))

    with pytest.raises(TooManyDomains):
        shop.submission.accept(shop.batch(domain="third"))


def test_a_sweep_removes_what_was_finished_and_keeps_what_waits(shop) -> None:
    waiting, finished = (shop.submission.accept(shop.batch()) for _ in range(2))
    with shop.database.write() as connection:
        jobs.move(connection, finished, State.CANCELLED)
    old, young = (shop.settings.store_dir / f".staging-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (0, 0))

    shop.worker.sweep()

    assert (shop.settings.jobs_dir / waiting.id / "batch.npz").is_file()
    assert not (shop.settings.jobs_dir / finished.id / "batch.npz").exists()
    assert (old.exists(), young.exists()) == (False, True)


def test_events_number_themselves_and_can_be_read_from_any_point(shop) -> None:
    row = shop.submission.accept(shop.batch())
    with shop.database.write() as connection:
        claimed = jobs.claim(connection, row.id, most_attempts=2)
        jobs.report(connection, claimed, progress=0.5, step="fit", loss=1.0)

    with shop.database.read() as connection:
        events = jobs.events_after(connection, row.id, 0)
        later = jobs.events_after(connection, row.id, 2)

    assert [(1, "state"), (2, "state"), (3, "progress")] == [(event.number, event.kind) for event in events]
    assert events[2:] == later


def set_mode(shop: Shop, mode: Mode) -> None:
    with shop.database.write() as connection:
        row = domains.find(connection, TINY, "default")
        domains.configure(connection, row, mode=mode, canary_share=0.0)
    shop.registry.refresh()


# The runner, with small programs in the trainer's place: its contract is a command line and files.


def run(
    tmp_path,
    code: str,
    *,
    timeout_s: float = 30.0,
    on_progress: Callable = lambda p: True,
    is_wanted: Callable = lambda: True,
):
    program = tmp_path / "program.py"
    program.write_text("import pathlib, sys, os, time, signal\nfolder = pathlib.Path(sys.argv[1])\n" + code)
    return run_trainer(
        tmp_path,
        timeout_s=timeout_s,
        threads=1,
        on_progress=on_progress,
        is_wanted=is_wanted,
        program=(str(program),),
    )


WAIT = "sys.stdin.buffer.read()"


def test_the_runner_passes_progress_on_and_returns_the_outcome(tmp_path) -> None:
    seen: list[Progress] = []
    code = (
        "print('noise of a library')\n"
        'print(\'{"share": 0.5, "step": "fit", "loss": 2.0}\', flush=True)\n'
        f"(folder / '{OUTCOME}').write_text('{{\"problem\": \"p\"}}')"
    )

    outcome = run(tmp_path, code, on_progress=lambda p: seen.append(p) or True)

    assert outcome.problem == "p"
    assert [Progress(share=0.5, step="fit", loss=2.0)] == seen


FAILURES = {
    "a status": ("sys.exit(3)", TrainerFailed),
    "no outcome": ("pass", TrainerFailed),
    "an unreadable outcome": (f"(folder / '{OUTCOME}').write_text('{{')", TrainerFailed),
    "a signal": ("os.kill(os.getpid(), signal.SIGKILL)", TrainerKilled),
}


@pytest.mark.parametrize(("code", "error"), FAILURES.values(), ids=FAILURES.keys())
def test_a_trainer_that_ends_badly_is_told_apart(tmp_path, code, error) -> None:
    with pytest.raises(error):
        run(tmp_path, code)


def test_a_trainer_that_takes_too_long_is_ended(tmp_path) -> None:
    with pytest.raises(TrainerTimeout):
        run(tmp_path, WAIT, timeout_s=0.01)


def test_a_trainer_that_nobody_wants_any_more_is_ended(tmp_path) -> None:
    with pytest.raises(Unwanted):
        run(tmp_path, WAIT, is_wanted=lambda: False)


def test_describing_files_is_what_a_manifest_holds(make_corrector) -> None:
    bundle = make_corrector(0.5)

    assert describe(bundle.files) == bundle.manifest.files
