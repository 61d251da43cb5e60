# SPDX-License-Identifier: Apache-2.0
"""Which parts of a path are new in every run, so that the same metric is found again in another.

Programs name files by time, host and process (`events.out.tfevents.1700000000.host.42.0`,
`outputs/2026-01-02/03-04-05/train.log`), by running numbers (`lightning_logs/version_3`), or by
chance (`mlruns/0/<32 hexadecimal digits>`). A pattern with `*` for such a part is the same for all.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_random", "natural_order", "place_of"]

_DATE: Final = r"(?:19|20)[0-9]{2}[-_.]?[01][0-9][-_.]?[0-3][0-9]"
_CLOCK: Final = r"[0-2][0-9][-_.:h]?[0-5][0-9](?:[-_.:m]?[0-5][0-9](?:[._,][0-9]{1,9})?)?"
_MONTH: Final = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[0-3]?[0-9]"
_RANDOM: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9A-Za-z])"
)
"""What MLflow and `uuid` make."""

_RULES: Final = (
    (re.compile(r"^(events\.out\.tfevents)\..+$"), r"\1.*"),
    # What PyTorch's SummaryWriter calls a run: the time and the host.
    (re.compile(rf"^{_MONTH}_[0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}}_.+$"), "*"),
    # Weights & Biases: the time and eight letters of chance.
    (re.compile(r"^((?:offline-)?run)-[0-9]{8}_[0-9]{6}-[0-9a-z]{8}$"), r"\1-*"),
    (re.compile(rf"(?<![0-9]){_DATE}(?:[-_T ]+{_CLOCK})?(?![0-9])"), "*"),
    (re.compile(r"^[0-2][0-9]-[0-5][0-9]-[0-5][0-9](?![0-9])"), "*"),
    (re.compile(r"(?<![0-9])1[0-9]{9}(?:\.[0-9]+)?(?![0-9])"), "*"),
    (_RANDOM, "*"),
    (re.compile(r"^(version|run|exp|experiment|trial)([_-]?)[0-9]+$"), r"\1\2*"),
    (re.compile(r"^[0-9]+$"), "*"),
)


def place_of(path: str) -> str:
    """A recorded path with `*` for what is new in each run; the path itself if nothing is."""
    first, *rest = path.split("/")
    return "/".join((first, *(_pattern(part) for part in rest)))


def is_random(path: str) -> bool:
    """Whether a part was drawn by chance, so that the order of several says nothing."""
    return _RANDOM.search(path) is not None


def natural_order(path: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts `version_9` before `version_10`."""
    return tuple(
        (int(piece), "") if piece.isascii() and piece.isdigit() else (-1, piece)
        for piece in re.split(r"([0-9]{1,18})", path)
    )


def _pattern(part: str) -> str:
    for rule, replacement in _RULES:
        part = rule.sub(replacement, part)
    return part
