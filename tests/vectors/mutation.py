# SPDX-License-Identifier: Apache-2.0
"""Layers of a bundle that can be replaced while everything above them stays true, and changes.

Bytes at random never get past the signature. Here a layer is changed first and signed afterwards,
by the author or not at all, so that every parser behind the signature sees hostile input too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.vectors.forge import Draft, compress, release

__all__ = ["BASE", "LAYERS", "SIGNED", "changed", "layer", "rebuilt"]

BASE: Final = release()

Hook = Callable[[bytes], Draft]


def _frames(number: int) -> Hook:
    def replaced(contents: list[bytes], stored: list[bytes], new: bytes) -> list[bytes]:
        return [new if n == number else frame for n, frame in enumerate(stored)]

    return lambda new: BASE(frames=lambda contents, stored: replaced(contents, stored, new))


def _record(path: str) -> Hook:
    return lambda new: BASE.with_file(path, new)


LAYERS: Final[dict[str, Hook]] = {
    "file": lambda new: BASE(whole=lambda _: new),
    "seek table": lambda new: BASE(table=lambda _: new),
    "members frame": _frames(0),
    "manifest frame": _frames(1),
    "attestation frame": _frames(2),
    "members": lambda new: BASE(members=lambda _: new),
    "manifest section": lambda new: BASE(manifest_section=lambda _: new),
    "tail": lambda new: BASE(tail=lambda _: new),
    "manifest": lambda new: BASE(manifest_bytes=lambda _: new),
    "statement": lambda new: BASE(payload=lambda _: new),
    "attestation": lambda new: BASE(attestation=lambda _: new),
    "claims.json": _record("claims.json"),
    "runs/1/run.json": _record("runs/1/run.json"),
    "runs/1/metrics.json": _record("runs/1/metrics.json"),
    "environment/environment.json": _record("environment/environment.json"),
}
"""Each layer with what puts other bytes in its place."""

SIGNED: Final = frozenset({
    "manifest", "statement", "claims.json", "runs/1/run.json", "runs/1/metrics.json",
    "environment/environment.json",
})  # fmt: skip
"""Layers whose new bytes the author signs. Of the others none may change the meaning."""


def layer(name: str) -> bytes:
    """The bytes that an honest writer puts there."""
    seen: list[bytes] = []

    def look(data: bytes) -> bytes:
        seen.append(data)
        return data

    if "/" in name or name == "claims.json":
        return next(file.content for file in BASE.files if file.path == name)
    if name.endswith(" frame"):
        number = ("members frame", "manifest frame", "attestation frame").index(name)
        return compress(BASE.contents()[number])
    hook = {
        "file": "whole", "seek table": "table", "members": "members", "tail": "tail",
        "manifest section": "manifest_section", "manifest": "manifest_bytes",
        "statement": "payload", "attestation": "attestation",
    }[name]  # fmt: skip
    BASE(**{hook: look}).build()
    return seen[0]


def rebuilt(name: str, new: bytes) -> bytes:
    """The file with other bytes in the place of a layer."""
    return LAYERS[name](new).build()


def changed(name: str, data: bytes, random: Random) -> bytes:
    """One change that fits the layer: of its JSON, its base64, its numbers, or its bytes."""
    if name in ("manifest", "statement", "attestation") or name.endswith(".json"):
        return random.choice((_json_value, _json_text, _json_text, _bytes))(data, random)
    if name == "seek table" and random.random() < 0.7:
        at = random.randrange(len(data) // 4) * 4
        value = random.choice((0, 1, 2, 8, 512, 4 * 2**20, 4 * 2**20 + 1, 2**31, 2**32 - 1))
        if random.random() < 0.5:
            value = (int.from_bytes(data[at : at + 4], "little") + random.choice((-1, 1))) % 2**32
        return data[:at] + value.to_bytes(4, "little") + data[at + 4 :]
    if name.endswith(" frame") and random.random() < 0.2:
        # A frame of another level, or another content: the first must be accepted.
        number = ("members frame", "manifest frame", "attestation frame").index(name)
        content = BASE.contents()[number]
        if random.random() < 0.5:
            content = _bytes(content, random)
        return compress(content, level=random.choice((-5, 1, 2, 3, 9, 19)))
    return _bytes(data, random)


def _bytes(data: bytes, random: Random) -> bytes:
    """A few bytes other, more, fewer, exchanged or repeated."""
    at = random.randrange(len(data) + 1)
    size = random.choice((1, 1, 1, 2, 4, 8, 512))
    kind = random.randrange(5)
    if kind == 0:
        return data[:at] + random.randbytes(size) + data[at + size :]
    if kind == 1:
        return data[:at] + random.randbytes(size) + data[at:]
    if kind == 2:
        return data[:at] + data[at + size :]
    if kind == 3:
        return data[:at] + data[at : at + size] + data[at:]
    other = random.randrange(len(data) + 1)
    first, second = sorted((at, other))
    return data[:first] + data[second:] + data[first:second]


_TEXTS: Final = (
    (b":", b": "), (b",", b", "), (b"{", b"{ "), (b"}", b"\n}"), (b'"', b"'"), (b"e", b"\\u0065"),
    (b"/", b"\\/"), (b"1", b"1.0"), (b"1", b"01"), (b"1", b"1e0"), (b"0", b"-0"), (b"=", b""),
    (b"=", b"=="), (b"A", b"B"), (b"+", b"-"), (b"/", b"_"), (b"1", b"NaN"), (b"1", b"9" * 30),
    (b"true", b"1"), (b"false", b"null"), (b"[", b"[0,"), (b"]", b",]"), (b"}", b",}"),
    (b"m", "\u212a".encode()), (b"a", b"\xff"), (b"a", b"\\ud800"), (b"run", b"run\\u0000"),
    (b'{"', b'{"a":1,"'), (b"}", b',"z":{}}'), (b"0", b"0" * 5000), (b'"', b'"\xe2\x80\xae'),
)  # fmt: skip


def _json_text(data: bytes, random: Random) -> bytes:
    """Another spelling in one place."""
    old, new = random.choice(_TEXTS)
    places = [i for i in range(len(data)) if data.startswith(old, i)]
    if not places:
        return b" " + data
    at = random.choice(places)
    return data[:at] + new + data[at + len(old) :]


_VALUES: Final[tuple[Any, ...]] = (
    None, True, 0, 1, -1, 2, 2**53 - 1, 2**53, 2**64, 0.5, 1e300, "", "a", "rpk", "../x", "\0", "\x1b[2J", [],
    {}, [[]], "0" * 64, "{project}/../x", "{project}", "README.md", "é" * 200, "run000000001",
)  # fmt: skip


def _json_value(data: bytes, random: Random) -> bytes:
    """Another value, one more, one less or one twice, written canonically."""
    tree = json.loads(data)
    places: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        value = pending.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                pending.append(value[key])
    parent, key = random.choice(places)
    kind = random.randrange(5)
    if kind == 0 and isinstance(parent[key], str):
        text = parent[key]
        at = random.randrange(len(text) + 1)
        parent[key] = (
            text[:at] + random.choice(("", "x", "\n", "/", ".", "\u200b")) + text[at + 1 :]
        )
    elif kind <= 2:
        parent[key] = random.choice(_VALUES)
    elif kind == 3:
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, parent[random.randrange(len(parent))])
    else:
        parent[random.choice(("a", "z", "alg", "path", ""))] = random.choice(_VALUES)
    if "payload" in data.decode(errors="replace")[:20] and random.random() < 0.3:
        # The payload itself, without a new signature.
        wire = json.loads(data)
        inner = _json_value(base64.b64decode(wire["payload"]), random)
        tree = {**wire, "payload": base64.b64encode(inner).decode()}
    return json.dumps(tree, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
