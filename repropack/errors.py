# SPDX-License-Identifier: Apache-2.0
"""The exceptions of repropack: one root, one class for each exit status.

An exception means that *we* could not do what was asked. What we learn about somebody
else's bundle is a finding (`repropack.findings`), not an exception.
"""

from __future__ import annotations

__all__ = ["CannotDecideError", "RepropackError", "UsageError"]


class RepropackError(Exception):
    """Something could not be done.

    Attributes:
        message: One line: what was found, where, and what was expected.
        advice: What the user can do about it, or an empty string.
        exit_status: With which the program ends.
    """

    exit_status: int = 3

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}; {self.advice}" if self.advice else self.message


class UsageError(RepropackError):
    """The command, its arguments or a file that the user named are wrong (exit status 2)."""

    exit_status = 2


class CannotDecideError(RepropackError):
    """A check could not be carried out, so that nothing can be said (exit status 3)."""

    exit_status = 3
