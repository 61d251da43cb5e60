# SPDX-License-Identifier: Apache-2.0
"""`repropack.yaml`: what the author says that cannot be seen in a recorded run.

All of it is optional. The file is the author's own, yet read strictly: a misspelt key is an error
with its line of reasoning, not a silent default. YAML stays outside of bundles.

    claims:
      - metric: accuracy          # a name that `repropack show` prints
        file: out/metrics.json    # only where two metrics have the same name
        evaluate: {absolute: 0.001}
        retrain: {absolute: 0.02}
    weights: [out/model.pt]
    data:
      mnist: {address: "https://…", licence: CC-BY-SA-3.0}
    affiliations: [Example University]   # searched for in what goes out
    withhold: [notes, "*.pem"]           # files of the code that stay out of releases
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import yaml
from msgspec import Meta, Struct

from repropack.errors import UsageError
from repropack.model import (
    Absolute,
    AtLeast,
    AtMost,
    Close,
    Equivalent,
    Exact,
    Interval,
    Relative,
    Side,
    Tolerance,
)

__all__ = ["PROJECT_FILE", "DeclaredClaim", "DeclaredData", "ProjectFile", "read_project_file"]

PROJECT_FILE: Final = "repropack.yaml"

MAX_SIZE: Final = 1024 * 1024
"""Bytes of the file: people write it."""


class _Declared(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of every part of the file."""


class DeclaredInterval(_Declared, frozen=True, kw_only=True):
    """How a prediction interval of recorded seeds is made (`repropack.model.Interval`)."""

    confidence: Annotated[float, Meta(gt=0.5, le=0.9999)] = 0.95
    floor: Annotated[float, Meta(ge=0)] = 0.0
    max_half_width: Annotated[float, Meta(gt=0)] | None = None
    side: Side = Side.BOTH


class DeclaredEquivalence(_Declared, frozen=True, kw_only=True):
    """A test of equivalence where it is not the usual one (`repropack.model.Equivalent`)."""

    margin: float
    side: Side = Side.BOTH


class DeclaredTolerance(_Declared, frozen=True, kw_only=True):
    """One kind of tolerance; `absolute` and `relative` may stand together and are added."""

    exact: bool | None = None
    absolute: float | None = None
    relative: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    interval: DeclaredInterval | None = None
    equivalent: float | DeclaredEquivalence | None = None

    def __post_init__(self) -> None:
        given = {name for name in self.__struct_fields__ if getattr(self, name) is not None}
        if (len(given) != 1 and given != {"absolute", "relative"}) or self.exact is False:
            raise ValueError(
                "expected one of `exact: true`, `absolute: N`, `relative: N`, `at_least: N`, "
                "`at_most: N`, `interval: {}`, `equivalent: N`; absolute and relative may be "
                "given together"
            )
        if not all(0 <= (value or 0) < math.inf for value in (self.absolute, self.relative)):
            raise ValueError("a tolerance is a finite number, and not negative")
        if self.equivalent is not None and not 0 < self._margin < math.inf:
            raise ValueError("`equivalent` is a margin: a finite number above 0")

    @property
    def _margin(self) -> float:
        asked = self.equivalent
        return asked.margin if isinstance(asked, DeclaredEquivalence) else asked or 0.0

    @property
    def needs_seeds(self) -> bool:
        """Whether it can only be made of what runs with several seeds gave."""
        return self.interval is not None or self.equivalent is not None

    def tolerance(self, over_seeds: tuple[float, ...]) -> Tolerance:
        """The tolerance as records hold it.

        Args:
            over_seeds: What recorded runs gave, one value for each seed.
        """
        if self.interval is not None:
            return Interval(
                values=over_seeds,
                confidence=self.interval.confidence,
                floor=self.interval.floor,
                max_half_width=self.interval.max_half_width,
                side=self.interval.side,
            )
        if self.equivalent is not None:
            asked = self.equivalent
            side = asked.side if isinstance(asked, DeclaredEquivalence) else Side.BOTH
            return Equivalent(values=over_seeds, margin=self._margin, side=side)
        if self.at_least is not None:
            return AtLeast(bound=self.at_least)
        if self.at_most is not None:
            return AtMost(bound=self.at_most)
        if self.absolute is not None and self.relative is not None:
            return Close(absolute=self.absolute, relative=self.relative)
        if self.absolute is not None:
            return Absolute(within=self.absolute)
        if self.relative is not None:
            return Relative(within=self.relative)
        return Exact()


class DeclaredClaim(_Declared, frozen=True, kw_only=True):
    """A metric that the author claims, with a tolerance for each mode or none."""

    metric: str
    file: str | None = None
    evaluate: DeclaredTolerance | None = None
    retrain: DeclaredTolerance | None = None
    retrain_new_seed: DeclaredTolerance | None = None

    def __post_init__(self) -> None:
        for declared in (self.evaluate, self.retrain):
            if declared is not None and declared.needs_seeds:
                raise ValueError(
                    "`interval` and `equivalent` compare seeds: they go under `retrain_new_seed`"
                )


class DeclaredData(_Declared, frozen=True, kw_only=True):
    """Where a data set can be had, and under which licence."""

    address: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        if self.address is not None and not self.address.startswith("https://"):
            raise ValueError(f"the address {self.address!r} does not start with https://")


class ProjectFile(_Declared, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        claims: None where the author leaves the choice to the run's metrics.
        affiliations: Institutions, laboratories and projects whose names tell who she is.
        withhold: Files of the code that stay out of every release, as `export --withhold`.
    """

    title: str | None = None
    claims: tuple[DeclaredClaim, ...] | None = None
    weights: tuple[str, ...] = ()
    data: dict[str, DeclaredData] = {}
    affiliations: tuple[str, ...] = ()
    withhold: tuple[str, ...] = ()


def read_project_file(project: Path) -> ProjectFile:
    """Reads `repropack.yaml` at a project's root; an absent file is an empty one.

    Raises:
        UsageError: It cannot be read, is not YAML, or holds something else than it should.
    """
    path = project / PROJECT_FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ProjectFile()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_SIZE:
        raise UsageError(f"{path}: has {len(data)} bytes, at most {MAX_SIZE} are expected")
    try:
        tree = yaml.load(data, Loader=_StrictLoader)  # noqa: S506, TID251 - a SafeLoader, this is its owner
        return msgspec.convert(tree if tree is not None else {}, ProjectFile)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise UsageError(f"{path}: {text}", advice="see docs/concepts.md for its form") from error


class _StrictLoader(yaml.SafeLoader):
    """YAML without aliases (a few lines of them expand to gigabytes) and without repeated keys."""

    def compose_node(self, parent: Any, index: int) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="aliases are not allowed", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.MarkedYAMLError(problem="a key stands twice", problem_mark=node.start_mark)
        return mapping
