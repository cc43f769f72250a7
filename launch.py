"""One door: opens the explorer, or works without a page.

Angles are in degrees, distances in SRN units: azimuth 0 stands in front of the object and grows counter-clockwise seen
from above, elevation 0 is level, an object's bounding box has diagonal 1.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from functools import partial

INSTALL = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"


def missing_package(error: ModuleNotFoundError) -> str:
    """One sentence about a package that is not installed; our own modules are never missing, so that raises."""
    if (error.name or "").partition(".")[0] in ("app", "engine", "train"):
        raise error
    return f"launch.py: the package {error.name!r} is missing; install it with: {INSTALL}"


try:
    from app.commands.dataset import Chairs, Meshes, Tables, Vehicles
    from app.commands.denoise import Denoise
    from app.commands.evaluate import Evaluate, Scoreboard
    from app.commands.export import Export
    from app.commands.fetch import GetModel
    from app.commands.generate import Generate
    from app.commands.interpolate import Interpolate
    from app.commands.models import Blend, Card, Features, Tune
    from app.commands.pose import JudgePose, Kinds, Pose
    from app.commands.reconstruct import Reconstruct
    from app.commands.regenerate import Regenerate
    from app.commands.render import Render
    from app.commands.settings import ListSettings
    from app.settings import AppSettings
    from engine.errors import ConfigError, log_to_terminal
    from train import __main__ as train
    from train.arguments import parse as parse_options
    from train.arguments import unknown
    from train.ending import ended
    from train.progress import Progress
except ModuleNotFoundError as error:
    sys.exit(missing_package(error))

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
    "settings": ListSettings,
    "evaluate": Evaluate,
    "scoreboard": Scoreboard,
    "train": train.Command,
    "tune": Tune,
    "card": Card,
    "blend": Blend,
    "features": Features,
    "models get": GetModel,
    "pose": Pose,
    "judge-pose": JudgePose,
    "kinds": Kinds,
}


def commands() -> str:
    """Every command with a line that says what it does, as wide as the terminal."""
    width = shutil.get_terminal_size((120, 24)).columns - 20
    lines = [
        "Without a command launch.py opens the explorer. `launch.py COMMAND --help` tells more of:"
    ]
    for name, kind in COMMANDS.items():
        first = " ".join(kind.__doc__.partition("\n\n")[0].split())
        lines.append(f"  {name:18}{textwrap.shorten(first, max(width, 20), placeholder=' ...')}")
    return "\n".join(lines)


def parse(arguments: Sequence[str]):
    """The command that the arguments mean; explorer settings where they name none."""
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if len(arguments) >= words and name in COMMANDS:
            read = train.parse if name == "train" else partial(parse_options, COMMANDS[name])
            return read(f"launch.py {name}", arguments[words:])
    if arguments and not arguments[0].startswith("-"):
        found = " ".join(arguments[:2]) if arguments[0] == "dataset" else arguments[0]
        raise ConfigError(unknown("command", found, COMMANDS, "launch.py --help lists all"))
    if {"-h", "--help"} & {*arguments}:
        print(f"{__doc__}\n{commands()}\n\nOptions of the explorer:")
    return parse_options(AppSettings, "launch.py", arguments)


def open_explorer(settings: AppSettings) -> None:
    """Serve the page until interrupted."""
    from app.startup.preload import preload

    preload()
    from app.server import serve

    serve(settings)


def run(arguments: Sequence[str], progress: Progress) -> None:
    """Do what the arguments say."""
    try:
        command = parse(arguments)
        if not isinstance(command, AppSettings):
            command.run(progress)
            return
        if not arguments and sys.stderr.isatty():
            print(commands(), file=sys.stderr)
        open_explorer(command)
    except ModuleNotFoundError as error:
        raise ConfigError(missing_package(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, report. Returns the exit code: 0, 2 for a user's error, 130 after Ctrl-C, 143 after SIGTERM."""
    log_to_terminal()
    progress = Progress()
    return ended(lambda: run(sys.argv[1:] if argv is None else argv, progress), progress.close)


if __name__ == "__main__":
    sys.exit(main())
