# SPDX-License-Identifier: Apache-2.0
"""What goes out in a release, decided before anything is written."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from repropack.environment.lock import LockedPackage
from repropack.environment.wheels import FetchedWheel
from repropack.export.chain import ChainedRun, ChosenArtifact
from repropack.export.data import ChosenData
from repropack.export.private_code import Withholding
from repropack.model import Authorship, Claim, Environment
from repropack.store import Store

__all__ = ["ExportPlan", "ExportRequest", "PlannedEnvironment"]


class ExportRequest(Struct, frozen=True, kw_only=True):
    """What the user asked for.

    Attributes:
        run: An id, a unique prefix, a name or `last`.
        weights: Paths or patterns of products to pack; empty for the default choice.
        wheels: Whether the wheels themselves are packed, so that a reader needs no index.
        withholding: Files of the code that stay here, beside those that `repropack.yaml` names.
    """

    run: str
    weights: tuple[str, ...] = ()
    include_data: bool = False
    wheels: bool = False
    withholding: Withholding = Withholding()


class PlannedEnvironment(Struct, frozen=True, kw_only=True):
    """An environment that goes out, and how far it could be locked.

    Attributes:
        directory: Its member directory.
        unlocked: Distributions for which no digest was found in the author's package index.
        wheels: The wheels that are packed.
        built: Packages of which no index has a wheel, with wheels that were made of what is
            installed.
        absent: For each locked package whose wheel was wanted and not to be had, the reason.
    """

    directory: str
    environment: Environment
    locked: tuple[LockedPackage, ...]
    unlocked: tuple[str, ...]
    wheels: tuple[FetchedWheel, ...] = ()
    built: tuple[str, ...] = ()
    absent: dict[str, str] = {}


class ExportPlan(Struct, frozen=True, kw_only=True):
    """Everything that goes out, and what stays.

    Attributes:
        published: The date that the release bears, RFC 3339.
        environments_of: By run, the member directories of the environments that it used, that of
            its main process first.
        authorship: What an anonymous release says of its author; None for any other.
    """

    store: Store
    chain: tuple[ChainedRun, ...]
    artifacts: tuple[ChosenArtifact, ...]
    data: tuple[ChosenData, ...]
    claims: tuple[Claim, ...]
    seeds: tuple[str, ...]
    environments: tuple[PlannedEnvironment, ...]
    environments_of: dict[str, tuple[str, ...]]
    licences: dict[str, bytes]
    title: str
    published: str
    held_back: tuple[str, ...]
    warnings: tuple[str, ...]
    authorship: Authorship | None = None

    @property
    def environment_of(self) -> dict[str, str]:
        """By run, the member directory of the environment of its main process."""
        return {run: used[0] for run, used in self.environments_of.items()}

    def data_at_hand(self) -> dict[str, Path]:
        """Where the author has the data sets that are not packed, for an evaluation by herself."""
        return {
            one.manifest.name: one.directory
            for one in self.data
            if one.manifest.included is None and one.directory.is_dir()
        }
