# SPDX-License-Identifier: Apache-2.0
"""The verdict as a small picture, SVG or PNG, for a web page or a README.

It is a picture and proves nothing: it names the manifest digest so that whoever cares can check. It
holds no script, loads nothing, and has no text of a bundle in it.

SVG is text and needs nothing. PNG is for places that show no SVG (slides, some forges); Pillow
draws it, an extra, because it brings a font of its own: a rasteriser of SVG takes the machine's
fonts, and on a server without fonts the picture would have no words (docs/adr/0007).
"""

from __future__ import annotations

import io
from typing import Final

from msgspec import Struct

from repropack.errors import UsageError
from repropack.model import Report, Verdict

__all__ = ["FORMS", "check_form", "render"]

COLOURS: Final = {
    Verdict.REPRODUCED: "#17683a",
    Verdict.NOT_REPRODUCED: "#a4261d",
    Verdict.NOT_INTACT: "#a4261d",
    Verdict.INCONCLUSIVE: "#7a4f00",
    Verdict.INTACT: "#24528f",
}
"""White text on each of them has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""

NAME: Final = "repropack"
GROUND: Final = "#3b424a"

CHARACTER: Final = 7.0
"""Units that a character of 11 px takes; `textLength` makes it so in every font."""

HEIGHT: Final = 20
MARGIN: Final = 7
ROUND: Final = 3
FONT: Final = 11

SCALE: Final = 4
"""PNG pixels for one unit: sharp on the densest screens, and on paper at 2 cm."""

FORMS: Final = (".svg", ".png")


class _Badge(Struct, frozen=True, kw_only=True):
    """What every form of a badge says."""

    verdict: str
    colour: str
    digest: str

    @property
    def title(self) -> str:
        return f"{NAME}: {self.verdict} ({self.digest})"


def check_form(name: str) -> None:
    """Whether a file of this name can be written on this machine.

    Raises:
        UsageError: It names no form of a badge, or Pillow is missing for a PNG.
    """
    if not name.lower().endswith(FORMS):
        raise UsageError(
            f"--badge {name}: a badge is an .svg or a .png", advice="end the name with one of them"
        )
    if name.lower().endswith(".png"):
        try:
            import PIL  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"--badge {name}: a PNG needs Pillow, which is not installed beside repropack",
                advice="pip install 'repropack[badge]', or name an .svg",
            ) from error


def render(report: Report, name: str) -> bytes:
    """The badge of a report, in the form that a file's name ends with (`check_form`)."""
    verdict = report.verdict.value.lower()
    if _is_open(report):
        verdict += ", signer unknown"
    digest = f"sha256:{report.manifest_sha256}" if report.manifest_sha256 else "no known manifest"
    if not digest.replace(":", "").replace(" ", "").isalnum():
        digest = "no known manifest"
    badge = _Badge(verdict=verdict, colour=COLOURS[report.verdict], digest=digest)
    return _png(badge) if name.lower().endswith(".png") else _svg(badge).encode()


def _width(text: str) -> int:
    return round(len(text) * CHARACTER) + 2 * MARGIN


def _svg(badge: _Badge) -> str:
    left, right = _width(NAME), _width(badge.verdict)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT}" role="img" \
aria-label="{NAME}: {badge.verdict}">
<title>{badge.title}</title>
<rect width="{left + right}" height="{HEIGHT}" rx="{ROUND}" fill="{badge.colour}"/>
<path d="M3 0H{left}V20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3" fill="{GROUND}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="{FONT}">
<text x="{MARGIN}" y="14" textLength="{left - 2 * MARGIN}">{NAME}</text>
<text x="{left + MARGIN}" y="14" textLength="{right - 2 * MARGIN}">{badge.verdict}</text>
</g>
</svg>
"""


def _png(badge: _Badge) -> bytes:
    from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

    font = ImageFont.load_default(FONT * SCALE)
    margin = MARGIN * SCALE
    left, right = (round(font.getlength(text)) + 2 * margin for text in (NAME, badge.verdict))
    picture = Image.new("RGBA", (left + right, HEIGHT * SCALE))
    pen = ImageDraw.Draw(picture)
    for start, end, colour, text, corners in (
        (0, left, GROUND, NAME, (True, False, False, True)),
        (left, left + right, badge.colour, badge.verdict, (False, True, True, False)),
    ):
        box = (start, 0, end - 1, HEIGHT * SCALE - 1)
        pen.rounded_rectangle(box, ROUND * SCALE, fill=colour, corners=corners)
        at = (start + margin, HEIGHT * SCALE / 2)
        pen.text(at, text, fill="#ffffff", font=font, anchor="lm")
    described = PngImagePlugin.PngInfo()
    described.add_text("Description", badge.title)
    written = io.BytesIO()
    picture.save(written, "PNG", pnginfo=described, dpi=(96 * SCALE, 96 * SCALE))
    return written.getvalue()


def _is_open(report: Report) -> bool:
    """Whether it holds, but nobody knows whose word it is."""
    established = report.signer is not None and report.signer.status.established
    return not established and report.verdict in (Verdict.REPRODUCED, Verdict.INTACT)
