# SPDX-License-Identifier: Apache-2.0
"""Vectors of sections 3 and 4: the file as a whole, the seek table, frames, the tar layer."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Final

import zstandard

from tests.vectors.forge import FRAME, Draft, compress, cut, release, stored_member
from tests.vectors.vector import Vector, bad, good

BASE: Final = release()
MAGIC: Final = b"\x28\xb5\x2f\xfd"

# ---------------------------------------------------------------- the file and its seek table


def _whole(change: Callable[[bytes], bytes]) -> Draft:
    return BASE(whole=change)


def _table(at: int, value: bytes) -> Draft:
    """Other bytes at a place of the seek table; negative: counted from its end."""

    def change(table: bytes) -> bytes:
        start = at if at >= 0 else len(table) + at
        return table[:start] + value + table[start + len(value) :]

    return BASE(table=change)


def _u32(value: int) -> bytes:
    return struct.pack("<I", value)


def _entry(number: int, stored: int | None = None, content: int | None = None) -> Draft:
    """Another pair of sizes for a frame; a negative number is taken off the true one."""

    def change(entries: list[tuple[int, int]]) -> list[tuple[int, int]]:
        old = entries[number]
        new = tuple(o if n is None else n if n >= 0 else o + n
                    for o, n in zip(old, (stored, content), strict=True))  # fmt: skip
        return [*entries[:number], (new[0], new[1]), *entries[number + 1 :]]

    return BASE(entries=change)


def _move_boundary(entries: list[tuple[int, int]]) -> list[tuple[int, int]]:
    (a, b), (c, d), *rest = entries
    return [(a + 16, b), (c - 16, d), *rest]


def _with_checksums(table: bytes) -> bytes:
    """The seekable format's optional checksums: 12 bytes an entry, and the flag."""
    entries = [table[i : i + 8] + b"\0\0\0\0" for i in range(8, len(table) - 9, 8)]
    body = b"".join(entries) + table[-9:-5] + b"\x80" + table[-4:]
    return table[:4] + _u32(len(body)) + body


SEEK_TABLE: Final = [
    bad("RPK101-empty-file", _whole(lambda _: b""), "A file without a byte.", rules="3.1", step="seek table", rows=(15,)),
    bad("RPK101-zip", _whole(lambda _: b"PK\3\4" + bytes(60)), "A zip file.", rules="3.1", step="seek table"),
    bad("RPK101-plain-tar", _whole(lambda _: stored_member("README.md", b"x\n") + bytes(1024)), "A tar archive without zstd.", rules="3.1", step="seek table"),
    bad("RPK102-truncated-by-one-byte", _whole(lambda f: f[:-1]), "The last byte is missing.", rules="3.1 3.8", step="seek table", rows=(15,)),
    bad("RPK102-truncated-in-the-middle", _whole(lambda f: f[: len(f) // 2]), "The second half is missing.", rules="3.1 3.8", step="seek table", rows=(15,)),
    bad("RPK102-trailing-nul", _whole(lambda f: f + b"\0"), "A NUL after the end.", rules="3.1 3.8", step="seek table", rows=(16,)),
    bad("RPK102-trailing-block", _whole(lambda f: f + bytes(512)), "A block of zeros after the end, as tar pads.", rules="3.1 3.8", step="seek table", rows=(16,)),
    bad("RPK102-trailing-text", _whole(lambda f: f + b"<script>alert(1)</script>\n"), "Text after the end.", rules="3.1 3.8", step="seek table", rows=(16,)),
    bad("RPK102-no-seek-table", BASE(table=lambda _: b""), "A plain .tar.zst: the seek table is missing.", rules="3.1 3.7", step="seek table", rows=(18,)),
    bad("RPK102-footer-of-other-magic", _table(-4, _u32(0x8F92EAB2)), "The magic number at the end is off by one.", rules="3.7", step="seek table", rows=(18,)),
    bad("RPK103-two-bundles-in-one-file", _whole(lambda f: f + f), "The same bundle twice in one file.", rules="3.1 3.8", step="seek table", rows=(10, 16)),
    bad("RPK103-skippable-frame-before-seek-table", BASE(table=lambda t: struct.pack("<II", 0x184D2A50, 4) + b"note" + t), "A skippable frame between the last frame and the seek table.", rules="3.1 3.2 3.8", step="seek table", rows=(14,)),
    bad("RPK103-seek-table-size-lie", _table(4, _u32(0xFFFFFFFF)), "The skippable frame of the seek table claims 4 GiB.", rules="3.7", step="seek table", rows=(14, 18)),
    bad("RPK103-seek-table-other-skippable-magic", _table(0, _u32(0x184D2A50)), "The seek table stands in a skippable frame of another number.", rules="3.7", step="seek table", rows=(14, 18)),
    bad("RPK103-checksum-flag-without-checksums", _table(-5, b"\x80"), "The descriptor claims checksums that are not there.", rules="3.7", step="seek table", rows=(18,)),
    bad("RPK103-with-checksums", BASE(table=_with_checksums), "A seek table with the checksums that version 1 does without.", rules="3.7", step="seek table", rows=(18,)),
    bad("RPK103-descriptor-reserved-bit", _table(-5, b"\x04"), "A reserved bit of the descriptor.", rules="3.7", step="seek table", rows=(18,)),
    bad("RPK103-descriptor-unused-bit", _table(-5, b"\x01"), "An unused bit of the descriptor.", rules="3.7", step="seek table", rows=(18,)),
    bad("RPK103-no-frames", _table(-9, _u32(0)), "The footer counts no frame.", rules="3.5 3.7", step="seek table", rows=(18,)),
    bad("RPK103-one-frame-less", _table(-9, _u32(2)), "The footer counts one frame less than there are entries.", rules="3.7 3.8", step="seek table", rows=(18,)),
    bad("RPK103-more-frames-than-bytes", _table(-9, _u32(1_000_000)), "The footer counts more frames than the file has bytes.", rules="3.7 3.8", step="seek table", rows=(18,)),
    bad("RPK103-entry-missing", BASE(entries=lambda e: e[:-1]), "The last frame has no entry.", rules="3.7 3.8", step="seek table", rows=(18,)),
    bad("RPK103-entry-twice", BASE(entries=lambda e: [e[0], *e]), "A frame has two entries: two would overlap.", rules="3.7 3.8", step="seek table", rows=(18,)),
    bad("RPK103-stored-size-zero", _entry(0, stored=0), "An entry of a frame without stored bytes.", rules="3.7", step="seek table", rows=(18,)),
    bad("RPK103-stored-size-4-gib", _entry(0, stored=0xFFFFFFFF), "An entry that points behind the end of the file.", rules="3.7 3.8", step="seek table", rows=(18,)),
    bad("RPK103-stored-sizes-leave-a-gap", _entry(2, stored=-1), "The stored sizes leave one byte of the file out.", rules="3.8", step="seek table", rows=(18,)),
    bad("RPK103-content-size-zero", _entry(1, content=0), "An entry of a frame without content.", rules="3.5", step="seek table", rows=(18,)),
    bad("RPK103-content-beyond-4-mib", _entry(0, content=FRAME + 1), "A frame of more than 4 MiB of content.", rules="3.5", step="seek table", rows=(11, 18)),
    bad("RPK103-bomb-of-256-mib", BASE(frames=lambda _, s: [compress(bytes(2**28)), *s[1:]], entries=lambda e: [(e[0][0], 2**28), *e[1:]]), "A frame of 8 KiB that holds 256 MiB, and says so.", rules="3.5 1.2", step="seek table", rows=(11,)),
    bad("RPK109-frames-beyond-the-limit", _table(-9, _u32(0xFFFFFFFF)), "The footer counts 2^32 - 1 frames.", rules="1.2 10.1", step="seek table", rows=(18,)),
    bad("RPK104-entries-overlap", BASE(entries=_move_boundary), "The first entry reaches 16 bytes into the second frame.", rules="3.2 3.6", step="manifest", rows=(18,)),
    bad("RPK106-entries-reversed", BASE(entries=lambda e: [e[1], e[0], e[2]]), "Two entries in the wrong order.", rules="3.9", step="manifest", rows=(18,)),
    bad("RPK106-content-size-into-the-manifest", _entry(0, content=512), "An entry claims that the members end after one block.", rules="3.9", step="manifest", rows=(18,)),
]  # fmt: skip

# ---------------------------------------------------------------- frames


def _frame(number: int, forge: Callable[[bytes], bytes]) -> Draft:
    """Another frame in the place of the first, second or last, with a true entry."""
    return BASE(
        frames=lambda contents, stored: [
            forge(content) if place == number else frame
            for place, (content, frame) in enumerate(zip(contents, stored, strict=True))
        ]
    )


def _header(content: bytes, *, descriptor: int, size: bytes, window: bytes = b"") -> bytes:
    """A frame with another header, and one raw block."""
    block = (len(content) << 3 | 1).to_bytes(3, "little")
    checksum = compress(content)[-4:]
    return MAGIC + bytes([descriptor]) + window + size + block + content + checksum


def _reserved(bit: int) -> Callable[[bytes], bytes]:
    def forge(content: bytes) -> bytes:
        frame = bytearray(compress(content))
        frame[4] |= bit
        return bytes(frame)

    return forge


@functools.cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(b"a dictionary of plain content " * 9)


def _with_dictionary_id(content: bytes) -> bytes:
    """A header that names dictionary 1: descriptor with checksum, 4-byte size, 1-byte id."""
    return _header(content, descriptor=0xA5, size=b"\x01" + _u32(len(content)))


def _with_dictionary_id_of_zero(content: bytes) -> bytes:
    return _header(content, descriptor=0xA5, size=b"\0" + _u32(len(content)))


def _with_window(*window: int) -> Draft:
    """A frame that has a window instead of being a single segment."""
    return _frame(0, lambda c: _header(c, descriptor=0x84, window=bytes(window), size=_u32(len(c))))


def _blocks(content: bytes, *blocks: tuple[int, int, bytes], width: int = 4) -> bytes:
    """A frame of blocks: kind, size, bytes; the content size is written in 4 or 8 bytes."""
    head = MAGIC + bytes([{4: 0xA4, 8: 0xE4}[width]]) + len(content).to_bytes(width, "little")
    last = len(blocks) - 1
    body = (
        (size << 3 | kind << 1 | (number == last)).to_bytes(3, "little") + data
        for number, (kind, size, data) in enumerate(blocks)
    )
    return head + b"".join(body) + compress(content)[-4:]


def _of_zeros(*blocks: tuple[int, int, bytes]) -> Draft:
    """A release with a member of 4 MiB of zeros, whose frame has these blocks."""
    return BASE.with_file("weights/zeros", bytes(FRAME), role="weights")(
        frames=lambda contents, stored: [
            _blocks(content, *blocks) if content == bytes(FRAME) else frame
            for content, frame in zip(contents, stored, strict=True)
        ]
    )


_RUN: Final = (1, 128 * 1024, b"\0")
"""A run of as many zeros as a block can have."""


def _wrong_checksum(content: bytes) -> bytes:
    frame = bytearray(compress(content))
    frame[-1] ^= 1
    return bytes(frame)


def _more_than_stated(content: bytes) -> bytes:
    """States the true size and holds a run of 128 KiB."""
    run = ((128 * 1024) << 3 | 2 | 1).to_bytes(3, "little") + b"\0"
    return MAGIC + b"\xa4" + _u32(len(content)) + run + b"\0\0\0\0"


def _empty_block(content: bytes) -> bytes:
    return MAGIC + b"\xa4" + _u32(len(content)) + b"\x01\0\0" + b"\0\0\0\0"


def _reserved_block(content: bytes) -> bytes:
    return MAGIC + b"\xa4" + _u32(len(content)) + b"\x07\0\0" + b"\0\0\0\0"


FRAMES: Final = [
    bad("RPK101-legacy-zstd-magic", _frame(0, lambda c: b"\x27" + compress(c)[1:]), "The first frame is one of zstd 0.7.", rules="3.2", step="seek table", rows=(13,)),
    bad("RPK101-skippable-frame-first", _frame(0, lambda c: struct.pack("<II", 0x184D2A50, len(c)) + c), "The file begins with a skippable frame.", rules="3.2", step="seek table", rows=(14,)),
    bad("RPK104-legacy-zstd-magic-later", _frame(1, lambda c: b"\x27" + compress(c)[1:]), "The second frame is one of zstd 0.7.", rules="3.2", step="manifest", rows=(13,)),
    bad("RPK104-skippable-frame-between", _frame(1, lambda c: struct.pack("<II", 0x184D2A50, len(c)) + c), "A skippable frame in the place of the manifest.", rules="3.2", step="manifest", rows=(14,)),
    bad("RPK104-skippable-frame-4-gib-lie", _frame(1, lambda c: struct.pack("<II", 0x184D2A50, 0xFFFFFFFF) + c), "A skippable frame that claims 4 GiB.", rules="3.2", step="manifest", rows=(14,)),
    bad("RPK104-skippable-frame-last", _frame(2, lambda c: struct.pack("<II", 0x184D2A50, len(c)) + c), "A skippable frame in the place of the attestation.", rules="3.2", step="attestation", rows=(14,)),
    bad("RPK104-no-content-size", _frame(0, lambda c: compress(c, write_content_size=False)), "A frame that does not state its content size.", rules="3.3", step="members", rows=(13,)),
    bad("RPK104-no-checksum", _frame(0, lambda c: compress(c, write_checksum=False)), "A frame without checksum.", rules="3.3", step="members", rows=(13,)),
    bad("RPK104-dictionary-id", _frame(0, _with_dictionary_id), "A frame that names a dictionary.", rules="3.3", step="members", rows=(13,)),
    bad("RPK104-dictionary-id-of-zero", _frame(0, _with_dictionary_id_of_zero), "A field for a dictionary's id, which is zero: no dictionary.", rules="3.3", step="members", rows=(13,)),
    bad("RPK104-reserved-bit", _frame(0, _reserved(0x08)), "The reserved bit of a frame header.", rules="3.3", step="members"),
    bad("RPK104-unused-bit", _frame(0, _reserved(0x10)), "The unused bit of a frame header.", rules="3.3", step="members"),
    bad("RPK104-window-of-2-gib", _with_window(0xA8), "A window of 2 GiB.", rules="3.3 1.2", step="members", rows=(12,)),
    bad("RPK104-window-of-8-mib", _with_window(0x68), "A window that holds all of the content: the frame is no single segment all the same.", rules="3.3", step="members", rows=(12,)),
    bad("RPK104-window-of-1-kib", _with_window(0x00), "A window smaller than the content: decoders differ in what they take for an offset within it.", rules="3.3", step="members", rows=(12,)),
    bad("RPK104-content-of-1-pib", _frame(0, lambda _: MAGIC + b"\xe4" + struct.pack("<Q", 2**50) + b"\x01\0\0" + bytes(4)), "A frame of 20 bytes that claims 1 PiB.", rules="3.5 1.2", step="members", rows=(12,)),
    bad("RPK104-bomb-with-a-true-entry-size", _frame(0, lambda _: compress(bytes(2**28))), "A frame of 256 MiB whose entry claims the size of the members.", rules="3.5 1.2", step="members", rows=(11,)),
    bad("RPK104-content-size-differs-from-entry", _frame(0, lambda c: compress(c + b"x")), "A frame of one byte more than its entry says.", rules="3.5", step="members", rows=(18,)),
    bad("RPK105-more-content-than-stated", _frame(0, _more_than_stated), "A frame that holds 128 KiB and states less.", rules="3.5", step="members", rows=(11,)),
    bad("RPK105-less-content-than-stated", _frame(0, _empty_block), "A frame that holds nothing and states what the entry says.", rules="3.5", step="members"),
    bad("RPK105-reserved-block-type", _frame(0, _reserved_block), "A block of the reserved type.", rules="3.5", step="members"),
    bad("RPK105-run-larger-than-128-kib", _of_zeros((1, 128 * 1024 + 1, b"\0"), (1, 128 * 1024 - 1, b"\0"), *[_RUN] * 30), "A run of a byte more than a block can have: some decoders take it, others do not.", rules="3.4", step="members", rows=(11,), twin="blocks-of-128-kib"),
    bad("RPK105-stored-block-larger-than-128-kib", _of_zeros((0, 128 * 1024 + 1, bytes(128 * 1024 + 1)), (1, 128 * 1024 - 1, b"\0"), *[_RUN] * 30), "A stored block of a byte more than a block can have.", rules="3.4", step="members", twin="blocks-of-128-kib"),
    bad("RPK105-wrong-checksum", _frame(0, _wrong_checksum), "The checksum of a frame is another.", rules="3.5", step="members", rows=(17,)),
    bad("RPK105-checksum-cut-off", _frame(0, lambda c: compress(c)[:-4]), "A frame without the four bytes of its checksum.", rules="3.6", step="members", rows=(15,)),
    bad("RPK105-block-cut-off", _frame(0, lambda c: compress(c)[:-9]), "A frame that ends in a block.", rules="3.6", step="members", rows=(15,)),
    bad("RPK105-byte-after-frame", _frame(0, lambda c: compress(c) + b"\0"), "A byte between two frames that belongs to an entry.", rules="3.6", step="members", rows=(16,)),
    bad("RPK105-two-frames-in-one-entry", _frame(0, lambda c: compress(c) + compress(b"")), "A second, empty frame in the entry of the first.", rules="3.6", step="members", rows=(16,)),
]  # fmt: skip

GOOD_FRAMES: Final = [
    good("compression-level-19", BASE(frames=lambda c, _: [compress(x, level=19) for x in c]), "Frames of another compression level: the compressed bytes are the writer's choice.", rules="3.10"),
    good("stored-frames", BASE(frames=lambda c, _: [_header(x, descriptor=0xA4, size=_u32(len(x))) for x in c]), "Frames of one raw block each, made without a compressor.", rules="3.3 3.6"),
    good("blocks-without-content", _frame(0, lambda c: _blocks(c, (0, 0, b""), (1, 0, b"x"), (0, len(c), c), (0, 0, b""))), "A frame with empty blocks, and an empty last one.", rules="3.4 3.6"),
    good("content-size-in-8-bytes", _frame(0, lambda c: _blocks(c, (0, len(c), c), width=8)), "The content size in more bytes than it needs.", rules="3.3", rows=(12,)),
    good("blocks-of-128-kib", _of_zeros(*[_RUN] * 32), "The largest blocks that there are: runs of 128 KiB.", rules="3.4"),
]  # fmt: skip

# ---------------------------------------------------------------- how the stream is cut

_NOISE: Final = b"".join(i.to_bytes(4, "big") for i in range(1000)) * 1100
_NAMES: Final = ("data/x/a", "data/x/b", "data/x/c-" + "é" * 60)
"""The last one needs a PAX header of three blocks."""


def _with_sizes(*sizes: int) -> Draft:
    draft = BASE
    for name, size in zip(_NAMES, sizes, strict=False):
        draft = draft.with_file(name, _NOISE[:size], role="data")
    return draft


def _header_across_frames() -> Draft:
    """Two members that have no frames of their own, so that the third header begins in one frame
    and ends in the next."""
    files = [(f.path, f.content) for f in BASE.files if f.path < _NAMES[0]]
    before = sum(len(stored_member(*file)) for file in (*files, (_NAMES[0], _NOISE[: FRAME - 1])))
    return _with_sizes(FRAME - 1, 2 * FRAME - 512 - before - 512, 9)


_LARGE: Final = _with_sizes(FRAME + 5, 9)
"""Four frames before the manifest: what comes first, two of the large member, the rest."""


def _recut(change: Callable[[bytes, bytes, bytes, bytes], list[bytes]]) -> Draft:
    return _LARGE(sections=lambda s: [*change(*s[:4]), *s[4:]])


SECTIONS: Final = [
    bad("RPK106-manifest-in-the-members-frame", BASE(sections=lambda s: [s[0] + s[1], s[2]]), "The manifest does not begin a frame.", rules="3.9", step="manifest"),
    bad("RPK107-attestation-in-the-manifest-frame", BASE(sections=lambda s: [s[0], s[1] + s[2]]), "The attestation does not begin a frame.", rules="3.9 7.11", step="attestation"),
    bad("RPK106-members-in-two-frames", BASE(sections=lambda s: [s[0][:512], s[0][512:], *s[1:]]), "The members are cut although they fit in one frame.", rules="3.9", step="manifest"),
    bad("RPK106-manifest-in-two-frames", BASE(sections=lambda s: [s[0], s[1][:512], s[1][512:], s[2]]), "The manifest is cut although it fits in one frame.", rules="3.9", step="manifest"),
    bad("RPK107-attestation-in-two-frames", BASE(sections=lambda s: [*s[:2], s[2][:512], s[2][512:]]), "The attestation is cut.", rules="3.9 7.11", step="attestation"),
    bad("RPK106-frame-between-sections", BASE(sections=lambda s: [s[0], s[1], bytes(512), s[2]]), "A frame of zeros between manifest and attestation.", rules="3.9 4.1", step="manifest", rows=(10,)),
    bad("RPK106-frame-before-members", BASE(sections=lambda s: [bytes(512), *s]), "A block of zeros before the members, in a frame of its own.", rules="3.9 4.1", step="manifest", rows=(10,)),
    bad("RPK106-large-member-cut-by-offset", _recut(lambda *s: cut(b"".join(s))), "A member of more than 4 MiB whose content does not begin a frame.", rules="3.9", step="manifest", twin="large-member"),
    bad("RPK106-large-member-with-its-header", _recut(lambda a, b, c, d: [a[:-512], *cut(a[-512:] + b + c), d]), "The header of a large member is in the frame of its content.", rules="3.9", step="manifest", twin="large-member"),
    bad("RPK106-large-member-with-a-short-frame", _recut(lambda a, b, c, d: [a, b[:-512], b[-512:] + c, d]), "The first frame of a large member is not full.", rules="3.9", step="manifest", twin="large-member"),
    bad("RPK106-large-member-without-its-padding", _recut(lambda a, b, c, d: [a, b, c[:5], c[5:] + d]), "The padding of a large member is in the frame of what follows.", rules="3.9", step="manifest", twin="large-member"),
    bad("RPK106-large-member-and-what-follows", _recut(lambda a, b, c, d: [a, b, c + d]), "What follows a large member does not begin a frame.", rules="3.9", step="manifest", twin="large-member"),
    bad("RPK106-small-member-with-its-own-frame", _with_sizes(FRAME - 1)(sections=lambda s: [*cut(b"".join(s[:-2]), (at := b"".join(s).index(_NOISE[:999])), at + FRAME), *s[-2:]]), "A member of a byte less than 4 MiB begins a frame.", rules="3.9", step="manifest", twin="member-of-a-byte-less-than-a-frame"),
    bad("RPK106-manifest-offset-one-block-late", BASE(statement=lambda s: s["predicate"].update(manifest_offset=s["predicate"]["manifest_offset"] + 512)), "The statement places the manifest one block too late.", rules="7.10", step="manifest", rows=(18,)),
    bad("RPK106-manifest-offset-zero", BASE(statement=lambda s: s["predicate"].update(manifest_offset=0)), "The statement places the manifest where the members are.", rules="7.10", step="manifest", rows=(18,)),
    bad("RPK106-manifest-size-one-block-more", BASE(statement=lambda s: s["predicate"].update(manifest_size=s["predicate"]["manifest_size"] + 512)), "The statement gives the manifest 512 bytes too many.", rules="7.10", step="manifest", rows=(18,)),
    bad("RPK107-manifest-size-one-byte-more", BASE(statement=lambda s: s["predicate"].update(manifest_size=s["predicate"]["manifest_size"] + 1)), "The statement gives the manifest one byte too many.", rules="7.10 4.3", step="manifest", rows=(18, 19)),
    bad("RPK109-manifest-offset-beyond-the-limit", BASE(statement=lambda s: s["predicate"].update(manifest_offset=2**53 - 1)), "The statement places the manifest beyond 16 TiB.", rules="10.1 1.2", step="manifest", rows=(18,)),
    bad("RPK109-manifest-size-beyond-the-limit", BASE(statement=lambda s: s["predicate"].update(manifest_size=2**53 - 1)), "The statement gives the manifest 2^53 - 1 bytes.", rules="10.1 1.2", step="manifest", rows=(18,)),
    bad("RPK109-manifest-without-bytes", BASE(statement=lambda s: s["predicate"].update(manifest_size=0)), "The statement gives the manifest no bytes.", rules="10.1", step="manifest"),
    bad("RPK106-member-not-listed", BASE(members=lambda m: m + stored_member("zzz", b"not listed")), "A file after the members that the manifest does not list.", rules="4.1 5.1 7.10", step="manifest", rows=(19,)),
    bad("RPK106-listed-member-missing", BASE(manifest=lambda m: m["members"].append({"path": "zzz", "size": 0, "sha256": "0" * 64, "executable": False, "role": "document"})), "The manifest lists a file that is not there.", rules="4.1 5.1 7.10", step="manifest", rows=(19,)),
    bad("RPK106-pax-record-of-10-mib", BASE(members=lambda m: stored_member("././@PaxHeader", b"x" * 10 * 2**20) + m), "A PAX record of 10 MiB before the first member.", rules="4.1 4.7 7.10", step="manifest", rows=(6, 7)),
]  # fmt: skip

# ---------------------------------------------------------------- tar headers


def _patched(stream: bytes, at: int, value: bytes, *, checksum: bool = True) -> bytes:
    """Other bytes at a place of a header block, whose checksum is made true again."""
    stream = stream[:at] + value + stream[at + len(value) :]
    block = at // 512 * 512
    if checksum and at % 512 < 500:
        header = bytearray(stream[block : block + 512])
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        stream = stream[:block] + bytes(header) + stream[block + 512 :]
    return stream


def _tar(at: int, value: bytes, *, checksum: bool = True) -> Draft:
    """Other bytes in the header of the first member, README.md."""
    return BASE(members=lambda m: _patched(m, at, value, checksum=checksum))


def _kind(flag: bytes, target: bytes = b"") -> Draft:
    return BASE(members=lambda m: _patched(_patched(m, 156, flag), 157, target))


_HIDING: Final = BASE.with_file("zzz", b"1" * 1024)
"""Has a last member with room for three blocks: what else could stand in them."""


def _instead(stored: bytes) -> Draft:
    """Other blocks in the place of the last member's header and content."""
    assert len(stored) == 1536
    return _HIDING(members=lambda m: m[:-1536] + stored)


def _extended(records: bytes, kind: bytes = b"x") -> bytes:
    """A PAX header with a record, and an ordinary header."""
    block = _patched(stored_member("././@PaxHeader", records), 156, kind)
    return block + stored_member("zzz", b"")


HEADERS: Final = [
    bad("RPK107-other-name", _tar(0, b"readme.md"), "The header has a name that the manifest does not.", rules="4.3 4.4", step="members", rows=(4, 5)),
    bad("RPK107-name-that-climbs", _tar(0, b"../../x.md"), "The header's name leads out of the directory.", rules="4.3 4.5", step="members", rows=(1,)),
    bad("RPK107-absolute-name", _tar(0, b"/etc/x.md"), "The header's name is absolute.", rules="4.3 4.5", step="members", rows=(1,)),
    bad("RPK107-prefix-that-climbs", _tar(345, b".."), "The header's prefix leads out of the directory.", rules="4.3 4.5", step="members", rows=(1,)),
    bad("RPK107-hard-link", _kind(b"1", b"/etc/passwd"), "A hard link.", rules="4.4", step="members", rows=(3,)),
    bad("RPK107-symbolic-link", _kind(b"2", b"/etc/passwd"), "A symbolic link.", rules="4.4", step="members", rows=(2, 3)),
    bad("RPK107-symbolic-link-chain", _kind(b"2", b"d/" * 49), "A link of the kind whose chains grow beyond PATH_MAX.", rules="4.4", step="members", rows=(2,)),
    bad("RPK107-character-device", _kind(b"3"), "A character device.", rules="4.4", step="members", rows=(3,)),
    bad("RPK107-block-device", _kind(b"4"), "A block device.", rules="4.4", step="members", rows=(3,)),
    bad("RPK107-directory", _kind(b"5"), "A directory.", rules="4.4", step="members", rows=(3,)),
    bad("RPK107-fifo", _kind(b"6"), "A fifo.", rules="4.4", step="members", rows=(3,)),
    bad("RPK107-contiguous-file", _kind(b"7"), "A contiguous file.", rules="4.4", step="members", rows=(3,)),
    bad("RPK107-old-regular-file", _kind(b"\0"), "The type flag that old archives have for a regular file.", rules="4.4", step="members"),
    bad("RPK107-gnu-sparse", _kind(b"S"), "GNU's sparse file.", rules="4.4", step="members", rows=(9,)),
    bad("RPK107-gnu-long-name", _kind(b"L"), "GNU's long name.", rules="4.4", step="members", rows=(6, 7)),
    bad("RPK107-mode-0777", _tar(100, b"0000777\0"), "A mode that everybody may write.", rules="4.4", step="members"),
    bad("RPK107-mode-setuid", _tar(100, b"0004755\0"), "A mode with the set-user-ID bit.", rules="4.4", step="members"),
    bad("RPK107-executable-but-not-listed", _tar(100, b"0000755\0"), "Executable in the header and not in the manifest.", rules="4.4 5.1", step="members"),
    bad("RPK107-owner", _tar(108, b"0001750\0"), "A user id.", rules="4.4", step="members"),
    bad("RPK107-owner-name", _tar(265, b"zoe"), "A user name.", rules="4.4", step="members"),
    bad("RPK107-time", _tar(136, b"14000000000\0"), "A modification time.", rules="4.4", step="members"),
    bad("RPK107-size-lie", _tar(124, b"00000000013\0"), "The header states a size one byte smaller.", rules="4.3 4.4", step="members", rows=(19,)),
    bad("RPK107-size-negative-base-256", _tar(124, b"\xff" * 12), "GNU's base-256 size, negative.", rules="4.4", step="members", rows=(8,)),
    bad("RPK107-size-2-62-base-256", _tar(124, b"\x80\0\0\0" + struct.pack(">Q", 2**62)), "GNU's base-256 size of 2^62.", rules="4.4", step="members", rows=(8,)),
    bad("RPK107-size-with-spaces", _tar(124, b"        14 \0"), "The size in another spelling.", rules="4.4", step="members"),
    bad("RPK107-wrong-checksum", _tar(148, b"000000\0 ", checksum=False), "A checksum that does not fit.", rules="4.4", step="members", rows=(10,)),
    bad("RPK107-checksum-in-another-spelling", BASE(members=lambda m: m[:154] + b" \0" + m[156:]), "The checksum's last two bytes exchanged.", rules="4.4", step="members"),
    bad("RPK107-gnu-magic", _tar(257, b"ustar  \0"), "GNU's magic number and version.", rules="4.4", step="members"),
    bad("RPK107-bytes-after-prefix", _tar(500, b"x"), "A byte in the part of the header that ustar leaves open.", rules="4.4", step="members"),
    bad("RPK107-wrong-checksum-of-second-member", BASE(members=lambda m: _patched(m, 1024 + 148, b"000000\0 ", checksum=False)), "A bad checksum in the middle: lax readers take it for the end.", rules="4.4", step="members", rows=(10,)),
    bad("RPK107-end-of-archive-in-the-middle", _instead(bytes(1024) + stored_member("zzz", b"")), "Two zero blocks before the last member's header.", rules="4.1 4.3", step="members", rows=(10,), twin="long-member"),
    bad("RPK107-pax-size-negative", _instead(_extended(b"13 size=-512\n")), "A PAX record with a negative size, which sends a parser backwards.", rules="4.7", step="members", rows=(7,), twin="long-member"),
    bad("RPK107-pax-size-lie", _instead(_extended(b"18 size=1000000000\n")), "A PAX record with a size beyond the archive.", rules="4.7", step="members", rows=(7,), twin="long-member"),
    bad("RPK107-pax-path", _instead(_extended(b"16 path=../evil\n")), "A PAX record with another path.", rules="4.7", step="members", rows=(1, 7), twin="long-member"),
    bad("RPK107-pax-linkpath", _instead(_extended(b"24 linkpath=/etc/passwd\n")), "A PAX record with a link's target.", rules="4.7", step="members", rows=(3, 7), twin="long-member"),
    bad("RPK107-pax-global", _instead(_extended(b"16 path=../evil\n", b"g")), "A global PAX header.", rules="4.7", step="members", rows=(7,), twin="long-member"),
    bad("RPK107-pax-sparse", _instead(_extended(b"22 GNU.sparse.major=1\n30 GNU.sparse.realsize=1099511627776\n25 GNU.sparse.name=../evil\n")), "A PAX sparse file of 1 TiB with another name.", rules="4.7", step="members", rows=(9,), twin="long-member"),
    bad("RPK107-pax-where-ustar-suffices", _instead(_extended(b"12 path=zzz\n")), "A PAX record that says what the header says.", rules="4.7", step="members", rows=(7,), twin="long-member"),
    bad("RPK107-manifest-header-executable", BASE(manifest_section=lambda m: _patched(m, 100, b"0000755\0")), "The manifest is stored as an executable file.", rules="4.8", step="manifest"),
    bad("RPK107-attestation-header-executable", BASE(tail=lambda t: _patched(t, 100, b"0000755\0")), "The attestation is stored as an executable file.", rules="4.8 7.11", step="attestation"),
    bad("RPK107-attestation-of-another-name", BASE(tail=lambda t: _patched(t, 0, b"manifest.sig\0\0\0\0\0\0\0\0\0")), "The attestation has another name.", rules="4.1 7.11", step="attestation"),
    bad("RPK108-padding-of-a-member", BASE(members=lambda m: m[:1023] + b"x" + m[1024:]), "A byte in the padding after README.md.", rules="4.2", step="members", rows=(10,)),
    bad("RPK108-padding-of-the-manifest", BASE(manifest_section=lambda m: m[:-1] + b"x"), "A byte in the padding after the manifest.", rules="4.2", step="manifest", rows=(10,)),
    bad("RPK107-byte-in-the-padding-of-the-attestation", BASE(tail=lambda t: t[:-1025] + b"\n" + t[-1024:]), "A byte in the padding after the attestation: the content then ends there.", rules="4.2 7.11", step="attestation", rows=(10,)),
    bad("RPK108-one-block-at-the-end", BASE(tail=lambda t: t[:-512]), "One zero block at the end instead of two.", rules="4.1 7.11", step="attestation", rows=(10,)),
    bad("RPK108-three-blocks-at-the-end", BASE(tail=lambda t: t + bytes(512)), "Three zero blocks at the end instead of two.", rules="4.1 7.11", step="attestation", rows=(10,)),
    bad("RPK109-attestation-beyond-the-limit", BASE(attestation=lambda a: a + b" " * 2**20), "An attestation of more than 1 MiB.", rules="10.1 1.2", step="attestation", rows=(6,)),
]  # fmt: skip


GOOD_TAR: Final = [
    good("long-member", _HIDING, "A last member of two blocks.", rules="4.2"),
    good("long-paths", BASE.with_file("a" * 100, b"name of 100 bytes\n").with_file("d" * 60 + "/" + "n" * 80, b"split at its slash\n").with_file("d" * 160 + "/" + "n" * 80, b"no split: PAX\n").with_file("é" * 20, b"not ASCII: PAX\n"), "Paths that need the prefix field or a PAX record.", rules="4.5 4.7"),
    good("large-member", _LARGE, "A member of more than 4 MiB, which has frames of its own.", rules="3.9"),
    good("large-members-side-by-side", _with_sizes(FRAME, 2 * FRAME, FRAME + 1), "Three large members: the headers of the second and third have a frame each.", rules="3.9 4.7"),
    good("member-of-a-byte-less-than-a-frame", _with_sizes(FRAME - 1), "A member that lies across two frames, for it is too small to have its own.", rules="3.9"),
    good("header-across-frames", _header_across_frames(), "A PAX header that begins in one frame and ends in the next.", rules="3.9 4.7"),
    good("empty-and-executable", BASE.with_file("docs/empty", b"").with_file("docs/tool", b"#!/bin/sh\n", executable=True), "An empty member and an executable one.", rules="4.4"),
]  # fmt: skip

VECTORS: Final[list[Vector]] = [
    *SEEK_TABLE, *FRAMES, *GOOD_FRAMES, *SECTIONS, *HEADERS, *GOOD_TAR
]  # fmt: skip
