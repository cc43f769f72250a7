"""One door: opens the explorer, or works without a page.

`python launch.py` opens the explorer.

`python launch.py COMMAND --help` tells about one of the commands: dataset vehicles, dataset chairs, dataset tables,
dataset mesh, generate, reconstruct, render, export, denoise, interpolate,
regenerate, evaluate, scoreboard.

Angles are in degrees, distances in SRN units: azimuth 0 stands in front of the object and grows counter-clockwise seen
from above, elevation 0 is level, an object's bounding box has diagonal 1.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

INSTALL = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"


def missing_package(error: ModuleNotFoundError) -> str:
    """One sentence about a package that is not installed; our own modules are never missing, so that raises."""
    if (error.name or "").partition(".")[0] in ("app", "engine", "train"):
        raise error
    return f"launch.py: the package {error.name!r} is missing; install it with: {INSTALL}"


try:
    import tyro

    from app.commands.dataset import Chairs, Meshes, Tables, Vehicles
    from app.commands.denoise import Denoise
    from app.commands.export import Export
    from app.commands.generate import Generate
    from app.commands.interpolate import Interpolate
    from app.commands.reconstruct import Reconstruct
    from app.commands.regenerate import Regenerate
    from app.commands.render import Render
    from engine.errors import ConfigError, EngineError
    from train.progress import Progress
    from train.scoreboard import Evaluate, Scoreboard
except ModuleNotFoundError as error:
    sys.exit(missing_package(error))

USER_ERROR, INTERRUPTED = 2, 130
"""Exit codes."""


COMMANDS = {
    "dataset vehicles": Vehicles,
    "dataset chairs": Chairs,
    "dataset tables": Tables,
    "dataset mesh": Meshes,
    "generate": Generate,
    "reconstruct": Reconstruct,
    "render": Render,
    "export": Export,
    "denoise": Denoise,
    "interpolate": Interpolate,
    "regenerate": Regenerate,
    "evaluate": Evaluate,
    "scoreboard": Scoreboard,
}


def parse(arguments: Sequence[str]):
    """The command that the arguments mean; explorer settings where they name none."""
    config = (tyro.conf.FlagCreatePairsOff,)
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if len(arguments) >= words and name in COMMANDS:
            rest = list(arguments[words:])
            return tyro.cli(COMMANDS[name], prog=f"launch.py {name}", args=rest, config=config)
    if arguments and not arguments[0].startswith("-"):
        found = " ".join(arguments[:2]) if arguments[0] == "dataset" else arguments[0]
        raise ConfigError(
            f"Found the command {found!r}, expected one of {', '.join(COMMANDS)}, or none."
        )
    from app.settings import AppSettings

    return tyro.cli(
        AppSettings, prog="launch.py", description=__doc__, args=list(arguments), config=config
    )


def open_explorer(settings) -> None:
    """Serve the page until interrupted."""
    from app.preload import preload

    preload()
    from app.server import serve

    serve(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, report. Returns the exit code: 0, 2 for a user's error, 130 after Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    progress = Progress()
    try:
        command = parse(sys.argv[1:] if argv is None else argv)
        if type(command) in COMMANDS.values():
            command.run(progress)
        else:
            open_explorer(command)
        return 0
    except KeyboardInterrupt:
        message, code = "Interrupted.", INTERRUPTED
    except EngineError as error:
        message, code = str(error), USER_ERROR
    except ModuleNotFoundError as error:
        message, code = missing_package(error), USER_ERROR
    except OSError as error:
        if error.filename is None:
            raise
        message, code = f"{error.filename}: {error.strerror}.", USER_ERROR
    progress.close()
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
