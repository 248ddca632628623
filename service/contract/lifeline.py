"""A child process that ends when its parent does, however the parent ends.

The parent starts the child with a pipe as standard input and never writes to it. The operating system closes the pipe
when the parent dies, even by SIGKILL; the child sees the end of its input and stops. No polling, no race at start.
"""

import os
import sys
import threading


def end_with_parent() -> None:
    """Stop this process, at once, when its standard input ends.

    At once is safe for our children: what they leave is published by a rename or a commit, or not at all.
    """

    def wait() -> None:
        # The descriptor, not sys.stdin: its lock would be held for ever and stall the interpreter's own shutdown.
        while os.read(descriptor, 1):
            pass
        os._exit(0)

    descriptor = sys.stdin.fileno()
    threading.Thread(target=wait, name="lifeline", daemon=True).start()
