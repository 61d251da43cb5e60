# SPDX-License-Identifier: Apache-2.0
"""A bundle in volumes, and a bundle that was extracted: the same answers as for one file."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.bundle import VerifiedBundle, open_bundle
from repropack.digest import sha256_hex
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError
from tests.bundle.rpk_forge import FRAME, Sealed, source, write

NOISE = random.Random(12).randbytes(3 * FRAME)
LONG = "/".join(["directory-with-a-long-name"] * 9) + "/" + "n" * 200


@pytest.fixture
def bundle(tmp_path: Path) -> Sealed:
    return write(
        tmp_path / "x.rpk",
        source("README.md", b"# hello\n"),
        source("a/empty", b""),
        source("a/big.bin", NOISE[: 2 * FRAME + 77]),
        source("b/run.sh", b"#!/bin/sh\n", executable=True),
        source("ü/ö.txt", b"umlauts\n"),
        source(LONG, b"long\n"),
    )


def check(place: Path, bundle: Sealed) -> VerifiedBundle:
    with open_bundle(place) as opened:
        verified = opened.read_manifest(
            offset=bundle.offset, size=bundle.size, sha256=bundle.sha256
        ).verify()
        for m in verified.manifest.members:
            assert sha256_hex(verified.read(m.path, limit=m.size)) == m.sha256
        return verified


def defect(place: Path, bundle: Sealed) -> tuple[Code, str, str]:
    with pytest.raises(DefectError) as caught:
        check(place, bundle)
    assert "\n" not in str(caught.value)
    finding = caught.value.finding
    return finding.code, finding.subject, finding.found


# ---------------------------------------------------------------- volumes


def cut(bundle: Sealed, each: int) -> list[Path]:
    data = bundle.path.read_bytes()
    volumes = []
    for number in range(-(-len(data) // each)):
        path = bundle.path.with_name(f"{bundle.path.name}.{number + 1:03d}")
        path.write_bytes(data[number * each : (number + 1) * each])
        volumes.append(path)
    return volumes


@pytest.mark.parametrize("each", [100_003, FRAME, 3 * 10**6, 10**8])
def test_volumes_are_the_bundle_that_they_make_together(bundle: Sealed, each: int) -> None:
    volumes = cut(bundle, each)
    assert check(volumes[0], bundle).manifest_sha256 == bundle.sha256
    bundle.path.unlink()
    assert check(bundle.path, bundle).manifest_sha256 == bundle.sha256


def test_a_file_goes_before_volumes_of_its_name(bundle: Sealed) -> None:
    volumes = cut(bundle, FRAME)
    volumes[1].unlink()
    check(bundle.path, bundle)


def test_volumes_that_do_not_fit_are_one_clear_line(bundle: Sealed) -> None:
    volumes = cut(bundle, 10**6)
    first = volumes[0]
    contents = [v.read_bytes() for v in volumes]

    def restored() -> None:
        for volume, content in zip(volumes, contents, strict=True):
            volume.write_bytes(content)

    # missing in the middle, the first, the last
    volumes[2].unlink()
    assert defect(first, bundle)[:2] == (Code.VOLUMES, "x.rpk.003")
    restored()
    volumes[0].unlink()
    with pytest.raises(UsageError, match="No such file"):
        open_bundle(first)
    restored()
    volumes[-1].unlink()
    code, subject, found = defect(first, bundle)
    assert (code, subject) == (Code.TRUNCATED, volumes[-2].name)
    assert "not the last volume" in found
    restored()
    # one too many: of another, larger bundle
    extra = first.with_name(f"x.rpk.{len(volumes) + 1:03d}")
    extra.write_bytes(b"\0" * 500)
    assert defect(first, bundle)[0] is Code.VOLUMES
    volumes[-1].write_bytes(contents[-1].ljust(10**6, b"\0"))
    assert defect(first, bundle)[:2] == (Code.TRUNCATED, extra.name)
    extra.unlink()
    restored()
    # short, long, empty
    volumes[1].write_bytes(contents[1][:-1])
    assert defect(first, bundle)[:2] == (Code.VOLUMES, "x.rpk.002")
    volumes[1].write_bytes(contents[1] + b"x")
    assert defect(first, bundle)[:2] == (Code.VOLUMES, "x.rpk.002")
    volumes[1].write_bytes(b"")
    assert defect(first, bundle)[:2] == (Code.VOLUMES, "x.rpk.002")
    restored()
    # in another order
    volumes[1].write_bytes(contents[2])
    volumes[2].write_bytes(contents[1])
    code, subject, found = defect(first, bundle)
    assert code in (Code.FRAME_HEADER, Code.FRAME_CONTENT)
    assert "in x.rpk.00" in found
    restored()
    volumes[0].write_bytes(contents[1])
    assert defect(first, bundle)[:2] == (Code.NOT_RPK, "x.rpk.001")
    restored()
    # a name that is not the first
    with pytest.raises(UsageError, match=r"name .*x\.rpk\.001"):
        open_bundle(volumes[1])
    check(first, bundle)


@settings(max_examples=30)
@given(each=st.integers(min_value=20, max_value=2000))
def test_any_volume_size_reads_back(tmp_path_factory: pytest.TempPathFactory, each: int) -> None:
    place = tmp_path_factory.mktemp("volumes")
    small = write(place / "x.rpk", source("README.md", b"# hi\n"), source("n", NOISE[:900]))
    check(cut(small, each)[0], small)


# ---------------------------------------------------------------- extracted directories


@pytest.fixture(params=["tar", "repropack"])
def extracted(request: pytest.FixtureRequest, bundle: Sealed, tmp_path: Path) -> Path:
    place = tmp_path / "extracted"
    if request.param == "tar":
        place.mkdir()
        subprocess.run(["tar", "--zstd", "-xf", bundle.path, "-C", place], check=True)
    else:
        bundle.listed().verify().extract(place)
    return place


def test_an_extracted_tree_is_the_bundle(bundle: Sealed, extracted: Path, tmp_path: Path) -> None:
    verified = check(extracted, bundle)
    with open_bundle(extracted) as opened:
        listed = opened.read_manifest(offset=bundle.offset, size=bundle.size, sha256=bundle.sha256)
        listed.verify().extract(tmp_path / "again")
    assert check(tmp_path / "again", bundle).manifest == verified.manifest
    assert os.access(tmp_path / "again/b/run.sh", os.X_OK)


def relink(place: Path) -> None:
    shutil.move(place / "a/big.bin", place.with_name("moved"))
    (place / "a/big.bin").symlink_to(place.with_name("moved"))


def relink_directory(place: Path) -> None:
    shutil.move(place / "a", place.with_name("moved-a"))
    (place / "a").symlink_to(place.with_name("moved-a"))


def to_fifo(place: Path, name: str = "README.md") -> None:
    (place / name).unlink()
    os.mkfifo(place / name)


def to_directory(place: Path) -> None:
    (place / "README.md").unlink()
    (place / "README.md").mkdir()


def flip(place: Path) -> None:
    with (place / "a/big.bin").open("r+b") as file:
        file.seek(FRAME + 5)
        byte = file.read(1)
        file.seek(FRAME + 5)
        file.write(bytes([byte[0] ^ 1]))


DEFECTS: dict[str, tuple[Callable[[Path], object], Code, str]] = {
    "extra file": (lambda p: (p / "a/more").write_text("x"), Code.UNLISTED, "a/more"),
    "extra link": (lambda p: (p / "more").symlink_to("README.md"), Code.UNLISTED, "more"),
    "extra fifo": (lambda p: os.mkfifo(p / "more"), Code.UNLISTED, "more"),
    "extra empty directory": (lambda p: (p / "a/.git").mkdir(), Code.UNLISTED, "a/.git"),
    "another case": (lambda p: (p / "readme.MD").write_text("x"), Code.UNLISTED, "readme.MD"),
    "moved to another case": (
        lambda p: (p / "README.md").rename(p / "readme.md"),
        Code.UNLISTED,
        "readme.md",
    ),
    "bytes that are no name": (
        lambda p: Path(os.fsdecode(os.fsencode(p) + b"/\xff")).write_text("x"),
        Code.UNLISTED,
        "\udcff",
    ),
    "missing": (lambda p: (p / "a/empty").unlink(), Code.NOT_AS_LISTED, "no such file"),
    "link": (relink, Code.NOT_AS_LISTED, "a symbolic link"),
    "directory is a link": (relink_directory, Code.UNLISTED, "a"),
    "fifo": (to_fifo, Code.NOT_AS_LISTED, "a special file"),
    "directory instead": (to_directory, Code.NOT_AS_LISTED, "a directory"),
    "executable": (
        lambda p: (p / "README.md").chmod(0o755),
        Code.NOT_AS_LISTED,
        "an executable file",
    ),
    "not executable": (
        lambda p: (p / "b/run.sh").chmod(0o644),
        Code.NOT_AS_LISTED,
        "a file that is not executable",
    ),
    "shorter": (lambda p: (p / "README.md").write_text("#"), Code.MEMBER_DIGEST, "1 bytes"),
    "longer": (
        lambda p: (p / "a/empty").write_text("x"),
        Code.MEMBER_DIGEST,
        "1 bytes",
    ),
    "one bit": (flip, Code.MEMBER_DIGEST, "sha256:"),
    "another manifest": (
        lambda p: (p / "manifest.json").write_text("{}"),
        Code.MANIFEST_DIGEST,
        "2 bytes",
    ),
    "no attestation": (
        lambda p: (p / "attestation.dsse.json").unlink(),
        Code.NO_SIGNATURE,
        "no such file",
    ),
    "manifest is a fifo": (
        lambda p: to_fifo(p, "manifest.json"),
        Code.NOT_AS_LISTED,
        "a special file",
    ),
    "huge attestation": (
        lambda p: os.truncate(p / "attestation.dsse.json", 2**40),
        Code.TOO_LARGE,
        "more than",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_each_change_of_a_tree_is_found(bundle: Sealed, extracted: Path, name: str) -> None:
    change, code, words = DEFECTS[name]
    change(extracted)
    found = defect(extracted, bundle)
    assert found[0] is code
    assert words in f"{found[1]} {found[2]}"


def test_what_is_swapped_after_the_check_is_not_used(
    bundle: Sealed, extracted: Path, tmp_path: Path
) -> None:
    with open_bundle(extracted) as opened:
        listed = opened.read_manifest(offset=bundle.offset, size=bundle.size, sha256=bundle.sha256)
        verified = listed.verify()
        flip(extracted)
        with pytest.raises(DefectError) as caught:
            verified.extract(tmp_path / "out")
        assert caught.value.finding.code is Code.MEMBER_DIGEST
        assert not (tmp_path / "out").exists()
        # A tree that takes the place of the opened one is never looked at.
        extracted.rename(tmp_path / "aside")
        bundle.listed().verify().extract(extracted)
        with pytest.raises(DefectError):
            verified.extract(tmp_path / "out")


def test_a_directory_of_something_else_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/README.md").write_text("#")
    with pytest.raises(UsageError, match="no bundle was extracted into it"):
        open_bundle(tmp_path / "x")


# ---------------------------------------------------------------- writing volumes


CONTENT = (source("README.md", b"# hello\n"), source("n.bin", NOISE[:9000]))


@pytest.mark.parametrize("each", [1, 13, 4096, 9000, 10**6])
def test_written_volumes_are_the_bytes_of_one_file(tmp_path: Path, each: int) -> None:
    if each == 1:
        with pytest.raises(RepropackError, match="more than 999 volumes"):
            write(tmp_path / "v.rpk", *CONTENT, volume_size=each)
        assert list(tmp_path.iterdir()) == []
        return
    one = write(tmp_path / "x.rpk", *CONTENT)
    several = write(tmp_path / "v.rpk", *CONTENT, volume_size=each)
    assert several.path.name == "v.rpk.001"
    joined = subprocess.run(
        ["sh", "-c", "cat v.rpk.*"], cwd=tmp_path, check=True, capture_output=True
    ).stdout
    assert joined == one.path.read_bytes()
    sizes = [v.stat().st_size for v in sorted(tmp_path.glob("v.rpk.*"))]
    assert set(sizes[:-1]) <= {each}
    assert 0 < sizes[-1] <= each
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    check(several.path, several)
    with pytest.raises(RepropackError, match="File exists"):
        write(tmp_path / "v.rpk", *CONTENT, volume_size=each)
    check(several.path, several)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_volumes_are_all_there_or_none(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.rename, []

    def fails_once(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == number:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr("repropack.bundle.volume_writing.os.rename", fails_once)
    with pytest.raises(RepropackError, match="nothing was changed"):
        write(tmp_path / "v.rpk", *CONTENT, volume_size=4096)
    assert list(tmp_path.iterdir()) == []
    # The one that a reader names comes last.
    assert [p.name for p in calls] == [f"v.rpk.00{i}" for i in (3, 2, 1)][:number]
