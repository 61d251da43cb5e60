# SPDX-License-Identifier: Apache-2.0
"""Work that many threads do and one thread gets in order, with a bounded number of jobs in flight.

zstandard and hashlib let other threads run while they work, so threads use all processors.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["AbandonedError", "Buffers", "Turns", "in_order", "worker_count"]

MAX_WORKERS: Final = 8
"""Threads: the digest of a member runs on one more, and is the bound beyond about four."""

MAX_WAITING: Final = 4
"""Jobs in flight beyond one a thread, so that no thread waits while results are used."""

J = TypeVar("J")
R = TypeVar("R")


class Buffers:
    """Buffers of one size that are used again: new memory costs the kernel as much as decoding."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: deque[bytearray] = deque()  # its append and pop are atomic

    def take(self) -> bytearray:
        """A buffer with any content."""
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(self._size)

    def give(self, buffer: bytearray) -> None:
        """Takes back a buffer that nobody reads any more."""
        self._free.append(buffer)


class AbandonedError(Exception):
    """An earlier job failed. Its own exception is what `in_order` raises."""


class Turns:
    """Lets the jobs of `in_order` do one part of their work one after another, in their order.

    So a digest that has to be taken in sequence is taken by whichever thread has the bytes in its
    processor's cache, while other threads do what needs no sequence.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = 0
        self._failed = sys.maxsize

    @contextlib.contextmanager
    def job(self, number: int) -> Iterator[None]:
        """Everything that a job does, with one `turn` in it. Later jobs learn if it fails."""
        try:
            yield
        except BaseException:
            with self._changed:
                self._failed = min(self._failed, number)
                self._changed.notify_all()
            raise

    @contextlib.contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """The part that waits for the same part of all earlier jobs.

        Args:
            number: The number of the job; each from 0 on has exactly one turn.

        Raises:
            AbandonedError: An earlier job failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._next == number or self._failed < number)
            if self._next != number:
                raise AbandonedError
        yield
        with self._changed:
            self._next = number + 1
            self._changed.notify_all()


def worker_count(asked: int | None) -> int:
    """The number of threads: what was asked for, else one a usable processor, within bounds."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(asked or usable or 1, MAX_WORKERS))


def in_order(
    jobs: Iterable[J], work: Callable[[J], R], *, workers: int
) -> Generator[R, None, None]:
    """Yields `work(job)` for each job, in the order of the jobs.

    Jobs are taken from the iterable in the calling thread, at most `workers + MAX_WAITING` before
    the first unused result: this bounds the memory. Whoever may stop early closes the generator,
    which waits for the threads.

    Raises:
        Exception: What `work` raised, when its turn comes.
    """
    flying: deque[Future[R]] = deque()
    # Closed early or failed, the pool finishes what is in flight. Cancelling could take away a job
    # for whose turn (`Turns`) a later one waits already.
    with ThreadPoolExecutor(workers, thread_name_prefix="bundle") as pool:
        for job in jobs:
            flying.append(pool.submit(work, job))
            if len(flying) == workers + MAX_WAITING:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
