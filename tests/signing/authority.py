# SPDX-License-Identifier: Apache-2.0
"""A time-stamping authority on this machine: `openssl ts` answers, as a public one would.

`back_dated` signs a stamp for any time with `openssl cms`, which `openssl ts` itself does not do:
that is what the past looks like, and what an authority does that lies.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from repropack import digest

__all__ = ["Answerer", "Authority", "answering"]

_TST_INFO = "1.2.840.113549.1.9.16.1.4"

_CONFIGURATION = """\
[tsa]
default_tsa = here
[here]
serial = {root}/serial
signer_cert = {root}/tsa.pem
signer_key = {root}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = {digests}
accuracy = secs:1
"""


@dataclass
class Authority:
    """A root certificate, and one that stamps."""

    root: Path

    @classmethod
    def create(
        cls,
        root: Path,
        name: str = "Time",
        *,
        first: str = "2020-01-01",
        last: str = "2050-01-01",
        purposes: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,),
        critical: bool = True,
        digests: str = "sha256, sha512",
        of: Authority | None = None,
    ) -> Authority:
        """Makes the certificates; the one that stamps is valid between two days.

        With `of`, only that one, by the other authority's root.
        """
        root.mkdir()
        root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca_name, tsa_name = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
            for text in (f"{name} root", name)
        )
        if of is not None:
            ca_name = x509.load_pem_x509_certificate(of.certificates.read_bytes()).subject
        always = [dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2000, 2090)]
        ca = (
            x509.CertificateBuilder()
            .subject_name(ca_name).issuer_name(ca_name).public_key(root_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(always[0]).not_valid_after(always[1])
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(root_key, hashes.SHA256())
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(tsa_name).issuer_name(ca_name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(dt.datetime.fromisoformat(first))
            .not_valid_after(dt.datetime.fromisoformat(last))
        )  # fmt: skip
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=critical)
        root_pem = root_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        ca_pem = ca.public_bytes(Encoding.PEM)
        if of is not None:
            root_pem, ca_pem = ((of.root / name).read_bytes() for name in ("ca.key", "ca.pem"))
            loaded = load_pem_private_key(root_pem, None)
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            root_key = loaded
        (root / "ca.key").write_bytes(root_pem)
        (root / "ca.pem").write_bytes(ca_pem)
        stamping = builder.sign(root_key, hashes.SHA256())
        (root / "tsa.pem").write_bytes(stamping.public_bytes(Encoding.PEM))
        (root / "tsa.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        (root / "serial").write_text("01\n")
        (root / "ts.cnf").write_text(_CONFIGURATION.format(root=root, digests=digests))
        return cls(root)

    @property
    def certificates(self) -> Path:
        """What the authority publishes."""
        return self.root / "ca.pem"

    def answer(self, request: bytes) -> bytes:
        """What `openssl ts` answers to a request."""
        query, reply = self.root / "query", self.root / "reply"
        query.write_bytes(request)
        subprocess.run(
            ["openssl", "ts", "-reply", "-config", self.root / "ts.cnf", "-queryfile", query,
             "-out", reply],
            check=True, capture_output=True,
        )  # fmt: skip
        return reply.read_bytes()

    def back_dated(
        self, data: bytes, time: str, *, kind: str = "sha256", beside: Path | None = None
    ) -> bytes:
        """An answer that says that `data` existed at a time (`2026-03-01T00:00:00Z`).

        With `beside`, it carries a further certificate, which has signed nothing.
        """
        algorithm = {"sha256": "2.16.840.1.101.3.4.2.1", "sha1": "1.3.14.3.2.26"}[kind]
        imprint = bytes.fromhex(digest.sha256_hex(data))[: 20 if kind == "sha1" else 32]
        stamp = time.replace("-", "").replace(":", "").replace("T", "")
        info = _der(
            0x30,
            _der(0x02, b"\1"),
            _oid("1.2.3.4.1"),
            _der(0x30, _der(0x30, _oid(algorithm), _der(0x05)), _der(0x04, imprint)),
            _der(0x02, b"\7"),
            _der(0x18, stamp.encode()),
        )
        signed = subprocess.run(
            ["openssl", "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-cades",
             "-econtent_type", _TST_INFO, "-signer", self.root / "tsa.pem",
             "-inkey", self.root / "tsa.key", "-outform", "DER",
             *(("-certfile", beside) if beside else ())],
            input=info, check=True, capture_output=True,
        ).stdout  # fmt: skip
        return _der(0x30, _der(0x30, _der(0x02, b"\0")), signed)


def _der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    out = bytearray((40 * first + second,))
    for arc in rest:
        groups = [arc & 127]
        while arc := arc >> 7:
            groups.append(128 | arc & 127)
        out += bytes(reversed(groups))
    return _der(0x06, bytes(out))


Answerer = Callable[[bytes], tuple[int, bytes]]
"""From a request to the status and the body of the answer."""


@contextlib.contextmanager
def answering(answer: Answerer) -> Iterator[str]:
    """Serves an authority on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            status, body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsr"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
