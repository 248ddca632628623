"""A child process ends when its parent does, however the parent ends."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
LIMIT_S = 20
"""Far above what is needed: an interpreter's start on a busy machine. Nothing waits for it to pass."""

CHILD = """
import sys
from service.contract.lifeline import end_with_parent

end_with_parent()
print("up", flush=True)
for line in open(int(sys.argv[1])):
    print("heard", line.strip(), flush=True)
"""

PARENT = """
import subprocess, sys

child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
print("started", flush=True)
child.wait()
"""

ORPHAN = """
import threading
from service.contract.lifeline import end_with_parent

end_with_parent()
print("up", flush=True)
threading.Event().wait(60)  # for the case that the lifeline fails
"""


@contextmanager
def started(code: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """An interpreter that runs `code`, killed at the end if it still runs."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **options)
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_line(stream: IO[bytes]) -> str:
    """The next line of an unbuffered stream, without its end; "" at the end of the stream."""
    ready, _, _ = select.select([stream], [], [], LIMIT_S)
    assert ready, f"nothing came within {LIMIT_S} s"
    return stream.readline().decode().rstrip("\n")


def test_the_child_stops_when_its_standard_input_ends() -> None:
    with started(ORPHAN) as child:
        assert read_line(child.stdout) == "up"

        child.stdin.close()

        assert child.wait(LIMIT_S) == 0


def test_the_child_works_on_while_the_pipe_is_open_even_if_something_is_written() -> None:
    there, back = os.pipe()
    with os.fdopen(there), os.fdopen(back, "w") as talk, started(CHILD, str(there), pass_fds=[there]) as child:
        assert read_line(child.stdout) == "up"

        # More than a pipe holds: the child has to read on to get it all, and select says when there is room for 4096.
        for _ in range(32):
            assert select.select([], [child.stdin], [], LIMIT_S)[1], "the child reads no more"
            child.stdin.write(bytes(4096))
        print("hello", file=talk, flush=True)

        assert read_line(child.stdout) == "heard hello"


def test_the_child_stops_when_its_parent_is_killed() -> None:
    with started(PARENT, ORPHAN) as parent:
        # Both write to this pipe, and it ends when the last of them is gone.
        assert {read_line(parent.stdout), read_line(parent.stdout)} == {"started", "up"}

        parent.kill()

        assert read_line(parent.stdout) == ""
