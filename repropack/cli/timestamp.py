# SPDX-License-Identifier: Apache-2.0
"""`repropack timestamp`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from repropack import durable
from repropack.address import Address, parse_address, proxies_of
from repropack.cli.location import existing_bundle, open_named
from repropack.cli.places import trust_policy
from repropack.cli.screen import bold, dim, say, tell
from repropack.errors import RepropackError, UsageError
from repropack.escaping import show
from repropack.signing.dsse import read_envelope
from repropack.signing.keys import read_small
from repropack.signing.timestamps import (
    MAX_TOKEN,
    REPLY_TYPE,
    REQUEST_TYPE,
    Stamp,
    check_answer,
    check_stamp,
    read_authorities,
    stamp_request,
)
from repropack.verify.integrity import read_signed

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["command", "read_stamp"]

MAX_AUTHORITIES = 4 * 1024 * 1024
"""Bytes of a file of certificates: those that systems trust have a quarter of a MiB."""


@click.command("timestamp")
@click.argument("bundle", metavar="FILE|DIR")
@click.option(
    "--url", metavar="ADDRESS", required=True, help="The time-stamping authority (RFC 3161)."
)
@click.option(
    "--tsa-ca",
    "authorities",
    metavar="FILE.pem",
    help="Its certificates: the answer is checked against them before it is written.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE.tsr",
    help="Where to write it (the name of the bundle and .tsr).",
)
def command(bundle: str, url: str, authorities: str | None, output: str | None) -> int:
    """Let a time-stamping authority state that a bundle was signed by now.

    The authority gets the digest of the signatures and nothing else. Its answer is a file beside
    the bundle, which `repropack verify --timestamp` and `openssl ts -verify` check. With it a
    signature outlives the revocation of its key.
    """
    address = parse_address(url)
    location = existing_bundle(bundle)
    if isinstance(location, Address) and output is None:
        raise UsageError(f"{bundle} is an address: say with -o where the time stamp goes")
    written = output or f"{bundle.rstrip('/')}.tsr"
    place = Path(written).expanduser()
    if os.path.lexists(place):
        raise UsageError(f"{written} exists and is not overwritten", advice="name another with -o")
    accepted = None if authorities is None else _authorities(authorities)
    with open_named(location, quiet=False) as opened:
        read_signed(opened, trust_policy(()))
        attestation = opened.attestation
    request = stamp_request(attestation)
    answer = _ask(address, request.der)
    check_answer(request, answer, attestation, str(address))
    if accepted is not None:
        stamp = Stamp(token=answer, name=str(address), authorities=accepted)
        stamped = check_stamp(stamp, read_envelope(attestation))
        say(
            f"{dim('signed')}     before {stamped.time:%Y-%m-%d %H:%M:%S} UTC, "
            f"says {show(stamped.authority)}"
        )
    else:
        tell("whose answer it is was not checked: --tsa-ca FILE.pem does that")
    durable.write_file(place, answer)
    say(f"{dim('written')}    {show(written)}")
    ca = authorities or "CA.pem"
    words = ["repropack", "verify", bundle, "--timestamp", written, "--tsa-ca", ca]
    say(f"next: {bold(shlex.join(words))}")
    return 0


def read_stamp(token: str | None, authorities: str | None) -> Stamp | None:
    """The time stamp and the authorities that a reader names; None where she names neither.

    Raises:
        UsageError: She names only one of the two, or a file cannot be read.
    """
    if token is None and authorities is None:
        return None
    if token is None or authorities is None:
        raise UsageError(
            "--timestamp is judged by the authority that you accept: give --tsa-ca with it, "
            "and it with --tsa-ca",
            advice="authorities publish their certificates as a PEM file",
        )
    return Stamp(
        token=read_small(Path(token).expanduser(), MAX_TOKEN, what="time stamp"),
        name=token,
        authorities=_authorities(authorities),
    )


def _authorities(text: str) -> tuple[Certificate, ...]:
    data = read_small(Path(text).expanduser(), MAX_AUTHORITIES, what="certificates")
    return read_authorities(data, text)


def _ask(address: Address, request: bytes) -> bytes:
    """An authority's answer.

    Raises:
        RepropackError: There is none.
    """
    from repropack.http import Client

    client = Client(proxies_of(dict(os.environ)))
    fields = {"Content-Type": REQUEST_TYPE, "Accept": REPLY_TYPE}
    try:
        with client.post(address, fields, request) as answer:
            if answer.status != 200:
                raise RepropackError(
                    f"{address}: the server answers with status {answer.status}, expected 200 and "
                    "a time stamp",
                    advice="is it the address of a time-stamping authority (RFC 3161)?",
                )
            buffer = memoryview(bytearray(MAX_TOKEN + 1))
            size = 0
            while size < len(buffer):
                count = answer.read_into(buffer[size:])
                if not count:
                    return bytes(buffer[:size])
                size += count
    finally:
        client.close()
    raise RepropackError(f"{address}: the answer has more than {MAX_TOKEN} bytes")
