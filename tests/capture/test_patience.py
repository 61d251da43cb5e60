# SPDX-License-Identifier: Apache-2.0
"""What takes long is said, what goes fast is not."""

from __future__ import annotations

import threading

import pytest

from repropack.capture import patience
from repropack.capture.patience import Patience


def test_it_is_said_once_it_takes_long_and_again_with_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "FIRST", 0.01)
    monkeypatch.setattr(patience, "AGAIN", 0.01)
    said: list[str] = []
    spoken = [threading.Event(), threading.Event()]

    def tell(text: str) -> None:
        said.append(text)
        for event in spoken[: len(said)]:
            event.set()

    before = threading.active_count()
    with Patience(tell, "hashing inputs", 200) as waiting:
        assert spoken[0].wait(10)
        waiting.advance(50)
        said.clear()
        spoken[1].clear()
        assert spoken[1].wait(10)
    # A command is started by a fork next.
    assert threading.active_count() == before
    assert said[-1] == "hashing inputs … 25 %"


def test_what_goes_fast_is_not_said() -> None:
    said: list[str] = []
    with Patience(said.append, "looking"):
        pass
    assert said == []
