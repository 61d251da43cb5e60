# SPDX-License-Identifier: Apache-2.0
"""RFC 8785 writing, strict reading."""

from __future__ import annotations

import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.canonical import (
    MAX_COMMAS,
    MAX_DEPTH,
    NotCanonicalError,
    _is_plain,
    decode,
    decode_canonical,
    encode,
    peek,
)
from repropack.model import (
    Absolute,
    Claim,
    ClaimMode,
    ClaimSet,
    Invocation,
    Manifest,
    Member,
    MetricSource,
    Relative,
    Role,
    RunRecord,
    Series,
    Tolerance,
)

# RFC 8785, appendix B: IEEE 754 bits and their one spelling.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "text"), NUMBERS)
def test_numbers_of_rfc_8785(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert encode(value) == text.encode()


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
def test_numbers_that_json_does_not_have(bits: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    with pytest.raises(NotCanonicalError):
        encode(value)


def test_key_order_and_strings_of_rfc_8785() -> None:
    # Sections 3.2.2 and 3.2.3.
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert (
        encode(value)
        == (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )
    keys = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert list(decode(encode(keys), dict)) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    # Beyond 2**53 a float is spelled like an integer, and only a type tells the two apart.
    | st.floats(-(2**53), 2**53)
    | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(TREES)
def test_what_is_written_reads_back_equal(tree: object) -> None:
    assert decode(encode(tree), object) == tree


MEMBERS = st.builds(
    Member,
    path=TEXT,
    size=st.integers(0, 2**53 - 1),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    executable=st.booleans(),
    role=st.sampled_from(Role),
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
CLAIMS = st.builds(
    Claim,
    metric=TEXT,
    source=st.builds(MetricSource, importer=TEXT, path=TEXT, key=TEXT),
    # Negative zero has no canonical spelling of its own.
    expected=FLOATS.map(lambda x: x + 0.0),
    mode=st.sampled_from(ClaimMode),
    tolerance=st.none()
    | st.builds(Absolute, within=st.floats(0, 1e300))
    | st.builds(Relative, within=st.floats(0, 1)),
)


@given(st.lists(MEMBERS, max_size=5).map(tuple))
def test_manifests_read_back_equal(members: tuple[Member, ...]) -> None:
    manifest = Manifest(format="rpk", version=1, members=members)
    assert decode_canonical(encode(manifest), Manifest) == manifest


@given(st.lists(CLAIMS, max_size=5).map(tuple))
def test_claims_read_back_equal(claims: tuple[Claim, ...]) -> None:
    record = ClaimSet(version=1, run="abcdefghijkl", claims=claims)
    assert decode_canonical(encode(record), ClaimSet) == record
    assert decode(encode(record), ClaimSet) == record


GOOD = b'{"format":"rpk","members":[],"version":1}'


@pytest.mark.parametrize(
    "spelling",
    [
        GOOD + b"\n",
        b" " + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"1", b"1.0"),
        GOOD.replace(b"1", b"1e0"),
        GOOD.replace(b"rpk", b"\\u0072pk"),
        GOOD.replace(b'"version":1', b'"version":2,"version":1'),
        GOOD.replace(b'"version":1', b'"version":1,"\\u0076ersion":1'),
        b'{"version":1,"members":[],"format":"rpk"}',
        GOOD[:-1],
        GOOD + GOOD,
        GOOD.replace(b"rpk", b"\xff"),
        GOOD.replace(b"rpk", b"\\ud800"),
        GOOD.replace(b"}", b',"new":1}'),
        b"",
        b"null",
    ],
)
def test_one_spelling_only(spelling: bytes) -> None:
    assert decode_canonical(GOOD, Manifest).members == ()
    with pytest.raises(NotCanonicalError):
        decode_canonical(spelling, Manifest)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b"NaN",
        b"Infinity",
        b"1e999",
        b"1" * 10_000,
        b'"\xed\xa0\x80"',
        b"[1,]",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[] []",
        b"\xef\xbb\xbf[]",
    ],
)
def test_strict_reading(text: bytes) -> None:
    with pytest.raises(NotCanonicalError):
        decode(text, object)


def test_depth_counts_brackets_outside_strings_only() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert decode(deepest, object)
    for text in (b"[" + deepest + b"]", b'["\\"",' + deepest + b"]", b'["\\\\",' + deepest + b"]"):
        with pytest.raises(NotCanonicalError, match="nested"):
            decode(text, object)
        with pytest.raises(NotCanonicalError, match="nested"):
            decode_canonical(text, list)
    many = b'["' + b"[" * 1000 + b'\\"' + b"{" * 1000 + b'\\\\","[","{{"]'
    assert decode(many, list)[1:] == ["[", "{{"]


@given(TREES, st.integers(1, MAX_DEPTH - 30))
def test_no_document_of_allowed_depth_is_called_deep(tree: object, depth: int) -> None:
    for _ in range(depth):
        tree = [tree]
    assert decode(encode(tree), object) == tree


def test_size_limit() -> None:
    with pytest.raises(NotCanonicalError, match="more than 10"):
        decode(b"[" + b" " * 10 + b"]", list, limit=10)
    with pytest.raises(NotCanonicalError, match="more than 10"):
        decode_canonical(GOOD, Manifest, limit=10)


def test_peek_reads_the_version_of_an_unknown_document() -> None:
    class Versioned(msgspec.Struct):
        version: int

    assert peek(b'{"later":[1],"version":7}', Versioned).version == 7
    with pytest.raises(NotCanonicalError):
        peek(b'{"version":"7"}', Versioned)


def test_large_integers_are_refused() -> None:
    assert encode(2**53 - 1) == b"9007199254740991"
    with pytest.raises(NotCanonicalError):
        encode(2**53)
    assert math.isfinite(decode(b"1e308", float))


def test_a_large_manifest_is_compared_by_the_fast_writer() -> None:
    assert _is_plain(Manifest)
    assert _is_plain(RunRecord)


@pytest.mark.parametrize("kind", [Claim, Absolute, dict, Series, Tolerance])
def test_types_whose_spelling_could_differ_are_not(kind: type) -> None:
    assert not _is_plain(kind)


PATHS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MEMBERS = st.builds(
    Member,
    path=PATHS,
    size=st.integers(0, 2**53 - 1),
    sha256=st.just("0" * 64),
    executable=st.booleans(),
    role=st.sampled_from(Role),
)


@given(st.builds(Manifest, format=PATHS, version=st.integers(1, 9), members=st.tuples(MEMBERS)))
def test_both_writers_agree(manifest: Manifest) -> None:
    data = encode(manifest)
    assert encode(msgspec.to_builtins(manifest)) == data
    assert decode_canonical(data, Manifest) == manifest


@given(st.dictionaries(PATHS, PATHS, max_size=4))
def test_keys_are_in_one_order_whoever_writes_a_large_document(variables: dict[str, str]) -> None:
    large = Invocation(argv=("x" * 2**15,), directory="{project}", variables=variables)
    data = encode(large)
    assert encode(msgspec.to_builtins(large)) == data
    assert decode_canonical(data, Invocation) == large


def test_keys_beyond_the_basic_plane_are_sorted_by_units_of_utf_16() -> None:
    variables = {"\uffff": "", "\U0001f600": ""}
    large = Invocation(argv=("x" * 2**15,), directory="{project}", variables=variables)
    assert encode(large).endswith('"variables":{"\U0001f600":"","\uffff":""}}'.encode())


@pytest.mark.parametrize(("path", "size"), [("a", 2**53), ("\ud800", 1)])
def test_a_struct_that_has_no_canonical_form_is_refused(path: str, size: int) -> None:
    lying = Member(path=path, size=size, sha256="0" * 64, executable=False, role=Role.DATA)
    with pytest.raises(NotCanonicalError):
        encode(Manifest(format="rpk", version=1, members=(lying,)))


def test_commas_and_brackets_are_bounded_before_anything_is_built() -> None:
    for character, most in ((b",", MAX_COMMAS), (b"[", 2 * MAX_COMMAS)):
        text = b'"' + character * most + b'"'
        assert decode(text, str) == text[1:-1].decode()
        with pytest.raises(NotCanonicalError, match="more than"):
            decode(text.replace(character, 2 * character, 1), str)


@pytest.mark.parametrize("text", [b"1" * 401, b"0." + b"1" * 399, b"-1e" + b"0" * 398])
def test_a_number_has_400_characters_at_most(text: bytes) -> None:
    with pytest.raises(NotCanonicalError, match=r"more than 400|out of range"):
        decode(text, float)


def test_depth_is_exact_beside_empty_values_and_brackets_in_strings() -> None:
    inner = b'[],[],{},{},"[[[{","]",""'
    for depth, good in ((64, True), (65, False)):
        text = b"[" * (depth - 1) + inner + b"]" * (depth - 1)
        if good:
            decode(text, list)
        else:
            with pytest.raises(NotCanonicalError, match="64 deep"):
                decode(text, list)
