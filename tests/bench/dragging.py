"""The live view while somebody drags, as rows of the table; `drag.py` measures."""

from __future__ import annotations

from tests.bench.fields import CHECKPOINT
from tests.bench.report import Results, Row
from tests.bench.settings import Settings


def measure(settings: Settings, device: str = "cpu") -> Results:
    """A real browser, one scripted viewer, four at once."""
    if not settings.drag_s:
        return Results()
    from tests.bench import drag  # imports the explorer, which the other groups can do without

    figures = drag.measure(CHECKPOINT, seconds=settings.drag_s, runs=settings.drags)
    results = Results(top=figures)
    cap = f"at most {figures['drag_rows']} rows while moving"
    if figures["drag_shown_fps"] is not None:
        how = f"frames a second in Chromium with software WebGL, {cap}"
        shown = figures["drag_shown_fps"]
        results.rows.append(Row("dragging, shown", shown, 10, 10, " /s", "more", how))
        share = figures["drag_shown_over_sent"]
        results.rows.append(Row("dragging, shown over sent", share, 0.9, 0.9, "", "more"))
    how = f"frames a second to one scripted viewer, {cap}"
    alone = figures["drag_scripted_fps"]
    results.rows.append(Row("dragging, sustained", alone, 30, 30, " /s", "more", how))
    shown = ", ".join(f"{fps:.1f}" for fps in figures["drag_four_viewers_fps"])
    spread = 100 * figures["drag_four_viewers_spread"]
    how = f"furthest of four from their mean; {shown} frames a second"
    results.rows.append(Row("four viewers at once, unfairness", spread, unit=" %", how=how))
    return results
