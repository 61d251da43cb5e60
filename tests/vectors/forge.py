# SPDX-License-Identifier: Apache-2.0
"""Makes a bundle layer by layer, so that each layer can be broken while all others stay true.

A `Draft` holds the files and one hook for each layer. Without hooks it makes a valid release. A
hook gets what an honest writer would have made and returns what stands there instead; everything
above it is made from what the hook returned, signature and all, so that one defect stays one.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import itertools
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha1, sha256
from typing import Any, Final, TypeVar

import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from repropack import canonical
from repropack.bundle.frames import encode_seek_table
from repropack.bundle.tar_layer import attestation_tail, member_header, padding
from repropack.signing.dsse import PAYLOAD_TYPE, pre_authentication_encoding
from repropack.signing.keys import SigningKey

__all__ = [
    "AUTHOR",
    "FRAME",
    "OTHER",
    "THIEF",
    "Draft",
    "File",
    "assemble",
    "blob",
    "borders",
    "code_bundle",
    "commit",
    "compress",
    "cut",
    "deflated",
    "pack",
    "release",
    "signature",
    "tree",
]

T = TypeVar("T")
Json = Any
Edit = Callable[[Json], object]
"""Changes a JSON value in place, or returns another one."""

FRAME: Final = 4 * 1024 * 1024

AUTHOR: Final = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
OTHER: Final = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32))
THIEF: Final = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32))


# ---------------------------------------------------------------- zstd and tar


def compress(content: bytes, *, level: int = 1, **options: bool) -> bytes:
    """A zstd frame as version 1 wants it, unless an option says otherwise."""
    settings = {"write_checksum": True, "write_content_size": True, **options}
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=FRAME.bit_length() - 1, **settings
    )
    frame: bytes = zstandard.ZstdCompressor(compression_params=parameters).compress(content)
    return frame


def cut(stream: bytes, *begun: int) -> list[bytes]:
    """The contents of the frames of a stream; each offset in `begun` begins a section."""
    edges = itertools.pairwise((0, *begun, len(stream)))
    return [stream[i : min(i + FRAME, b)] for a, b in edges for i in range(a, b, FRAME)]


def borders(members: Iterable[tuple[str, bytes]]) -> tuple[int, ...]:
    """Where members with frames of their own begin and end in the tar stream (3.9)."""
    begun, position = list[int](), 0
    for path, content in members:
        content_at = position + len(member_header(path, len(content)))
        position += len(stored_member(path, content))
        if len(content) >= FRAME:
            begun += [content_at, position]
    return tuple(begun)


def assemble(contents: Sequence[bytes], frames: Sequence[bytes] | None = None) -> bytes:
    """A file with these frames and a true seek table."""
    stored = frames if frames is not None else [compress(content) for content in contents]
    table = [(len(f), len(c)) for f, c in zip(stored, contents, strict=True)]
    return b"".join(stored) + encode_seek_table(table)


def stored_member(path: str, content: bytes, *, executable: bool = False) -> bytes:
    """A file of the tar stream: header, content, padding."""
    header = member_header(path, len(content), executable=executable)
    return header + content + bytes(padding(len(content)))


# ---------------------------------------------------------------- git


def object_id(kind: str, data: bytes) -> str:
    """The SHA-1 name of a git object."""
    return sha1(b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False).hexdigest()


GitObject = tuple[str, bytes]
"""Kind and content."""


def blob(content: bytes) -> GitObject:
    return "blob", content


def tree(*entries: tuple[str, bytes, GitObject | str]) -> GitObject:
    """A tree object: mode, name, and an object or its id; in this order, whatever git says."""
    return "tree", b"".join(
        mode.encode() + b" " + name + b"\0"
        + bytes.fromhex(target if isinstance(target, str) else object_id(*target))
        for mode, name, target in entries
    )  # fmt: skip


def commit(root: GitObject, *, extra: bytes = b"") -> GitObject:
    """A commit object; `extra` are header lines after the tree."""
    who = b"repropack <repropack@invalid> 0 +0000"
    lines = (b"tree " + object_id(*root).encode(), b"author " + who, b"committer " + who)
    return "commit", lines[0] + b"\n" + extra + b"\n".join(lines[1:]) + b"\n\ncode\n"


_KINDS: Final = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


def deflated(data: bytes) -> bytes:
    """A zlib stream of stored blocks: the same bytes from every zlib."""
    pieces = [data[i : i + 65535] for i in range(0, len(data), 65535)] or [b""]
    blocks = b"".join(
        struct.pack("<BHH", piece is pieces[-1], len(piece), 0xFFFF ^ len(piece)) + piece
        for piece in pieces
    )
    return b"\x78\x01" + blocks + struct.pack(">I", zlib.adler32(data))


def packed_object(kind: int, size: int, body: bytes) -> bytes:
    """An object of a pack: kind and stated size, then whatever follows them."""
    head = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head) + body


def pack(*objects: GitObject, raw: Sequence[bytes] = ()) -> bytes:
    """A pack of version 2; `raw` are objects that `packed_object` made."""
    stored = [packed_object(_KINDS[kind], len(data), deflated(data)) for kind, data in objects]
    body = b"PACK" + struct.pack(">II", 2, len(stored) + len(raw)) + b"".join((*stored, *raw))
    return body + sha1(body, usedforsecurity=False).digest()


def code_bundle(*objects: GitObject, header: str = "", raw: Sequence[bytes] = ()) -> bytes:
    """A git bundle of objects of which the last is the commit; `{c}` in a header is its id."""
    text = header or "# v2 git bundle\n{c} HEAD\n{c} refs/heads/main\n\n"
    return text.replace("{c}", object_id(*objects[-1])).encode() + pack(*objects, raw=raw)


SCRIPT: Final = blob(b"printf '%s' '{\"accuracy\": 0.91}' > metrics.json\n")
"""The code of every release here: it writes the claimed number."""
ROOT: Final = tree(("100644", b"run.sh", SCRIPT))


# ---------------------------------------------------------------- a release


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """A member before it is packed."""

    path: str
    content: bytes
    role: str = "document"
    executable: bool = False


def _keep(value: T) -> T:
    return value


def _keep_frames(contents: list[bytes], stored: list[bytes]) -> list[bytes]:
    del contents
    return stored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """A release and what is wrong with it. Hooks in the order in which a bundle is made.

    Attributes:
        manifest: Changes the JSON of the manifest.
        manifest_bytes: Changes its canonical bytes; what comes out is signed.
        members: Changes the tar stream before the manifest.
        manifest_section: Changes header, content and padding of the manifest.
        statement: Changes the JSON of the statement.
        payload: Changes its canonical bytes; what comes out is signed.
        envelope: Changes the JSON of the envelope.
        attestation: Changes its canonical bytes.
        tail: Changes the last section: attestation and end of the archive.
        sections: Changes how the stream is cut into the contents of frames.
        frames: Gets the contents and the stored frames, and returns other stored frames.
        entries: Changes the seek table's pairs of stored size and content size.
        table: Changes the bytes of the seek table.
        whole: Changes the bytes of the file.
    """

    files: tuple[File, ...]
    key: SigningKey = AUTHOR
    manifest: Edit = _keep
    manifest_bytes: Callable[[bytes], bytes] = _keep
    members: Callable[[bytes], bytes] = _keep
    manifest_section: Callable[[bytes], bytes] = _keep
    statement: Edit = _keep
    payload: Callable[[bytes], bytes] = _keep
    envelope: Edit = _keep
    attestation: Callable[[bytes], bytes] = _keep
    tail: Callable[[bytes], bytes] = _keep
    sections: Callable[[list[bytes]], list[bytes]] = _keep
    frames: Callable[[list[bytes], list[bytes]], list[bytes]] = _keep_frames
    entries: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = _keep
    table: Callable[[bytes], bytes] = _keep
    whole: Callable[[bytes], bytes] = _keep

    def __call__(self, **changes: Any) -> Draft:
        """The same release with other hooks or files."""
        return dataclasses.replace(self, **changes)

    def with_record(self, path: str, edit: Edit) -> Draft:
        """The same release with another JSON record."""
        old = next(file for file in self.files if file.path == path)
        return self.with_file(path, canonical.encode(edited(json.loads(old.content), edit)))

    def with_file(self, path: str, content: bytes, **fields: Any) -> Draft:
        """The same release with one file added or replaced."""
        new = File(path=path, content=content, **fields)
        for old in self.files:
            if old.path == path:
                new = dataclasses.replace(old, content=content, **fields)
        rest = [file for file in self.files if file.path != path]
        ordered = sorted((*rest, new), key=lambda f: (f.path != "README.md", f.path))
        return self(files=tuple(ordered))

    def without(self, path: str) -> Draft:
        """The same release without a file."""
        return self(files=tuple(file for file in self.files if file.path != path))

    def manifest_content(self) -> bytes:
        """The bytes of `manifest.json`."""
        listed = [
            {
                "path": file.path,
                "size": len(file.content),
                "sha256": sha256(file.content).hexdigest(),
                "executable": file.executable,
                "role": file.role,
            }
            for file in self.files
        ]
        value = edited({"format": "rpk", "version": 1, "members": listed}, self.manifest)
        return self.manifest_bytes(canonical.encode(value))

    def contents(self) -> list[bytes]:
        """The contents of all frames."""
        stored = (stored_member(f.path, f.content, executable=f.executable) for f in self.files)
        members = self.members(b"".join(stored))
        manifest = self.manifest_content()
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [
                {"name": "manifest.json", "digest": {"sha256": sha256(manifest).hexdigest()}}
            ],
            "predicateType": "urn:repropack:release:v1",
            "predicate": {
                "format": "rpk",
                "version": 1,
                "manifest_offset": len(members),
                "manifest_size": len(manifest),
                "run": "run000000001",
                "claims": ["accuracy = 0.91"],
                "tool": "vectors",
            },
        }
        payload = self.payload(canonical.encode(edited(statement, self.statement)))
        envelope = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [signature(payload, self.key)],
        }
        attestation = self.attestation(canonical.encode(edited(envelope, self.envelope)))
        section = self.manifest_section(stored_member("manifest.json", manifest))
        return self.sections(
            [
                *cut(members, *borders((file.path, file.content) for file in self.files)),
                *cut(section),
                self.tail(attestation_tail(attestation)),
            ]
        )

    def build(self) -> bytes:
        """The file."""
        contents = self.contents()
        stored = self.frames(contents, [compress(content) for content in contents])
        table = self.entries([(len(s), len(c)) for s, c in zip(stored, contents, strict=True)])
        return self.whole(b"".join(stored) + self.table(encode_seek_table(table)))


def edited(value: Json, edit: Edit) -> Json:
    """A copy of a JSON value after an edit."""
    if edit is _keep:
        return value
    value = copy.deepcopy(value)
    other = edit(value)
    return value if other is None or not isinstance(other, (dict, list)) else other


def signature(payload: bytes, key: SigningKey, kind: str = PAYLOAD_TYPE) -> dict[str, str]:
    """An entry of an envelope's list of signatures."""
    signed = key.sign(pre_authentication_encoding(kind, payload))
    return {"keyid": key.public.openssh, "sig": base64.b64encode(signed).decode()}


def release(
    code: bytes | None = None, *, root: GitObject = ROOT, commit_id: str | None = None
) -> Draft:
    """The smallest release that `verify` can repeat: one shell script that writes one number."""
    made = commit(root)
    code = code_bundle(SCRIPT, root, made) if code is None else code
    tree_id, commit_id = object_id(*root), commit_id or object_id(*made)
    member = f"code/{tree_id[:12]}.bundle"
    run = {
        "version": 1,
        "environment": "environment",
        "code": [{"root": "{project}", "tree": tree_id, "commit": commit_id, "member": member}],
        "record": {
            "version": 1,
            "id": "run000000001",
            "segments": [
                {
                    "invocation": {
                        "argv": ["sh", "run.sh"],
                        "directory": "{project}",
                        "variables": {},
                    },
                    "source": {"tree": tree_id, "versioned": True, "dirty": False},
                    "environment": "0" * 64,
                    "started": "2026-01-01T00:00:00Z",
                    "ended": "2026-01-01T00:00:01Z",
                    "outcome": {"status": 0},
                }
            ],
        },
    }
    claims = {
        "version": 1,
        "run": "run000000001",
        "claims": [
            {
                "metric": "accuracy",
                "source": {
                    "importer": "json",
                    "path": "{project}/metrics.json",
                    "key": "/accuracy",
                },
                "expected": 0.91,
                "mode": "retrain_same_seed",
                "tolerance": {"kind": "absolute", "within": 0.01},
            }
        ],
    }
    environment = {"version": 1, "machine": {"system": "Linux", "architecture": "x86_64"}}
    return Draft(
        files=(
            File(path="README.md", content=b"# A release\n"),
            File(path="claims.json", role="claims", content=canonical.encode(claims)),
            File(path=member, role="code", content=code),
            File(
                path="environment/environment.json",
                role="environment",
                content=canonical.encode(environment),
            ),
            File(
                path="runs/1/metrics.json",
                role="run",
                content=canonical.encode({"version": 1, "metrics": []}),
            ),
            File(path="runs/1/run.json", role="run", content=canonical.encode(run)),
        )
    )
