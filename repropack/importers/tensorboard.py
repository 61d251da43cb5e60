# SPDX-License-Identifier: Apache-2.0
"""Scalars in TensorBoard's event files, `events.out.tfevents.<time>.<host>.<process>.<number>`.

A file is a sequence of TFRecords (length, masked CRC-32C of it, content, masked CRC-32C of that;
tensorflow/core/lib/io/record_writer.h), each an `Event` in protocol buffers
(tensorflow/core/util/event.proto). A scalar is a `simple_value` (TensorFlow 1, PyTorch,
tensorboardX) or a tensor without dimensions (TensorFlow 2). Values are float32 mostly and are kept
exactly as stored.

The file may be hostile or cut off: nothing is allocated by what it says, every number in it is
checked against what is there, and reading ends, with a remark, where a record is damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from repropack.importers import Reading
from repropack.importers.series import Sample, metric
from repropack.model import MetricSource

__all__ = ["crc32c", "handles", "read"]

MAX_TAGS: Final = 10_000
"""Scalars of one file: per-layer statistics of a large network are some thousands."""

MAX_TAG: Final = 300
"""Bytes of a tag."""

MAX_SCALAR_EVENT: Final = 1 << 20
"""Bytes of a record that is looked into: larger ones are images, audio or histograms."""

_POLYNOMIAL: Final = 0x82F63B78
"""Castagnoli, reflected."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE: Final = _crc_table()


def crc32c(data: bytes) -> int:
    """The CRC-32C (RFC 3720, appendix B.4) of some bytes."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class _Damaged(ValueError):
    """Bytes are not the protocol buffer that they should be."""


class _Curve(NamedTuple):
    samples: list[Sample]
    precisions: set[str]


def handles(path: str) -> bool:
    """Files whose name has `.tfevents.` in it, or ends so."""
    name = path.rpartition("/")[2]
    return ".tfevents." in name or name.endswith(".tfevents")


def read(data: bytes, path: str) -> Reading:
    """Each scalar as a series over steps, by its tag. Never raises: it reads up to a damage."""
    curves: dict[str, _Curve] = {}
    plugins: dict[str, bytes] = {}
    remarks: list[str] = []
    at = 0
    cut = False
    for at, event in _records(data):
        if event is None:
            break
        try:
            cut |= not _event(event, curves, plugins)
        except _Damaged:
            remarks.append(f"damaged at byte {at}, so what follows was not read")
            break
    else:
        at = len(data)
    if at < len(data) and not remarks:
        rest = len(data) - at
        remarks.append(f"damaged or cut off at byte {at}, so {rest} bytes were not read")
    if cut:
        remarks.append(f"more than {MAX_TAGS} scalars; the others were not read")
    return Reading(
        metrics=tuple(
            metric(
                tag,
                curve.samples,
                MetricSource(importer="tensorboard", path=path, key=tag),
                precision=curve.precisions.pop() if len(curve.precisions) == 1 else "",
                always=True,
            )
            for tag, curve in curves.items()
        ),
        remarks=tuple(remarks),
    )


def _records(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Offset and content of each record; None where one is damaged or cut off, and then no more."""
    at = 0
    while at < len(data):
        header = data[at : at + 12]
        if len(header) < 12:
            yield at, None
            return
        length, check = struct.unpack("<QI", header)
        end = at + 16 + length
        if check != _masked(header[:8]) or end > len(data):
            yield at, None
            return
        if length <= MAX_SCALAR_EVENT:
            content = data[at + 12 : end - 4]
            if struct.unpack_from("<I", data, end - 4)[0] != _masked(content):
                yield at, None
                return
            yield at, content
        at = end


def _event(event: bytes, curves: dict[str, _Curve], plugins: dict[str, bytes]) -> bool:
    """Adds the scalars of an event; False where there is no room for them."""
    step = 0
    values = []
    for number, field in _fields(event):
        if number == 2 and isinstance(field, int):
            step = field - (1 << 64) if field >> 63 else field
        elif number == 5 and isinstance(field, bytes):
            values += [inner for n, inner in _fields(field) if n == 1 and isinstance(inner, bytes)]
    room = True
    for value in values:
        found = _scalar(value, plugins)
        if found is None:
            continue
        tag, number_, precision = found
        if tag not in curves:
            if len(curves) >= MAX_TAGS:
                room = False
                continue
            curves[tag] = _Curve([], set())
        curves[tag].samples.append((float(step), number_))
        curves[tag].precisions.add(precision)
    return room


def _scalar(value: bytes, plugins: dict[str, bytes]) -> tuple[str, float, str] | None:
    """Tag, number and precision of a `Summary.Value`; None where it is no scalar."""
    tag = b""
    simple: float | None = None
    tensor = None
    plugin = b""
    for number, field in _fields(value):
        if number == 1 and isinstance(field, bytes):
            tag = field
        elif number == 2 and isinstance(field, _Fixed32):
            simple = struct.unpack("<f", field)[0]
        elif number == 8 and isinstance(field, bytes):
            tensor = field
        elif number == 9 and isinstance(field, bytes):
            plugin = _plugin(field)
    if not tag or len(tag) > MAX_TAG:
        return None
    name = tag.decode("utf-8", "replace")
    if plugin and len(plugins) < MAX_TAGS:
        # Only the first value of a tag says which part of TensorBoard it is for.
        plugins.setdefault(name, plugin)
    if simple is not None:
        return name, simple, "float32"
    if tensor is None or plugins.get(name, b"scalars") != b"scalars":
        return None
    stored = _tensor(tensor)
    return None if stored is None else (name, *stored)


def _plugin(metadata: bytes) -> bytes:
    for number, field in _fields(metadata):
        if number == 1 and isinstance(field, bytes):
            for inner, name in _fields(field):
                if inner == 1 and isinstance(name, bytes):
                    return name
    return b""


_FORMATS: Final = {1: ("<f", "float32", 5), 2: ("<d", "", 6), 3: ("<i", "", 7), 9: ("<q", "", 10),
                   14: ("", "bfloat16", 13), 19: ("<e", "float16", 13)}  # fmt: skip
"""By DataType of tensorflow/core/framework/types.proto: the bytes, the precision, and the field of
TensorProto that holds the number where `tensor_content` does not."""


def _tensor(tensor: bytes) -> tuple[float, str] | None:
    """The only number of a tensor without dimensions, and its precision."""
    kind = 0
    fields: dict[int, int | bytes] = {}
    for number, field in _fields(tensor):
        if number == 2 and isinstance(field, bytes) and any(n == 2 for n, _ in _fields(field)):
            return None
        if number == 1 and isinstance(field, int):
            kind = field
        fields[number] = field
    if kind not in _FORMATS:
        return None
    form, precision, where = _FORMATS[kind]
    content = fields.get(4) or fields.get(where, b"")
    if isinstance(content, int):
        return _from_varint(kind, content, precision)
    if 4 not in fields and where in (7, 10, 13):
        # Packed varints: one is one number.
        number, end = _varint(content, 0) if content else (0, 0)
        return None if end != len(content) else _from_varint(kind, number, precision)
    if kind == 14:
        content, form = b"\0\0" + content, "<f"
    if not content:
        return 0.0, precision
    if len(content) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, content)[0]), precision


def _from_varint(kind: int, number: int, precision: str) -> tuple[float, str] | None:
    if kind in (14, 19):
        if number > 0xFFFF:
            return None
        raw = struct.pack("<H", number)
        form = "<e" if kind == 19 else "<f"
        return float(struct.unpack(form, raw if kind == 19 else b"\0\0" + raw)[0]), precision
    return float(number - (1 << 64) if number >> 63 else number), precision


class _Fixed32(bytes):
    """Four bytes whose type is in their key, as distinct from a string of four bytes."""


class _Fixed64(bytes):
    """Eight such bytes."""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and content of each field of a protocol buffer.

    Raises:
        _Damaged: It is none.
    """
    at, size = 0, len(message)
    while at < size:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            content, at = _varint(message, at)
            yield key >> 3, content
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _Damaged
        end = at + length
        if end > size:
            raise _Damaged
        piece = message[at:end]
        yield key >> 3, piece if kind == 2 else (_Fixed64 if kind == 1 else _Fixed32)(piece)
        at = end


def _varint(message: bytes, at: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise _Damaged
        byte = message[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, at
    raise _Damaged
