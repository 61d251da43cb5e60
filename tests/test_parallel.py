# SPDX-License-Identifier: Apache-2.0
"""Work that goes on while something else is waited for."""

from __future__ import annotations

import threading
import time

import pytest

from repropack.parallel import Alongside


def test_both_go_on_at_the_same_time() -> None:
    begun, answered = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        return "done" if answered.wait(10) else "alone"

    with Alongside(work) as working:
        assert begun.wait(10)
        answered.set()
        assert working.result() == "done"


def test_what_it_raises_is_raised_where_the_result_is_asked_for() -> None:
    def work() -> None:
        raise PermissionError("no listing")

    with Alongside(work) as working, pytest.raises(PermissionError, match="no listing"):
        working.result()


def test_it_has_ended_when_the_block_is_left_by_an_error() -> None:
    ended = threading.Event()

    def work() -> None:
        time.sleep(0.05)
        ended.set()

    with pytest.raises(FileNotFoundError), Alongside(work):
        raise FileNotFoundError
    assert ended.is_set()


def test_an_interruption_does_not_wait_for_it() -> None:
    answered, ended = threading.Event(), threading.Event()

    def work() -> None:
        answered.wait(10)
        ended.set()

    with pytest.raises(KeyboardInterrupt), Alongside(work):
        raise KeyboardInterrupt
    assert not ended.is_set()
    answered.set()
