# SPDX-License-Identifier: Apache-2.0
"""The last line of a check."""

from __future__ import annotations

import sys
from typing import Final

from repropack.cli.screen import styled
from repropack.model import Verdict

__all__ = ["verdict_line"]

_STYLES: Final = {
    Verdict.REPRODUCED: "1;32",
    Verdict.INTACT: "1",
    Verdict.NOT_REPRODUCED: "1;31",
    Verdict.NOT_INTACT: "1;31",
    Verdict.INCONCLUSIVE: "1;33",
}


def verdict_line(verdict: Verdict, reason: str) -> str:
    """A verdict in its colour, and the reason for it."""
    return f"{styled(verdict.value, _STYLES[verdict], sys.stdout)}: {reason}"
