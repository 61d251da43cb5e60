# SPDX-License-Identifier: Apache-2.0
"""Durations as people type them."""

from __future__ import annotations

import re

from repropack.errors import UsageError

__all__ = ["parse_duration"]


def parse_duration(option: str, text: str) -> float:
    """Seconds: `90`, `90s`, `30m`, `2h`, `1d`.

    Raises:
        UsageError: It has another form, or is nothing, or more than 20 days.
    """
    match = re.fullmatch(r"([0-9]{1,8})([smhd]?)", text.strip(), re.ASCII)
    seconds = 0
    if match:
        seconds = int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]
    if not 1 <= seconds <= 20 * 86_400:
        raise UsageError(f"{option} {text}: expected a time such as 30m or 2h, at most 20d")
    return float(seconds)
