"""The end of a command: exit code 0, one sentence and a code, or a signal's."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from engine.errors import EngineError, plain
from engine.threads import sharing_cores

USER_ERROR = 2
"""Exit code of a user's error; whoever is stopped by a signal ends with 128 and its number, as shells have it."""
LONGEST = 1000
"""Characters of a sentence about files."""


class Stopped(KeyboardInterrupt):
    """Somebody pressed Ctrl-C or sent SIGTERM.

    Attributes:
        number: The signal's.
    """

    def __init__(self, number: int = signal.SIGINT, told: str = ""):
        super().__init__(told or ("Interrupted." if number == signal.SIGINT else "Terminated."))
        self.number = number


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


@contextlib.contextmanager
def stoppable(
    stop: Callable[[int, FrameType | None], None] = _stop,
) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM call `stop` in this block: by default they raise `Stopped`.

    Also where the process was started with SIGINT ignored, as scripts start what they put into the background. Threads
    other than the first cannot say so, and change nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ended(work: Callable[[], object], close: Callable[[], object] = lambda: None) -> int:
    """Do a command's work, say in one sentence on stderr what went wrong, and return the exit code.

    Args:
        work: The command.
        close: Called before the sentence is written: it ends the line of a progress display.
    """
    for stream in (sys.stdout, sys.stderr):  # file names need not be text
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with stoppable(), sharing_cores():
            work()
            sys.stdout.flush()
        return 0
    except Stopped as stop:
        message, code = str(stop), 128 + stop.number
    except KeyboardInterrupt:
        message, code = "Interrupted.", 128 + signal.SIGINT
    except EngineError as error:
        message, code = str(error), USER_ERROR
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        message, code = _about(error), USER_ERROR
    close()
    sys.stderr.write(plain(message, LONGEST) + "\n")
    return code


def _about(error: OSError) -> str:
    """A system's error as a sentence; one that is nobody's fault but ours is raised again."""
    if error.filename is not None:
        return f"{plain(os.fsdecode(error.filename))}: {error.strerror}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{error.strerror}: what is printed or written temporarily finds no room; free some."
    raise error
