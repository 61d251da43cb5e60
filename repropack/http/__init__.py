# SPDX-License-Identifier: Apache-2.0
"""The one door for sockets: HTTP, under the rules for addresses that strangers may choose.

What a user typed may be `http` and may be a machine beside her. What a redirect or a bundle names
must be `https` and public: the name is resolved once, every address it has is checked, and the
connection goes to one that was checked, so that a name server cannot change its mind in between.
Servers are not trusted: everything has a deadline or a bound.

Requests and urllib3 resolve names themselves and follow redirects, `~/.netrc` and proxies on their
own; `http.client` reads answers from whatever it is given, which here is a socket of ours
(`repropack.http.wire`).
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import msgspec
from msgspec import Struct

from repropack import __version__
from repropack.address import Address, Proxies, is_public, parse_address
from repropack.errors import UsageError
from repropack.http.failure import HttpError, broken
from repropack.http.wire import (
    Place,
    Wire,
    basic,
    open_socket,
    system_resolver,
    trust_store,
    tunnel,
)

if TYPE_CHECKING:
    import ssl

__all__ = [
    "Answer",
    "Client",
    "HttpError",
    "Limits",
    "Resolve",
    "retry_after",
]

_OVERHEAD: Final = 16
"""Bytes that may come for each byte of a body: a chunk of one byte takes six."""
_BUFFERED: Final = 1024 * 1024
"""Bytes that may come besides: what is read ahead, and trailers."""

Resolve: TypeAlias = Callable[[str, int], list[Place]]
"""From a host and a port to where it may be reached."""


class Limits(Struct, frozen=True, kw_only=True):
    """How long and how often.

    Attributes:
        connect: Seconds until a connection stands, TLS included.
        answer: Seconds until all headers of an answer are there.
        stall: Seconds in which a body must bring `stall_bytes`, or its end.
        stall_bytes: Less is a server that drips: a modem was faster.
        redirects: Redirects of one request.
        attempts: Times that a request is made which fails for a passing reason.
        pause: Seconds before the second of them; doubled before each further one.
        longest_wait: Seconds that a server may ask us to wait.
    """

    connect: float = 20
    answer: float = 30
    stall: float = 30
    stall_bytes: int = 64 * 1024
    redirects: int = 5
    attempts: int = 4
    pause: float = 0.5
    longest_wait: float = 60


class Answer:
    """An answer whose headers are here and whose body is still to be read. A context manager.

    Attributes:
        address: Where it came from, after redirects.
        status: The HTTP status.
        length: Bytes of the body, or None if the server does not say.
    """

    def __init__(
        self,
        address: Address,
        response: http.client.HTTPResponse,
        wire: Wire,
        done: Callable[[bool], None],
    ) -> None:
        self._wire = wire
        self._response = response
        self._done = done
        self.address = address
        self.status = response.status
        self.length = response.length

    def header(self, name: str) -> str | None:
        """A header field, or None."""
        return self._response.headers.get(name)

    def read_into(self, view: memoryview) -> int:
        """Reads some of the body; 0 at its end.

        Raises:
            HttpError: The connection broke, the body is malformed, the server drips, or it sends
                much more around the body than the body has.
        """
        self._wire.allow_bytes(_OVERHEAD * len(view) + _BUFFERED)
        try:
            return self._response.readinto(view)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise broken(self.address, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        whole = self._response.isclosed() or self._response.length == 0
        self._response.close()
        self._done(kind is None and whole and not self._response.will_close)


class Client:
    """Makes requests, from any thread.

    Args:
        proxies: The proxies that the user configured.
        limits: How long and how often; also an attribute.
        resolve: What resolves names; None for the system's resolver, which has its own time-out.
    """

    def __init__(
        self,
        proxies: Proxies,
        limits: Limits | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._proxies = proxies
        self.limits = limits or Limits()
        self._resolve = resolve or system_resolver
        self._lock = threading.Lock()
        self._idle: dict[tuple[object, ...], list[Wire]] = {}
        self._live: set[Wire] = set()
        self._resolved: dict[tuple[str, int], list[Place]] = {}
        self._context: ssl.SSLContext | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """Ends all connections, also those on which another thread waits."""
        with self._lock:
            self._closed.set()
            idle = [wire for wires in self._idle.values() for wire in wires]
            self._idle.clear()
            used = self._live.difference(idle)
        for wire in used:
            wire.interrupt()  # the thread that uses it closes it
        for wire in idle:
            self._drop(wire)

    def pause(self, seconds: float) -> None:
        """Waits before another attempt.

        Raises:
            HttpError: The client was closed meanwhile.
        """
        if self._closed.wait(seconds):
            raise HttpError("the transfer was given up")

    def get(
        self, typed: Address, headers: Mapping[str, str], *, start: Address | None = None
    ) -> Answer:
        """Sends a GET request and follows redirects.

        Args:
            typed: The address that the user typed. It may be `http` and it may be local, and so may
                be what a redirect of that very server leads to.
            headers: Header fields to send.
            start: Where an earlier request for `typed` ended; None to begin at `typed`.

        Returns:
            The last answer, whatever its status; the caller closes it.

        Raises:
            HttpError: The server cannot be reached, does not speak HTTP, or redirects too often or
                to where it must not.
        """
        current = start or typed
        for _ in range(self.limits.redirects + 1):
            answer = self._request(current, headers, trusted=current.origin == typed.origin)
            location = answer.header("location")
            if answer.status not in (301, 302, 303, 307, 308) or location is None:
                return answer
            with answer:
                current = _redirected(current, location, typed)
        raise HttpError(f"{typed}: it redirects more than {self.limits.redirects} times")

    def post(self, typed: Address, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends a POST request, once, and follows no redirect.

        Args:
            typed: The address that the user typed.
            headers: Header fields to send.
            body: What to send.

        Returns:
            The answer, whatever its status; the caller closes it.

        Raises:
            HttpError: The server cannot be reached or does not speak HTTP.
        """
        wire = self._connect(typed, trusted=True)
        fields = {**headers, "Content-Length": str(len(body))}
        return self._ask(wire, typed, fields, trusted=True, method="POST", body=body)

    def _request(self, address: Address, headers: Mapping[str, str], *, trusted: bool) -> Answer:
        idle = self._take(address, trusted=trusted)
        if idle is not None:
            # The server may have ended a connection that was not used for a while.
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self._send(idle, address, headers, trusted=trusted)
            self._drop(idle)
        return self._ask(self._connect(address, trusted=trusted), address, headers, trusted=trusted)

    def _ask(
        self,
        wire: Wire,
        address: Address,
        headers: Mapping[str, str],
        *,
        trusted: bool,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Sends a request on a new connection, which is dropped if that fails."""
        try:
            return self._send(wire, address, headers, trusted=trusted, method=method, body=body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop(wire)
            raise broken(address, error) from error
        except BaseException:
            self._drop(wire)
            raise

    def _send(
        self,
        wire: Wire,
        address: Address,
        headers: Mapping[str, str],
        *,
        trusted: bool,
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        proxy = self._proxies.of(address)
        target = address.target
        fields = {
            "Host": address.authority,
            "User-Agent": f"repropack/{__version__}",
            "Accept": "*/*",
            # What is compressed on the way has other offsets.
            "Accept-Encoding": "identity",
            **headers,
        }
        if address.credentials is not None and trusted:
            fields["Authorization"] = basic(address.credentials)
        if proxy is not None and address.scheme == "http":
            target = f"http://{address.authority}{target}"
            if proxy.credentials is not None:
                fields["Proxy-Authorization"] = basic(proxy.credentials)
        wire.allow(self.limits.answer)
        response = wire.ask(method, target, fields, body)
        wire.allow_body(self.limits.stall, self.limits.stall_bytes)

        def done(reuse: bool) -> None:
            if not reuse or not self._give(wire, address, trusted=trusted):
                self._drop(wire)

        return Answer(address, response, wire, done)

    # ------------------------------------------------------------ connections

    def _take(self, address: Address, *, trusted: bool) -> Wire | None:
        with self._lock:
            idle = self._idle.get((address.origin, trusted))
            return idle.pop() if idle else None

    def _give(self, wire: Wire, address: Address, *, trusted: bool) -> bool:
        with self._lock:
            if self._closed.is_set():
                return False
            self._idle.setdefault((address.origin, trusted), []).append(wire)
            return True

    def _drop(self, wire: Wire) -> None:
        with self._lock:
            self._live.discard(wire)
        wire.close_socket()

    def _connect(self, address: Address, *, trusted: bool) -> Wire:
        deadline = time.monotonic() + self.limits.connect
        proxy = self._proxies.of(address)
        checked = None if trusted else self._public_places(address, proxy)
        first = proxy or address
        wire = Wire(
            open_socket(first, checked if checked and not proxy else self._places(first), deadline)
        )
        with self._lock:
            closed = self._closed.is_set()
            self._live.add(wire)
        try:
            if closed:
                raise HttpError(f"{address}: the transfer was given up")
            wire.allow(max(deadline - time.monotonic(), 0))
            if address.scheme == "https":
                if proxy is not None:
                    # What was checked is what the proxy is asked for.
                    host = checked[0][1][0] if checked else address.host
                    tunnel(wire, proxy, str(host), address.port)
                wire.secure(self._tls(), address.host)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop(wire)
            raise broken(address, error) from error
        except BaseException:
            self._drop(wire)
            raise
        return wire

    def _places(self, address: Address) -> list[Place]:
        """Where a host is reached: resolved once for the life of the client."""
        key = (address.host, address.port)
        places = self._resolved.get(key)
        if places is None:
            try:
                places = self._resolve(address.host, address.port)
            except (OSError, UnicodeError) as error:
                said = getattr(error, "strerror", None) or error
                raise HttpError(
                    f"{address}: the name {address.host} cannot be resolved: {said}",
                    advice="is the address right, and is there a network?",
                ) from error
            self._resolved[key] = places
        return places

    def _public_places(self, address: Address, proxy: Address | None) -> list[Place]:
        """Where a host is reached that somebody else named: nowhere but in public."""
        try:
            places = self._places(address)
        except HttpError as error:
            if proxy is None:
                raise
            raise HttpError(
                f"{error.message}, so that a redirect to it cannot be checked",
                advice="type the address that it leads to",
            ) from error
        for _, where in places:
            if not is_public(str(where[0])):
                raise HttpError(
                    f"a redirect leads to {address}, which is at {where[0]}: not a public address",
                    advice="type that address yourself if you mean it",
                )
        return places

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = trust_store()
            return self._context


def retry_after(answer: Answer, now: float) -> float | None:
    """Seconds that a server asks to wait (RFC 9110, section 10.2.3), or None.

    Args:
        answer: Its answer.
        now: Seconds since 1970.
    """
    text = answer.header("retry-after") or ""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - now, 0)
    except (ValueError, OverflowError):
        return None


def _redirected(current: Address, location: str, typed: Address) -> Address:
    """Where a redirect leads, if it may.

    Raises:
        HttpError: It may not.
    """
    try:
        text = location.encode("latin-1").decode("utf-8", "replace")
        base = f"{current.scheme}://{current.authority}{current.target}"
        address = parse_address(urllib.parse.urljoin(base, text))
    except (UsageError, ValueError) as error:
        said = error.message if isinstance(error, UsageError) else str(error)
        raise HttpError(f"{current}: it redirects to what is no address: {said}") from error
    if address.credentials is not None:
        raise HttpError(f"{current}: it redirects to an address with a password: {address}")
    if address.origin == typed.origin:
        return msgspec.structs.replace(address, credentials=typed.credentials)
    if address.scheme != "https":
        raise HttpError(
            f"{current}: it redirects to {address}, which is not https",
            advice="type that address yourself if you mean it",
        )
    return address
