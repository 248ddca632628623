"""Loaded by every Python process that has this folder in its path: writes down where data could become code.

One JSON line an event: the process's module, the event, and the innermost three callers. Imports are left out, and so
is the trainer: torch writes code for itself.
"""

import json
import os
import sys

WATCHED = {"pickle.find_class", "marshal.loads", "compile", "exec"}
INNERMOST = 3


def install(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    module = "".join(sys.orig_argv[2:3])

    def note(event: str, _arguments: object) -> None:
        if event not in WATCHED:
            return
        callers, frame = [], sys._getframe().f_back
        while frame is not None:
            callers.append(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}")
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return
            frame = frame.f_back
        os.write(descriptor, json.dumps([module, event, *callers[:INNERMOST]]).encode() + b"\n")

    sys.addaudithook(note)


if "AUDIT_LOG" in os.environ and sys.orig_argv[1:3] != ["-m", "trainer"]:
    install(os.environ["AUDIT_LOG"])
