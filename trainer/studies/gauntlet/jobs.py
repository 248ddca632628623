"""What is to be done, by name: jobs, the terms that all of them share, and the key that a record is kept under."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from service.contract.digest import canonical_json, sha256_hex
from trainer.plugins import JOB_PRESET, load_method, load_preset
from trainer.shifts.registry import KINDS
from trainer.studies.gauntlet.materials import MATERIALS

FORMAT = 1
"""Part of every key: raised when kinds, materials or what a record means change."""
SIZE, SEEDS, JUDGED = 512, 20, 1_000


class UnknownJob(Exception):
    """There is no kind or material of that name; the message lists those there are."""


@dataclass(frozen=True)
class Terms:
    """What all jobs of a run share.

    Attributes:
        method, preset: how correctors are fitted, as a job of the service names them.
        offline: a preset that is fitted, too, to compare with; None for none.
        judged: images that accuracy is measured on; never posted.
    """

    method: str = "homogenizer"
    preset: str = JOB_PRESET
    offline: str | None = None
    judged: int = JUDGED


@dataclass(frozen=True)
class Job:
    """One batch and one fit."""

    material: str
    kind: str
    seed: int
    size: int

    @property
    def words(self) -> str:
        """For people, and for the beginning of a file's name."""
        return f"{self.material}-{self.kind}-{self.size}-{self.seed}"


def jobs_of(
    materials: Sequence[str], kinds: Sequence[str], *, seeds: Sequence[int], sizes: Sequence[int], terms: Terms
) -> list[Job]:
    """Every job, seed by seed, so that an interrupted run has all kinds.

    A kind that says itself how many images are posted comes once, whatever the sizes.

    Raises:
        UnknownJob, UnknownMethod, UnknownPreset: a name that means nothing.
    """
    _must_be_known("material", materials, MATERIALS)
    _must_be_known("kind", kinds, KINDS)
    for preset in filter(None, (terms.preset, terms.offline)):
        load_preset(load_method(terms.method), preset)
    return [
        Job(material, kind, seed, KINDS[kind].own_size or size)
        for seed in seeds
        for size in sizes
        for material in materials
        for kind in kinds
        if size == sizes[0] or not KINDS[kind].own_size
    ]


def key_of(job: Job, terms: Terms, digest: str) -> str:
    """A name for everything that a record depends on but the program: its state stands in the record.

    Args:
        digest: of the material.
    """
    method = load_method(terms.method)
    presets = [terms.preset] + ([terms.offline] if terms.offline else [])
    facts = {
        "format": FORMAT,
        **asdict(job),
        **asdict(terms),
        "data": digest,
        "config": [asdict(load_preset(method, preset)) for preset in presets],
    }
    return f"{job.words}-{sha256_hex(canonical_json(facts))[:12]}"


def program_digest() -> str:
    """A name for the state of the program that fits and judges: of its sources, without the studies.

    Recorded and not part of the key, so that a gate is compared with an older one on purpose and never unnoticed.
    """
    trainer = Path(__file__).parents[2]
    files = [*sorted(trainer.rglob("*.py")), *sorted((trainer.parent / "service" / "contract").rglob("*.py"))]
    studies = trainer / "studies"
    content = [file.read_bytes() for file in files if not file.is_relative_to(studies)]
    return sha256_hex("".join(map(sha256_hex, content)).encode())[:12]


def _must_be_known(what: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise UnknownJob(f"there is no {what} '{unknown[0]}'; known: {', '.join(known)}")
