# SPDX-License-Identifier: Apache-2.0
"""One connection: to whom, in what time, and how many bytes may come.

Where a connection may lead is decided by `repropack.http`; here it is made and kept within bounds.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import os
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, cast

from repropack.address import Address
from repropack.http.failure import HttpError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "Place",
    "Wire",
    "basic",
    "open_socket",
    "system_resolver",
    "trust_store",
    "tunnel",
]

_TRIED: Final = 4
"""Addresses of a host that are tried."""
_STORES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep their certificate authorities, if the OpenSSL of this Python knows no place:
that of a Python which was built elsewhere."""
Place: TypeAlias = tuple[int, Any]
"""A family of addresses, and a socket address in it."""


class Wire:
    """A connection with deadlines. `http.client` takes it for a socket."""

    def __init__(self, raw: socket.socket) -> None:
        self._socket = raw
        self._deadline = 0.0
        self._stall = 0.0
        self._due = 0
        self._came = 0
        self._room: int | None = None

    def allow(self, seconds: float) -> None:
        """Sets the time in which everything that follows must be done."""
        self._deadline = time.monotonic() + seconds
        self._due = 0
        self._room = None

    def allow_body(self, seconds: float, count: int) -> None:
        """From now on, `count` bytes must come in each such time."""
        self.allow(seconds)
        self._stall, self._due, self._came = seconds, count, 0

    def allow_bytes(self, count: int) -> None:
        """How much may come for the next piece of a body: a chunk's extensions have no end."""
        self._room = count

    def receive(self, buffer: WriteableBuffer) -> int:
        """Bytes from the other side; 0 at its end."""
        now = time.monotonic()
        if now >= self._deadline and self._due and self._came >= self._due:
            self._deadline, self._came = now + self._stall, 0
        self._limit_call(now)
        count = self._socket.recv_into(buffer)
        self._came += count
        if self._room is not None:
            self._room -= count
            if self._room < 0:
                # No ValueError: http.client takes that for a body that ended.
                raise http.client.HTTPException("much more than its body has")
        return count

    def ask(
        self, method: str, target: str, fields: Mapping[str, str], body: bytes = b""
    ) -> http.client.HTTPResponse:
        """Sends a request, and reads the headers of the answer."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        if re.search(r"[\x00-\x1f\x7f]", "".join(lines)):
            raise ValueError("a control character in a request")
        self._limit_call(time.monotonic())
        self._socket.sendall("\r\n".join(lines).encode("latin-1") + body)
        response = http.client.HTTPResponse(cast("socket.socket", self), method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Begins TLS and checks that the certificate is the host's."""
        self._limit_call(time.monotonic())
        self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def makefile(self, mode: str) -> IO[bytes]:
        """What `http.client` reads from. Closing it leaves the connection open."""
        del mode
        return io.BufferedReader(_WireFile(self), 64 * 1024)

    def interrupt(self) -> None:
        """Ends the connection for the thread that waits on it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close_socket(self) -> None:
        """Closes the connection; no other thread uses it."""
        self._socket.close()

    def _limit_call(self, now: float) -> None:
        if now >= self._deadline:
            raise TimeoutError
        self._socket.settimeout(self._deadline - now)


class _WireFile(io.RawIOBase):
    """The receiving side of a connection, for a buffered reader."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._wire.receive(buffer)


def system_resolver(host: str, port: int) -> list[Place]:
    """The first places that the system knows for a host.

    Raises:
        OSError: It knows none.
        UnicodeError: The name is none.
    """
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    places: list[Place] = [(family, where) for family, _, _, _, where in answers]
    return places[:_TRIED]


def open_socket(address: Address, places: list[Place], deadline: float) -> socket.socket:
    """Connects to the first of some places that answers.

    Args:
        address: What is connected to, for messages.
        places: Where it may be reached.
        deadline: By when, in seconds of `time.monotonic`.

    Raises:
        HttpError: None of them answers in time.
    """
    reason: OSError = OSError("it has no address")
    for family, where in places:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            # One that does not answer must leave time for the others.
            raw.settimeout(left / 2 if len(places) > 1 else left)
            raw.connect(where)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raw.close()
            reason = error
        except BaseException:
            raw.close()
            raise
        else:
            return raw
    said = reason.strerror or str(reason)
    raise HttpError(
        f"{address}: cannot connect to {address.host}: {said}",
        advice="is the address right, and is there a network?",
        transient=True,
    ) from reason


def tunnel(wire: Wire, proxy: Address, host: str, port: int) -> None:
    """Asks a proxy to connect (RFC 9110, section 9.3.6).

    Raises:
        HttpError: It refuses.
        OSError: The connection to it broke.
        http.client.HTTPException: Its answer is not HTTP.
        ValueError: A name or a password of it cannot be sent.
    """
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    fields = {"Host": authority}
    if proxy.credentials is not None:
        fields["Proxy-Authorization"] = basic(proxy.credentials)
    response = wire.ask("CONNECT", authority, fields)
    response.close()
    if not 200 <= response.status < 300:
        raise HttpError(
            f"the proxy {proxy} does not connect to {authority}: status {response.status}",
            advice="no_proxy names hosts that are reached without it",
        )


def trust_store() -> ssl.SSLContext:
    """The system's certificate authorities, or those that SSL_CERT_FILE and SSL_CERT_DIR name."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    known = ssl.get_default_verify_paths()
    if known.cafile is None and known.capath is None:
        store = next((path for path in _STORES if os.path.exists(path)), None)
        if store is not None:
            context.load_verify_locations(store)
    return context


def basic(credentials: str) -> str:
    """A header field's value for a name and a password (RFC 7617)."""
    return "Basic " + base64.b64encode(credentials.encode("utf-8")).decode("ascii")
