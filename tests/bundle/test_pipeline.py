# SPDX-License-Identifier: Apache-2.0
"""Order, bounds and failures of work that many threads do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.bundle.pipeline import MAX_WAITING, Turns, in_order

FAILS = st.sets(st.integers(0, 30), max_size=4)


@settings(max_examples=60, deadline=None)
@given(before=FAILS, within=FAILS, after=FAILS, workers=st.integers(1, 5))
def test_turns_come_in_order_and_the_first_failure_is_raised(
    before: set[int], within: set[int], after: set[int], workers: int
) -> None:
    turns = Turns()
    taken: list[int] = []

    def work(number: int) -> int:
        with turns.job(number):
            if number % 3 == 0:
                time.sleep(0.0002)  # lets later jobs come first
            if number in before:
                raise ValueError(number)
            with turns.turn(number):
                if number in within:
                    raise ValueError(number)
                taken.append(number)
            if number in after:
                raise ValueError(number)
            return number

    results: list[int] = []
    first = min(before | within | after, default=None)
    failed = None
    try:
        with closing(in_order(range(31), work, workers=workers)) as done:
            results.extend(done)
    except ValueError as error:
        (failed,) = error.args
    assert failed == first
    assert results == list(range(31 if first is None else first))
    assert taken == list(range(len(taken)))


def test_jobs_in_flight_are_bounded() -> None:
    asked = 0

    def jobs() -> Iterator[int]:
        nonlocal asked
        for number in range(100):
            asked += 1
            yield number

    with closing(in_order(jobs(), lambda number: number, workers=3)) as done:
        for used, _ in enumerate(done):
            assert asked - used <= 3 + MAX_WAITING


@pytest.mark.parametrize("stop", range(20))
def test_a_generator_that_is_closed_early_leaves_no_thread(stop: int) -> None:
    turns = Turns()

    def work(number: int) -> int:
        with turns.job(number), turns.turn(number):
            return number

    before = threading.active_count()
    with closing(in_order(range(1000), work, workers=4)) as done:
        for number in done:
            if number == stop:
                break
    assert threading.active_count() == before


def test_a_failing_source_of_jobs_is_raised() -> None:
    def jobs() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError), closing(in_order(jobs(), str, workers=2)) as done:
        assert list(done) == []
