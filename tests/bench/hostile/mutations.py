"""Valid structured files, and what somebody may make of them: every change is drawn from a `random.Random`."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import torch

DIGITS = "1" + 400 * "0"
RAW = {
    "raw:huge": DIGITS,
    "raw:nan": "NaN",
    "raw:inf": "Infinity",
    "raw:minus": "-Infinity",
    "raw:large": "1e999",
    "raw:deep": 5000 * "[" + 5000 * "]",
    "raw:tables": 3000 * '{"a":' + "1" + 3000 * "}",
    "raw:half": '{"a":',
}
"""What stands in the text where a value of this name was put."""
EDGES: tuple[Any, ...] = (
    *RAW,
    *(-1, 0, 1, 2, 7, 255, 900, 20_000, 10**6, 10**9, 2**31, 2**63 - 1, 2**63, 10**18, -(10**9)),
    *(-0.5, 0.0, 0.5, 1e-300, 1e30, 1e308, -1e308),
    *("", "x", "\x1b[2J\x1b]0;gone\x07", "\u202egpj.exe", 10**5 * "a", "none", "nan", "../../x"),
    *(None, True, False, [], {}, [[]], [1, 2], [-1, -1], {"a": 1}, 3000 * [0], [[1, 2], [3, 4]]),
)


def dumps(value: Any) -> str:
    """JSON text, with what JSON cannot say where a value asks for it."""
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths of all values within a JSON value, itself included."""
    found = [path]
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            found += places(item, (*path, key))
    return found


def replaced(value: Any, path: tuple, change: Callable[[Any], Any]) -> Any:
    """The same JSON value with one of its values changed."""
    if not path:
        return change(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], change)
    return copy


def mutated_json(value: Any, random: Random) -> Any:
    """A JSON value in which one value is another, has gone, has another name, or stands there twice."""
    where = random.choice(places(value))
    kind = random.randrange(6)

    def change(old: Any) -> Any:
        if kind == 1 and isinstance(old, dict | list) and old:
            return _without_one(old, random)
        if kind == 2 and isinstance(old, dict) and old:
            key = random.choice([*old])
            return {f"{key}\x1b[0m" if k == key else k: v for k, v in old.items()}
        if kind == 3 and isinstance(old, list):
            return old * random.choice((2, 100))
        if kind == 4 and isinstance(old, int | float) and not isinstance(old, bool):
            return random.choice((-old, old * 1000, old + 1, old / 3, str(old)))
        return random.choice(EDGES)

    return replaced(value, where, change)


def _without_one(old: Any, random: Random) -> Any:
    gone = random.randrange(len(old))
    if isinstance(old, list):
        return old[:gone] + old[gone + 1 :]
    return {k: v for place, (k, v) in enumerate(old.items()) if place != gone}


def mutated_text(text: str, random: Random) -> str:
    """A JSON text of which one part is another."""
    if random.randrange(8) == 0:
        return _damaged(text.encode(), random).decode("utf-8", "replace")
    value = json.loads(text)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        value = mutated_json(value, random)
    text = dumps(value)
    if random.randrange(8) == 0 and text.startswith("{"):
        text = "{" + '"format": 3, ' * 2 + text[1:]
    return text


def _damaged(data: bytes, random: Random) -> bytes:
    """Bytes cut, flipped, repeated or lost."""
    kind = random.randrange(6)
    if kind == 0:
        return data[: random.randrange(len(data) + 1)]
    if kind == 1:
        return data + bytes(random.choice((1, 8, 1000)))
    if kind == 2:
        start = random.randrange(len(data))
        return data[:start] + data[start + random.choice((1, 4, 64)) :]
    changed = bytearray(data)
    end = len(data) if kind < 5 else min(len(data), 64)
    for _ in range(random.choice((1, 2, 16, 200))):
        changed[random.randrange(end)] = random.randrange(256)
    return bytes(changed)


def foreign(random: Random) -> bytes:
    """Something else altogether."""
    return random.choice(
        (
            b"",
            b"{}",
            b"[1, 2]",
            b"these are words\x1b[2J",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            b"PK\x03\x04" + bytes(100),
            b"\x89PNG\r\n\x1a\n" + bytes(50),
            bytes(5000),
            struct.pack("<Q", 2**63) + b"{}",
            struct.pack("<Q", 10**8) + 1000 * b" ",
            struct.pack("<Q", 4000) + 4000 * b"[",
            pickle.dumps({"a": [1, 2]}),
            5000 * b"[",
        )
    )


# --------------------------------------------------------------------------------- safetensors


def parted(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and numbers of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: str, body: bytes) -> bytes:
    """The inverse, from the header's text."""
    text = header.encode("utf-8", "replace")
    return struct.pack("<Q", len(text)) + text + body


def giant(random: Random) -> bytes:
    """A sound scene file of few bytes that claims, or truly has, more than anybody can draw."""
    config = {"channels": 2, "base_widths": [8], "direction": "none"}
    sides, count = [8, 8], 384
    kind = random.randrange(4)
    if kind == 0:
        config["base_widths"] = [20_000, 20_000]
    elif kind == 1:
        config["scene_base"] = [20_000, 20_000]
    elif kind == 2:
        config["channels"] = 10**6
    else:
        sides, count = [900, 900], 3 * 2 * 900 * 900
    entry = {"dtype": "F32", "shape": [3, 2, *sides], "data_offsets": [0, 4 * count]}
    texts = {"decoder": json.dumps(config), "provenance": "{}"}
    texts["format"] = "ssdnerf-explorer-scene/1"
    return joined(json.dumps({"__metadata__": texts, "triplane": entry}), bytes(4 * count))


def mutated_tensors(data: bytes, random: Random) -> bytes:
    """A safetensors file of which texts, names, shapes, kinds, offsets or bytes are others."""
    if random.randrange(20) == 0:
        return giant(random)
    kind = random.randrange(10)
    if kind == 0:
        return _damaged(data, random)
    if kind == 1:
        return foreign(random)
    header, body = parted(data)
    texts = header.get("__metadata__", {})
    told = [key for key, text in texts.items() if text[:1] in "{["]
    if kind < 6 and told:
        key = random.choice(told)
        texts[key] = mutated_text(texts[key], random)
        return joined(json.dumps(header), body)
    if kind == 6:
        return joined(dumps(mutated_json(header, random)), body)
    if kind == 7:
        return joined(json.dumps(header), _hurt_numbers(body, random))
    name = random.choice([key for key in header if key != "__metadata__"])
    if kind == 8:
        return joined(json.dumps(_reshaped(header, name, random)), body)
    header[name] = {**header[name], **_claim(random)}
    return joined(json.dumps(header), body)


def _hurt_numbers(body: bytes, random: Random) -> bytes:
    """Somewhere a number that is none."""
    value = struct.pack("<f", random.choice((float("nan"), float("inf"), 3e38, -1e30)))
    where = 4 * random.randrange(max(1, len(body) // 4))
    return body[:where] + value + body[where + 4 :]


def _reshaped(header: dict[str, Any], name: str, random: Random) -> dict[str, Any]:
    """A tensor of as many numbers in another shape, or under another name."""
    entry = dict(header[name])
    count = 1
    for side in entry["shape"]:
        count *= side
    shape = random.choice(([count], [1, count], [count, 1], entry["shape"][::-1], [0], []))
    changed = {**header, name: {**entry, "shape": shape}}
    if random.randrange(3) == 0:
        changed[f"{name}\x1b[31m"] = changed.pop(name)
    return changed


def _claim(random: Random) -> dict[str, Any]:
    return random.choice(
        (
            {"shape": [20_000, 20_000]},
            {"shape": [2**62, 4]},
            {"shape": [-1]},
            {"dtype": random.choice(("F64", "I8", "BOOL", "F16", "BF16", "F8_E4M3", "x"))},
            {"data_offsets": [0, 2**62]},
            {"data_offsets": [8, 4]},
            {"data_offsets": [0, 10**9]},
        )
    )


# ------------------------------------------------------------------------------------- pickles


def mutated_pickle(data: bytes, random: Random) -> bytes:
    """A `.pth` file whose values, claims or bytes are others."""
    kind = random.randrange(8)
    if kind == 0:
        return _damaged(data, random)
    if kind == 1:
        return foreign(random)
    if kind == 2:
        return _mutated_archive(data, random)
    if kind == 3:
        return random.choice(BOMBS)()
    content = torch.load(io.BytesIO(data), weights_only=True)
    for _ in range(random.choice((1, 1, 3))):
        content = replaced(content, random.choice(places(content)), lambda old: _other(old, random))
    written = io.BytesIO()
    try:
        torch.save(content, written, _use_new_zipfile_serialization=random.randrange(4) > 0)
    except (RuntimeError, NotImplementedError, OverflowError):
        return foreign(random)
    return written.getvalue()


def _other(old: Any, random: Random) -> Any:
    """Something in the place of a value."""
    if isinstance(old, torch.Tensor) and random.randrange(3):
        return random.choice(TENSORS)(old)
    if isinstance(old, dict) and random.randrange(2):
        return {f"{key}\x1b[2J" if random.randrange(3) == 0 else key: v for key, v in old.items()}
    return random.choice(
        (-1, 0, 10**30, float("nan"), "\x1b[2J", None, [], {}, (1, 2), [[0]], b"x")
    )


TENSORS: tuple[Callable[[torch.Tensor], Any], ...] = (
    lambda old: old[..., None],
    lambda old: old.flatten(),
    lambda old: old.double(),
    lambda old: old.bool(),
    lambda old: old.to(torch.complex64),
    lambda old: torch.full_like(old, -1),
    lambda old: torch.full(old.shape, float("nan")),
    lambda old: old.new_zeros(0),
    lambda old: old.new_zeros(()),
    lambda old: old.new_zeros(1).expand(10**12),
    lambda old: old.new_zeros(1).expand(50_000, 50_000),
    lambda old: torch.sparse_coo_tensor([[0], [0]], [1.0], (10**6, 10**6)),
    lambda old: torch.zeros(4, device="meta").expand(1000, 4),
    lambda old: torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.quint8),
    lambda old: torch.nn.Parameter(torch.zeros(3)),
    lambda old: torch.zeros(3, 0, 3),
)


def _mutated_archive(data: bytes, random: Random) -> bytes:
    """The same archive, packed, or with a hurt pickle, or without one of its parts."""
    kind, made = random.randrange(4), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        method = zipfile.ZIP_DEFLATED if kind == 0 else zipfile.ZIP_STORED
        with zipfile.ZipFile(made, "w", method) as new:
            for part in old.infolist():
                content = old.read(part)
                if part.filename.endswith("data.pkl") and kind in (1, 2):
                    content = _damaged(content, random)
                if kind == 3 and random.randrange(3) == 0:
                    continue
                if kind == 0 and part.filename.endswith("data/0"):
                    content = bytes(200_000_000)
                new.writestr(part.filename, content)
    return made.getvalue()


def _laughs() -> bytes:
    """A list of lists of lists, each twice: few bytes, endless to walk."""
    value: Any = []
    for _ in range(60):
        value = [value, value]
    return _archive(pickle.dumps({"state_dict": value}, protocol=2))


def _long_run() -> bytes:
    """Three million steps to unpickle."""
    return _archive(b"\x80\x02]" + 1_500_000 * b"K\x01a" + b".")


def _large_memo() -> bytes:
    return _archive(b"\x80\x02}r\xff\xff\xff\x7f.")


def _long_text() -> bytes:
    return _archive(b"\x80\x02B\xff\xff\xff\x7f.")


def _old_claim() -> bytes:
    """The old format, with a claim of 400 GB."""
    written = io.BytesIO()
    content = {"state_dict": {"a": torch.zeros(77_777)}}
    torch.save(content, written, _use_new_zipfile_serialization=False)
    count = b"J" + struct.pack("<i", 77_777)
    return written.getvalue().replace(count, b"\x8a\x05" + (10**11).to_bytes(5, "little"))


def _code() -> bytes:
    return _archive(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")


def _archive(pickled: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/byteorder", "little")
    return made.getvalue()


BOMBS = (_laughs, _long_run, _large_memo, _long_text, _old_claim, _code)
