"""A method whose latent is two codes, and its objects."""

from __future__ import annotations

import torch

from app.session.records import Record
from app.session.session import Session
from engine.fields.conditional import ConditionalConfig
from engine.methods.codenerf.method import CodeNeRF
from engine.methods.codenerf.model import CodeNeRFConfig
from engine.store.timeline import result_step

CODE = 6


def two_codes() -> CodeNeRF:
    """A small network whose random codes are clouds of different shapes and colours; three directions of each code."""
    torch.manual_seed(3)
    net = ConditionalConfig(
        width=24,
        code=CODE,
        position_frequencies=2,
        direction_frequencies=1,
        density_scale=10.0,
        density_bias=0.0,
    )
    method = CodeNeRF(CodeNeRFConfig(net=net, grid_shape=(8, 8, 8)))
    for head in (method.net.density_head, method.net.color_head):
        torch.nn.init.normal_(head.weight, std=0.7)
    method.gallery = torch.randn(3, 2, CODE)
    method.factor = torch.eye(CODE).repeat(2, 1, 1)
    method.directions = torch.zeros(6, 2, CODE)
    method.directions[:3, 0] = torch.eye(CODE)[:3]
    method.directions[3:, 1] = torch.eye(CODE)[:3]
    return method.eval().requires_grad_(False)


def shown(session: Session, place: int) -> Record:
    """An object of the gallery in a session."""
    step = result_step(session.method.gallery[place : place + 1])
    record = Record("file", f"Object {place}", {}, [step], session.method, state="done")
    session.add(record)
    return record
