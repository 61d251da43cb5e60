# SPDX-License-Identifier: Apache-2.0
"""`inspect`, `extract` and `verify` on addresses, volumes and extracted directories."""

from __future__ import annotations

import datetime
import ipaddress
import json
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from repropack import canonical
from repropack.bundle.frames import FrameEncoder, encode_seek_table
from repropack.bundle.tar_layer import attestation_tail, member_header, padding
from repropack.digest import new_sha256, sha256_hex
from repropack.model import Manifest, Member, ReleasePredicate, Role, Statement, Subject
from repropack.signing.dsse import seal
from tests.bundle.file_server import FileServer, Request, serving
from tests.bundle.rpk_forge import FRAME
from tests.project import Project
from tests.verify.release_builder import AUTHOR


@pytest.fixture
def server(exported: Project) -> Iterator[FileServer]:
    with serving(exported.root.parent) as running:
        yield running


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The last line on standard error says it; nothing looks like a crash."""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("repropack: "), done.stderr
    for word in words:
        assert word in last
    assert "Traceback" not in done.stderr


def test_a_bundle_at_an_address_is_read_like_a_file(
    exported: Project, server: FileServer, tmp_path: Path
) -> None:
    address = server.address("release.rpk")
    local = exported.ok("inspect", str(server.root / "release.rpk"))
    assert exported.ok("inspect", address) == local
    place = tmp_path / "part"
    exported.ok("extract", address, str(place), "weights")
    assert (place / "weights/out/model.bin").read_bytes() == (
        exported.root / "out/model.bin"
    ).read_bytes()
    done = exported.repropack("verify", address, "--no-run", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["bundle"] == "release.rpk"
    # To execute it, every byte is fetched once; what runs comes from what was checked.
    server.sent = 0
    done = exported.repropack("verify", address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("REPRODUCED: ")
    assert server.sent <= (server.root / "release.rpk").stat().st_size + 1024
    offline = exported.repropack("verify", address, "--offline")
    assert offline.returncode == 2
    one_line(offline, "--offline", "would have to be downloaded")
    absent = exported.repropack("inspect", server.address("absent.rpk"))
    assert absent.returncode == 2
    one_line(absent, "has no such file (status 404)")
    server.ranges = False
    whole = exported.repropack("verify", address, "--no-run")
    assert whole.returncode == 0
    assert "cannot send parts; downloading all of it" in whole.stderr


def test_an_extracted_directory_is_verified_and_repeated(exported: Project, tmp_path: Path) -> None:
    bundle = exported.root.parent / "release.rpk"
    place = tmp_path / "byhand"
    place.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", bundle, "-C", place], check=True)
    report = json.loads(exported.ok("verify", str(place), "--json"))
    assert (report["verdict"], report["bundle"]) == ("REPRODUCED", "byhand")
    assert report["manifest_sha256"] == sha256_hex((place / "manifest.json").read_bytes())
    assert "weights/out/model.bin" in exported.ok("inspect", ".", cwd=place)
    (place / "statement.json").write_text("{}")
    done = exported.repropack("verify", str(place))
    assert done.returncode == 1
    assert "RPK208" in done.stdout.splitlines()[-1]
    assert "statement.json" in done.stdout.splitlines()[-1]
    (place / "statement.json").unlink()
    (place / "weights/out/model.bin").write_text("[0, 0, 0]")
    done = exported.repropack("verify", str(place))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("NOT INTACT: weights/out/model.bin: RPK206")
    done = exported.repropack("verify", str(exported.root))
    assert done.returncode == 2
    one_line(done, "no bundle was extracted into it")


def test_volumes_are_exported_and_verified(exported: Project, tmp_path: Path) -> None:
    whole = (exported.root.parent / "release.rpk").read_bytes()
    place = tmp_path / "volumes"
    place.mkdir()
    output = str(place / "release.rpk")
    export = ("export", "--run", "eval", "-o", output, "--yes", "--volumes")
    text = exported.ok(*export, "4K")
    assert f"{output}.001 and its further volumes" in text
    assert "release.rpk.001 --signer" in text.splitlines()[-1]
    names = sorted(place.iterdir())
    assert len(names) > 2
    assert b"".join(path.read_bytes() for path in names) == whole
    for name in (f"{output}.001", output):
        done = exported.repropack("verify", name, "--no-run")
        assert done.returncode == 0, done.stdout
    again = exported.repropack(*export, "1M")
    assert again.returncode == 2
    one_line(again, "release.rpk.001 is there already")
    assert sorted(place.iterdir()) == names
    for size in ("0", "4X", "-1", "1000", "9" * 30):
        wrong = exported.repropack(*export, size)
        assert wrong.returncode == 2
        one_line(wrong, "expected a size")
    names[1].unlink()
    done = exported.repropack("verify", f"{output}.001", "--no-run")
    assert done.returncode == 1
    assert "release.rpk.002: RPK110" in done.stdout.splitlines()[-1]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_without_a_network_it_is_one_line_and_undecided(bare_project: Project) -> None:
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-m", "repropack", "verify", "--no-run",
         "https://example.org/paper.rpk"],
        cwd=bare_project.root,
        env=bare_project.environment,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if "unshare:" in done.stderr:
        pytest.skip("this user may not make network namespaces")
    assert done.returncode == 3
    assert done.stdout == ""
    one_line(done, "https://example.org/paper.rpk", "is there a network?")
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://example.org/x.rpk", "only https and http"),
        ("file:///etc/passwd", "only https and http"),
        ("https:///x.rpk", "names no host"),
        ("https://example.org:0/x.rpk", "impossible port"),
        ("https://example.org:99999/x.rpk", "not an address"),
        ("https://[::1/x.rpk", "not an address"),
        ("https://exa mple.org/", "a space"),
        ("https://u:secret@example.org/\x1b[31m", "control character"),
        ("https://example.org/" + "a" * 9000, "at most 8192"),
        ("https://127.0.0.1:1/x.rpk.002", "not the first volume"),
    ],
)
def test_an_address_that_cannot_be_is_wrong_usage(
    bare_project: Project, address: str, words: str
) -> None:
    done = bare_project.repropack("inspect", address)
    assert done.returncode == 2
    one_line(done, words)
    assert "secret" not in done.stderr
    assert "\x1b" not in done.stderr


def test_what_needs_no_network_does_not_load_it() -> None:
    script = (
        "import sys, importlib; from repropack.cli import TABLE\n"
        "[importlib.import_module(TABLE[n][0]) for n in ('run', 'list', 'verify', 'inspect')]\n"
        "print(sorted({'ssl', 'http.client', 'repropack.http'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


# ---------------------------------------------------------------- TLS and proxies


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's certificate for `localhost`, and the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority = tmp_path / "authority.pem"
    authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = tmp_path / "key.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return context, authority


def test_a_certificate_is_checked(
    exported: Project, certificate: tuple[ssl.SSLContext, Path]
) -> None:
    context, authority = certificate
    with serving(exported.root.parent, tls=context) as server:
        address = server.address("release.rpk")
        stranger = exported.repropack("inspect", address, variables={"SSL_CERT_FILE": "/dev/null"})
        assert stranger.returncode == 3
        one_line(stranger, "its certificate is not accepted", "SSL_CERT_FILE")
        trusted = {"SSL_CERT_FILE": str(authority)}
        exported.ok("verify", address, "--no-run", variables=trusted)
        other = address.replace("localhost", "127.0.0.1")
        wrong = exported.repropack("inspect", other, variables=trusted)
        assert wrong.returncode == 3
        one_line(wrong, "its certificate is not accepted")


class Proxy(threading.Thread):
    """Takes one CONNECT after another, and leads all of them to one port."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.asked: list[bytes] = []
        self.answer = b"HTTP/1.1 200 Connection established\r\n\r\n"

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.asked.append(head)
        with client, socket.create_connection(("127.0.0.1", self._port)) as inner:
            client.sendall(self.answer)
            back = threading.Thread(target=self._copy, args=(inner, client), daemon=True)
            back.start()
            self._copy(client, inner)
            back.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.join()


def test_a_configured_proxy_is_used_and_netrc_is_not(
    exported: Project, certificate: tuple[ssl.SSLContext, Path]
) -> None:
    """The host `127.0.0.2` stands for one that only the proxy reaches."""
    context, authority = certificate
    (Path(exported.environment["HOME"]) / ".netrc").write_text(
        "default login me password netrc-secret\n"
    )
    with serving(exported.root.parent, tls=context) as server:
        proxy = Proxy(server.server_address[1])
        proxy.start()
        # Of this machine itself no proxy is asked.
        variables = {
            "SSL_CERT_FILE": str(authority),
            "https_proxy": f"http://user:word@127.0.0.1:{proxy.port}",
        }
        exported.ok("inspect", server.address("release.rpk"), variables=variables)
        assert proxy.asked == []
        far = "https://far.example/release.rpk"
        done = exported.repropack("inspect", far, variables=variables)
        assert done.returncode == 3  # the certificate is not that of far.example
        one_line(done, "its certificate is not accepted")
        assert proxy.asked[0].startswith(b"CONNECT far.example:443 HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n" in proxy.asked[0]
        proxy.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        done = exported.repropack("inspect", far, variables=variables)
        assert done.returncode == 3
        one_line(done, "does not connect to far.example:443", "status 403")
        assert "word" not in done.stderr
        variables["no_proxy"] = ".example"
        count = len(proxy.asked)
        assert exported.repropack("inspect", far, variables=variables).returncode == 3
        assert len(proxy.asked) == count
        variables["https_proxy"] = "socks5://127.0.0.1:1"
        done = exported.repropack("inspect", far, variables=variables)
        assert done.returncode == 2
        one_line(done, "https_proxy")
        proxy.stop()
    assert not any("Authorization" in fields for fields in server.fields)


# ---------------------------------------------------------------- two gibibytes


class LargeBundle:
    """A signed bundle with one member that does not compress. All of its frames are one and the
    same, so that they need not be stored to be served."""

    def __init__(self, frames: int) -> None:
        noise = random.Random(3).randbytes(FRAME)
        encoder = FrameEncoder()
        readme = b"# Large\n"
        first = member_header("README.md", len(readme)) + readme + bytes(padding(len(readme)))
        size = frames * FRAME
        first += member_header("weights/model.bin", size)
        running = new_sha256()
        for _ in range(frames):
            running.update(noise)
        members = (
            Member(path="README.md", size=len(readme), sha256=sha256_hex(readme),
                   role=Role.DOCUMENT, executable=False),
            Member(path="weights/model.bin", size=size, sha256=running.hexdigest(),
                   role=Role.WEIGHTS, executable=False),
        )  # fmt: skip
        self.manifest = canonical.encode(Manifest(format="rpk", version=1, members=members))
        statement = Statement(
            type_="https://in-toto.io/Statement/v1",
            subject=(Subject(name="manifest.json", digest={"sha256": sha256_hex(self.manifest)}),),
            predicate_type="urn:repropack:release:v1",
            predicate=ReleasePredicate(
                format="rpk",
                version=1,
                manifest_offset=len(first) + frames * FRAME,
                manifest_size=len(self.manifest),
                run="run000000001",
                claims=(),
                tool="test",
            ),
        )
        listed = member_header("manifest.json", len(self.manifest)) + self.manifest
        listed += bytes(padding(len(self.manifest)))
        tail = attestation_tail(seal(canonical.encode(statement), AUTHOR))
        self.head, self.body = encoder.encode(first), encoder.encode(noise)
        last = [encoder.encode(listed), encoder.encode(tail)]
        sizes = [len(self.head), *[len(self.body)] * frames, *map(len, last)]
        contents = [len(first), *[FRAME] * frames, len(listed), len(tail)]
        self.end = b"".join(last) + encode_seek_table(list(zip(sizes, contents, strict=True)))
        self.end_at = len(self.head) + frames * len(self.body)
        self.size = self.end_at + len(self.end)

    def read(self, first: int, last: int) -> Iterator[bytes]:
        while first <= last:
            if first < len(self.head):
                piece = self.head[first : last + 1]
            elif first < self.end_at:
                at = (first - len(self.head)) % len(self.body)
                piece = self.body[at : at + last + 1 - first]
            else:
                piece = self.end[first - self.end_at : last + 1 - self.end_at]
            yield piece
            first += len(piece)

    def answer(self, request: Request) -> bool:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        last = min(last, self.size - 1)
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {first}-{last}/{self.size}")
        request.send_header("Content-Length", str(last - first + 1))
        request.end_headers()
        for piece in self.read(first, last):
            request.body(piece)
        return True


def test_to_inspect_two_gibibytes_moves_little(bare_project: Project, tmp_path: Path) -> None:
    bundle = LargeBundle(512)
    assert bundle.size > 2**31
    with serving(tmp_path) as server:
        server.misbehave = bundle.answer
        text = bare_project.ok("inspect", server.address("large.rpk"))
        assert "weights/model.bin" in text
        assert "2.0 GiB" in text
        assert server.sent < 256 * 1024 + len(bundle.manifest)
        assert len(server.requests) == 2
        before = server.sent
        bare_project.ok("extract", server.address("large.rpk"), str(tmp_path / "out"), "README.md")
        assert server.sent - before < FRAME + 256 * 1024
        assert (tmp_path / "out/README.md").read_text() == "# Large\n"


def test_memory_does_not_grow_with_the_bundle(bare_project: Project, tmp_path: Path) -> None:
    script = (
        "import resource, sys; from repropack.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as e: assert e.code == 4, e.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    with serving(tmp_path) as server:
        peaks = []
        for frames in (2, 90):
            bundle = LargeBundle(frames)
            server.misbehave = bundle.answer
            done = subprocess.run(
                [sys.executable, "-c", script, "verify", "--no-run", server.address("x.rpk")],
                env=bare_project.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            peaks.append(int(done.stdout.splitlines()[-1]))
    # 360 MiB went through; six chunks of 8 MiB and the buffers of the checker may stay.
    assert peaks[1] - peaks[0] < 150, peaks
