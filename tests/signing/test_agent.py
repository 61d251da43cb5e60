# SPDX-License-Identifier: Apache-2.0
"""The real ssh-agent signs; agents that answer something else are refused."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from repropack.errors import RepropackError, UsageError
from repropack.signing.agent import AgentKey, choose, list_keys
from repropack.signing.dsse import read_envelope, seal, signers
from repropack.signing.keys import load_public

PASSPHRASE = "words of the agent's user"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """A running ssh-agent, by its socket."""
    address = str(tmp_path / "agent.sock")
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(500):
                with contextlib.suppress(UsageError):
                    list_keys(address)
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
            yield address
        finally:
            process.terminate()


def _make_key(place: Path, kind: str = "ed25519") -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"of {place.name}\x1b[31m", "-f", place],
        check=True,
    )
    return place


def _add(address: str, *arguments: object) -> None:
    subprocess.run(
        ["ssh-add", "-q", *map(str, arguments)],
        env={**os.environ, "SSH_AUTH_SOCK": address},
        check=True,
        input=f"{PASSPHRASE}\n{PASSPHRASE}\n",
        text=True,
        capture_output=True,
    )


def test_the_agent_lists_its_ed25519_keys_and_signs(agent: str, tmp_path: Path) -> None:
    assert list_keys(agent) == ()
    with pytest.raises(UsageError, match="no Ed25519 key"):
        choose(list_keys(agent), "")
    first, second = _make_key(tmp_path / "first"), _make_key(tmp_path / "second")
    _add(agent, first, _make_key(tmp_path / "rsa", "rsa"))
    (held,) = list_keys(agent)
    assert held.public == load_public(Path(f"{first}.pub"))
    assert choose(list_keys(agent), "") == held
    assert signers(read_envelope(seal(b'{"x":1}', held))) == (held.public,)

    _add(agent, second)
    other = load_public(Path(f"{second}.pub"))
    assert choose(list_keys(agent), other.fingerprint).public == other
    with pytest.raises(UsageError, match="several") as caught:
        choose(list_keys(agent), "")
    assert f"agent:{other.fingerprint}" in caught.value.advice
    with pytest.raises(UsageError, match="does not offer SHA256:none"):
        choose(list_keys(agent), "SHA256:none")


def test_an_agent_that_refuses_or_has_gone_is_one_clear_line(agent: str, tmp_path: Path) -> None:
    _add(agent, _make_key(tmp_path / "key"))
    (held,) = list_keys(agent)
    _add(agent, "-D")
    with pytest.raises(RepropackError, match="refused to sign"):
        held.sign(b"x")
    with pytest.raises(UsageError, match="cannot be reached"):
        list_keys(str(tmp_path / "nowhere"))


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@contextlib.contextmanager
def _answering(place: Path, answer: bytes) -> Iterator[str]:
    """A program on a socket that answers every request with the same bytes."""
    address = str(place / "liar.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield address
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        struct.pack(">I", 0),
        struct.pack(">I", 2**31) + b"\x0c",
        _string(b"\x0c\0\0"),
        _string(b"\x0c" + struct.pack(">I", 2**32 - 1)),
        _string(b"\x0c" + struct.pack(">I", 1) + struct.pack(">I", 2**32 - 1) + b"x"),
        _string(b"\x05"),
        _string(b"\x63"),
    ],
)
def test_a_list_of_another_form_is_refused(tmp_path: Path, answer: bytes) -> None:
    with _answering(tmp_path, answer) as address, pytest.raises(RepropackError, match="form"):
        list_keys(address)


@pytest.mark.parametrize(
    "signature",
    [
        _string(b"ssh-ed25519") + _string(bytes(64)),
        _string(b"ssh-rsa") + _string(bytes(64)),
        _string(b"ssh-ed25519") + _string(b""),
        b"",
    ],
)
def test_a_signature_that_does_not_hold_never_leaves(tmp_path: Path, signature: bytes) -> None:
    public = load_public(Path(f"{_make_key(tmp_path / 'key')}.pub"))
    with _answering(tmp_path, _string(b"\x0e" + _string(signature))) as address:
        key = AgentKey(public=public, comment="", address=address)
        with pytest.raises(RepropackError, match="answer"):
            key.sign(b"x")
