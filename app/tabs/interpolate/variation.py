"""An object moved along the principal directions of the training latents, and copies of steered objects. No gradio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from app.session.records import Record
from app.session.session import Session
from engine.errors import ConfigError
from engine.events import Step
from engine.methods.base import Method
from engine.store.timeline import result_step


class Variation:
    """An object moved along the principal directions of the training latents."""

    def __init__(self, session: Session):
        self.session = session
        self.base: Record | None = None
        self.record: Record | None = None

    def vary(self, base: Record, amounts: list[float]) -> Record:
        """Show `base` moved by so many standard deviations along each direction.

        Raises:
            ConfigError: If its model has no directions.
        """
        directions = base.method.directions
        if not len(directions) or base.latent(-1) is None:
            raise ConfigError(
                f"{base.method.info.title} knows no directions; choose another model."
            )
        if self.base is not base:
            known = {k: v for k, v in base.provenance.items() if k != "settings"}
            about = {**known, "task": "vary", "of": base.title}
            self.base = base
            self.record = Record(
                "blend", f"{base.title}, varied", about, [], base.method, state="done", listed=False
            )
        amounts = [*amounts, *([0.0] * len(directions))][: len(directions)]
        shares = torch.tensor(amounts, dtype=torch.float32)
        limit = base.method.info.limit
        code = base.latent(-1) + torch.einsum("k,k...->...", shares, directions.cpu().float())
        self.record.provenance["directions"] = amounts
        with self.session.cv:
            self.session.change(self.record, frames=[result_step(code.clamp(-limit, limit)[None])])
            if self.session.record(self.record.id) is None:
                self.session.add(self.record)
            elif self.session.selection()[0] is not self.record:
                self.session.select(self.record.id)
        return self.record


def direction_names(method: Method) -> list[str]:
    """Names of a method's principal directions: a number, after the part of the latent if it moves that part alone."""
    parts, counts, names = method.info.capabilities.edit, Counter(), []
    for place, direction in enumerate(method.directions):
        moved = [part for part, share in zip(parts, direction, strict=False) if share.any()]
        counts.update(moved[:1])
        alone = len(moved) == 1 and len(parts) == len(direction)
        names.append(f"{moved[0]} {counts[moved[0]]}" if alone else str(place + 1))
    return names


def keep(session: Session, record: Record, title: str, steps: Sequence[Step] = ()) -> Record:
    """Add a copy of a steered record's current object to the history, after the steps of its run."""
    end = result_step(record.latent(-1)[None].clone())
    made = Record(
        "blend",
        title,
        dict(record.provenance),
        [*steps, end],
        record.method,
        state="done",
        noise=record.noise,
    )
    session.add(made)
    return made
