# SPDX-License-Identifier: Apache-2.0
"""The door to uv: the program, what it is told of this machine, and how its words are read.

uv runs with an environment of our own making, without configuration files, with a cache of its
own and by copying: with uv's default of hard links, code that runs in one rebuilt environment
could change a file in the cache and so in every other (its digest is checked at download only).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from repropack import process
from repropack.environment.cache import cache_directory
from repropack.environment.index import IndexSettings, uv_environment
from repropack.errors import RepropackError
from repropack.escaping import show

__all__ = ["RESOLVE_SECONDS", "Uv", "find_uv", "last_line", "mentioned"]

RESOLVE_SECONDS: Final = 600.0
"""Time for one question to the index: hundreds of small requests through a slow proxy."""


class Uv(Struct, frozen=True, kw_only=True):
    """The uv program and everything it is told about this machine.

    Attributes:
        program: Its absolute path.
        environment: The whole environment that it gets.
        settings: Where packages come from.
    """

    program: str
    environment: dict[str, str]
    settings: IndexSettings


def find_uv(environ: Mapping[str, str], settings: IndexSettings) -> Uv:
    """Finds the uv that was installed with repropack, else the one on PATH.

    Args:
        environ: The user's environment variables.
        settings: Where packages come from.

    Raises:
        RepropackError: There is none.
    """
    # Imported here: only the commands that rebuild an environment need it.
    import uv as uv_package

    try:
        program: str | None = uv_package.find_uv_bin()
    except FileNotFoundError:
        program = process.find_program("uv", environ.get("PATH", ""))
    if program is None:
        raise RepropackError(
            "uv was not found", advice="install it beside repropack: pip install uv"
        )
    return Uv(
        program=os.path.abspath(program),
        environment={
            **uv_environment(environ, settings),
            "UV_CACHE_DIR": str(cache_directory(environ) / "uv"),
            "UV_LINK_MODE": "copy",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
        },
        settings=settings,
    )


def last_line(uv: Uv, stderr: bytes) -> str:
    """The reason that uv gives: the text from its `error:` on, in one line."""
    text = stderr.decode("utf-8", "replace")
    at = max(text.rfind("error:"), text.rfind("×"), 0)
    return show(" ".join(uv.settings.conceal(text[at:]).split()), limit=300)


def mentioned(names: Sequence[str], stderr: bytes) -> list[str]:
    """The packages that a message of uv names, in the order of the message."""
    text = stderr.decode("utf-8", "replace").lower().replace("_", "-")
    at = {
        name: match.start()
        for name in names
        if (match := re.search(rf"(?<![a-z0-9.-]){re.escape(name)}(?![a-z0-9-]|\.[a-z])", text))
    }
    return sorted(at, key=at.__getitem__)
