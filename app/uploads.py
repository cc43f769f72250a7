"""The folder that browsers' files are written to: one for each process, for its owner alone."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

PREFIX = "ssdnerf-uploads-"


@lru_cache(maxsize=1)
def folder() -> Path:
    """This process's folder, made when first asked for and removed at the end; those of dead processes go too."""
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(f"{PREFIX}*"):
        if not _owned_by_a_living_process(old):
            shutil.rmtree(old, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent)).resolve()
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def holds(path: str) -> bool:
    """Whether `path` is a regular file in this process's folder, and no link out of it."""
    with contextlib.suppress(OSError, ValueError):
        found = Path(path)
        return found.is_absolute() and found.resolve().is_relative_to(folder()) and found.is_file()
    return False


def _owned_by_a_living_process(path: Path) -> bool:
    try:
        os.kill(int(path.name.removeprefix(PREFIX).partition("-")[0]), 0)
    except ValueError:
        return True  # another program's name
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's process
    return True
