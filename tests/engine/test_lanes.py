"""The kernels' intrinsics against NumPy and torch, one by one."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from numba import njit

from engine.fields.planes import lookup
from engine.kernels import lattice_fast
from engine.kernels.decode_fast import color_at, decode_at, decode_back, density_at, squash
from engine.kernels.lattice_fast import RUN, occupied_points

RNG = np.random.default_rng(0)
CORNERS = 12


@lru_cache
def compiled(function, count):
    names = ", ".join(f"a{k}" for k in range(count))
    scope = {"function": function}
    exec(f"def run({names}):\n    return function({names})", scope)
    return njit(scope["run"])


def call(function, *args):
    """What an intrinsic gives; they exist in compiled code only."""
    return compiled(function, len(args))(*args)


@pytest.fixture(params=[16, 48])
def point(request):
    """Texels, heads, a term, and one point's offsets and weights."""
    hidden = request.param
    texels = RNG.standard_normal(40 * hidden).astype(np.float32)
    heads = RNG.standard_normal(5 * hidden + 4).astype(np.float32)
    term = RNG.standard_normal(3 * hidden).astype(np.float32)
    rows = RNG.integers(0, 40, CORNERS)
    by = RNG.random(CORNERS).astype(np.float32)
    base = (by[:, None] * texels.reshape(40, hidden)[rows]).sum(0) + heads[:hidden]
    at = tuple(np.uintp(row * hidden) for row in rows)
    return texels, heads, term, at, tuple(by), np.uintp(hidden), base


def silu(x):
    return x / (1 + np.exp(-x.astype(np.float64)))


def heads_of(heads, hidden):
    return heads[hidden : 5 * hidden].reshape(4, hidden)


def test_density_and_colour_of_a_point(point):
    texels, heads, term, at, by, hidden, base = point
    weights = heads_of(heads, hidden)
    unit, turned = silu(base), silu(base + term[hidden : 2 * hidden])
    density = call(density_at, texels, heads, at, by, hidden)
    assert density == pytest.approx(unit @ weights[0], rel=1e-5, abs=1e-5)
    color = call(color_at, texels, heads, term, hidden, at, by, hidden)
    assert color == pytest.approx(weights[1:] @ turned, rel=1e-5, abs=1e-5)
    plain = call(decode_at, texels, heads, None, hidden, at, by, hidden)
    assert plain == pytest.approx(weights @ unit, rel=1e-5, abs=1e-5)
    directed = call(decode_at, texels, heads, term, hidden, at, by, hidden)
    assert directed[0] == pytest.approx(weights[0] @ unit, rel=1e-5, abs=1e-5)
    assert directed[1:] == pytest.approx(weights[1:] @ turned, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("directed", [False, True])
def test_the_gradients_of_a_point_are_autograds(point, directed):
    texels, heads, term, at, by, hidden, _ = point
    size, pulls = int(hidden), tuple(RNG.standard_normal(4).astype(np.float32))
    t, h, d = (
        torch.from_numpy(part).double().requires_grad_(True) for part in (texels, heads, term)
    )
    rows = torch.tensor([int(place) // size for place in at])
    base = (torch.tensor(by)[:, None] * t.reshape(40, size)[rows]).sum(0) + h[:size]
    weights = h[size : 5 * size].reshape(4, size)
    turned = base + d[size : 2 * size] if directed else base
    silu_ = torch.nn.functional.silu
    results = torch.cat([weights[:1] @ silu_(base), weights[1:] @ silu_(turned)])
    (results * torch.tensor(pulls)).sum().backward()
    found = [np.zeros_like(part) for part in (texels, heads, term)]
    given = (term if directed else None, np.uintp(size), at, by, hidden, pulls)
    call(decode_back, texels, heads, *given, *found[:2], found[2] if directed else None)
    for ours, theirs in zip(found, (t.grad, h.grad, d.grad if directed else d * 0), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=2e-5)


def test_three_sigmoids_at_once():
    numbers = (np.float32(-90), np.float32(0.3), np.float32(4))
    assert call(squash, *numbers) == pytest.approx(
        [0, 1 / (1 + np.exp(-0.3)), 1 / (1 + np.exp(-4))]
    )


def test_a_run_of_lattice_points_keeps_those_in_occupied_cells():
    cells, step, near = (5, 7, 6), np.float32(0.11), np.float32(0.4)
    leaps = (RNG.random(cells) < 0.5).astype(np.uint8)
    for trial in range(40):
        origin = tuple(RNG.uniform(-1, 4, 3).astype(np.float32))
        speed = tuple(RNG.uniform(-4, 4, 3).astype(np.float32))
        first, end = int(RNG.integers(0, 20)), int(RNG.integers(1, 30))
        outs = [np.full(20, -9, np.float32) for _ in range(4)]
        path = (leaps.ravel(), cells, first, end, near, step, origin, speed)
        count = call(occupied_points, *path, *outs, 3)
        expected = []
        for k in range(first, min(first + RUN, end)):
            t = near + np.float32(k + 0.5) * step
            at = [
                float(np.clip(o + t * v, 0, c))
                for o, v, c in zip(origin, speed, cells, strict=True)
            ]
            cell = tuple(min(int(x), c - 1) for x, c in zip(at, cells, strict=True))
            if leaps[cell] == 0:
                expected.append((t, *at))
        assert count == len(expected), trial
        np.testing.assert_allclose(
            np.stack(outs, 1)[3 : 3 + count], np.reshape(expected, (-1, 4)), atol=2e-5
        )
        assert (np.stack(outs)[:, :3] == -9).all()


def test_texels_and_weights_read_what_lookup_reads():
    rows, cols, hidden, count, cells = 6, 9, 16, 21, (4, 5, 3)
    planes = torch.randn(3, hidden, rows, cols)
    xyz = torch.rand(count, 3)
    room = 32
    x, y, z = (np.zeros(room, np.float32) for _ in range(3))
    for axis, values in enumerate((x, y, z)):
        values[:count] = (xyz[:, axis] * cells[axis]).numpy()
    at, by = np.zeros((3, room), np.int32), np.zeros((12, room), np.float32)
    call(lattice_fast.texels_around, x, y, z, count, cells, rows, cols, hidden, at, by)
    flat = planes.permute(0, 2, 3, 1).numpy().ravel()
    expected = lookup(planes[None], xyz[None] * 2 - 1)[0].reshape(count, hidden, 3).sum(2).numpy()
    corners = np.array([0, hidden, cols * hidden, (cols + 1) * hidden])
    for n in range(count):
        places = (at[:, n, None] + corners).ravel()
        found = sum(by[k, n] * flat[place : place + hidden] for k, place in enumerate(places))
        np.testing.assert_allclose(found, expected[n], atol=1e-5)
