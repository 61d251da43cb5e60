# SPDX-License-Identifier: Apache-2.0
"""What is written can be read: by us, and by tar, zstd and openssl alone."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.bundle import ListedBundle, MemberSource, VerifiedBundle, open_bundle
from repropack.bundle.container import open_container
from repropack.bundle.sources.file import open_file
from repropack.digest import sha256_hex
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError
from tests.bundle.rpk_forge import ATTESTATION, FRAME, source, write

NOISE = random.Random(5).randbytes(3 * FRAME)
README = source("README.md", b"# hello\n")
LONG = "/".join(["directory-with-a-long-name"] * 9) + "/" + "n" * 200


def contents(sources: list[MemberSource]) -> dict[str, bytes]:
    return {
        s.path: s.content if isinstance(s.content, bytes) else s.content.read_bytes()
        for s in sources
    }


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture
def sources(tmp_path: Path) -> list[MemberSource]:
    """Members with every size that matters to frames and blocks."""
    big = tmp_path / "big.bin"
    big.write_bytes(NOISE[: 2 * FRAME + 12345])
    # After this one the next header begins 512 bytes before the end of a frame.
    return [
        README,
        source("a/fills-a-frame", NOISE[: FRAME - 512 - 1024 - 512]),
        source("a/header-ends-with-frame", b"x" * 7),
        source("b/empty", b""),
        source("b/one-block", b"y" * 512),
        source("b/two-blocks-less-one", b"z" * 1023),
        source("bin/run.sh", b"#!/bin/sh\n", executable=True),
        source("weights/big.bin", big),
        source("weights/exactly-a-frame", NOISE[:FRAME]),
        source("weights/zeros", bytes(FRAME + 1)),
        source("ünï/cödé-名前.txt", "grüße\n".encode()),
        source(LONG, b"long\n"),
        source("p" * 99, b"99"),
        source("p" * 100, b"100"),
        source("p" * 101, b"101"),
        source("d" * 155 + "/" + "n" * 100, b"prefix full"),
        source("d" * 156 + "/" + "n" * 100, b"prefix too long"),
    ]


def test_members_read_back_equal(tmp_path: Path, sources: list[MemberSource]) -> None:
    with open_bundle(write(tmp_path / "x.rpk", *sources).path) as opened:
        assert opened.attestation == ATTESTATION
    listed = write(tmp_path / "x.rpk", *sources).listed()
    verified = listed.verify()
    assert verified.manifest.members[0].path == "README.md"
    assert {m.path: verified.read(m.path, limit=10**8) for m in listed.manifest.members} == (
        contents(sources)
    )
    for member in listed.manifest.members:
        assert member.sha256 == sha256_hex(contents(sources)[member.path])


def test_extraction_equals_what_tar_makes(tmp_path: Path, sources: list[MemberSource]) -> None:
    bundle = write(tmp_path / "x.rpk", *sources)
    (tmp_path / "by-tar").mkdir()
    subprocess.run(["tar", "--zstd", "-xf", bundle.path, "-C", tmp_path / "by-tar"], check=True)
    bundle.listed().verify().extract(tmp_path / "by-us")
    by_tar = tree(tmp_path / "by-tar")
    assert by_tar == tree(tmp_path / "by-us")
    assert set(by_tar) == {*contents(sources), "manifest.json", "attestation.dsse.json"}
    assert {p: by_tar[p] for p in contents(sources)} == contents(sources)
    for root in ("by-tar", "by-us"):
        mode = stat.S_IMODE((tmp_path / root / "bin/run.sh").stat().st_mode)
        assert mode & stat.S_IXUSR
        assert not (tmp_path / root / "README.md").stat().st_mode & stat.S_IXUSR


def test_other_tools_accept_the_file(tmp_path: Path, sources: list[MemberSource]) -> None:
    bundle = write(tmp_path / "x.rpk", *sources)
    subprocess.run(["zstd", "-tq", bundle.path], check=True)
    listing = subprocess.run(
        ["tar", "--zstd", "-tf", bundle.path, "--quoting-style=literal"],
        check=True,
        capture_output=True,
    ).stdout.decode()
    listed = [m.path for m in bundle.listed().manifest.members]
    assert listing.splitlines() == [*listed, "manifest.json", "attestation.dsse.json"]
    stream = subprocess.run(["zstd", "-dcq", bundle.path], check=True, capture_output=True).stdout
    # The offsets that a statement signs hold for the plain stream.
    manifest = stream[bundle.offset + 512 : bundle.offset + 512 + bundle.size]
    assert sha256_hex(manifest) == bundle.sha256
    openssl = subprocess.run(
        ["openssl", "dgst", "-sha256", "-r"], input=manifest, check=True, capture_output=True
    )
    assert openssl.stdout.split()[0].decode() == bundle.sha256


@pytest.mark.skipif(shutil.which("bsdtar") is None, reason="bsdtar is not installed")
def test_bsdtar_extracts_the_same(tmp_path: Path, sources: list[MemberSource]) -> None:
    bundle = write(tmp_path / "x.rpk", *sources)
    (tmp_path / "by-bsdtar").mkdir()
    subprocess.run(["bsdtar", "-xf", bundle.path, "-C", tmp_path / "by-bsdtar"], check=True)
    bundle.listed().extract(tmp_path / "by-us")
    assert tree(tmp_path / "by-bsdtar") == tree(tmp_path / "by-us")


def test_same_inputs_same_bytes(tmp_path: Path, sources: list[MemberSource]) -> None:
    first = write(tmp_path / "1.rpk", *sources, workers=1)
    second = write(tmp_path / "2.rpk", *reversed(sources), workers=5)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_frames_are_cut_where_the_specification_says(tmp_path: Path) -> None:
    bundle = write(tmp_path / "x.rpk", README, source("w", NOISE))
    lines = subprocess.run(
        ["zstd", "-lv", bundle.path], check=True, capture_output=True
    ).stdout.decode()
    # What comes before the large member, its three, manifest, attestation; the seek table.
    assert "# Zstandard Frames: 6" in lines
    assert "# Skippable Frames: 1" in lines


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_sizes_round_trip(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    near_border = st.integers(FRAME - 2048, FRAME + 1024) | st.just(2 * FRAME)
    sizes = data.draw(st.lists(st.integers(0, 5000) | near_border, min_size=1, max_size=6))
    sources = [source(f"m{i}", NOISE[i : i + size]) for i, size in enumerate(sizes)]
    path = tmp_path_factory.mktemp("any") / "x.rpk"
    verified = write(path, README, *sources).listed().verify()
    for s in sources:
        assert verified.read(s.path, limit=10**8) == s.content
    path.unlink()


def test_a_large_file_has_the_same_frames_in_every_bundle(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(NOISE[: FRAME + 5])
    one = write(tmp_path / "1.rpk", README, source("w", tmp_path / "w"))
    other = write(
        tmp_path / "2.rpk",
        source("README.md", b"# another text, and longer\n" * 99),
        source("a/first", b"1"),
        source("b/under/another/name/ü", NOISE[: FRAME + 5], executable=True),
    )
    assert large_frames(one.path) == large_frames(other.path)


def large_frames(bundle: Path) -> bytes:
    """The stored bytes of the second and third frame, which are those of the large member."""
    source = open_file(bundle)
    with contextlib.closing(source):
        container = open_container(source)
        assert container.table.content_size(1) == FRAME
        return container.stored(1) + container.stored(2)


def test_an_empty_file_whose_header_ends_a_frame(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    filler = source("a", bytes(FRAME - 4 * 512))
    listed = write(tmp_path / "x.rpk", README, filler, source("z", tmp_path / "empty")).listed()
    assert listed.content_size == FRAME
    assert listed.verify().read("z", limit=0) == b""


def test_only_verify_makes_a_verified_bundle(tmp_path: Path) -> None:
    listed = write(tmp_path / "x.rpk", README).listed()
    assert type(listed) is ListedBundle
    assert type(listed.verify()) is VerifiedBundle


def test_one_member_can_be_taken_out(tmp_path: Path, sources: list[MemberSource]) -> None:
    listed = write(tmp_path / "x.rpk", *sources).listed()
    listed.extract(tmp_path / "out", select=lambda member: member.path.startswith("b/"))
    assert set(tree(tmp_path / "out")) == {"b/empty", "b/one-block", "b/two-blocks-less-one"}


def test_reading_keeps_its_limit(tmp_path: Path) -> None:
    listed = write(tmp_path / "x.rpk", README, source("big", bytes(1000))).listed()
    assert listed.read("big", limit=1000) == bytes(1000)
    for path, limit, code in (("big", 999, Code.TOO_LARGE), ("none", 9, Code.MEMBER_MISSING)):
        with pytest.raises(DefectError) as caught:
            listed.read(path, limit=limit)
        assert caught.value.finding.code is code


def test_progress_tells_every_byte(tmp_path: Path, sources: list[MemberSource]) -> None:
    listed = write(tmp_path / "x.rpk", *sources).listed()
    seen: list[int] = []
    listed.verify(progress=seen.append)
    assert sum(seen) == listed.content_size
    seen.clear()
    listed.extract(tmp_path / "out", progress=seen.append)
    assert sum(seen) == sum(m.size for m in listed.manifest.members)


def test_extraction_wants_an_empty_directory(tmp_path: Path) -> None:
    listed = write(tmp_path / "x.rpk", README).listed()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("")
    for name in ("full", "file"):
        with pytest.raises(UsageError):
            listed.extract(tmp_path / name)
    assert tree(tmp_path / "full") == {"mine": b"mine"}


def test_extraction_refuses_what_does_not_fit(tmp_path: Path) -> None:
    # A few KiB of zeros in the file, 8 TiB on the disk: refused before anything is written.
    listed = write(tmp_path / "x.rpk", README, source("zeros", bytes(FRAME))).listed()
    huge = listed.manifest.members[1]
    import msgspec

    from repropack.bundle.extraction import extract_members

    with pytest.raises(RepropackError, match="no room"):
        extract_members(
            listed._frames,
            [(msgspec.structs.replace(huge, size=2**43), 1024)],
            tmp_path / "out",
            extra=(),
            progress=None,
        )
    assert os.listdir(tmp_path) == ["x.rpk"]


def test_a_swap_after_verification_is_noticed(tmp_path: Path) -> None:
    good = write(tmp_path / "good.rpk", README, source("w", NOISE[:FRAME]))
    # The digest in the statement may compress otherwise: one of these has the same size.
    for shift in range(1, 100):
        bad = write(tmp_path / "bad.rpk", README, source("w", NOISE[shift : FRAME + shift]))
        if good.path.stat().st_size == bad.path.stat().st_size:
            break
    assert good.path.stat().st_size == bad.path.stat().st_size
    verified = good.listed().verify()
    with good.path.open("r+b") as file:  # in place: the open file changes
        file.write(bad.path.read_bytes())
    with pytest.raises(DefectError) as caught:
        verified.extract(tmp_path / "out")
    assert caught.value.finding.code is Code.MEMBER_DIGEST
    assert caught.value.finding.subject == "w"
    assert sorted(os.listdir(tmp_path)) == ["bad.rpk", "good.rpk"]
    with pytest.raises(DefectError):
        verified.read("w", limit=10**9)


def test_a_swap_by_rename_is_never_read(tmp_path: Path) -> None:
    good = write(tmp_path / "good.rpk", README, source("w", b"good"))
    bad = write(tmp_path / "bad.rpk", README, source("w", b"evil"))
    verified = good.listed().verify()
    bad.path.rename(good.path)
    assert verified.read("w", limit=9) == b"good"


def test_the_file_is_closed(tmp_path: Path) -> None:
    bundle = write(tmp_path / "x.rpk", README)
    before = len(os.listdir("/proc/self/fd"))
    with open_bundle(bundle.path) as opened:
        listed = opened.read_manifest(offset=bundle.offset, size=bundle.size, sha256=bundle.sha256)
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(RepropackError):
        listed.verify()
