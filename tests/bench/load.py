"""Other work on the same cores: processes that compute without end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

PROGRAM = "print(flush=True)\nwhile True: pass"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Beside so many processes, all of them already computing."""
    with ExitStack() as stack:
        for _ in range(processes):
            command = [sys.executable, "-S", "-c", PROGRAM]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            process.stdout.readline()
        yield
