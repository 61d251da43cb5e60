# SPDX-License-Identifier: Apache-2.0
"""Tolerances as authors write them in `repropack.yaml`."""

from __future__ import annotations

from pathlib import Path

import pytest

from repropack.errors import UsageError
from repropack.model import Equivalent, Interval, Side, Tolerance
from repropack.project_file import read_project_file

SEEDS = (0.91, 0.92, 0.915)


def declared(place: Path, text: str) -> Tolerance:
    (place / "repropack.yaml").write_text(
        f"claims:\n  - metric: accuracy\n    retrain_new_seed: {text}\n"
    )
    (claim,) = read_project_file(place).claims or ()
    assert claim.retrain_new_seed is not None
    return claim.retrain_new_seed.tolerance(SEEDS)


@pytest.mark.parametrize(
    ("text", "tolerance"),
    [
        ("{interval: {}}", Interval(values=SEEDS)),
        (
            "{interval: {side: lower, confidence: 0.9}}",
            Interval(values=SEEDS, side=Side.LOWER, confidence=0.9),
        ),
        ("{equivalent: 0.01}", Equivalent(values=SEEDS, margin=0.01)),
        (
            "{equivalent: {margin: 0.01, side: upper}}",
            Equivalent(values=SEEDS, margin=0.01, side=Side.UPPER),
        ),
    ],
)
def test_tolerances_of_seeds(tmp_path: Path, text: str, tolerance: Tolerance) -> None:
    assert declared(tmp_path, text) == tolerance


@pytest.mark.parametrize(
    "text",
    [
        "{interval: {side: left}}",
        "{interval: {confidence: 95}}",
        "{interval: {floor: -1}}",
        "{interval: {max_half_width: 0}}",
        "{equivalent: {side: lower}}",
        "{equivalent: {margin: -1}}",
        "{equivalent: .nan}",
        "{interval: {}, equivalent: 1}",
    ],
)
def test_impossible_tolerances_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"repropack\.yaml"):
        declared(tmp_path, text)
