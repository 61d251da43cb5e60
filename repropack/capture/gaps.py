# SPDX-License-Identifier: Apache-2.0
"""What a recording could not see or keep. A partial capture is never silent."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from repropack.errors import RepropackError
from repropack.model import Gap

__all__ = ["Gaps", "some"]

_NAMED = 3

T = TypeVar("T")


def some(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class Gaps:
    """Collects what could not be recorded, and turns failures into such gaps."""

    def __init__(self) -> None:
        self.found: list[Gap] = []

    def add(self, code: str, message: str) -> None:
        """Notes something that the record does not hold."""
        gap = Gap(code=code, message=message)
        if gap not in self.found:
            # A git that is missing, or a full disk, is met more than once.
            self.found.append(gap)

    def attempt(self, code: str, action: Callable[[], T], otherwise: T) -> T:
        """The result of `action`; if it fails, a gap and `otherwise`."""
        try:
            return action()
        except RepropackError as error:
            self.add(code, str(error))
        except OSError as error:
            place = f"{os.fspath(error.filename)}: " if error.filename else ""
            self.add(code, f"{place}{error.strerror or error}")
        except Exception as error:  # the command matters more than any defect of ours
            import logging  # some 6 ms, which a run without defects does without

            logging.getLogger(__name__).debug("recorder failed", exc_info=True)
            self.add(code, f"{type(error).__name__}: {error}")
        return otherwise
