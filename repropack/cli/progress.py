# SPDX-License-Identifier: Apache-2.0
"""A progress line on standard error: what happens now, and how far it is. Nothing when piped."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from repropack.cli.screen import tell
from repropack.escaping import show

__all__ = ["ProgressLine", "byte_progress"]


class ProgressLine:
    """One live line; a context manager. `quiet` shows nothing at all."""

    def __init__(self, *, quiet: bool) -> None:
        self._live = not quiet and sys.stderr.isatty()
        self._plain = not quiet and not self._live
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

            self._progress = self._stack.enter_context(
                Progress(
                    SpinnerColumn(),
                    TextColumn("{task.description}", markup=False),
                    BarColumn(bar_width=24),
                    DownloadColumn(),
                    console=Console(stderr=True),
                    transient=True,
                )
            )
            self._task = self._progress.add_task("", total=None, visible=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def tell(self, text: str) -> None:
        """Says what happens now."""
        if self._live:
            self._progress.update(
                self._task, description=show(text, limit=70), total=None, completed=0, visible=True
            )
        elif self._plain:
            tell(f"repropack: {show(text)}")

    def advance(self, done: int, total: int) -> None:
        """Says how many bytes of how many are done."""
        if self._live:
            self._progress.update(self._task, completed=done, total=total, visible=True)

    def live(self, stream: str, data: bytes) -> None:
        """Passes on the output of executed code, made harmless for a terminal."""
        del stream
        text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        lines = [show(line) for line in text.rstrip("\n").split("\n")]
        if self._live:
            for line in lines:
                self._progress.console.print(f"  │ {line}", markup=False, highlight=False)
        elif self._plain:
            tell("\n".join(f"  | {line}" for line in lines))

    def kept(self, work: Path) -> None:
        """Says where the work directory is, also to programs: nothing else does any more."""
        text = f"work directory: {show(str(work), limit=1000)}"
        if self._live:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            tell(text)


@contextlib.contextmanager
def byte_progress(text: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A progress line for one piece of work; the callable is told the bytes since its last call."""
    done = 0
    with ProgressLine(quiet=quiet) as line:
        line.tell(text)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            line.advance(done, total)

        yield advance
