# SPDX-License-Identifier: Apache-2.0
"""Vectors of sections 2 and 5: the manifest's JSON, the list of members, their paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.vectors.forge import Draft, Edit, release
from tests.vectors.vector import Vector, bad, good

BASE: Final = release()


def _bytes(change: Callable[[bytes], bytes]) -> Draft:
    return BASE(manifest_bytes=change)


def _replaced(old: bytes, new: bytes) -> Draft:
    """Other bytes once in the canonical manifest."""

    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return _bytes(change)


def _first(edit: Edit) -> Draft:
    """An edit of the first member's entry."""
    return BASE(manifest=lambda m: edit(m["members"][0]))


DOCUMENT: Final = [
    bad("RPK201-byte-order-mark", _bytes(lambda d: b"\xef\xbb\xbf" + d), "A byte order mark.", rules="2.1", step="manifest", rows=(22,)),
    bad("RPK201-line-feed-at-the-end", _bytes(lambda d: d + b"\n"), "A line feed after the value.", rules="2.1 2.6", step="manifest", rows=(22,)),
    bad("RPK201-second-value", _bytes(lambda d: d + b"{}"), "A second value after the first.", rules="2.1", step="manifest", rows=(22,)),
    bad("RPK201-not-utf-8", _replaced(b'"format":"rpk"', b'"format":"rp\xff"'), "A byte that is not UTF-8.", rules="2.1", step="manifest", rows=(22,)),
    bad("RPK201-cut-off", _bytes(lambda d: d[:-1]), "The closing brace is missing.", rules="2.1", step="manifest", rows=(22,)),
    bad("RPK201-name-twice", _replaced(b'"format":"rpk"', b'"format":"rpk","format":"rpk"'), "A name twice in an object.", rules="2.2", step="manifest", rows=(22,)),
    bad("RPK201-name-twice-by-an-escape", _replaced(b'"format":"rpk"', b'"format":"rpk","\\u0066ormat":"rpk"'), "A name twice, once with an escape.", rules="2.2 2.6", step="manifest", rows=(22,)),
    bad("RPK201-nan", _replaced(b'"size":12', b'"size":NaN'), "NaN for a size.", rules="2.3", step="manifest", rows=(22,)),
    bad("RPK201-1e999", _replaced(b'"size":12', b'"size":1e999'), "A number beyond all doubles.", rules="2.3", step="manifest", rows=(22,)),
    bad("RPK201-integer-of-10000-digits", _replaced(b'"size":12', b'"size":1' + b"0" * 10_000), "An integer of ten thousand digits.", rules="2.6", step="manifest", rows=(22,)),
    bad("RPK201-size-with-fraction", _replaced(b'"size":12', b'"size":12.0'), "An integer with a fraction of zero.", rules="2.6", step="manifest", rows=(22,)),
    bad("RPK201-size-2-53", _replaced(b'"size":12', b'"size":9007199254740992'), "A size of 2^53, which doubles cannot tell from its neighbour.", rules="2.6 2.7", step="manifest", rows=(22,)),
    bad("RPK201-lone-surrogate", _replaced(b'"path":"README.md"', b'"path":"README\\ud800"'), "A lone surrogate in a path.", rules="2.4", step="manifest", rows=(22,)),
    bad("RPK201-nested-100000-deep", _bytes(lambda _: b"[" * 100_000 + b"]" * 100_000), "A hundred thousand arrays in each other.", rules="2.5", step="manifest", rows=(22,)),
    bad("RPK201-nested-65-deep", _replaced(b'"version":1', b'"version":' + b"[" * 64 + b"]" * 64), "One level deeper than allowed.", rules="2.5 2.7", step="manifest", rows=(22,)),
    bad("RPK201-names-in-another-order", _bytes(lambda d: b'{"version":1,' + d[1:].replace(b',"version":1}', b"}")), "The names of an object in another order.", rules="2.6", step="manifest", rows=(22,)),
    bad("RPK201-spaces", _bytes(lambda d: d.replace(b":", b": ")), "Spaces after colons.", rules="2.6", step="manifest", rows=(22,)),
    bad("RPK201-format-missing", _replaced(b'{"format":"rpk",', b"{"), "The format is missing.", rules="2.7 5.1", step="manifest"),
    bad("RPK201-escaped-letter", _replaced(b'"README.md"', b'"\\u0052EADME.md"'), "A letter written as an escape.", rules="2.6", step="manifest", rows=(22,)),
    bad("RPK201-unknown-field", BASE(manifest=lambda m: m.update(min_reader=99)), "A field that version 1 does not have.", rules="2.7 11.2", step="manifest", rows=(26,)),
    bad("RPK201-unknown-field-of-a-member", _first(lambda e: e.update(link="/etc/passwd")), "A member with a field that version 1 does not have.", rules="2.7", step="manifest", rows=(3,)),
    bad("RPK201-unknown-role", _first(lambda e: e.update(role="plugin")), "A role that version 1 does not have.", rules="2.7 5.5", step="manifest"),
    bad("RPK201-digest-in-capitals", _first(lambda e: e.update(sha256=e["sha256"].upper())), "A digest in capitals.", rules="2.7", step="manifest"),
    bad("RPK201-digest-with-line-feed", _first(lambda e: e.update(sha256=e["sha256"] + "\n")), "A digest with a line feed at its end.", rules="2.7", step="manifest"),
    bad("RPK201-digest-missing", _first(lambda e: e.pop("sha256")), "A member without digest.", rules="2.7 5.2", step="manifest", rows=(19,)),
    bad("RPK201-size-negative", _first(lambda e: e.update(size=-1)), "A negative size.", rules="2.7", step="manifest", rows=(8,)),
    bad("RPK201-size-as-text", _first(lambda e: e.update(size="12")), "A size in quotes.", rules="2.7", step="manifest"),
    bad("RPK201-executable-as-number", _first(lambda e: e.update(executable=0)), "A number for a truth value.", rules="2.7", step="manifest"),
    bad("RPK201-not-an-object", _bytes(lambda _: b"null"), "Not an object.", rules="2.7 5.1", step="manifest"),
    bad("RPK202-version-0", BASE(manifest=lambda m: m.update(version=0)), "Version 0.", rules="11.1 5.1", step="manifest", rows=(26,)),
    bad("RPK202-version-99", BASE(manifest=lambda m: m.update(version=99)), "Version 99 in the manifest, 1 in the statement.", rules="11.1 5.1", step="manifest", rows=(26,)),
    bad("RPK202-version-2-with-new-fields", BASE(manifest=lambda m: m.update(version=2, requires=["x"])), "A later version with a field that this one does not have.", rules="11.1 5.1", step="manifest", rows=(26,)),
    bad("RPK202-another-format", BASE(manifest=lambda m: m.update(format="zip")), "Another format.", rules="11.1 5.1", step="manifest", rows=(26,)),
    bad("RPK203-manifest-swapped", BASE(manifest_section=lambda m: m.replace(b'"executable":false', b'"executable":true ', 1)), "The manifest is not the one that was signed.", rules="7.10", step="manifest", rows=(19,)),
    bad("RPK203-digest-of-zeros", BASE(statement=lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)), "The statement has another digest of the manifest.", rules="7.10", step="manifest", rows=(19,)),
]  # fmt: skip


def _also(path: str) -> Draft:
    """A release with one more member, whose path may be any text."""
    return BASE.with_file(path, b"x\n")


def _path(name: str, path: str, why: str, *rows: int, rules: str) -> Vector:
    return bad(f"RPK204-{name}", _also(path), why, rules=rules, step="manifest", rows=rows)


PATHS: Final = [
    _path("path-that-climbs", "../x", "A path that leads out of the directory.", 1, rules="5.7"),
    _path("path-that-climbs-later", "a/../../x", "A path that leads out after it went in.", 1, rules="5.7"),
    _path("path-with-dot", "a/./b", "A component that is a dot.", 1, rules="5.7"),
    _path("path-absolute", "/etc/x", "An absolute path.", 1, rules="5.7"),
    _path("path-empty", "", "An empty path.", 1, rules="5.7"),
    _path("path-double-slash", "a//b", "An empty component.", 1, rules="5.7"),
    _path("path-slash-at-the-end", "a/", "A path that ends with a slash.", 1, rules="5.7"),
    _path("path-drive-letter", "C:\\x", "A drive of Windows.", 1, rules="5.8"),
    _path("path-backslash", "a\\..\\x", "A backslash.", 1, rules="5.8"),
    _path("path-stream", "a:ads", "An alternate data stream.", 1, rules="5.8"),
    _path("path-brace", "a{b}.txt", "Braces, at which the recipe for a shell splits.", 1, rules="5.8"),
    _path("path-device", "con.txt", "A device of Windows.", 1, rules="5.9"),
    _path("path-device-superscript", "COM¹", "A device of Windows with a superscript digit.", 1, rules="5.9"),
    _path("path-nul", "a\0b", "A NUL.", 1, rules="5.8"),
    _path("path-line-feed", "a\nb", "A line feed.", 1, 39, rules="5.8"),
    _path("path-escape", "a\x1b]0;owned\x07\x1b[2J", "A terminal escape.", 1, 39, rules="5.8"),
    _path("path-bidi-override", "a\u202etxt.exe", "A right-to-left override.", 39, rules="5.8"),
    _path("path-zero-width", "a\u200bb", "A zero-width space.", 39, rules="5.8"),
    _path("path-unassigned", "a\u0378", "A code point without a character.", 39, rules="5.8"),
    _path("path-private-use", "a\ue000", "A code point for private use.", 39, rules="5.8"),
    _path("path-not-nfc", "e\u0301.txt", "Not in normal form C.", 5, rules="5.8"),
    _path("path-trailing-dot", "a.", "A dot at the end.", 5, rules="5.9"),
    _path("path-trailing-space", "a /b", "A space at the end of a component.", 5, rules="5.9"),
    _path("path-git-directory", "x/.git/hooks/post-checkout", "A git directory.", 5, rules="5.10"),
    _path("path-git-directory-in-capitals", ".GIT/config", "A git directory in capitals.", 5, rules="5.10"),
    _path("path-git-short-name", "git~1/config", "The short name of a git directory.", 5, rules="5.10"),
    _path("path-git-fullwidth", "．ｇｉｔ/config", "A git directory in full-width letters.", 5, rules="5.10"),
    _path("path-git-with-joiner", ".g\u200cit/config", "A git directory with an invisible character.", 5, rules="5.8"),
    _path("path-of-a-megabyte", "/".join(["n" * 200] * 5000), "A path of a million bytes.", 6, rules="5.7"),
    _path("path-of-1025-bytes", "/".join(["n" * 204] * 4 + ["n" * 205]), "A path of one byte more than allowed, and each component short enough.", 6, rules="5.7"),
    _path("path-component-of-256-bytes", "n" * 256, "A component of one byte more than allowed.", 6, rules="5.7"),
    _path("path-component-of-256-utf-8-bytes", "é" * 128, "128 characters, which are 256 bytes.", 6, rules="5.7"),
    _path("path-of-65-components", "/".join("d" * 65), "One directory deeper than allowed.", 6, rules="5.7"),
    _path("path-of-10000-components", "/".join("d" * 10_000), "Ten thousand directories in each other.", 6, rules="5.7"),
    bad("RPK204-paths-equal-after-case-folding", BASE.with_file("docs/A", b"1").with_file("docs/a", b"2"), "Two paths that differ in case alone.", rules="5.11", step="manifest", rows=(5,)),
    bad("RPK204-paths-equal-after-full-case-folding", BASE.with_file("docs/strasse", b"1").with_file("docs/straße", b"2"), "Two paths that differ in the sharp s alone.", rules="5.11", step="manifest", rows=(5,)),
    bad("RPK204-paths-equal-after-compatibility", BASE.with_file("docs/1", b"1").with_file("docs/\u2460", b"2"), "Two paths that are one after NFKC.", rules="5.11", step="manifest", rows=(5,)),
    bad("RPK204-file-and-directory", BASE.with_file("docs/a", b"1").with_file("docs/a/b", b"2"), "A path that is a directory of another.", rules="5.11", step="manifest", rows=(4,)),
    bad("RPK204-file-and-directory-in-other-case", BASE.with_file("docs/A", b"1").with_file("docs/a/b", b"2"), "A path that is a directory of another on some systems.", rules="5.11", step="manifest", rows=(5,)),
    bad("RPK204-member-named-manifest", BASE.with_file("Manifest.JSON", b"{}"), "A member with the manifest's own name in other letters.", rules="5.11", step="manifest", rows=(4,)),
    bad("RPK204-member-named-attestation", BASE.with_file("attestation.dsse.json", b"{}"), "A member with the attestation's own name.", rules="5.11", step="manifest", rows=(4,)),
]  # fmt: skip


def _swapped(first: int, second: int) -> Draft:
    files = list(BASE.files)
    files[first], files[second] = files[second], files[first]
    return BASE(files=tuple(files))


MEMBERS: Final = [
    bad("RPK205-readme-not-first", _swapped(0, 1), "README.md is the second member.", rules="5.4", step="manifest"),
    bad("RPK205-not-sorted", _swapped(1, 3), "Members out of order.", rules="5.4", step="manifest"),
    bad("RPK205-path-twice", BASE(files=(*BASE.files, BASE.files[-1])), "The same path twice.", rules="5.4", step="manifest", rows=(4,)),
    bad("RPK205-path-twice-with-other-content", BASE(files=(*BASE.files, BASE.with_file("runs/1/run.json", b"{}").files[-1])), "The same path twice, with other content.", rules="5.4", step="manifest", rows=(4,)),
    bad("RPK205-sorted-by-locale", BASE(files=(*BASE.files, *(BASE.with_file(p, b"x\n").files[-1] for p in ("sé", "sz")))), "Sorted as a dictionary sorts, not by bytes.", rules="5.4", step="manifest"),
    bad("RPK206-member-changed", BASE(members=lambda m: m.replace(b"# A release", b"# a release", 1)), "One letter of a member is another.", rules="5.2", step="members", rows=(17, 19)),
    bad("RPK206-digest-of-another-member", BASE(manifest=lambda m: m["members"][0].update(sha256=m["members"][1]["sha256"])), "The manifest states the digest of another member.", rules="5.2", step="members", rows=(19,)),
    bad("RPK206-member-of-many-frames-changed", BASE.with_file("data/x/large.bin", bytes(5 * 2**20), role="data")(members=lambda m: m.replace(bytes(2**20), bytes(2**20 - 1) + b"\1", 1)), "One byte of a member that spans two frames is another.", rules="5.2", step="members", rows=(17,)),
    bad("RPK207-no-readme", BASE.without("README.md"), "README.md is missing.", rules="5.3", step="manifest", rows=(19,)),
    bad("RPK207-no-members", BASE(files=()), "A bundle without members.", rules="5.3", step="manifest", rows=(19,)),
    bad("RPK207-no-claims", BASE.without("claims.json"), "claims.json is missing.", rules="5.3", step="records", rows=(19,)),
    bad("RPK207-no-run", BASE.without("runs/1/run.json"), "The record of the run is missing.", rules="5.3", step="records", rows=(19,)),
    bad("RPK207-no-metrics", BASE.without("runs/1/metrics.json"), "The metrics of the run are missing.", rules="5.3", step="records", rows=(19,)),
]  # fmt: skip

GOOD: Final = [
    good("unused-members", BASE.with_file("licenses/MIT.txt", b"MIT\n", role="license").with_file("docs/notes.md", b"notes\n"), "Members that a reader only carries.", rules="5.5 5.6"),
    good("odd-paths", BASE.with_file("docs/ünïcödé 日本語.md", b"x\n").with_file("docs/=cmd -x'!A0", b"x\n").with_file("docs/.gitignore", b"x\n").with_file("docs/console", b"x\n").with_file("docs/git~x", b"x\n"), "Paths that look odd and are allowed.", rules="5.8 5.9 5.10", rows=(5, 39)),
    good("paths-at-their-limits", BASE.with_file("n" * 255, b"x\n").with_file("/".join("d" * 64), b"x\n").with_file("/".join(["n" * 204] * 4 + ["m" * 204]), b"x\n"), "A component of 255 bytes, a path of 64 components, a path of 1,024 bytes.", rules="5.7", rows=(6,)),
]  # fmt: skip

VECTORS: Final[list[Vector]] = [*DOCUMENT, *PATHS, *MEMBERS, *GOOD]
