# SPDX-License-Identifier: Apache-2.0
"""Bundles behind an address: few bytes, few requests, and servers that are nobody's friend."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from repropack.address import Proxies, parse_address
from repropack.bundle import Access, ListedBundle, UnverifiedBundle, VerifiedBundle, open_bundle
from repropack.digest import sha256_hex
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError
from repropack.http import Client, HttpError, Limits
from tests.bundle.file_server import FileServer, Request, serving
from tests.bundle.rpk_forge import FRAME, Sealed, source, write

NOISE = random.Random(11).randbytes(9 * FRAME)
QUICK = Limits(connect=5, answer=1, stall=0.5, stall_bytes=4096, pause=0.01, longest_wait=1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as running:
        yield running


@pytest.fixture
def bundle(server: FileServer) -> Sealed:
    """About 36 MiB that do not compress."""
    return write(
        server.root / "x.rpk",
        source("README.md", b"# hello\n"),
        source("big/a.bin", NOISE[: 5 * FRAME + 99]),
        source("big/b.bin", NOISE[4 * FRAME :]),
        source("z.txt", b"the last\n"),
    )


def reach(address: str, **options: object) -> UnverifiedBundle:
    options.setdefault("client", Client(Proxies(), QUICK))
    return open_bundle(parse_address(address), Access(**options))  # type: ignore[arg-type]


def verify(server: FileServer, bundle: Sealed, **options: object) -> VerifiedBundle:
    with reach(server.address(bundle.path.name), **options) as opened:
        return listed(opened, bundle).verify()


def listed(opened: UnverifiedBundle, bundle: Sealed) -> ListedBundle:
    return opened.read_manifest(offset=bundle.offset, size=bundle.size, sha256=bundle.sha256)


# ---------------------------------------------------------------- few bytes, few requests


def test_the_list_alone_is_two_small_requests(server: FileServer, bundle: Sealed) -> None:
    with reach(server.address("x.rpk")) as opened:
        assert opened.size == bundle.path.stat().st_size
        assert len(listed(opened, bundle).manifest.members) == 4
    assert len(server.requests) == 2
    assert server.sent <= 512 + 64 * 1024


def test_a_member_costs_its_frames(server: FileServer, bundle: Sealed, tmp_path: Path) -> None:
    with reach(server.address("x.rpk")) as opened:
        reader = listed(opened, bundle)
        assert reader.read("z.txt", limit=100) == b"the last\n"
        before = server.sent
        assert before <= FRAME + 2**18
        reader.extract(tmp_path / "out", lambda m: m.path == "big/a.bin")
    assert server.sent - before <= 6 * FRAME + 2**18
    assert (tmp_path / "out/big/a.bin").read_bytes() == NOISE[: 5 * FRAME + 99]


def test_verification_reads_everything_once_in_large_pieces(
    server: FileServer, bundle: Sealed
) -> None:
    verify(server, bundle)
    size = bundle.path.stat().st_size
    assert size <= server.sent <= size + 2**18
    assert len(server.requests) <= 2 + size // (2 * FRAME) + 1


def test_what_is_used_later_was_downloaded_once(
    server: FileServer, bundle: Sealed, tmp_path: Path
) -> None:
    with reach(server.address("x.rpk"), keep=True, copies=tmp_path) as opened:
        verified = listed(opened, bundle).verify()
        sent = server.sent
        bundle.path.write_bytes(b"swapped in the meantime")
        verified.extract(tmp_path / "out")
        assert server.sent == sent
    assert (tmp_path / "out/big/b.bin").read_bytes() == NOISE[4 * FRAME :]
    assert {p.name for p in tmp_path.iterdir()} == {"www", "out"}


def test_a_server_without_ranges_sends_all_of_it_once(
    server: FileServer, bundle: Sealed, tmp_path: Path
) -> None:
    server.ranges = False
    told: list[str] = []
    progress: list[tuple[int, int]] = []
    verify(
        server,
        bundle,
        tell=told.append,
        advance=lambda done, total: progress.append((done, total)),
        copies=tmp_path,
    )
    size = bundle.path.stat().st_size
    assert len(server.requests) == 1
    assert progress[-1] == (size, size)
    assert told == [
        f"{server.address('x.rpk')}: the server cannot send parts; downloading all of it"
    ]
    assert {p.name for p in tmp_path.iterdir()} == {"www"}


def test_an_altered_byte_is_found_from_afar_too(server: FileServer, bundle: Sealed) -> None:
    data = bytearray(bundle.path.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.path.write_bytes(data)
    with pytest.raises(DefectError) as caught:
        verify(server, bundle)
    assert caught.value.finding.code in (Code.FRAME_CONTENT, Code.MEMBER_DIGEST)


# ---------------------------------------------------------------- hostile servers


def again(answer: Callable[[Request], None], *, after: int = 0) -> Callable[[Request], bool]:
    """Misbehaves in each request after the first ones."""

    def misbehave(request: Request) -> bool:
        if len(request.server.requests) <= after:
            return False
        answer(request)
        return True

    return misbehave


def part(request: Request, stated: str, body: bytes, **fields: str) -> None:
    request.brief(206, {"Content-Range": stated, **fields}, body)


def drip(request: Request) -> None:
    request.send_response(206)
    request.send_header("Content-Range", "bytes 0-511/100000")
    request.send_header("Content-Length", "512")
    request.end_headers()
    for _ in range(512):
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.05)


def chunks_with(start: bytes, more: bytes) -> Callable[[Request], None]:
    """A body in chunks that is mostly something else, without end."""

    def misbehave(request: Request) -> None:
        request.send_response(206)
        request.send_header("Content-Range", "bytes 0-511/100000")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        with contextlib.suppress(OSError):
            request.wfile.write(start)
            while True:
                request.wfile.write(more)

    return misbehave


def drip_headers(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 206 Partial Content\r\n")
    for number in range(200):
        request.wfile.write(b"X-%d: y\r\n" % number)
        request.wfile.flush()
        time.sleep(0.05)


def endless_header(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 206 Partial Content\r\nX: " + b"y" * 2**20)


def reset(request: Request) -> None:
    request.send_response(206)
    request.send_header("Content-Range", "bytes 0-511/100000")
    request.send_header("Content-Length", "512")
    request.end_headers()
    request.wfile.write(b"x" * 100)
    request.close_connection = True


def shut(request: Request) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True


def not_http(request: Request) -> None:
    request.body(b"SSH-2.0-OpenSSH_9.2\r\n" * 3)
    request.close_connection = True


HOSTILE: dict[str, tuple[Callable[[Request], None], str, int]] = {
    # name: answer, words of the message, requests at most
    "another_part": (
        lambda r: part(r, "bytes 7-518/100000", bytes(512)),
        "sent bytes 7-518 of 100000 instead of 0-511",
        1,
    ),
    "no_content_range": (lambda r: r.brief(206, {}, bytes(512)), "does not say which part", 1),
    "no_size": (lambda r: part(r, "bytes 0-511/*", bytes(512)), "does not say which part", 1),
    "multipart": (
        lambda r: r.brief(206, {"Content-Type": "multipart/byteranges; boundary=x"}, bytes(512)),
        "does not say which part",
        1,
    ),
    "another_length": (
        lambda r: part(r, "bytes 0-511/100000", bytes(600)),
        "announced 600 bytes for a part of 512",
        1,
    ),
    "compressed": (
        lambda r: part(r, "bytes 0-511/100000", bytes(512), **{"Content-Encoding": "gzip"}),
        "compressed on the way (gzip)",
        1,
    ),
    "absent": (lambda r: r.brief(404), "has no such file (status 404)", 1),
    "forbidden": (lambda r: r.brief(403), "refuses to send it (status 403)", 1),
    "teapot": (lambda r: r.brief(418), "answers with status 418", 1),
    "broken_server": (lambda r: r.brief(503), "answers with status 503", 4),
    "too_many_requests": (
        lambda r: r.brief(429, {"Retry-After": "3600"}),
        "asks to wait 3600 seconds",
        1,
    ),
    "trailers": (chunks_with(b"0\r\n", b"X-More: 1\r\n" * 999), "the answer is not HTTP", 1),
    "extensions": (
        chunks_with(b"", b"1;" + b"x" * 60_000 + b"\r\n1\r\n"),
        "the answer is not HTTP",
        1,
    ),
    "drip": (drip, "does not answer in time", 4),
    "drip_headers": (drip_headers, "does not answer in time", 4),
    "huge_header": (endless_header, "not HTTP", 1),
    "many_headers": (
        lambda r: r.brief(206, {f"X-{i}": "y" for i in range(200)}),
        "not HTTP",
        1,
    ),
    "short_body": (reset, "ended too early", 4),
    "no_answer": (shut, "the connection broke", 4),
    "not_http": (not_http, "not HTTP", 1),
    "redirect_loop": (
        lambda r: r.brief(302, {"Location": r.path}),
        "redirects more than 5 times",
        6,
    ),
    "redirect_to_file": (
        lambda r: r.brief(302, {"Location": "file:///etc/passwd"}),
        "only https and http",
        1,
    ),
    "redirect_to_http": (
        lambda r: r.brief(302, {"Location": "http://example.org/x.rpk"}),
        "is not https",
        1,
    ),
    "redirect_to_this_machine": (
        lambda r: r.brief(302, {"Location": "https://127.0.0.1:1/x.rpk"}),
        "not a public address",
        1,
    ),
    "redirect_to_metadata": (
        lambda r: r.brief(302, {"Location": "https://169.254.169.254/latest"}),
        "not a public address",
        1,
    ),
    "redirect_to_mapped": (
        lambda r: r.brief(302, {"Location": "https://[::ffff:10.0.0.1]/x"}),
        "not a public address",
        1,
    ),
    "redirect_to_an_integer": (
        lambda r: r.brief(302, {"Location": "https://2130706433/x"}),
        "not a public address",
        1,
    ),
    "redirect_with_password": (
        lambda r: r.brief(302, {"Location": "https://u:secret@example.org/x"}),
        "an address with a password",
        1,
    ),
    "redirect_with_controls": (
        lambda r: r.brief(302, {"Location": "https://example.org/\x1b[31m"}),
        "control character",
        1,
    ),
    "redirect_to_nothing": (lambda r: r.brief(302), "answers with status 302", 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_one_clear_line(server: FileServer, name: str) -> None:
    answer, words, requests = HOSTILE[name]
    server.misbehave = again(answer)
    with pytest.raises(RepropackError) as caught:
        reach(server.address("x.rpk"))
    text = str(caught.value)
    assert words in text
    assert "\n" not in text
    assert "secret" not in text
    assert len(server.requests) <= requests
    assert isinstance(caught.value, UsageError) == (name == "absent")
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda r: part(r, "bytes 0-9/10", bytes(10)), "sent bytes 0-9 of 10 instead"),
        (lambda r: r.usual(ranges=False), "changed while it was read"),
        (lambda r: r.brief(416), "changed while it was read"),
        (lambda r: r.brief(403), "refuses"),
        (drip_headers, "does not answer in time"),
        (shut, "the connection broke"),
    ],
)
def test_a_server_that_turns_hostile_in_the_middle(
    server: FileServer, bundle: Sealed, answer: Callable[[Request], None], words: str
) -> None:
    server.misbehave = again(answer, after=3)
    with pytest.raises(HttpError, match=words):
        verify(server, bundle)
    assert not [t for t in threading.enumerate() if t.name.startswith(("ahead", "bundle"))]


def test_a_file_that_is_replaced_in_the_middle_is_noticed(
    server: FileServer, bundle: Sealed
) -> None:
    for etag, grow in (('"two"', False), (None, True)):
        server.etag = '"one"' if etag else None
        with reach(server.address("x.rpk")) as opened:
            server.etag = etag
            if grow:
                with bundle.path.open("ab") as file:
                    file.write(b"more")
            with pytest.raises(HttpError, match="changed while it was read"):
                listed(opened, bundle).verify()


def test_passing_failures_are_tried_again_where_they_broke_off(
    server: FileServer, bundle: Sealed
) -> None:
    failures = iter(["503", "429", "cut", "none", "date"] * 2)

    def misbehave(request: Request) -> bool:
        kind = next(failures, "none")
        if kind == "503":
            request.brief(503)
        elif kind == "429":
            request.brief(429, {"Retry-After": "0"})
        elif kind == "date":
            request.brief(503, {"Retry-After": formatdate(time.time() - 5, usegmt=True)})
        elif kind == "cut" and (request.headers["Range"] or "").startswith("bytes=0-"):
            request.usual()
        elif kind == "cut":
            first, last = map(int, request.headers["Range"][6:].split("-"))
            request.send_response(206)
            size = bundle.path.stat().st_size
            request.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            request.send_header("Content-Length", str(last - first + 1))
            request.end_headers()
            request.body(bundle.path.read_bytes()[first : first + (last - first) // 2])
            request.close_connection = True
        else:
            return False
        return True

    server.misbehave = misbehave
    verify(server, bundle)
    # What had arrived before a break is not sent again.
    assert server.sent <= bundle.path.stat().st_size + 2**19


def test_a_redirect_of_the_same_server_is_followed_and_remembered(
    server: FileServer, bundle: Sealed
) -> None:
    def misbehave(request: Request) -> bool:
        if not request.path.startswith("/start"):
            return False
        request.brief(302, {"Location": "/x.rpk?signature=secret"})
        return True

    server.misbehave = misbehave
    with reach(server.address("start")) as opened:
        listed(opened, bundle).verify()
    assert [path for path, _ in server.requests].count("/start") == 1


def test_a_redirect_that_has_expired_is_asked_for_again(server: FileServer, bundle: Sealed) -> None:
    def misbehave(request: Request) -> bool:
        number = len(server.requests)
        if request.path == "/start":
            request.brief(302, {"Location": f"/x.rpk?{number}"})
            return True
        if number > 3 and request.path == "/x.rpk?1":
            request.brief(403)
            return True
        return False

    server.misbehave = misbehave
    with reach(server.address("start")) as opened:
        listed(opened, bundle).verify()


def test_a_password_goes_to_its_host_only(server: FileServer, bundle: Sealed) -> None:
    typed = server.address("x.rpk").replace("//", "//me:pass%40word@")
    with reach(typed) as opened:
        listed(opened, bundle)
    assert {f.get("Authorization") for f in server.fields} == {"Basic bWU6cGFzc0B3b3Jk"}
    assert "pass" not in str(parse_address(typed))


def test_memory_stays_bounded_whatever_a_server_announces(
    server: FileServer, tmp_path: Path
) -> None:
    def misbehave(request: Request) -> bool:
        request.send_response(200)
        request.send_header("Content-Length", str(2**62))
        request.end_headers()
        return True

    server.misbehave = misbehave
    with pytest.raises(HttpError, match="no room"):
        reach(server.address("x.rpk"), copies=tmp_path)


def test_an_interrupted_reader_does_not_wait_for_a_slow_server(
    server: FileServer, bundle: Sealed
) -> None:
    go_on = threading.Event()
    answered: list[str] = []

    def misbehave(request: Request) -> bool:
        # The first bytes come, in whichever order the ranges are asked for.
        if not request.headers["Range"].startswith("bytes=0-"):
            go_on.wait(120)
            answered.append(request.path)
        return False

    client = Client(Proxies(), Limits(answer=300))
    with reach(server.address("x.rpk"), client=client) as opened:
        reader = listed(opened, bundle)
        server.misbehave = misbehave

        def stop(_: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            reader.verify(progress=stop)
        assert answered == []
    go_on.set()


# ---------------------------------------------------------------- volumes behind an address


def cut(bundle: Sealed, count: int) -> list[Path]:
    data = bundle.path.read_bytes()
    each = -(-len(data) // count)
    volumes = []
    for number in range(count):
        path = bundle.path.with_name(f"x.rpk.{number + 1:03d}")
        path.write_bytes(data[number * each : (number + 1) * each])
        volumes.append(path)
    bundle.path.unlink()
    return volumes


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9])
def test_volumes_behind_an_address_are_one_bundle(
    server: FileServer, bundle: Sealed, count: int
) -> None:
    cut(bundle, count)
    with reach(server.address("x.rpk.001?token=a")) as opened:
        probes = len(server.requests)
        verified = listed(opened, bundle).verify()
        assert sha256_hex(verified.read("z.txt", limit=99)) == sha256_hex(b"the last\n")
    assert probes <= 2 + 2 * 4  # the ends, and two for each power of two
    assert all(path.endswith("?token=a") for path, _ in server.requests)


def test_volumes_that_are_not_all_there_are_said(server: FileServer, bundle: Sealed) -> None:
    volumes = cut(bundle, 7)
    with pytest.raises(UsageError, match=r"not the first volume"):
        reach(server.address("x.rpk.002"))
    third = volumes[2].read_bytes()
    volumes[2].write_bytes(third[:-1])
    with reach(server.address("x.rpk.001")) as opened, pytest.raises(DefectError) as caught:
        listed(opened, bundle).verify()
    assert (caught.value.finding.code, caught.value.finding.subject) == (
        Code.VOLUMES,
        "x.rpk.003",
    )
    volumes[2].unlink()
    with reach(server.address("x.rpk.001")) as opened, pytest.raises(DefectError) as caught:
        listed(opened, bundle).verify()
    assert caught.value.finding.subject == "x.rpk.003"
    volumes[2].write_bytes(third)
    volumes[6].unlink()
    with pytest.raises(DefectError, match=r"x\.rpk\.006.*not the last volume"):
        reach(server.address("x.rpk.001"))
