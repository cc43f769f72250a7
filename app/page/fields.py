"""The settings of a reconstruction as the page shows them: one table, one control for each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import gradio as gr

from engine.methods.base import FitOptions


@dataclass(frozen=True)
class Setting:
    """One number of `FitOptions`.

    Attributes:
        name: The field.
        label: Name for people, with the paper's symbol.
        info: What it does, in one sentence.
        low: Least value.
        high: Largest value.
        step: Grain; whole numbers have 1.
        kind: Shown as a slider or as a box to type into.
    """

    name: str
    label: str
    info: str
    low: float
    high: float
    step: float
    kind: Literal["slider", "number"] = "slider"


SETTINGS = (
    Setting("steps", "Denoising steps", "Guided steps from noise to object.", 0, 100, 1),
    Setting(
        "guidance_gain",
        "Guidance gain λ",
        "How hard each step is pulled towards your pictures (λ_gd in the paper).",
        0,
        1e7,
        1,
        "number",
    ),
    Setting(
        "snr_power",
        "SNR exponent ω",
        "Shifts the guidance from noisy steps (small ω) to clean ones (large ω).",
        0,
        1,
        0.05,
    ),
    Setting(
        "langevin_steps",
        "Langevin steps",
        "Corrections of size δ after each step, which re-draw details that guidance spoilt.",
        0,
        8,
        1,
    ),
    Setting(
        "finetune_steps",
        "Finetune steps",
        "Rounds of fitting to one picture after sampling, held together by the prior; several pictures take more.",
        0,
        60,
        1,
    ),
    Setting(
        "learning_rate",
        "Finetune rate",
        "Adam's step size on the object's code while finetuning one picture; the paper's mode raises it with more.",
        0,
        1,
        0.001,
        "number",
    ),
)


def setting_controls(options: FitOptions) -> list[gr.components.Component]:
    """A control for each setting, in the table's order."""
    return [_control(setting, getattr(options, setting.name)) for setting in SETTINGS]


def _control(setting: Setting, value: float) -> gr.components.Component:
    common = {"label": setting.label, "info": setting.info, "elem_id": setting.name, "value": value}
    if setting.kind == "number":
        return gr.Number(minimum=setting.low, maximum=setting.high, **common)
    return gr.Slider(setting.low, setting.high, step=setting.step, buttons=[], **common)


def with_settings(options: FitOptions, values: Mapping[str, float | None]) -> FitOptions:
    """`options` with the page's values; whole numbers become whole again, empty boxes change nothing."""
    whole = {s.name for s in SETTINGS if s.step == 1 and s.kind == "slider"}
    given = {name: value for name, value in values.items() if value is not None}
    return replace(options, **{k: int(v) if k in whole else float(v) for k, v in given.items()})
