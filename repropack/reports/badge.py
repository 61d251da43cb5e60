# SPDX-License-Identifier: Apache-2.0
"""The verdict as a small SVG picture, for a web page or a README.

It is a picture and proves nothing: it names the manifest digest so that whoever cares can check. It
holds no script, loads nothing, and has no text of a bundle in it.
"""

from __future__ import annotations

from typing import Final

from repropack.model import Report, Verdict

__all__ = ["render"]

COLOURS: Final = {
    Verdict.REPRODUCED: "#17683a",
    Verdict.NOT_REPRODUCED: "#a4261d",
    Verdict.NOT_INTACT: "#a4261d",
    Verdict.INCONCLUSIVE: "#7a4f00",
    Verdict.INTACT: "#24528f",
}
"""White text on each of them has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""

NAME: Final = "repropack"

CHARACTER: Final = 7.0
"""Units that a character of 11 px takes; `textLength` makes it so in every font."""


def render(report: Report) -> str:
    """The badge of a report."""
    verdict = report.verdict.value.lower()
    if _is_open(report):
        verdict += ", signer unknown"
    left, right = (round(len(text) * CHARACTER + 14) for text in (NAME, verdict))
    digest = f"sha256:{report.manifest_sha256}" if report.manifest_sha256 else "no known manifest"
    if not digest.replace(":", "").replace(" ", "").isalnum():
        digest = "no known manifest"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" \
aria-label="{NAME}: {verdict}">
<title>{NAME}: {verdict} ({digest})</title>
<rect width="{left + right}" height="20" rx="3" fill="{COLOURS[report.verdict]}"/>
<path d="M3 0H{left}V20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3" fill="#3b424a"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="7" y="14" textLength="{left - 14}">{NAME}</text>
<text x="{left + 7}" y="14" textLength="{right - 14}">{verdict}</text>
</g>
</svg>
"""


def _is_open(report: Report) -> bool:
    """Whether it holds, but nobody knows whose word it is."""
    established = report.signer is not None and report.signer.status.established
    return not established and report.verdict in (Verdict.REPRODUCED, Verdict.INTACT)
