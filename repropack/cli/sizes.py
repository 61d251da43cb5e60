# SPDX-License-Identifier: Apache-2.0
"""Sizes as options spell them."""

from __future__ import annotations

import re
from typing import Final

from repropack.errors import UsageError

__all__ = ["parse_size"]

_LEAST: Final = 1024
"""Bytes: who types less has forgotten a unit."""


def parse_size(option: str, text: str) -> int:
    """A number of bytes: `500M` is a power of 1024 (also `500MiB`), `500MB` one of 1000.

    Raises:
        UsageError: It has another form, or is less than 1024 bytes.
    """
    match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)(iB|B)?", text.strip(), re.ASCII | re.IGNORECASE)
    size = 0
    if match:
        unit, suffix = match[2].upper() or " ", (match[3] or "").upper()
        base = 1000 if suffix == "B" and match[2] else 1024
        size = int(match[1]) * base ** " KMGT".index(unit)
    if size < _LEAST:
        raise UsageError(f"{option} {text}: expected a size of at least 1K, such as 500M or 2G")
    return size
