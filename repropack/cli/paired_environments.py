# SPDX-License-Identifier: Apache-2.0
"""The further environments of two runs: which of the one stands for which of the other.

The main environments of two runs are each other's counterparts, wherever they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from repropack.cli.screen import plural
from repropack.model import Environment, UsedEnvironment

__all__ = ["Used", "named_alike", "sum_of"]

Used: TypeAlias = tuple[UsedEnvironment, Environment]
"""What a record says of its use, and what was in it."""

_KEYS: Final[tuple[Callable[[UsedEnvironment], object], ...]] = (
    lambda used: used.place,
    lambda used: used.programs,
    # One script more in a step, and it is the same step.
    lambda used: used.programs[:1],
)
"""What two counterparts have in common, the surest first; nothing in common is no key."""


def named_alike(
    first: Sequence[Used], second: Sequence[Used]
) -> tuple[dict[str, Environment], dict[str, Environment]]:
    """The further environments of two runs by a name, which counterparts share."""
    left, right = list(first), list(second)
    named: tuple[dict[str, Environment], dict[str, Environment]] = ({}, {})
    for one, other in _counterparts(left, right):
        name = _name(one[0], named)
        named[0][name], named[1][name] = one[1], other[1]
    for rest, found in ((left, named[0]), (right, named[1])):
        for used, environment in rest:
            found[_name(used, named)] = environment
    return named


def _counterparts(left: list[Used], right: list[Used]) -> Iterator[tuple[Used, Used]]:
    """Takes each pair out of the two lists."""
    for key in _KEYS:
        for one in tuple(left):
            wanted = key(one[0])
            other = next((o for o in right if wanted and key(o[0]) == wanted), None)
            if other is not None:
                left.remove(one)
                right.remove(other)
                yield one, other


def _name(used: UsedEnvironment, taken: Sequence[dict[str, Environment]]) -> str:
    """Where it lies, or else what ran in it."""
    if used.place:
        name = used.place
    elif used.programs:
        name = f"the environment of {', '.join(used.programs)}"
    else:
        name = "another environment"
    number, numbered = 1, name
    while any(numbered in names for names in taken):
        number += 1
        numbered = f"{name} ({number})"
    return numbered


def sum_of(environment: Environment) -> str:
    """An environment in a few words, where it has no counterpart to be compared with."""
    python = environment.python.version if environment.python else "unknown"
    return f"Python {python}, {plural(len(environment.distributions), 'package')}"
