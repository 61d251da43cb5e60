# SPDX-License-Identifier: Apache-2.0
"""Ed25519 keys in an ssh-agent: the two messages that list them and that sign with one.

Source: draft-miller-ssh-agent, sections 3.5 (requesting a list of keys) and 3.6 (private key
operations); the socket is that of `SSH_AUTH_SOCK`. The private key never leaves the agent. What is
signed begins with `DSSEv1 `; what a client of SSH signs begins with the length of a short session
id (RFC 4252, section 7). So neither signature can be passed off as the other.

Not used: certificates and keys on security tokens (`sk-ssh-ed25519`), whose signatures have
another form.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from repropack.errors import RepropackError, UsageError
from repropack.signing.keys import PublicKey, WeakKeyError

__all__ = ["AgentKey", "choose", "list_keys"]

_FAILURE: Final = 5
_REQUEST_IDENTITIES: Final = 11
_IDENTITIES_ANSWER: Final = 12
_SIGN_REQUEST: Final = 13
_SIGN_RESPONSE: Final = 14

MAX_MESSAGE: Final = 256 * 1024
"""Bytes of a message: OpenSSH's own bound (AGENT_MAX_LEN)."""

ANSWER_SECONDS: Final = 10.0
"""How long a list of keys may take: an agent answers at once, a forwarded one in a moment."""

SIGNATURE_SECONDS: Final = 300.0
"""How long a signature may take: the agent may ask its user first (`ssh-add -c`)."""


class AgentKey(Struct, frozen=True, kw_only=True):
    """A key that an agent holds.

    Attributes:
        public: Whose signatures these are.
        comment: What the agent calls the key: escape it to show it.
        address: The agent's socket.
    """

    public: PublicKey
    comment: str
    address: str

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of a message.

        Raises:
            RepropackError: The agent cannot be reached, refuses, or answers something else.
        """
        request = b"".join(
            (bytes((_SIGN_REQUEST,)), _string(self.public.wire), _string(message), bytes(4))
        )
        answer = _exchange(self.address, request, _SIGN_RESPONSE, SIGNATURE_SECONDS)
        blob, rest = _take(answer)
        kind, blob = _take(blob)
        signature, more = _take(blob)
        if kind != b"ssh-ed25519" or rest or more or not self.public.verify(signature, message):
            raise RepropackError(
                f"the ssh-agent's answer is no signature of {self.public.fingerprint}"
            )
        return signature


def list_keys(address: str) -> tuple[AgentKey, ...]:
    """The Ed25519 keys that an agent offers, in its order.

    Args:
        address: The socket that `SSH_AUTH_SOCK` names.

    Raises:
        RepropackError: It cannot be reached, or its answer has another form.
    """
    answer = _exchange(address, bytes((_REQUEST_IDENTITIES,)), _IDENTITIES_ANSWER, ANSWER_SECONDS)
    if len(answer) < 4:
        raise _malformed()
    (count,) = struct.unpack_from(">I", answer)
    rest = answer[4:]
    keys = []
    for _ in range(count):
        blob, rest = _take(rest)
        comment, rest = _take(rest)
        try:
            public = PublicKey.from_wire(blob)
        except WeakKeyError:
            continue
        keys.append(
            AgentKey(public=public, comment=comment.decode("utf-8", "replace"), address=address)
        )
    return tuple(keys)


def choose(keys: Iterable[AgentKey], fingerprint: str) -> AgentKey:
    """The key with a fingerprint; with an empty one, the only key.

    Raises:
        UsageError: There is no such key, or there are several to choose from.
    """
    offered = tuple(keys)
    found = [key for key in offered if key.public.fingerprint == fingerprint or not fingerprint]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"agent:{key.public.fingerprint}" for key in offered)
    if not offered:
        raise UsageError(
            "the ssh-agent offers no Ed25519 key", advice="add one with `ssh-add FILE`"
        )
    if not fingerprint:
        raise UsageError("the ssh-agent offers several Ed25519 keys", advice=f"name one: {names}")
    raise UsageError(
        f"the ssh-agent does not offer {fingerprint}",
        advice=f"it offers {names}; add keys with `ssh-add FILE`",
    )


def _exchange(address: str, request: bytes, expected: int, seconds: float) -> bytes:
    """Sends one message on a new connection and returns the contents of the answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(address)
            connection.sendall(_string(request))
            (length,) = struct.unpack(">I", _receive(connection, 4))
            if not 1 <= length <= MAX_MESSAGE:
                raise _malformed()
            answer = _receive(connection, length)
    except TimeoutError as error:
        raise RepropackError(f"the ssh-agent did not answer within {seconds:g} s") from error
    except OSError as error:
        raise UsageError(
            f"the ssh-agent at {address} cannot be reached: {error.strerror or error}",
            advice='start one with `eval "$(ssh-agent)"` and add a key with `ssh-add FILE`',
        ) from error
    if answer[0] == _FAILURE and expected == _SIGN_RESPONSE:
        raise RepropackError(
            "the ssh-agent refused to sign",
            advice="it may be locked, the key limited to some hosts, or its user said no",
        )
    if answer[0] != expected:
        raise _malformed()
    return answer[1:]


def _receive(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise _malformed()
        data += piece
    return bytes(data)


def _string(data: bytes) -> bytes:
    """A string of the SSH protocol (RFC 4251, section 5)."""
    return struct.pack(">I", len(data)) + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    """The string at the beginning, and what follows it."""
    if len(data) < 4:
        raise _malformed()
    (length,) = struct.unpack_from(">I", data)
    if length > len(data) - 4:
        raise _malformed()
    return data[4 : 4 + length], data[4 + length :]


def _malformed() -> RepropackError:
    return RepropackError("the ssh-agent's answer has a form that is not known")
