"""A process that decodes pictures: `python -m engine.vision.decoding SECONDS` answers requests until its input ends.

A request is `REQUEST`, a name and a file. The answer is a line of JSON, `{"shape": [rows, columns, channels], "type":
"uint8", "size": [rows, columns]}` (the picture's own size comes last) with the pixels behind it, or `{"error": "..."}`, or `{"fault": "..."}` with the traceback of a fault of ours. An empty line is sent once, when the process is ready.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import traceback
import warnings
from typing import BinaryIO

from engine.errors import ImageError
from engine.vision.decoding.limits import MOST_MEMORY, REQUEST
from engine.vision.decoding.pictures import read

try:
    import resource
except ImportError:  # Windows
    resource = None


def main() -> None:
    """Answer requests, each within the seconds that the command line gives."""
    seconds = float(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    warnings.simplefilter("ignore")
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries must not print among the answers
    limit("RLIMIT_AS", MOST_MEMORY)
    limit("RLIMIT_CORE", 0)
    answers.write(b"\n")
    answers.flush()
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        smallest, name_length, length = REQUEST.unpack(head)
        name = requests.read(name_length).decode()
        data = requests.read(length)
        limit_time(seconds)
        answer(answers, data, name, smallest)


def answer(answers: BinaryIO, data: bytes, name: str, smallest: int) -> None:
    """Decode one picture and send the pixels or the error."""
    try:
        pixels, size = read(data, name, smallest)
    except ImageError as error:
        answers.write(json.dumps({"error": str(error)}).encode() + b"\n")
    except Exception:  # a fault of ours, which whoever asked raises
        answers.write(json.dumps({"fault": traceback.format_exc()}).encode() + b"\n")
    else:
        about = {"shape": pixels.shape, "type": pixels.dtype.name, "size": size}
        answers.write(json.dumps(about).encode() + b"\n")
        answers.write(pixels.tobytes())
    answers.flush()


def limit_time(seconds: float) -> None:
    """Limit the process to some further seconds of CPU time, after which the system ends it."""
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit("RLIMIT_CPU", math.ceil(used.ru_utime + used.ru_stime + seconds))


def limit(name: str, value: int) -> None:
    """Set a resource limit if the system supports and permits it."""
    if resource is None or not hasattr(resource, name):
        return
    kind = getattr(resource, name)
    try:
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
    except (ValueError, OSError):
        return


if __name__ == "__main__":
    main()
