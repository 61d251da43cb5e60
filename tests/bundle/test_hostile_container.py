# SPDX-License-Identifier: Apache-2.0
"""Whatever the bytes are, the reader answers with a finding, in bounded time and memory."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack import canonical
from repropack.bundle import VerifiedBundle, open_bundle
from repropack.bundle.frames import encode_seek_table
from repropack.bundle.tar_layer import attestation_tail, member_header
from repropack.digest import sha256_hex
from repropack.errors import UsageError
from repropack.findings import Code, DefectError
from repropack.model import Manifest
from tests.bundle.rpk_forge import (
    ATTESTATION,
    FRAME,
    Forged,
    Sealed,
    assemble,
    compress,
    member,
    pieces,
    sealed,
    sections,
    source,
    write,
)

NOISE = random.Random(7).randbytes(2 * FRAME)
GOOD = pieces([("README.md", b"# hello\n"), ("a/b.txt", b"text\n" * 40), ("empty", b"")])


def check(bundle: Sealed) -> VerifiedBundle:
    with open_bundle(bundle.path) as opened:
        listed = opened.read_manifest(offset=bundle.offset, size=bundle.size, sha256=bundle.sha256)
        verified = listed.verify()
        for m in verified.manifest.members:
            assert sha256_hex(verified.read(m.path, limit=m.size)) == m.sha256
        return verified


def defect(bundle: Sealed) -> tuple[Code, str]:
    with pytest.raises(DefectError) as caught:
        check(bundle)
    return caught.value.finding.code, caught.value.finding.subject


def test_the_forger_makes_what_the_product_makes(tmp_path: Path) -> None:
    product = write(
        tmp_path / "x.rpk",
        source("README.md", b"# hello\n"),
        source("a/b.txt", b"text\n" * 40),
        source("empty", b""),
    )
    assert assemble(sections(GOOD)) == product.path.read_bytes()
    check(sealed(tmp_path / "forged.rpk", GOOD))


# ---------------------------------------------------------------- the file as a whole


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = assemble(sections(GOOD))
    for length in range(len(data)):
        code, _ = defect(sealed(tmp_path / "x.rpk", GOOD, data[:length]))
        assert code in (Code.NOT_RPK, Code.TRUNCATED, Code.SEEK_TABLE)
        assert code is not Code.NOT_RPK or length < 4


@pytest.mark.parametrize("junk", [b"\0", b"\0" * 512, b"junk", assemble(sections(GOOD))[:-1]])
def test_trailing_bytes_are_refused(tmp_path: Path, junk: bytes) -> None:
    code, _ = defect(sealed(tmp_path / "x.rpk", GOOD, assemble(sections(GOOD)) + junk))
    assert code is Code.TRUNCATED


def test_two_bundles_in_one_file_are_refused(tmp_path: Path) -> None:
    data = assemble(sections(GOOD))
    assert defect(sealed(tmp_path / "x.rpk", GOOD, data + data))[0] is Code.SEEK_TABLE


@pytest.mark.parametrize(
    "data", [b"", b"PK\3\4 zip", b"ustar", b"\x28\xb5\x2f", b"\x50\x2a\x4d\x18"]
)
def test_other_files_are_not_bundles(tmp_path: Path, data: bytes) -> None:
    assert defect(sealed(tmp_path / "x.rpk", GOOD, data)) == (Code.NOT_RPK, "")


def test_a_plain_tar_zst_is_not_a_bundle(tmp_path: Path) -> None:
    plain = compress(b"".join(sections(GOOD)))
    assert defect(sealed(tmp_path / "x.rpk", GOOD, plain))[0] is Code.TRUNCATED


def test_what_is_no_regular_file_is_wrong_usage(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", ".", "missing"):
        with pytest.raises(UsageError):
            open_bundle(tmp_path / name)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_bytes_lead_to_a_finding(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(assemble(sections(GOOD)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(whole)))
        stop = start + data.draw(st.integers(0, 20))
        whole[start:stop] = data.draw(st.binary(max_size=30))
    path = tmp_path_factory.getbasetemp() / "any.rpk"
    try:
        verified = check(sealed(path, GOOD, bytes(whole)))
    except DefectError:
        return
    assert canonical.encode(verified.manifest) == GOOD.manifest


@settings(max_examples=200, deadline=None)
@given(content=st.lists(st.binary(max_size=3000), min_size=1, max_size=4))
def test_any_content_in_good_frames_leads_to_a_finding(
    tmp_path_factory: pytest.TempPathFactory, content: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.rpk"
    frames = [c + b"!" for c in content]
    with pytest.raises(DefectError):
        check(sealed(path, GOOD, assemble(frames)))
    with pytest.raises(DefectError):
        check(sealed(path, GOOD, assemble([*frames, GOOD.tail])))


# ---------------------------------------------------------------- seek table


def with_table(change: Callable[[bytearray], None]) -> bytes:
    contents = sections(GOOD)
    stored = [compress(c) for c in contents]
    table = bytearray(
        encode_seek_table([(len(s), len(c)) for s, c in zip(stored, contents, strict=True)])
    )
    change(table)
    return b"".join(stored) + bytes(table)


def put(offset: int, value: int) -> Callable[[bytearray], None]:
    def change(table: bytearray) -> None:
        struct.pack_into("<I", table, offset if offset >= 0 else len(table) + offset, value)

    return change


def swap_sizes(table: bytearray) -> None:
    table[8:16], table[16:24] = table[16:24], table[8:16]


def move_boundary(table: bytearray) -> None:
    first, _, second = struct.unpack_from("<III", table, 8)
    struct.pack_into("<I", table, 8, first + 1)
    struct.pack_into("<I", table, 16, second - 1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(0, 0x184D2A50), Code.SEEK_TABLE),  # another skippable frame
        (put(4, 0xFFFFFFFF), Code.SEEK_TABLE),  # its size
        (put(-9, 2), Code.SEEK_TABLE),  # number of frames
        (put(-9, 0), Code.SEEK_TABLE),
        (put(-9, 1_000_000), Code.SEEK_TABLE),  # more than the file can have
        (put(-9, 0xFFFFFFFF), Code.TOO_LARGE),
        (put(-5, 0xB1000080), Code.TRUNCATED),  # destroys the magic number as well
        (lambda t: t.__setitem__(-5, 0x80), Code.SEEK_TABLE),  # checksum flag
        (lambda t: t.__setitem__(-5, 0x01), Code.SEEK_TABLE),  # unused bit
        (put(8, 0), Code.SEEK_TABLE),
        (put(8, 5), Code.SEEK_TABLE),  # does not add up
        (put(8, 0xFFFFFFFF), Code.SEEK_TABLE),
        (put(12, 0), Code.SEEK_TABLE),
        (put(12, FRAME + 1), Code.SEEK_TABLE),
        (put(12, 0xFFFFFFFF), Code.SEEK_TABLE),
        (put(12, 512), Code.FRAME_LAYOUT),
        (put(20, 1536), Code.FRAME_LAYOUT),
        (put(28, 2560), Code.FRAME_HEADER),
        (swap_sizes, Code.FRAME_LAYOUT),
        (move_boundary, Code.FRAME_HEADER),
    ],
)
def test_lies_of_the_seek_table(
    tmp_path: Path, change: Callable[[bytearray], None], code: Code
) -> None:
    assert defect(sealed(tmp_path / "x.rpk", GOOD, with_table(change)))[0] is code


def test_an_extra_frame_is_refused(tmp_path: Path) -> None:
    contents = sections(GOOD)
    for place in range(4):
        more = [*contents[:place], bytes(512), *contents[place:]]
        code, _ = defect(sealed(tmp_path / "x.rpk", GOOD, assemble(more)))
        assert code in (Code.FRAME_LAYOUT, Code.TAR_HEADER)


def test_frames_that_are_cut_elsewhere_are_refused(tmp_path: Path) -> None:
    members, manifest, tail = sections(GOOD)
    for contents in (
        [members + manifest, tail],
        [members, manifest + tail],
        [members[:512], members[512:], manifest, tail],
        [members + manifest[:512], manifest[512:], tail],
        [members + manifest + tail],
    ):
        code, _ = defect(sealed(tmp_path / "x.rpk", GOOD, assemble(contents)))
        assert code in (Code.FRAME_LAYOUT, Code.TAR_HEADER)


# ---------------------------------------------------------------- frames


def skippable(content: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A50, len(content)) + content


def claiming(size: int) -> bytes:
    """A single-segment frame that states a content size and holds one empty raw block."""
    return b"\x28\xb5\x2f\xfd\xe4" + struct.pack("<Q", size) + b"\x01\0\0" + b"\0" * 4


def without_end(content: bytes) -> bytes:
    return compress(content)[:-4]


def wide_window(content: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, window_log=27, write_checksum=True, write_content_size=False
    )
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame: bytes = writer.compress(content) + writer.flush()
    return frame


def wide_window_with_size(content: bytes) -> bytes:
    # Descriptor: 4-byte content size, no single segment, checksum; window 2 GiB.
    header = b"\x28\xb5\x2f\xfd\x84\xa8" + struct.pack("<I", len(content))
    body = compress(content)
    plain = zstandard.frame_header_size(body)
    return header + body[plain:]


def reserved_bit(content: bytes, bit: int) -> bytes:
    frame = bytearray(compress(content))
    frame[4] |= bit
    return bytes(frame)


def reserved_block(content: bytes) -> bytes:
    header = b"\x28\xb5\x2f\xfd\xa4" + struct.pack("<I", len(content))
    return header + b"\x07\0\0" + bytes(4)


def with_dictionary(content: bytes) -> bytes:
    samples: list[bytes | bytearray | memoryview] = [
        f"sample {i} {'x' * (i % 7)}".encode() * 3 for i in range(2000)
    ]
    dictionary = zstandard.train_dictionary(1024, samples)
    frame: bytes = zstandard.ZstdCompressor(write_checksum=True, dict_data=dictionary).compress(
        content
    )
    return frame


def wrong_checksum(content: bytes) -> bytes:
    frame = bytearray(compress(content))
    frame[-1] ^= 1
    return bytes(frame)


FRAMES: list[tuple[Callable[[bytes], bytes], Code]] = [
    (lambda c: skippable(c), Code.FRAME_HEADER),
    (lambda c: skippable(b"")[:4] + b"\xff\xff\xff\xff", Code.FRAME_HEADER),
    (lambda c: b"\x27\xb5\x2f\xfd" + compress(c)[4:], Code.FRAME_HEADER),  # zstd 0.7
    (lambda c: claiming(2**50), Code.FRAME_HEADER),
    (lambda c: claiming(len(c)), Code.FRAME_CONTENT),
    (lambda c: compress(c, write_checksum=False), Code.FRAME_HEADER),
    (lambda c: compress(c, write_content_size=False), Code.FRAME_HEADER),
    (wide_window, Code.FRAME_HEADER),
    (wide_window_with_size, Code.FRAME_HEADER),
    (lambda c: reserved_bit(c, 0x08), Code.FRAME_HEADER),
    (lambda c: reserved_bit(c, 0x10), Code.FRAME_HEADER),
    (reserved_block, Code.FRAME_CONTENT),
    (with_dictionary, Code.FRAME_HEADER),
    (wrong_checksum, Code.FRAME_CONTENT),
    (without_end, Code.FRAME_CONTENT),
    (lambda c: compress(c) + b"\0", Code.FRAME_CONTENT),
    (lambda c: compress(c) + compress(c), Code.FRAME_CONTENT),
    (lambda c: compress(c)[:-5], Code.FRAME_CONTENT),
    (lambda c: compress(c + b"x"), Code.FRAME_HEADER),
    (lambda c: compress(bytes(FRAME)), Code.FRAME_HEADER),
    (lambda c: b"\x28", Code.FRAME_HEADER),
    (lambda c: b"\x28\xb5\x2f\xfd", Code.FRAME_HEADER),
    (lambda c: b"\x28\xb5\x2f\xfd\xe4", Code.FRAME_HEADER),
]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("forge", "code"), FRAMES)
def test_frames_that_version_1_does_not_allow(
    tmp_path: Path, forge: Callable[[bytes], bytes], code: Code, place: int
) -> None:
    contents = sections(GOOD)
    stored = [compress(c) for c in contents]
    stored[place] = forge(contents[place])
    found, subject = defect(sealed(tmp_path / "x.rpk", GOOD, assemble(contents, stored)))
    if place == 0 and not stored[0].startswith(b"\x28\xb5\x2f\xfd"):
        assert found is Code.NOT_RPK
    else:
        assert found is code
        assert subject == ("README.md", "manifest.json", "attestation.dsse.json")[place]


def test_other_levels_and_libraries_are_accepted(tmp_path: Path) -> None:
    """Compressed bytes are the writer's choice."""
    contents = sections(GOOD)
    for level in (-5, 3, 19):
        stored = [compress(c, level=level) for c in contents]
        check(sealed(tmp_path / "x.rpk", GOOD, assemble(contents, stored)))


# ---------------------------------------------------------------- tar layer


@pytest.mark.parametrize(
    ("offset", "value", "code", "subject"),
    [
        (0, b"X", Code.TAR_HEADER, "README.md"),
        (100, b"1", Code.TAR_HEADER, "README.md"),  # mode
        (156, b"2", Code.TAR_HEADER, "README.md"),  # a symbolic link
        (265, b"root", Code.TAR_HEADER, "README.md"),
        (500, b"x", Code.TAR_HEADER, "README.md"),
        (512, b"!", Code.MEMBER_DIGEST, "README.md"),
        (520, b"x", Code.TAR_PADDING, "README.md"),
        (1023, b"x", Code.TAR_PADDING, "README.md"),
        (1024, b"x", Code.TAR_HEADER, "a/b.txt"),
        (1536, b"x", Code.MEMBER_DIGEST, "a/b.txt"),
        (2048, b"x", Code.TAR_HEADER, "empty"),
    ],
)
def test_every_byte_of_the_members_counts(
    tmp_path: Path, offset: int, value: bytes, code: Code, subject: str
) -> None:
    changed = GOOD.members[:offset] + value + GOOD.members[offset + len(value) :]
    assert defect(sealed(tmp_path / "x.rpk", GOOD._replace(members=changed))) == (code, subject)


def test_every_part_of_the_tail_counts(tmp_path: Path) -> None:
    for offset in range(0, len(GOOD.tail), 5):
        changed = bytearray(GOOD.tail)
        changed[offset] ^= 0x20
        bundle = sealed(tmp_path / "x.rpk", GOOD._replace(tail=bytes(changed)))
        if 512 <= offset < 512 + len(ATTESTATION):
            with open_bundle(bundle.path) as opened:  # signing must find this one
                assert opened.attestation == bytes(changed[512 : 512 + len(ATTESTATION)])
        else:
            code, subject = defect(bundle)
            assert code in (Code.TAR_HEADER, Code.TAR_PADDING)
            assert subject == "attestation.dsse.json"


def test_an_attestation_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    tail = attestation_tail(b"x" * (1024 * 1024 + 1))
    assert defect(sealed(tmp_path / "x.rpk", GOOD._replace(tail=tail))) == (
        Code.TOO_LARGE,
        "attestation.dsse.json",
    )


def test_a_missing_end_of_archive_is_refused(tmp_path: Path) -> None:
    for tail in (GOOD.tail[:-512], GOOD.tail[:-1024], GOOD.tail + bytes(512), b"\0", bytes(512)):
        code, _ = defect(sealed(tmp_path / "x.rpk", GOOD._replace(tail=tail)))
        assert code in (Code.TAR_HEADER, Code.TAR_PADDING)


def test_the_manifest_header_and_padding_count(tmp_path: Path) -> None:
    other = member_header("manifest.json", len(GOOD.manifest), executable=True)
    forged = GOOD._replace(manifest_header=other)
    assert defect(sealed(tmp_path / "x.rpk", forged)) == (Code.TAR_HEADER, "manifest.json")
    members, manifest, tail = sections(GOOD)
    data = assemble([members, manifest[:-1] + b"x", tail])
    assert defect(sealed(tmp_path / "x.rpk", GOOD, data)) == (Code.TAR_PADDING, "manifest.json")


@pytest.mark.parametrize("offset", [512, FRAME - 1, FRAME, 2 * FRAME - 1, 2 * FRAME + 5])
def test_a_change_in_a_member_of_many_frames_is_found(tmp_path: Path, offset: int) -> None:
    forged = pieces([("README.md", b""), ("w", NOISE + b"tail"), ("z", b"z")])
    changed = bytearray(forged.members)
    changed[512 + offset] ^= 1
    bundle = sealed(tmp_path / "x.rpk", forged._replace(members=bytes(changed)))
    assert defect(bundle) == (Code.MEMBER_DIGEST, "w")
    with pytest.raises(DefectError), open_bundle(bundle.path) as opened:
        opened.read_manifest(offset=bundle.offset, size=bundle.size, sha256=bundle.sha256).read(
            "w", limit=10**9
        )


def test_a_header_across_frames_is_compared(tmp_path: Path) -> None:
    # The extended header begins 512 bytes before the end of the first frame.
    first = NOISE[: FRAME - 3 * 512]
    forged = pieces([("README.md", b""), ("a", first), ("é" * 60, b"content")])
    check(sealed(tmp_path / "x.rpk", forged))
    for offset in (FRAME - 512, FRAME - 1, FRAME, FRAME + 512, FRAME + 1023):
        changed = bytearray(forged.members)
        changed[offset] ^= 1
        bundle = sealed(tmp_path / "x.rpk", forged._replace(members=bytes(changed)))
        assert defect(bundle) == (Code.TAR_HEADER, "é" * 60)


# ---------------------------------------------------------------- manifest


def manifest(*paths: str) -> Forged:
    return pieces([(path, b"") for path in paths])


@pytest.mark.parametrize(
    ("paths", "code", "subject"),
    [
        (["a"], Code.MEMBER_MISSING, "README.md"),
        ([], Code.MEMBER_MISSING, "README.md"),
        (["a", "README.md"], Code.MEMBER_ORDER, "README.md"),
        (["README.md", "b", "a"], Code.MEMBER_ORDER, "a"),
        (["README.md", "a", "a"], Code.MEMBER_ORDER, "a"),
        (["README.md", "README.md"], Code.MEMBER_ORDER, "README.md"),
        (["README.md", "a", "é", "z"], Code.MEMBER_ORDER, "z"),
        (["README.md", "A", "a"], Code.MEMBER_PATH, ""),
        (["README.md", "a", "a/b"], Code.MEMBER_PATH, ""),
        (["README.md", "manifest.json"], Code.MEMBER_PATH, ""),
        (["README.md", "Manifest.JSON"], Code.MEMBER_PATH, ""),
        (["README.md", "attestation.dsse.json"], Code.MEMBER_PATH, ""),
        (["README.md", "../x"], Code.MEMBER_PATH, "../x"),
        (["README.md", "a/../b"], Code.MEMBER_PATH, "a/../b"),
        (["README.md", "/etc/x"], Code.MEMBER_PATH, "/etc/x"),
        (["README.md", "C:\\x"], Code.MEMBER_PATH, "C:\\x"),
        (["README.md", "con.txt"], Code.MEMBER_PATH, "con.txt"),
        (["README.md", "a\nb"], Code.MEMBER_PATH, "a\nb"),
        (["README.md", "a\x1b[2J"], Code.MEMBER_PATH, "a\x1b[2J"),
        (["README.md", "x/.git/config"], Code.MEMBER_PATH, "x/.git/config"),
        (["README.md", "x/.g\u200cit"], Code.MEMBER_PATH, "x/.g\u200cit"),
        (["README.md", "e\u0301"], Code.MEMBER_PATH, "e\u0301"),
        (["README.md", "a."], Code.MEMBER_PATH, "a."),
        (["README.md", "a//b"], Code.MEMBER_PATH, "a//b"),
        (["README.md", "x" * 256], Code.MEMBER_PATH, "x" * 256),
        (["README.md", "/".join("x" * 65)], Code.MEMBER_PATH, "/".join("x" * 65)),
    ],
)
def test_member_lists_that_are_not_allowed(
    tmp_path: Path, paths: list[str], code: Code, subject: str
) -> None:
    assert defect(sealed(tmp_path / "x.rpk", manifest(*paths))) == (code, subject)


VALID = Manifest(format="rpk", version=1, members=(member("README.md", b""),))


def encoded(change: Callable[[dict[str, object]], object]) -> bytes:
    tree = msgspec.to_builtins(VALID)
    change(tree)
    return canonical.encode(tree)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (canonical.encode(VALID) + b"\n", Code.MANIFEST_JSON),
        (b"{}", Code.MANIFEST_JSON),
        (b"[" * 100_000, Code.MANIFEST_JSON),
        (b"\xff", Code.MANIFEST_JSON),
        (canonical.encode(VALID).replace(b'"rpk"', b'"rpk","format":"rpk"'), Code.MANIFEST_JSON),
        (encoded(lambda t: t.update(extra=1)), Code.MANIFEST_JSON),
        (encoded(lambda t: t["members"][0].update(role="weird")), Code.MANIFEST_JSON),  # type: ignore[index]
        (encoded(lambda t: t["members"][0].update(size=-1)), Code.MANIFEST_JSON),  # type: ignore[index]
        (encoded(lambda t: t["members"][0].update(sha256="AB" * 32)), Code.MANIFEST_JSON),  # type: ignore[index]
        (encoded(lambda t: t["members"][0].pop("sha256")), Code.MANIFEST_JSON),  # type: ignore[index]
        (encoded(lambda t: t.update(version=0)), Code.MANIFEST_VERSION),
        (encoded(lambda t: t.update(version=2)), Code.MANIFEST_VERSION),
        (encoded(lambda t: t.update(version=2, extra=1)), Code.MANIFEST_VERSION),
        (encoded(lambda t: t.update(format="other")), Code.MANIFEST_VERSION),
    ],
)
def test_manifests_that_are_not_allowed(tmp_path: Path, document: bytes, code: Code) -> None:
    forged = pieces([("README.md", b"")], document)
    assert defect(sealed(tmp_path / "x.rpk", forged)) == (code, "manifest.json")


def test_a_manifest_that_says_other_sizes_is_refused(tmp_path: Path) -> None:
    contents = [("README.md", b"x" * 600), ("a", b"y" * 600)]
    for size, code in (
        (599, Code.TAR_HEADER),
        (512, Code.FRAME_LAYOUT),
        (2**50, Code.FRAME_LAYOUT),
    ):
        members = [member(path, content) for path, content in contents]
        members[1] = msgspec.structs.replace(members[1], size=size)
        lying = Manifest(format="rpk", version=1, members=tuple(members))
        assert defect(sealed(tmp_path / "x.rpk", pieces(contents, lying)))[0] is code


def test_members_more_or_less_than_listed_are_refused(tmp_path: Path) -> None:
    contents = [("README.md", b"x"), ("a", b"y")]
    for listed in (contents[:1], [*contents, ("b", b"z")]):
        members = tuple(member(path, content) for path, content in listed)
        lying = Manifest(format="rpk", version=1, members=members)
        bundle = sealed(tmp_path / "x.rpk", pieces(contents, lying))
        assert defect(bundle)[0] is Code.FRAME_LAYOUT


def test_the_statement_decides_which_manifest_it_is(tmp_path: Path) -> None:
    good = sealed(tmp_path / "x.rpk", GOOD)
    for statement, code in (
        (good._replace(sha256="0" * 64), Code.MANIFEST_DIGEST),
        (good._replace(size=good.size + 1), Code.TAR_HEADER),
        (good._replace(size=good.size + 512), Code.FRAME_LAYOUT),
        (good._replace(offset=good.offset + 512), Code.FRAME_LAYOUT),
        (good._replace(offset=good.offset - 512), Code.FRAME_LAYOUT),
        (good._replace(offset=0), Code.FRAME_LAYOUT),
        (good._replace(offset=2**53 - 1), Code.TOO_LARGE),
        (good._replace(size=2**53 - 1), Code.TOO_LARGE),
        (good._replace(size=0), Code.TOO_LARGE),
    ):
        assert defect(statement)[0] is code


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("repropack.bundle.members.MAX_MEMBERS", 2)
    assert defect(sealed(tmp_path / "x.rpk", GOOD))[0] is Code.TOO_LARGE


def test_a_file_that_shrinks_while_it_is_open_is_a_finding(tmp_path: Path) -> None:
    bundle = sealed(tmp_path / "x.rpk", GOOD)
    with open_bundle(bundle.path) as opened:
        listed = opened.read_manifest(offset=bundle.offset, size=bundle.size, sha256=bundle.sha256)
        os.truncate(bundle.path, 10)
        with pytest.raises(DefectError) as caught:
            listed.verify()
    assert caught.value.finding.code is Code.TRUNCATED
