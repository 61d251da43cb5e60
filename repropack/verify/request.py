# SPDX-License-Identifier: Apache-2.0
"""What a reader asks of a check, and who is told how it goes."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from repropack.bundle import Location
from repropack.sandbox import Limits
from repropack.signing.policy import TrustPolicy
from repropack.signing.timestamps import Stamp

__all__ = ["Mode", "Observer", "VerifyRequest"]


class Mode(enum.StrEnum):
    """How far up the ladder."""

    NO_RUN = "no-run"
    EVALUATE = "evaluate"
    RETRAIN = "retrain"


class VerifyRequest(Struct, frozen=True, kw_only=True):
    """What the reader asked for.

    Attributes:
        runs: How many repetitions.
        new_seeds: Whether to train again with seeds that the author did not use.
        seeds: Those seeds, one for each repetition; none to draw them.
        expected_manifest: Digest of `manifest.json` that she knows from elsewhere.
        stamp: A time stamp of the attestation that she has.
        bundle: A file, the first of several volumes, an extracted directory, or an address.
        data: Data set name to directory.
        sandbox: False only if she typed `--no-sandbox`.
        explain: Whether other numbers are explained by reruns with one setting changed at a time.
        versions: Package to another version than the recorded one, which is installed instead.
        recorded_run: The run of this project of which the bundle was made to repeat it here; None
            for a release. Then the files that the runs leave are compared by digest too, and they
            are repeated even where there is no number.
        limits: What the executed code may use; None for what no training reaches.
        wall_seconds: When a repeated run is taken for hung; None to go by the recorded time.
        temporary: Where the work directory is made; None for the system's place.
    """

    bundle: Location
    mode: Mode
    policy: TrustPolicy
    runs: int = 1
    new_seeds: bool = False
    seeds: tuple[str, ...] = ()
    expected_manifest: str | None = None
    stamp: Stamp | None = None
    allow_unknown_signer: bool = False
    data: dict[str, Path] = {}
    sandbox: bool = True
    offline: bool = False
    executor: str = "local"
    keep_work: bool = False
    explain: bool = False
    versions: dict[str, str] = {}
    recorded_run: str | None = None
    limits: Limits | None = None
    wall_seconds: float | None = None
    temporary: Path | None = None


class Observer(Struct, frozen=True, kw_only=True):
    """Who is told how it goes.

    Attributes:
        tell: What happens now, in one line that is safe to print.
        advance: Bytes checked, of how many.
        live: The stream and each piece of what executed code prints: raw bytes from a stranger.
        kept: Where the work is that was to be kept, where no report can say it.
    """

    tell: Callable[[str], None]
    advance: Callable[[int, int], None]
    live: Callable[[str, bytes], None]
    kept: Callable[[Path], None] = lambda _: None
