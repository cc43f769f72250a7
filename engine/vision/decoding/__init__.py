"""Decoding of untrusted pictures in processes of their own, which can be limited and ended.

A picture file is the easiest way to make a program use minutes and gigabytes, or crash: decoders are large C libraries.
So no picture that somebody sent or named is decoded in the process that serves or computes. `decode` hands a file's
bytes to a worker (`python -m engine.vision.decoding`, Pillow and NumPy only) and gets pixels or one sentence back:

- the header is read first, and its size checked against `MOST_PIXELS`, before anything is allocated;
- a worker has `MOST_MEMORY` bytes of address space and `MOST_SECONDS` for a picture (where the system knows no such
  limits, the time limit still holds: the worker is ended from outside and replaced);
- several workers stand ready, so that nobody waits behind another's bad file.

Pixels come back upright, in sRGB, and reduced to at most `KEPT` a side.
"""

from engine.vision.decoding.limits import FORMATS, KEPT, MOST_PIXELS, SMALLEST, WANTED
from engine.vision.decoding.pool import Decoders, decode, decode_sized

__all__ = [
    "FORMATS",
    "KEPT",
    "MOST_PIXELS",
    "SMALLEST",
    "WANTED",
    "Decoders",
    "decode",
    "decode_sized",
]
