"""Security headers of every response."""

from __future__ import annotations

from collections.abc import Sequence

Header = tuple[bytes, bytes]

CONTENT = (
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Gradio evaluates, viser compiles
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "media-src 'self' data: blob:",
    "connect-src 'self' data: blob:",
    "worker-src 'self' blob:",
    "frame-src 'self'",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
)
"""Nothing is loaded from elsewhere and nothing is sent there, whatever gets into the page."""
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def safety(framers: Sequence[str]) -> list[Header]:
    """Headers of every answer; `framers` are the origins that may show the page in a frame."""
    ancestors = " ".join(("frame-ancestors 'self'", *framers))
    pairs = {**ALWAYS, "Content-Security-Policy": "; ".join((*CONTENT, ancestors))}
    if not framers:
        pairs["X-Frame-Options"] = "SAMEORIGIN"
    return [(name.lower().encode(), value.encode()) for name, value in pairs.items()]


def first(headers: Sequence[Header], name: bytes) -> str | None:
    """The first value of a header, if there is one."""
    return next((value.decode("latin-1") for key, value in headers if key == name), None)


def last(headers: Sequence[Header], name: bytes) -> str:
    """The last value in all lines of a header, which the nearest proxy has added; empty if there is none."""
    lines = [value.decode("latin-1") for key, value in headers if key == name]
    return lines[-1].rpartition(",")[2].strip() if lines else ""
