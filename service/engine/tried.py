"""Which graphs came through their trial on this machine, and a store that hands out no other.

A trial is asked for once for the same bytes, rules, shape and onnxruntime, where rules are what they say, not what they
are called: whoever publishes has it done, whoever loads
finds it done, and a home that was moved or an onnxruntime that was upgraded has it done again. What is remembered is a
file in the home; who can write there can change the database, too, and gains nothing.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from platform import machine

from service.contract.bundle import Bundle, M, replace_synced
from service.contract.digest import canonical_json, sha256_hex
from service.contract.errors import GraphError, MissingFile, TrialRefused
from service.contract.graph_rules import CORRECTOR, FROZEN_MODEL, GraphRules
from service.contract.manifest import ModelManifest
from service.contract.store import LocalStore
from service.engine.rehearsal import CORRECTOR_FILE, MODEL_FILE
from service.engine.session import runtime_version
from service.engine.trial_run import Report, try_graph


class Trials:
    """Asks for trials, and remembers in `folder` which were passed and in memory which were not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A bundle that cannot be served is asked for again and again. What depends on how busy the machine is (time,
        # a process that was killed) is no fact about the graph, and is not kept.
        self._failed: dict[str, GraphError | TrialRefused] = {}

    def ensure(self, content: bytes, rules: GraphRules, *, item: Sequence[int] = ()) -> None:
        """Return if the graph came through, now or earlier; blocks while a trial runs, a quarter of a second at best.

        Args:
            item: sides of one item of the input, used where the file leaves them open.

        Raises:
            GraphError, TrialRefused: it did not; the same again without a further trial, until this process ends.
            TrialError: it crashed, took too long, answered nonsense or could not be started; the next call tries again.
        """
        # The shape is a part of the name only if it is not a part of the file.
        sha256 = sha256_hex(content)
        declared, filled = _name(sha256, rules, ()), _name(sha256, rules, item)
        if any((self._folder / name).exists() for name in (declared, filled)):
            return
        if filled in self._failed:
            raise type(self._failed[filled])(str(self._failed[filled]))
        try:
            report = try_graph(content, rules, item=item)
        except (GraphError, TrialRefused) as error:
            self._failed[filled] = error
            raise
        if report.input is not None:
            self._remember(declared if report.declared else filled, report)

    def _remember(self, name: str, report: Report) -> None:
        # On a full disk it is not remembered: the next one is slower, and as safe.
        with contextlib.suppress(OSError):
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(exist_ok=True)
            replace_synced(self._folder / name, report.model_dump_json().encode())


class TriedStore(LocalStore):
    """A store that keeps and hands out only bundles whose graph came through its trial."""

    def __init__(self, root: Path, tried: Path) -> None:
        super().__init__(root)
        self._trials = Trials(tried)

    def publish(self, bundle: Bundle[M]) -> str:
        """As `LocalStore`, after the trial.

        Raises:
            GraphError, TrialError: the graph did not come through; nothing is kept.
        """
        self._try(bundle)
        return super().publish(bundle)

    def read(self, digest: str, kind: type[M]) -> Bundle[M]:
        """As `LocalStore`, and after the trial.

        Raises:
            GraphError, TrialError: the bundle is sound, its graph did not come through.
        """
        bundle = super().read(digest, kind)
        self._try(bundle)
        return bundle

    def _try(self, bundle: Bundle[M]) -> None:
        is_model = isinstance(bundle.manifest, ModelManifest)
        file, rules = (MODEL_FILE, FROZEN_MODEL) if is_model else (CORRECTOR_FILE, CORRECTOR)
        if file not in bundle.files:
            raise MissingFile(f"the bundle needs {file}")
        self._trials.ensure(bundle.files[file], rules, item=bundle.manifest.input.item_shape)


def _name(sha256: str, rules: GraphRules, item: Sequence[int]) -> str:
    runtime = f"onnxruntime {runtime_version()} {machine()}"
    facts = {"graph": sha256, "rules": rules.identity(), "item": list(item), "runtime": runtime}
    return f"{sha256_hex(canonical_json(facts))}.json"
