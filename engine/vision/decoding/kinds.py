"""Names of unsupported file formats, for error messages."""

from __future__ import annotations

HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
STARTS = {
    b"%PDF": "a PDF",
    b"8BPS": "a Photoshop picture",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\x76\x2f\x31\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance HDR picture",
    b"DDS ": "a DDS texture",
    b"\xabKTX": "a KTX texture",
    b"FUJIFILMCCD-RAW": "a raw photograph",
    b"II*\x00\x10\x00\x00\x00CR": "a raw photograph",
    b"\x00\x00\x01\x00": "an icon",
    b"glTF": "a mesh",
}
"""First bytes of files to their kinds."""


def other_kind(data: bytes) -> str | None:
    """Name of the format of a file that is no supported image; None if unknown."""
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(len(data), 64), 4))}
        if b"avif" in brands or b"avis" in brands:
            return "a damaged or unusual AVIF picture"
        if brands & set(HEIC):
            return "a damaged or unusual HEIC picture"
        return "a film"
    for start, kind in STARTS.items():
        if data.startswith(start):
            return kind
    head = data[:512].lstrip().lower()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "an SVG drawing"
    return None
