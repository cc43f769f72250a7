"""Processes as scripts start them."""

from __future__ import annotations

import signal


def ignore_interrupts() -> None:
    """For a child process, before it begins: ignore Ctrl-C, as a shell lets what a script puts into the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
