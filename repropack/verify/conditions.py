# SPDX-License-Identifier: Apache-2.0
"""What a repetition works with, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from repropack.executors import Executor
from repropack.findings import Code, Finding
from repropack.placeholders import UnfilledError, fill
from repropack.sandbox import Limits, Sandbox
from repropack.verify.early_end import Parting
from repropack.verify.environments import BuiltEnvironment
from repropack.verify.release import Release, ReleaseRun
from repropack.verify.workspace import LocatedData, Unpacked

__all__ = ["Conditions", "RepetitionFailedError", "filled"]


class RepetitionFailedError(Exception):
    """A run could not be repeated to its end.

    Attributes:
        finding: Why.
        rung: Where the check ended.
    """

    def __init__(self, finding: Finding, *, rung: str = "execution") -> None:
        super().__init__(finding.code.title)
        self.finding = finding
        self.rung = rung


class Conditions(Struct, frozen=True, kw_only=True):
    """What a repetition works with.

    Attributes:
        work: A private directory.
        sandbox: None to run without isolation, because the reader typed so.
        limits: What the code may use in the sandbox.
        wall_seconds: When a run is taken for hung; None to go by the recorded time.
        live: Told each piece of output as it comes.
        tell: Told in words what is going on.
        library_path: The reader's LD_LIBRARY_PATH: the driver of a GPU may be there.
        seed: The seed that the release was changed to; None for the recorded one.
        settings: Variables that have other values than the recorded ones, to see what they change.
        parting: Where a rerun may end, and the run behind which none is repeated; None for all.
    """

    release: Release
    unpacked: Unpacked
    environments: dict[str, BuiltEnvironment]
    data: dict[str, LocatedData]
    work: Path
    executor: Executor
    sandbox: Sandbox | None
    limits: Limits
    wall_seconds: float | None
    live: Callable[[str, bytes], None]
    tell: Callable[[str], None]
    library_path: str = ""
    seed: str | None = None
    settings: dict[str, str] = {}
    parting: Parting | None = None


def filled(text: str, values: Mapping[str, str], run: ReleaseRun) -> str:
    """Recorded text with what its placeholders stand for.

    Raises:
        RepetitionFailedError: Nothing is known for one of them.
    """
    try:
        return fill(text, values)
    except UnfilledError as error:
        raise RepetitionFailedError(
            Finding(
                code=Code.DATA_MISSING,
                subject=f"run {run.number}",
                found=f"nothing for {{{error}}}",
                expected=f"a value for {text}",
            )
        ) from error
