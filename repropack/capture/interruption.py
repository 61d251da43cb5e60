# SPDX-License-Identifier: Apache-2.0
"""Signals that would end us while we write down a run that has ended already."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Final

from repropack.capture.signals import FORWARDED, ignore

__all__ = ["Interruption"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_LATE: Final = tuple(number for number in FORWARDED if number not in _SIGNALS)
"""What was meant for the command and comes when that has ended already: it ends nobody else."""


class Interruption:
    """Within its `with` block these signals are only noted; see `requested`.

    Handlers belong to the main thread; in another the block changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for numbers, handler in ((_SIGNALS, self._note), (_LATE, ignore)):
                for number in numbers:
                    # One that is ignored (`nohup`) stays ignored.
                    if signal.getsignal(number) not in (signal.SIG_IGN, None):
                        self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
