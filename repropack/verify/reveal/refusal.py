# SPDX-License-Identifier: Apache-2.0
"""How a check of a reveal ends that proves nothing."""

from __future__ import annotations

from repropack.errors import RepropackError

__all__ = ["RevealRefusedError"]


class RevealRefusedError(RepropackError):
    """A statement does not prove what it says: the answer of a check, not a failure of ours."""

    exit_status = 1
