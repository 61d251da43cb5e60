# SPDX-License-Identifier: Apache-2.0
r"""Where a word begins in text: also after an escape that ends with a letter.

A notebook, a log in JSON and a program write a new line as `\n`, and a terminal's colours as
`ESC[31m`. The letter at their end belongs to no word.
"""

from __future__ import annotations

from typing import Final

__all__ = ["AFTER_ESCAPE"]

AFTER_ESCAPE: Final = (
    r"(?<=\\[abfnrtv])"
    r"|(?<=\[[mK])|(?<=\[[0-9][mK])|(?<=[;\[][0-9]{2}m)|(?<=;[0-9]m)|(?<=;[0-9]{3}m)"
)
"""After an escape of JSON, Python and C, or after a sequence that selects graphic rendition or
erases in a line (ECMA-48, 8.3.117 and 8.3.41). Alternatives of a pattern, each of no width."""
