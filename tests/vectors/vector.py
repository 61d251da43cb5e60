# SPDX-License-Identifier: Apache-2.0
"""A vector: a file, what a reader must say about it, and why."""

from __future__ import annotations

import dataclasses
from typing import Final

from tests.vectors.forge import Draft

__all__ = ["STEPS", "Vector", "bad", "good", "kind_of"]

STEPS: Final = (
    "seek table", "attestation", "signature", "statement", "manifest", "members", "signer",
    "records", "code",
)  # fmt: skip
"""In the order of section 7 of the specification: a reader that stops after one of them does not
see what comes later."""

_KINDS: Final = {
    "RPK109": "limit", "RPK406": "limit",
    "RPK202": "version",
    "RPK302": "bad signature", "RPK303": "bad signature", "RPK304": "bad signature",
    "RPK306": "untrusted", "RPK307": "untrusted", "RPK308": "untrusted", "RPK309": "untrusted",
}  # fmt: skip


def kind_of(code: str) -> str:
    """The kind of failure: `OK`, `malformed`, `limit`, `version`, `bad signature`, `untrusted`."""
    return "OK" if code == "OK" else _KINDS.get(code, "malformed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vector:
    """A row of the index.

    Attributes:
        name: What is special about it; bad ones begin with their code.
        draft: How it is made.
        why: One sentence.
        rules: Requirements of the specification that it breaks, or that a good one tests.
        rows: Rows of the hostile corpus that it covers.
        step: The step that finds the defect, of `STEPS`; empty for a good one.
        twin: The good vector that has everything but the defect.
        also: Codes that a reader with another version of git may give instead.
        arguments: Options for the reader: `--signer FINGERPRINT`, `--expect sha256:…`.
    """

    name: str
    draft: Draft
    why: str
    rules: tuple[str, ...]
    rows: tuple[int, ...] = ()
    step: str = ""
    twin: str = ""
    also: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """What a reader must say: `OK` or a code."""
        return self.name[:6] if self.step else "OK"

    @property
    def path(self) -> str:
        """The file, below `v1/`."""
        return f"{'bad' if self.step else 'good'}/{self.name}.rpk"


def good(
    name: str,
    draft: Draft,
    why: str,
    *,
    rules: str = "",
    rows: tuple[int, ...] = (),
    arguments: tuple[str, ...] = (),
) -> Vector:
    """A vector that every reader must accept."""
    return Vector(
        name=name, draft=draft, why=why, rules=tuple(rules.split()), rows=rows, arguments=arguments
    )


def bad(
    name: str,
    draft: Draft,
    why: str,
    *,
    rules: str,
    step: str,
    rows: tuple[int, ...] = (),
    twin: str = "minimal",
    arguments: tuple[str, ...] = (),
) -> Vector:
    """A vector that every reader must refuse, with the code that begins its name."""
    assert step in STEPS, step
    return Vector(
        name=name, draft=draft, why=why, rules=tuple(rules.split()), rows=rows,
        step=step, twin=twin, arguments=arguments,
    )  # fmt: skip
