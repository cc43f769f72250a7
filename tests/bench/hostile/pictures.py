"""Hostile pictures through the door that all pictures take: decoded, cut out, framed; and an honest one beside them."""

from __future__ import annotations

import io
import os
import resource
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from engine.errors import EngineError
from engine.vision.decoding.pool import decoders
from engine.vision.framing import generic_objects
from engine.vision.images import cut_picture, frame_view, open_image
from tests.bench.hostile.outcome import Outcome
from tests.engine.hostile_pictures import encoded, jpeg_of_scans, png_bomb, png_chunk, with_chunks

Random = np.random.Generator
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
PAUSE_S = 0.02
"""Between two honest pictures."""


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """Try `count` pictures, each a function of the seed and its place."""
    objects = generic_objects()
    with Neighbour() as neighbour:
        for place in range(count):
            kind = KINDS[place % len(KINDS)]
            data = kind(np.random.default_rng((seed, place)))
            yield _tried(f"{kind.__name__} {place}", data, objects, neighbour)


def _tried(name: str, data: bytes, objects: np.ndarray, neighbour: Neighbour) -> Outcome:
    verdict, message = "done", ""
    _forget_peaks()
    neighbour.longest = 0.0
    start = time.monotonic()
    try:
        frame_view(cut_picture(data).rgba, 55.0, 8.0, 1.3, 128, objects)
    except EngineError as error:
        verdict, message = "refused", str(error)
        if message.count("\n") or not message.endswith("."):
            verdict = "internal"
    except Exception as error:  # counting these is what this is for
        verdict, message = "internal", repr(error)
    seconds = time.monotonic() - start
    return Outcome("pictures", name, verdict, seconds, _peak_mb(), message, neighbour.waited(start))


class Neighbour:
    """Somebody who opens one honest picture after the other."""

    def __init__(self):
        self.longest = 0.0
        self._began: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._open, daemon=True)
        picture = Image.fromarray(np.full((200, 300, 3), 255, np.uint8))
        picture.paste((200, 30, 30), (60, 60, 240, 150))
        self._data = encoded(picture, "JPEG")

    def __enter__(self) -> Neighbour:
        open_image(self._data)  # so that a process stands ready
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def waited(self, start: float) -> float:
        """Longest wait since `start`, also of the picture that is still awaited."""
        began = self._began
        return max(self.longest, 0.0 if began is None else time.monotonic() - max(began, start))

    def _open(self) -> None:
        while not self._over.wait(PAUSE_S):
            self._began = time.monotonic()
            open_image(self._data)
            self.longest = max(self.longest, time.monotonic() - self._began)
            self._began = None


def _forget_peaks() -> None:
    """Let Linux count the largest resident memory of this process and the decoding ones anew."""
    for process in (os.getpid(), *decoders.processes()):
        with suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5")


def _peak_mb() -> float:
    """Largest resident memory of this process, of those that wait, and of those that had to be ended."""
    peaks = [resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]
    for process in (os.getpid(), *decoders.processes()):
        with suppress(OSError):
            status = Path(f"/proc/{process}/status").read_text()
            peaks.append(int(status.split("VmHWM:")[1].split()[0]))
    return max(peaks) / 1024


# -- what is tried ----------------------------------------------------------------------------------


def _honest(rng: Random, kind: str, side: int = 96) -> bytes:
    """A small picture of one object on white."""
    pixels = np.full((side, side, 3), 255, np.uint8)
    top, left = rng.integers(8, side // 3, 2)
    pixels[top : top + side // 2, left : left + side // 2] = rng.integers(0, 180, 3)
    return encoded(Image.fromarray(pixels), kind)


def _some(rng: Random) -> bytes:
    return _honest(rng, str(rng.choice(FORMATS)))


def truncated(rng: Random) -> bytes:
    data = _some(rng)
    return data[: rng.integers(0, len(data))]


def flipped(rng: Random) -> bytes:
    data = np.frombuffer(_some(rng), np.uint8).copy()
    places = rng.integers(0, len(data), rng.integers(1, 20))
    data[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
    return data.tobytes()


def flipped_head(rng: Random) -> bytes:
    data = np.frombuffer(_some(rng), np.uint8).copy()
    places = rng.integers(0, min(len(data), 128), rng.integers(1, 6))
    data[places] = rng.integers(0, 256, len(places))
    return data.tobytes()


def wrong_head(rng: Random) -> bytes:
    first, second = _some(rng), _some(rng)
    cut = rng.integers(2, 40)
    return first[:cut] + second[cut:]


def huge_claims(rng: Random) -> bytes:
    width, height = (int(2 ** rng.uniform(8, 31)) for _ in range(2))
    png = bytearray(_honest(rng, "PNG"))
    png[16:24] = struct.pack(">II", width, height)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    gif = bytearray(_honest(rng, "GIF"))
    gif[6:10] = struct.pack("<HH", min(width, 65535), min(height, 65535))
    bmp = bytearray(_honest(rng, "BMP"))
    bmp[18:26] = struct.pack("<ii", min(width, 2**31 - 1), min(height, 2**31 - 1))
    ppm = b"P6 %d %d 255\n" % (width, height) + bytes(300)
    jpeg = bytearray(_honest(rng, "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", min(height, 65535), min(width, 65535))
    return bytes((png, gif, bmp, ppm, jpeg)[rng.integers(5)])


def scans(rng: Random) -> bytes:
    return jpeg_of_scans(int(rng.integers(2, 500)), 64 * int(rng.integers(2, 100)))


def bomb(rng: Random) -> bytes:
    width = int(rng.integers(16, 16_384))
    height = int(min(2 ** rng.uniform(4, 14), 60_000_000 // width))
    depth, color = [(1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 6), (16, 6)][rng.integers(7)]
    return png_bomb(width, max(height, 1), depth, color)


def plain_and_large(rng: Random) -> bytes:
    side = int(rng.integers(2000, 7000))
    kind = str(rng.choice(["JPEG", "GIF", "WEBP", "TIFF", "AVIF"], p=[0.3, 0.3, 0.1, 0.2, 0.1]))
    if kind in ("WEBP", "AVIF"):
        side = min(side, 2500)
    picture = Image.new("L", (side, side), 255)
    picture.paste(40, (side // 4, side // 4, side // 2, side // 2))
    return encoded(picture, kind, **({"compression": "tiff_deflate"} if kind == "TIFF" else {}))


def odd_mode(rng: Random) -> bytes:
    mode = str(rng.choice(MODES))
    side = int(rng.integers(1, 200))
    if mode in ("I;16", "I", "F"):
        values = rng.normal(0, 10 ** rng.uniform(-3, 9), (side, side))
        types = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
        picture = Image.fromarray(np.clip(values, 0, 2e9).astype(np.int64).astype(types[mode]))
        if mode == "F" and rng.random() < 0.5:
            picture = Image.fromarray(np.where(values > 0, np.nan, values).astype(np.float32))
    else:
        picture = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        picture = picture.convert("RGB" if mode == "LAB" else mode) if mode != "PA" else picture.convert("P").convert("PA")  # fmt: skip
        if mode == "LAB":
            lab = ImageCms.createProfile("LAB")
            picture = ImageCms.profileToProfile(picture, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")  # fmt: skip
    for kind in rng.permutation(["TIFF", "PNG", "JPEG", "WEBP", "GIF"]):
        with suppress(OSError, ValueError, KeyError):
            return encoded(picture, str(kind))
    return b""


def odd_profile(rng: Random) -> bytes:
    good = ImageCms.ImageCmsProfile(ImageCms.createProfile(str(rng.choice(["sRGB", "LAB", "XYZ"]))))
    profile = np.frombuffer(good.tobytes(), np.uint8).copy()
    places = rng.integers(0, len(profile), rng.integers(0, 60))
    profile[places] = rng.integers(0, 256, len(places))
    cut = profile[: rng.integers(0, len(profile) + 1)].tobytes()
    profile = [profile.tobytes(), cut, rng.bytes(3000), cut * 400][rng.integers(4)]
    picture = Image.open(io.BytesIO(_honest(rng, "PNG")))
    mode, kinds = [
        ("RGB", FORMATS[:5]),
        ("L", ("PNG", "JPEG", "TIFF")),
        ("CMYK", ("JPEG", "TIFF")),
    ][rng.integers(3)]
    return encoded(picture.convert(mode), str(rng.choice(kinds)), icc_profile=profile)


def odd_chunks(rng: Random) -> bytes:
    names = [b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"zTXt", b"iTXt", b"PLTE"]  # fmt: skip
    chunks = b"".join(
        png_chunk(names[rng.integers(len(names))], rng.bytes(int(rng.integers(0, 64))))
        for _ in range(rng.integers(1, 5))
    )
    return with_chunks(_honest(rng, "PNG"), chunks)


def text_bomb(rng: Random) -> bytes:
    zeros = zlib.compress(bytes(int(2 ** rng.uniform(20, 27))))
    kind, head = [(b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")][
        rng.integers(3)
    ]
    return with_chunks(_honest(rng, "PNG"), png_chunk(kind, head + zeros) * int(rng.integers(1, 6)))


def odd_exif(rng: Random) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(0, 12))
    data = bytearray(exif.tobytes())
    for _ in range(rng.integers(0, 10)):
        data[rng.integers(6, len(data))] = rng.integers(256)
    picture = Image.open(io.BytesIO(_honest(rng, "PNG")))
    return encoded(picture, str(rng.choice(["PNG", "JPEG", "WEBP"])), exif=bytes(data))


def animated(rng: Random) -> bytes:
    frames = [Image.open(io.BytesIO(_honest(rng, "PNG"))) for _ in range(3)]
    many = frames * int(rng.integers(1, 60))
    return encoded(
        many[0],
        str(rng.choice(["GIF", "PNG", "WEBP", "TIFF"])),
        save_all=True,
        append_images=many[1:],
    )


def odd_tiff(rng: Random) -> bytes:
    """A TIFF whose tags say anything."""
    data = bytearray(_honest(rng, "TIFF"))
    start = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    for _ in range(rng.integers(1, 4)):
        at = start + 2 + 12 * int(rng.integers(count))
        data[at + 8 : at + 12] = struct.pack("<I", int(2 ** rng.uniform(0, 32)))
        if rng.random() < 0.2:
            data[at : at + 2] = struct.pack("<H", int(rng.integers(254, 340)))
    return bytes(data)


def no_picture(rng: Random) -> bytes:
    starts = [b"", b"%PDF-1.7\n", b"PK\3\4", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0\0\0\x18ftypheic", b"\0\0\0\x20ftypavif", b"8BPS", b"MZ", b"#!/bin/sh\n", b"{}", b"\xff\xd8\xff", b"II*\0", b"RIFF\xff\xff\xff\xffWEBP", b"GIF89a", b"BM", b"P5 "]  # fmt: skip
    return starts[rng.integers(len(starts))] + rng.bytes(int(rng.choice([0, 3, 200, 100_000])))


def polyglot(rng: Random) -> bytes:
    other = [b"%PDF-1.7\n", b"PK\3\4" + rng.bytes(400), b"<script>alert(1)</script>", _some(rng)]
    parts = [_some(rng), other[rng.integers(4)]]
    return b"".join(parts if rng.random() < 0.7 else parts[::-1])


def extreme_shape(rng: Random) -> bytes:
    long, short = int(rng.integers(1, 20_000)), int(rng.integers(1, 40))
    size = (long, short) if rng.random() < 0.5 else (short, long)
    return encoded(Image.new("RGBA", size, (200, 0, 0, int(rng.integers(256)))), "PNG")


def noise(rng: Random) -> bytes:
    """Nothing to cut out."""
    shape = (*rng.integers(16, 900, 2), [3, 4][rng.integers(2)])
    return encoded(Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)), "PNG")


def specks(rng: Random) -> bytes:
    """A white picture with dust."""
    pixels = np.full((1200, 1600), 255, np.uint8)
    pixels[rng.random(pixels.shape) < rng.uniform(0, 0.3)] = 0
    return encoded(Image.fromarray(pixels), "PNG")


KINDS: tuple[Callable[[Random], bytes], ...] = (
    truncated, flipped, flipped_head, wrong_head, huge_claims, scans, bomb, plain_and_large, odd_mode, odd_profile,
    odd_chunks, text_bomb, odd_exif, animated, odd_tiff, no_picture, polyglot, extreme_shape, noise, specks,
)  # fmt: skip
