# SPDX-License-Identifier: Apache-2.0
"""The one door for JSON that was not written by this process, and the one way to write it.

Writing follows RFC 8785 (JSON Canonicalization Scheme): one value, one sequence of bytes.
Reading is strict: bounded size and depth, no duplicate keys, no numbers that are not finite,
no lone surrogates, nothing after the value (security rules of docs/spec/rpk-v1.md, section 2).
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final, TypeVar

import msgspec

__all__ = [
    "MAX_COMMAS",
    "MAX_DEPTH",
    "MAX_DOCUMENT",
    "MAX_NUMBER",
    "NotCanonicalError",
    "Number",
    "decode",
    "decode_canonical",
    "decode_foreign",
    "decode_own",
    "encode",
    "peek",
]

MAX_DOCUMENT: Final = 256 * 1024 * 1024
"""Bytes of one JSON document: a manifest of a million members has about 180 MiB."""

MAX_DEPTH: Final = 64
"""Nesting of one JSON document: our records nest 8 deep; recursion in any reader stays safe."""

MAX_COMMAS: Final = 2**24
"""Commas of one JSON document, and half of its brackets, which bound its values: a parser makes
sixty bytes out of `{},`. A million files with what is recorded of each have 8 million."""

MAX_NUMBER: Final = 400
"""Characters of a number: a double needs at most 25, and written without exponent at most 327."""

_SMALL: Final = 32 * 1024
"""Bytes of a document that is written or compared sooner than its type is looked at."""

_MAX_SAFE_INTEGER: Final = 2**53 - 1
_CONSTANTS: Final = {True: "true", False: "false", None: "null"}

_ASTRAL: Final = re.compile(rb"[\xf0-\xff]")

T = TypeVar("T")


class Number(msgspec.Struct, frozen=True):
    """A number as another program spelled it. `value` may be infinite or NaN."""

    value: float
    text: str


class NotCanonicalError(ValueError):
    """The bytes are not the JSON document that they should be. The text says why, in one line."""


def encode(value: object) -> bytes:
    """Writes a value as RFC 8785 bytes.

    Args:
        value: Anything `msgspec.to_builtins` understands: structs, dicts with string keys,
            tuples, strings, finite numbers, booleans, None.

    Raises:
        NotCanonicalError: A number is not finite, an integer is beyond 2**53 - 1, or a string
            holds a lone surrogate: RFC 8785 section 3.1 has no form for them.
    """
    if isinstance(value, msgspec.Struct):
        # A manifest of many members. What does not have its type takes the other way.
        with contextlib.suppress(ValueError):
            data = msgspec.json.encode(value, order="sorted")
            if len(data) > _SMALL and _is_plain(type(value)) and _in_basic_plane(data):
                msgspec.json.decode(data, type=type(value))
                return data
    pieces: list[str] = []
    try:
        _write(msgspec.to_builtins(value, order="sorted"), pieces)
        return "".join(pieces).encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotCanonicalError("a string holds a lone surrogate") from error


def decode(data: bytes, kind: type[T], *, limit: int = MAX_DOCUMENT) -> T:
    """Reads a JSON document of a known type, in any spacing and key order.

    Args:
        data: The document.
        kind: The type it must have (a struct of `repropack.model`, or a builtin).
        limit: The most bytes that are accepted.

    Raises:
        NotCanonicalError: It is too large or too deep, is not strict JSON, repeats a key, or does
            not have the type; the message holds the JSON path.
    """
    # What has another type is refused before a parser makes objects of all that is in it.
    _decode_typed(data, kind, limit)
    tree = _parse(data, number=_finite, constant=_refuse_constant, integer=_bounded_integer)
    try:
        return msgspec.convert(tree, kind, strict=True)
    except ValueError as error:
        raise NotCanonicalError(str(error)) from error


def decode_canonical(data: bytes, kind: type[T], *, limit: int = MAX_DOCUMENT) -> T:
    """Reads a document that must be in canonical form: `encode(decode(x)) == x`.

    Raises:
        NotCanonicalError: As for `decode`, or the bytes are another spelling of their value.
    """
    # Writing the value again and comparing also finds repeated keys and odd numbers, so that the
    # fast typed decoder suffices here; it builds nothing that the type does not have.
    value = _decode_typed(data, kind, limit)
    plain = (
        len(data) > _SMALL
        and _is_plain(kind)  # type: ignore[arg-type]  # a type[T] is no Hashable
        and _in_basic_plane(data)
    )
    again = msgspec.json.encode(value, order="sorted") if plain else encode(value)
    if again != data:
        at = next(
            (i for i, (a, b) in enumerate(zip(again, data, strict=False)) if a != b),
            min(len(again), len(data)),
        )
        raise NotCanonicalError(f"not in canonical form at byte {at}")
    return value


def decode_own(data: bytes, kind: type[T]) -> T:
    """Reads a document that this program has written where only its user writes.

    Five times as fast as `decode`: no size is too large, and repeated keys are not noticed.

    Raises:
        NotCanonicalError: It is not JSON, or does not have the type; the message holds the path.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        # msgspec.DecodeError and UnicodeDecodeError are both ValueErrors.
        raise NotCanonicalError(str(error)) from error


def decode_foreign(data: bytes, *, limit: int = MAX_DOCUMENT) -> object:
    """Reads JSON of other programs, as Python's `json` writes it: NaN and Infinity are numbers.

    Args:
        data: The document.
        limit: The most bytes that are accepted.

    Returns:
        Dicts, lists, strings, booleans, None, and a `Number` for each number.

    Raises:
        NotCanonicalError: It is too large or too deep, is not JSON, or repeats a key.
    """
    _check_structure(data, limit)
    return _parse(data, number=_foreign_number, constant=_foreign_number)


def peek(data: bytes, kind: type[T], *, limit: int = MAX_DOCUMENT) -> T:
    """Reads a few fields of a document whose other fields are not known, such as its version.

    Only for saying what a refused document is: repeated keys are not noticed.

    Args:
        data: The document.
        kind: A struct that allows unknown fields.
        limit: The most bytes that are accepted.

    Raises:
        NotCanonicalError: As for `decode`.
    """
    return _decode_typed(data, kind, limit)


def _parse(
    data: bytes,
    *,
    number: Callable[[str], object],
    constant: Callable[[str], object],
    integer: Callable[[str], object] | None = None,
) -> object:
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=constant,
            parse_float=number,
            parse_int=integer or number,
        )
    except UnicodeDecodeError as error:
        raise NotCanonicalError(f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise NotCanonicalError(str(error)) from error


def _decode_typed(data: bytes, kind: type[T], limit: int) -> T:
    _check_structure(data, limit)
    return decode_own(data, kind)


@functools.cache
def _is_plain(kind: type) -> bool:
    """Whether msgspec's own JSON of decoded values is canonical: a large manifest is read so.

    msgspec and RFC 8785 agree about strings, booleans, null and integers up to 2**53 - 1, and in a
    document of the basic plane about the order of keys. They differ about other numbers.
    """
    from msgspec import inspect

    def plain(kind: inspect.Type) -> bool:
        match kind:
            case inspect.StrType() | inspect.BoolType() | inspect.NoneType():
                return True
            case inspect.EnumType(cls=cls):
                return issubclass(cls, str)
            case inspect.IntType(ge=low, le=high):
                return low is not None and high is not None and -low <= high <= _MAX_SAFE_INTEGER
            case inspect.VarTupleType(item_type=item) | inspect.Metadata(type=item):
                return plain(item)
            case inspect.UnionType(types=types):
                return all(plain(one) for one in types)
            case inspect.DictType(key_type=inspect.StrType(), value_type=value):
                return plain(value)
            case inspect.StructType(tag=None, fields=fields):
                return all(field.encode_name.isascii() and plain(field.type) for field in fields)
        return False

    return plain(inspect.type_info(kind))


def _in_basic_plane(data: bytes) -> bool:
    """Whether a document in UTF-8 has no character of four bytes, of which UTF-16 makes two."""
    return data.isascii() or _ASTRAL.search(data) is None


def _write(value: Any, out: list[str]) -> None:
    # `to_builtins` gives exact builtin types, so that one comparison finds the branch.
    kind = type(value)
    if kind is str:
        out.append(encode_basestring(value))
    elif kind is dict:
        for text, key in _ordered(tuple(value)):
            out.append(text)
            item = value[key]
            if type(item) is str:
                out.append(encode_basestring(item))
            else:
                _write(item, out)
        out.append("}" if value else "{}")
    elif kind is list or kind is tuple:
        separator = "["
        for item in value:
            out.append(separator)
            _write(item, out)
            separator = ","
        out.append("]" if value else "[]")
    elif kind is int:
        if abs(value) > _MAX_SAFE_INTEGER:
            raise NotCanonicalError(f"the integer {value} is beyond 2**53 - 1")
        out.append(str(value))
    elif kind is float:
        out.append(_number(value))
    else:
        out.append(_CONSTANTS[value])


@functools.lru_cache(maxsize=1024)  # the structs of a record have the same few keys
def _ordered(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The keys of an object in canonical order, each after all that is written before its value."""
    ordered = sorted(keys) if all(map(str.isascii, keys)) else sorted(keys, key=_utf16)
    return tuple(
        (f"{',' if number else '{'}{encode_basestring(key)}:", key)
        for number, key in enumerate(ordered)
    )


def _utf16(key: str) -> bytes:
    # RFC 8785 section 3.2.3 sorts by UTF-16 code units, which differs from code points
    # above the basic plane.
    return key.encode("utf-16-be", "surrogatepass")


def _number(value: float) -> str:
    """ECMAScript's Number.prototype.toString, from Python's repr: both are shortest round-trip."""
    if not math.isfinite(value):
        raise NotCanonicalError(f"the number {value} is not finite")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    # The value is 0.digits * 10**point.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        body = digits + "0" * (point - count)
    elif 0 < point <= 21:
        body = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        body = "0." + "0" * -point + digits
    else:
        power = point - 1
        body = digits[0] + ("." + digits[1:] if count > 1 else "")
        body += f"e{'+' if power >= 0 else '-'}{abs(power)}"
    return sign + body


def _check_structure(data: bytes, limit: int) -> None:
    """Refuses size, deep nesting and too many values before any parser recurses or builds."""
    if len(data) > limit:
        raise NotCanonicalError(f"the document has {len(data)} bytes, more than {limit}")
    commas = data.count(b",")
    brackets = sum(data.count(bracket) for bracket in (b"[", b"]", b"{", b"}"))
    if commas > MAX_COMMAS or brackets > 2 * MAX_COMMAS:
        raise NotCanonicalError(
            f"{commas} commas and {brackets} brackets, more than {MAX_COMMAS} and {2 * MAX_COMMAS}"
        )
    # What is left of a document is its brackets and the quotes of the strings around them: first
    # escapes go, then all other bytes, then pairs of quotes, which changes nobody's parity.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURE)
    bare = bare.replace(b'""', b"")
    # Of empty values side by side, which cost a writer nothing, one is as deep as all of them.
    for pair in (b"[]", b"{}"):
        while len(fewer := bare.replace(2 * pair, pair)) < len(bare):
            bare = fewer
    depth = 0
    in_string = False
    for byte in bare:
        if byte == 0x22:
            in_string = not in_string
        elif not in_string:
            depth += 1 if byte in b"[{" else -1
            if depth > MAX_DEPTH:
                raise NotCanonicalError(f"nested more than {MAX_DEPTH} deep")


_NOT_STRUCTURE: Final = bytes(b for b in range(256) if b not in b'[]{}"')


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} stands twice")
            seen.add(key)
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _foreign_number(text: str) -> Number:
    return Number(float(text), text)


def _finite(text: str) -> float:
    if len(text) > MAX_NUMBER:
        raise ValueError(f"a number of {len(text)} characters, more than {MAX_NUMBER}")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is not finite")
    return number


def _bounded_integer(text: str) -> int:
    if len(text) > MAX_NUMBER:
        raise ValueError(f"a number of {len(text)} characters, more than {MAX_NUMBER}")
    return int(text)
