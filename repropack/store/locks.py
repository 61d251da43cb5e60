# SPDX-License-Identifier: Apache-2.0
"""Who is at work in a store: recorders, exports, or a removal."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from repropack.errors import RepropackError

__all__ = ["GC_PATIENCE", "GC_POLL", "alone", "is_marked", "mark", "share"]


GC_PATIENCE: Final = 60.0
"""Seconds that a recorder waits for a removal: unlinking 100,000 files takes a few."""


GC_POLL: Final = 0.05
"""Seconds between two looks."""


def share(store: Path, *, make: bool = True) -> None:
    """Keeps a removal away from a store until this process ends.

    Args:
        store: Its directory.
        make: Whether the lock is made where nobody has needed one yet.

    Raises:
        RepropackError: One is at work, and does not end within a minute.
        OSError: The store cannot be written.
    """
    try:
        descriptor = _open_lock(store, make=make)
    except FileNotFoundError:
        if make:
            raise
        return
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES):
            # What we may not write, nobody of us removes.
            return
        raise
    waited = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if waited > GC_PATIENCE:
                os.close(descriptor)
                raise RepropackError(
                    f"{store}: `repropack gc` is at work", advice="try again later"
                ) from None
            time.sleep(GC_POLL)
            waited += GC_POLL
        except OSError:
            # A file system without locks: there, gc removes nothing.
            return
        else:
            return


@contextlib.contextmanager
def alone(store: Path) -> Iterator[bool]:
    """Keeps recorders and exports away while the block lasts.

    Yields:
        False where somebody is at work, so that the store is not ours.

    Raises:
        RepropackError: The file system has no locks to tell by.
        OSError: The store cannot be written.
    """
    descriptor = _open_lock(store)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = False
        except OSError as error:
            raise RepropackError(
                f"{store}: the file system has no locks, so that nobody can tell "
                f"whether a run goes on ({error.strerror}); nothing was removed",
                advice="move the project to a local disk for this",
            ) from error
        else:
            held = True
        yield held
    finally:
        os.close(descriptor)


def _open_lock(store: Path, *, make: bool = True) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_RDWR | os.O_CREAT if make else os.O_RDONLY)
    return os.open(store / "lock", flags, 0o644)


def mark(run: Path) -> bool:
    """Marks a run as going on, until this process ends, however it ends.

    Returns:
        False where another process has marked it.

    Raises:
        OSError: Its directory cannot be opened.
    """
    descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError:
        # A file system without locks: nobody can tell, and no run looks as if it went on.
        return True
    return True


def is_marked(directory: Path) -> bool:
    """Whether a run goes on, by its mark. False where the file system has no locks."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(descriptor)
