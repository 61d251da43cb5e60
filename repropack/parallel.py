# SPDX-License-Identifier: Apache-2.0
"""Work that goes on at the same time, in threads; a single thing to do takes none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["Alongside", "each"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Alongside(Generic[_Result]):
    """Calls a function in a thread, while the block of a `with` waits for something else.

    It has ended when the block is left; but nobody waits for it after Ctrl-C.
    """

    def __init__(self, function: Callable[[], _Result]) -> None:
        self._function = function
        self._results: list[_Result] = []
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._call, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self._thread.join()

    def _call(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._errors.append(error)

    def result(self) -> _Result:
        """What the function returned, once it has ended.

        Raises:
            BaseException: What the function raised.
        """
        self._thread.join()
        if self._errors:
            raise self._errors[0]
        return self._results[0]


def each(
    function: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int
) -> list[_Result]:
    """What a function returns for each item, in their order."""
    if len(items) < 2:
        return [function(item) for item in items]
    # Some 5 ms, which is much for a run that writes one file.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(function, items))
