# SPDX-License-Identifier: Apache-2.0
"""Files that lie in texts, in base64: as notebooks, pages, mails and programs hold them.

Pure. Encoded text is read by `repropack.privacy.readings`; here are files whose content is packed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from repropack.privacy.containers import HEAD, container_for

__all__ = ["embedded"]

_MARKS: Final = (
    b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"H4sI", b"UEsDB", b"JVBERi0", b"QlpoO", b"/Td6WFoA",
    b"XQAA", b"KLUv/", b"U1FMaXRlIGZvcm1hdCAz", b"eJ", b"eNo", b"eNr", b"eAE", b"eAF",
)  # fmt: skip
"""PNG, JPEG, GIF, gzip, ZIP, PDF, bzip2, xz and its forerunner, zstd, SQLite and zlib in base64."""

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/\\\r\n]{64,}={0,2}")

_ALPHABET: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def embedded(text: bytes) -> Iterator[bytes]:
    """Each file in a text, decoded."""
    for mark in _MARKS:
        at = text.find(mark)
        while at >= 0:
            end = at + len(mark)
            # A mark of two letters stands in the middle of many words.
            if not (at and text[at - 1] in _ALPHABET) and (match := _BASE64.match(text, at)):
                end = match.end()
                data = _from_base64(match[0])
                if container_for(data[:HEAD], "") is not None:
                    yield data
            at = text.find(mark, end)


def _from_base64(text: bytes) -> bytes:
    run = text.replace(b"\\n", b"").translate(None, b"\\\r\n=")
    # A single character at the end has no byte.
    run = run[: len(run) - (len(run) % 4 == 1)]
    try:
        return base64.b64decode(run + b"=" * (-len(run) % 4))
    except binascii.Error:
        return b""
