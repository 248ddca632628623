"""How near does the service come to onnxruntime itself, and to others that do the same?

    python -m benchmarks.serving --rounds 3 --seconds 10

Each round measures the raw limit and then every question; reported are medians over rounds. The service has its
protections on: a key is shown and checked, its quota counted, the Host header compared, connections watched. Needs wrk.
Exit status 1: a request failed.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.serving.at_224 import at_224
from benchmarks.serving.beside import beside
from benchmarks.serving.limit import measure_limit, merged
from benchmarks.serving.load import payloads
from benchmarks.serving.pair import give_key, home_settings, install_pair, make_pair
from benchmarks.serving.process import peer, service
from benchmarks.serving.questions import CONSTANT, DOMAINS, QUESTIONS, Bench, Question, Seen
from benchmarks.serving.report import Round, draw, show, summarise, write_markdown
from benchmarks.serving.soak import soak
from service.database.domains import DEFAULT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="of one load; in short ones p99 is of connecting")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="ask N requests instead and watch the memory")
    parser.add_argument("--beside", action="store_true", help="instead, while adaptations run on the same processors")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    parser.add_argument("--plot", type=Path, help="draw it there")
    parser.add_argument("--large", action="store_true", help="instead, two frozen models of 224 x 224 pixels")
    wanted = parser.parse_args()
    if wanted.large:
        return at_224(wanted.rounds, wanted.seconds)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        settings = home_settings(folder / "home")
        install_pair(make_pair(), settings, (DEFAULT, *(f"domain-{number + 1}" for number in range(DOMAINS))))
        servers = {
            "foreoptic": stack.enter_context(service(settings.home, with_worker=wanted.beside)),
            "plain FastAPI": stack.enter_context(peer("plain_fastapi")),
            CONSTANT: stack.enter_context(peer("floor")),
        }
        asked = {payload.name: payload for payload in payloads(give_key(settings))}
        bench = Bench(servers, asked, folder, wanted.seconds)
        if wanted.soak:
            return soak(bench, wanted.soak)
        if wanted.beside:
            return beside(bench)
        rounds = one_after_the_other(bench, wanted.rounds)
    rows = summarise(rounds)
    print(json.dumps(rows)) if wanted.json else show(rows)
    if wanted.markdown:
        write_markdown(rows, wanted.markdown)
    if wanted.plot:
        draw(rows, wanted.plot)
    return int(any(row["failed"] for row in rows))


def one_after_the_other(bench: Bench, count: int) -> list[Round]:
    """All questions, round by round, so that what disturbs the machine for a while disturbs them all."""
    joint, rounds = merged(make_pair()), list[Round]()
    steps = track(range(count * len(QUESTIONS)), console=Console(stderr=True), transient=True)
    for step in steps:
        if step % len(QUESTIONS) == 0:
            seen: dict[Question, Seen] = {}
            rounds.append((measure_limit(joint), seen))
        question = QUESTIONS[step % len(QUESTIONS)]
        seen[question] = question.ask(bench, seen)
    return rounds


if __name__ == "__main__":
    sys.exit(main())
