# SPDX-License-Identifier: Apache-2.0
"""Says what takes long: once after a second, then every ten with how far it is.

A recording is silent where all goes fast. On a slow network file system, or with a terabyte of new
data, a line says what we are at, so that nobody takes us for dead and kills us.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

__all__ = ["Patience"]

FIRST: Final = 1.0
AGAIN: Final = 10.0
"""Seconds before the first word, and between the others."""


class Patience:
    """Within its `with` block a thread waits, and tells if the block takes long.

    It has ended when the block is left, so that a command may be started by a fork afterwards.

    Attributes:
        done: How much is done, of `total`; added to by whoever does it, from any thread.
    """

    def __init__(self, tell: Callable[[str], None], text: str, total: int = 0) -> None:
        self.done = 0
        self._tell = tell
        self._text = text
        self._total = total
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> Self:
        # Where there are no more threads, nothing is told, and the work is done all the same.
        with suppress(RuntimeError):
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def advance(self, amount: int) -> None:
        """Adds to what is done."""
        with self._lock:
            self.done += amount

    def _wait(self) -> None:
        pause = FIRST
        while not self._ended.wait(pause):
            share = f" {100 * self.done // self._total} %" if self._total and self.done else ""
            self._tell(f"{self._text} …{share}")
            pause = AGAIN
