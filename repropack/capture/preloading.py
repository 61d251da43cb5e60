# SPDX-License-Identifier: Apache-2.0
"""Loads what the second half of a recording needs while the command runs.

Nobody waits for it then. And a repropack that is updated during a training of days does not end a
recording with other code than it was begun with.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from typing import Final

__all__ = ["Preloading"]

MODULES: Final = (
    "repropack.capture.conclusion",
    "repropack.importers.console",
    "concurrent.futures",
)
"""The last two are for what a command prints, and for more than one file that it writes."""


class Preloading:
    """A follower of the command that pays it no attention (`repropack.capture.command.Follower`).

    A module that cannot be loaded fails again, and is told, where it is needed.
    """

    def __init__(self) -> None:
        self.thread: Final = threading.Thread(target=self._load, daemon=True)
        self._ended = threading.Event()

    def stop(self) -> None:
        """What is not loaded yet is loaded where it is needed."""
        self._ended.set()

    def holds_alone(self, pipe: int) -> bool:
        """It has no processes."""
        del pipe
        return False

    def _load(self) -> None:
        with contextlib.suppress(Exception):
            for name in MODULES:
                if self._ended.is_set():
                    return
                importlib.import_module(name)
