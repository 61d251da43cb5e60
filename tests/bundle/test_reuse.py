# SPDX-License-Identifier: Apache-2.0
"""A later bundle copies the frames of large contents, and is the same bytes as without."""

from __future__ import annotations

import json
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repropack.bundle import MemberSource, write_bundle
from repropack.digest import sha256_hex
from repropack.errors import RepropackError
from repropack.model import Role
from tests.bundle.rpk_forge import FRAME, source

ONE = random.Random(21).randbytes(2 * FRAME + 999)
TWO = random.Random(22).randbytes(len(ONE))


def seal(manifest: bytes, offset: int) -> bytes:
    return b'{"offset":%d}' % offset


class Author:
    """Somebody who packs two large files again and again, with another README each time."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.notes = place / "cache" / "frames"
        for name, content in (("one", ONE), ("two", TWO)):
            (place / name).write_bytes(content)

    def sources(self, readme: str) -> list[MemberSource]:
        return [
            source("README.md", readme.encode()),
            *(
                MemberSource(
                    path=f"weights/{name}",
                    role=Role.WEIGHTS,
                    content=self.place / name,
                    sha256=sha256_hex(content),
                )
                for name, content in (("one", ONE), ("two", TWO))
            ),
        ]

    def export(self, readme: str, name: str = "new.rpk", **options: Any) -> Path:
        target = self.place / name
        return write_bundle(
            target, self.sources(readme), seal=seal, frame_notes=self.notes, **options
        ).path

    def fresh(self, readme: str) -> bytes:
        """The bytes without any earlier bundle."""
        target = self.place / "fresh.rpk"
        write_bundle(target, self.sources(readme), seal=seal)
        data = target.read_bytes()
        target.unlink()
        return data

    def spoil_sources(self) -> None:
        """Other bytes in the files that go out: whoever reads them now fails."""
        for name in ("one", "two"):
            path = self.place / name
            path.write_bytes(bytes(path.stat().st_size))

    def note(self) -> Path:
        (found,) = self.notes.glob("*.json")
        return found


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path)


def test_a_second_export_has_the_bytes_of_a_first_one_and_reads_no_source(author: Author) -> None:
    expected = author.fresh("another and longer text")
    author.export("text", "old.rpk")
    author.spoil_sources()
    seen: list[int] = []
    new = author.export("another and longer text", progress=seen.append)
    assert new.read_bytes() == expected
    # The next one copies from the copy.
    (author.place / "old.rpk").unlink()
    assert author.export("another and longer text", "third.rpk").read_bytes() == expected
    assert len(list(author.notes.glob("*.json"))) == 2


def test_one_file_is_exported_over_itself(author: Author) -> None:
    expected = author.fresh("b")
    author.export("a")
    author.spoil_sources()
    assert author.export("b").read_bytes() == expected
    assert author.export("b").read_bytes() == expected
    assert author.note().exists()


def test_volumes_are_read_and_written_too(author: Author) -> None:
    expected = author.fresh("b")
    author.export("a", "old.rpk", volume_size=FRAME // 3)
    author.spoil_sources()
    first = author.export("b", "new.rpk", volume_size=FRAME + 1)
    joined = b"".join(p.read_bytes() for p in sorted(first.parent.glob("new.rpk.*")))
    assert joined == expected
    assert author.export("b", "whole.rpk").read_bytes() == expected


def test_without_earlier_bundles_the_sources_are_read(author: Author) -> None:
    author.spoil_sources()
    with pytest.raises(RepropackError, match="not the recorded"):
        author.export("a")
    assert not list(author.notes.glob("*")), "a failed export leaves no note"


def in_place(change: Callable[[bytearray], None]) -> Callable[[Path], None]:
    """A change of a file that keeps its times."""

    def damage(path: Path) -> None:
        status = path.stat()
        data = bytearray(path.read_bytes())
        change(data)
        with path.open("r+b") as file:
            file.write(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return damage


def flip(at: int) -> Callable[[Path], None]:
    def change(data: bytearray) -> None:
        data[at] ^= 1

    return in_place(change)


def swap_frames(data: bytearray) -> None:
    # Two frames of noise have the same size: header, raw blocks, checksum.
    size = FRAME + 9 + 32 * 3 + 4
    start = data.index(b"\x28\xb5\x2f\xfd", 4)
    first, second = data[start : start + size], data[start + size : start + 2 * size]
    assert second[:4] == b"\x28\xb5\x2f\xfd"
    data[start : start + 2 * size] = second + first


def instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(random.Random(1).randbytes(9 * FRAME)),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        flip(FRAME),
        flip(4 * FRAME),
        in_place(swap_frames),
        instead(os.mkfifo),
        instead(Path.mkdir),
        instead(lambda path: path.symlink_to("/dev/zero")),
    ],
)
def test_an_earlier_bundle_that_is_not_what_it_was(
    author: Author, damage: Callable[[Path], object]
) -> None:
    expected = author.fresh("b")
    damage(author.export("a", "old.rpk"))
    assert author.export("b").read_bytes() == expected


def test_an_earlier_bundle_that_shrinks_meanwhile(author: Author) -> None:
    expected = author.fresh("b")
    old = author.export("a", "old.rpk")
    done: list[int] = []

    def progress(size: int) -> None:
        done.append(size)
        if len(done) == 1:
            os.truncate(old, 1000)

    new = author.export("b", progress=progress, workers=1)
    assert new.read_bytes() == expected


Change = Callable[[dict[str, Any]], object]


def each_content(**fields: Any) -> Change:
    return lambda note: [content.update(fields) for content in note["contents"]]


def exchange(field: str) -> Change:
    def change(note: dict[str, Any]) -> None:
        one, two = note["contents"]
        one[field], two[field] = two[field], one[field]

    return change


def other_tags(note: dict[str, Any]) -> None:
    for content in note["contents"]:
        content["frames"] = [[size, "0" * 32] for size, _ in content["frames"]]


@pytest.mark.parametrize(
    "change",
    [
        other_tags,
        exchange("sha256"),
        exchange("frames"),
        exchange("offset"),
        each_content(offset=0),
        each_content(offset=2**53 - 1),
        each_content(first=2**53 - 1),
        each_content(size=5),
        each_content(frames=[]),
        each_content(frames=[[2**40, "0" * 32]] * 3),
        each_content(frames=[[0, "0" * 32]] * 3),
        each_content(sha256="no digest"),
        each_content(extra=1),
        lambda note: note.update(key="00" * 32),
        lambda note: note.update(key="00"),
        lambda note: note.update(key="key"),
        lambda note: note.update(encoding="zstd 1.0.0 level 1"),
        lambda note: note.update(path="/dev/zero"),
        lambda note: note.update(path=""),
        lambda note: note.update(path="a\0b"),
    ],
)
def test_a_note_that_lies(author: Author, change: Change) -> None:
    expected = author.fresh("b")
    author.export("a", "old.rpk")
    note = json.loads(author.note().read_bytes())
    change(note)
    author.note().write_text(json.dumps(note))
    seen: list[int] = []
    new = author.export("b", progress=seen.append)
    assert new.read_bytes() == expected
    # The note about this bundle is a good one.
    author.spoil_sources()
    assert author.export("b", "third.rpk").read_bytes() == expected
    for name, content in (("one", ONE), ("two", TWO)):
        (author.place / name).write_bytes(content)
    # What was done twice is not counted twice.
    clean = author.place / "clean.rpk"
    counted: list[int] = []
    write_bundle(clean, author.sources("b"), seal=seal, progress=counted.append)
    assert sum(seen) == sum(counted)


def test_notes_that_are_no_notes(author: Author) -> None:
    expected = author.fresh("b")
    author.export("a", "old.rpk")
    whole = author.note().read_bytes()
    for content in (b"", b"{}", b"\0" * 99, b"[" * 10**5, whole[:-1], whole[: len(whole) // 2]):
        author.note().write_bytes(content)
        (author.place / "new.rpk").unlink(missing_ok=True)
        assert author.export("b").read_bytes() == expected
        # The unreadable one went with the next note.
        author.note().write_bytes(whole)


def test_notes_are_private_and_not_taken_from_where_others_may_write(author: Author) -> None:
    author.export("a", "old.rpk")
    assert stat.S_IMODE(author.note().stat().st_mode) == 0o600
    assert stat.S_IMODE(author.notes.stat().st_mode) == 0o700
    author.notes.chmod(0o770)
    author.spoil_sources()
    with pytest.raises(RepropackError, match="not the recorded"):
        author.export("b")


def test_notes_of_bundles_that_are_gone_go_too(author: Author) -> None:
    author.export("a", "old.rpk").unlink()
    author.export("b", "new.rpk")
    assert json.loads(author.note().read_bytes())["path"] == str(author.place / "new.rpk")


def test_a_place_that_cannot_hold_notes_is_none(author: Author) -> None:
    (author.place / "cache").write_text("a file where the directory should be")
    assert author.export("a").read_bytes() == author.fresh("a")


def test_small_members_and_unknown_digests_leave_no_note(author: Author) -> None:
    readme = source("README.md", b"x" * (FRAME - 1))
    unknown = source("w", author.place / "one")
    write_bundle(author.place / "x.rpk", [readme, unknown], seal=seal, frame_notes=author.notes)
    assert not list(author.notes.glob("*.json"))
