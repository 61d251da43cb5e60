# SPDX-License-Identifier: Apache-2.0
"""A file behind an address, read by range requests (specification section 14).

The server is nobody's friend: whatever it says about size and place is compared, and what it sends
is believed no more than a local file is. A server that cannot send parts gives all of it once, into
a private file.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from repropack.address import Address, proxies_of
from repropack.bundle.sources import Access, Location, Source
from repropack.bundle.sources.file import FileSource
from repropack.bundle.sources.private_copy import PrivateCopy
from repropack.bundle.sources.read_ahead import ReadAhead
from repropack.bundle.sources.volumes import (
    MAX_VOLUMES,
    VolumesSource,
    check_sizes,
    volume_name,
    volume_number,
)
from repropack.errors import RepropackError, UsageError
from repropack.escaping import show
from repropack.findings import Code, DefectError
from repropack.http import Answer, Client, HttpError, retry_after

__all__ = ["RangeSource", "open_source"]

HEAD: Final = 512
"""Bytes of the first request: it asks for the size, and whether this is a bundle at all."""

TAIL: Final = 64 * 1024
"""Bytes of the second: the seek table of 30 GiB and most attestations fit into it."""

STEP: Final = 256 * 1024
"""Bytes after which a broken transfer is taken up again."""

MAX_UNSTATED: Final = 64 * 2**30
"""Bytes of a whole download whose size the server does not state."""

_ABSENT: Final = (403, 404, 410)
"""Some stores say 403 for what does not exist, so that nobody can ask what does."""

_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.ASCII)

T = TypeVar("T")


class RangeSource(Source):
    """A file on a server that sends parts.

    Args:
        client: Makes the requests; `close` closes it.
        address: The address that the user typed.
        size: Bytes of the file.
        first: The first answer, of which the validators are kept; None to take them from the next.
        head: The first bytes of the file, as far as they are known.
        volume: The name of the volume that the file must be, if it was not asked for yet.
        tail: How many bytes at the end are fetched at once, when the first of them is needed.
    """

    def __init__(
        self,
        client: Client,
        address: Address,
        size: int,
        *,
        first: Answer | None = None,
        head: bytes = b"",
        tail: int = 0,
        volume: str | None = None,
    ) -> None:
        self._client = client
        self._address = address
        self._final = address if first is None else first.address
        self._validators = None if first is None else _validators(first)
        self._head = head
        self._volume = volume
        self._tail_at = max(size - tail, 0)
        self._tail: bytes | None = None
        self._lock = threading.Lock()
        self.size = size

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fills a buffer from an offset; see `Source`."""
        end = offset + len(view)
        if end <= len(self._head):
            view[:] = self._head[offset:end]
            return
        if end > self._tail_at:
            tail = self._load_tail()
            at = max(offset, self._tail_at)
            view[at - offset :] = tail[at - self._tail_at : end - self._tail_at]
            view = view[: at - offset]
        self._fetch(view, offset)

    def close(self) -> None:
        """Ends all connections."""
        self._client.close()

    def _load_tail(self) -> bytes:
        with self._lock:
            if self._tail is None:
                data = bytearray(self.size - self._tail_at)
                self._fetch(memoryview(data), self._tail_at)
                self._tail = bytes(data)
            return self._tail

    def _fetch(self, view: memoryview, offset: int) -> None:
        done = 0

        def attempt() -> None:
            nonlocal done
            if done == len(view):
                return
            with self._ask(offset + done, len(view) - done) as answer:
                while done < len(view):
                    count = answer.read_into(view[done : done + STEP])
                    if not count:
                        raise HttpError(
                            f"{self._address}: the answer ended too early", transient=True
                        )
                    done += count

        _repeat(self._client, attempt)

    def _ask(self, offset: int, length: int) -> Answer:
        """The answer with exactly these bytes."""
        fields = {"Range": f"bytes={offset}-{offset + length - 1}"}
        etag = self._validators[0] if self._validators else None
        if etag is not None and etag.startswith('"'):
            fields["If-Range"] = etag
        start = self._final
        answer = self._client.get(self._address, fields, start=start)
        if answer.status in (401, *_ABSENT) and start != self._address:
            # What a redirect named may hold a signature that has expired.
            with answer:
                pass
            answer = self._client.get(self._address, fields)
        try:
            self._check(answer, offset, length)
        except BaseException as error:
            answer.__exit__(type(error), error, None)
            raise
        self._final = answer.address
        return answer

    def _check(self, answer: Answer, offset: int, length: int) -> None:
        if self._volume is not None and answer.status in _ABSENT:
            raise DefectError(
                Code.VOLUMES,
                self._volume,
                found=f"status {answer.status} from the server",
                expected=f"a file of {self.size} bytes",
            )
        if answer.status in (200, 416):
            raise _changed(self._address)
        size = _size_stated(self._address, answer, offset, length)
        if size != self.size and self._volume is not None and self._validators is None:
            raise DefectError(
                Code.VOLUMES,
                self._volume,
                found=f"{size} bytes",
                expected=f"{self.size} bytes, as the first has",
            )
        if size != self.size:
            raise _changed(self._address)
        if self._validators is None:
            self._validators = _validators(answer)
        elif any(
            before is not None and now is not None and before != now
            for before, now in zip(self._validators, _validators(answer), strict=True)
        ):
            raise _changed(self._address)


def open_source(location: Location, access: Access) -> Source | None:
    """Opens an address that the user typed; None for a path.

    The address may be that of the first of several volumes.

    Raises:
        UsageError: There is no such file, or the address is that of a later volume.
        DefectError: The file is empty, or volumes have sizes that cannot be.
        RepropackError: It cannot be reached, or the server answers what it must not.
    """
    if isinstance(location, Path):
        return None
    numbered = volume_number(location.name)
    if numbered is not None and numbered[1] != 1:
        raise UsageError(
            f"{location} is not the first volume", advice=f"name {volume_name(numbered[0], 1)}"
        )
    client = access.client or Client(proxies_of(access.variables))
    try:
        opened: Source = _repeat(client, lambda: _open(client, location, access))
        if isinstance(opened, FileSource):
            client.close()
            return opened
        if numbered is not None:
            opened = _open_volumes(client, location, opened.size, numbered[0])
        ahead = ReadAhead(opened)
        return PrivateCopy(ahead, access.temporary()) if access.keep else ahead
    except OSError as error:
        client.close()
        raise RepropackError(
            f"{location}: no private file for it: {error.strerror or error}"
        ) from error
    except BaseException:
        client.close()
        raise


def _open(client: Client, address: Address, access: Access) -> Source:
    with client.get(address, {"Range": f"bytes=0-{HEAD - 1}"}) as answer:
        if answer.status == 416:
            raise DefectError(Code.NOT_RPK, str(address), found="no bytes")
        if answer.status == 200:
            if volume_number(address.name) is not None:
                raise HttpError(
                    f"{address}: the server cannot send parts of files",
                    advice="download the volumes and name the first of them",
                )
            return _download(address, answer, access)
        size = _size_stated(address, answer, 0, HEAD)
        head = bytearray(min(size, HEAD))
        view = memoryview(head)
        while view:
            count = answer.read_into(view)
            if not count:
                raise HttpError(f"{address}: the answer ended too early", transient=True)
            view = view[count:]
        return RangeSource(client, address, size, first=answer, head=bytes(head), tail=TAIL)


def _open_volumes(client: Client, first: Address, each: int, name: str) -> Source:
    """Finds the last volume by asking for some, and takes those between for granted until read."""
    folder = first.path.rpartition("/")[0]
    stem = first.path.rpartition("/")[2][: -len(".001")]
    sizes = {1: each}

    def address(number: int) -> Address:
        return first.with_path(f"{folder}/{volume_name(stem, number)}")

    def exists(number: int) -> bool:
        size = _repeat(client, lambda: _size_of(client, address(number)))
        if size is not None:
            sizes[number] = size
        return size is not None

    last, absent = 1, 2
    while absent <= MAX_VOLUMES and exists(absent):
        last, absent = absent, absent * 2
    absent = min(absent, MAX_VOLUMES + 1)
    while absent - last > 1:
        middle = (last + absent) // 2
        if exists(middle):
            last = middle
        else:
            absent = middle
    names = [volume_name(name, number) for number in range(1, last + 1)]
    all_sizes = [sizes.get(number, each) for number in range(1, last + 1)]
    check_sizes(names, all_sizes)
    parts = [
        RangeSource(
            client,
            address(number),
            size,
            tail=TAIL if number == last else 0,
            volume=names[number - 1],
        )
        for number, size in enumerate(all_sizes, 1)
    ]
    return VolumesSource(parts, names)


def _size_of(client: Client, address: Address) -> int | None:
    """The size of a file, or None if there is none."""
    with client.get(address, {"Range": "bytes=0-0"}) as answer:
        if answer.status in _ABSENT:
            return None
        if answer.status == 416:
            return 0
        return _size_stated(address, answer, 0, 1)


def _download(address: Address, answer: Answer, access: Access) -> FileSource:
    """Takes a whole file from a server that cannot send parts, into a private file.

    Raises:
        HttpError: The transfer failed, or there is no room.
        OSError: The private file cannot be written.
    """
    _refuse_encoding(address, answer)
    size = answer.length
    access.tell(f"{address}: the server cannot send parts; downloading all of it")
    with access.temporary() as file:
        room = os.fstatvfs(file.fileno())
        limit = min(MAX_UNSTATED if size is None else size, room.f_bavail * room.f_frsize)
        if size is not None and size > limit:
            raise HttpError(f"{address}: there is no room for {size} bytes")
        view = memoryview(bytearray(STEP))
        done = 0
        while count := answer.read_into(view):
            done += count
            if done > limit:
                raise HttpError(f"{address}: the server sends more than {limit} bytes")
            file.write(view[:count])
            access.advance(done, size or done)
        if size is not None and done != size:
            raise HttpError(f"{address}: the answer ended too early", transient=True)
        file.flush()
        return FileSource(os.dup(file.fileno()), done)


def _repeat(client: Client, attempt: Callable[[], T]) -> T:
    """Does something again if it failed for a passing reason, a few times and ever later.

    Raises:
        HttpError: The last failure.
    """
    limits = client.limits
    for number in range(1, limits.attempts + 1):
        try:
            return attempt()
        except HttpError as error:
            if not error.transient or number == limits.attempts:
                raise
            wait = error.wait if error.wait is not None else limits.pause * 2 ** (number - 1)
            if wait > limits.longest_wait:
                raise HttpError(
                    f"{error.message}; the server asks to wait {wait:.0f} seconds",
                    advice="try again later",
                ) from error
            client.pause(wait)
    raise AssertionError("there is at least one attempt")


def _size_stated(address: Address, answer: Answer, offset: int, length: int) -> int:
    """The size of the file, from an answer that has the asked-for part of it.

    Raises:
        HttpError: It is another answer.
        UsageError: There is no such file.
    """
    if answer.status != 206:
        raise _refusal(address, answer)
    _refuse_encoding(address, answer)
    stated = answer.header("content-range") or ""
    match = _CONTENT_RANGE.fullmatch(stated.strip())
    if match is None:
        raise HttpError(
            f"{address}: the server does not say which part it sent: {show(stated, limit=100)!r}"
        )
    first, last, size = (int(number) for number in match.groups())
    expected = min(offset + length, size) - 1
    if (first, last) != (offset, expected):
        raise HttpError(
            f"{address}: the server sent bytes {first}-{last} of {size} "
            f"instead of {offset}-{offset + length - 1}"
        )
    if answer.length not in (None, last - first + 1):
        raise HttpError(
            f"{address}: the server announced {answer.length} bytes for a part "
            f"of {last - first + 1}"
        )
    return size


def _refuse_encoding(address: Address, answer: Answer) -> None:
    encoding = (answer.header("content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise HttpError(
            f"{address}: the server sends it compressed on the way ({show(encoding, limit=40)}), "
            "though it was asked not to"
        )


def _refusal(address: Address, answer: Answer) -> RepropackError:
    status = answer.status
    if status in (404, 410):
        return UsageError(f"{address}: the server has no such file (status {status})")
    if status in (401, 403, 407):
        return HttpError(
            f"{address}: the server refuses to send it (status {status})",
            advice="does the address need a password or a token?",
        )
    transient = status in (408, 425, 429, 500, 502, 503, 504)
    return HttpError(
        f"{address}: the server answers with status {status}",
        transient=transient,
        wait=retry_after(answer, time.time()) if transient else None,
    )


def _changed(address: Address) -> HttpError:
    return HttpError(f"{address}: the file changed while it was read", advice="start again")


def _validators(answer: Answer) -> tuple[str | None, str | None]:
    return answer.header("etag"), answer.header("last-modified")
