# SPDX-License-Identifier: Apache-2.0
"""The vectors are what their generator makes, and the reader says of each what the index says."""

from __future__ import annotations

import io
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
import zstandard

from repropack.findings import Code
from tests.vectors import generate

PLACE: Final = Path(__file__).parent / "v1"
INDEX: Final[dict[str, Any]] = json.loads((PLACE / "index.json").read_text(encoding="utf-8"))
VECTORS: Final[list[dict[str, Any]]] = INDEX["vectors"]
SPECIFICATION: Final = (Path(__file__).parents[2] / "docs/spec/rpk-v1.md").read_text(
    encoding="utf-8"
)


def contents(data: bytes) -> bytes:
    """The content of all frames, as far as they decode."""
    out = io.BytesIO()
    try:
        with zstandard.ZstdDecompressor(max_window_size=2**23).stream_reader(
            io.BytesIO(data), read_across_frames=True
        ) as reader:
            while piece := reader.read(2**16):
                out.write(piece)
                if out.tell() > 2**25:
                    break
    except zstandard.ZstdError:
        pass
    return out.getvalue()


def test_the_files_are_those_that_the_generator_makes() -> None:
    made = generate.build()
    assert len(made) == len(generate.VECTORS), "two vectors have one name"
    written = {f"{p.parent.name}/{p.name}": p.read_bytes() for p in PLACE.glob("*/*.rpk")}
    assert sorted(written) == sorted(made)
    if INDEX["libzstd"] == ".".join(map(str, zstandard.ZSTD_VERSION)):
        differing = [name for name, data in made.items() if written[name] != data]
        assert differing == [], "run `make vectors`"
        assert generate.index(made) == INDEX, "run `make vectors`"
    else:
        for name, data in made.items():
            assert contents(written[name]) == contents(data), name


def test_the_index_describes_the_files() -> None:
    assert len(VECTORS) > 250
    for vector in VECTORS:
        data = (PLACE / vector["file"]).read_bytes()
        assert (vector["size"], vector["sha256"]) == (len(data), sha256(data).hexdigest())
    assert sum(vector["size"] for vector in VECTORS) < 3 * 2**20


def test_every_bad_vector_has_a_good_twin_and_names_its_code() -> None:
    files = {vector["file"] for vector in VECTORS}
    for vector in VECTORS:
        name = vector["file"]
        if vector["expect"] == "OK":
            assert name.startswith("good/"), name
        else:
            assert name.startswith(f"bad/{vector['expect']}-"), name
            assert vector["twin"] in files, name
            assert vector["twin"].startswith("good/"), name
        assert vector["rules"] or name == "good/minimal.rpk", name


def test_requirements_and_codes_are_those_of_the_specification() -> None:
    numbers = set(re.findall(r"^- \*\*(\d+\.\d+)\*\* ", SPECIFICATION, re.MULTILINE))
    answers = {
        code: set(cell.split(", "))
        for code, cell in re.findall(
            r"^\| (RPK\d{3}) \| .+? \| (.+?) \|$", SPECIFICATION, re.MULTILINE
        )
    }
    for vector in VECTORS:
        assert set(vector["rules"]) <= numbers, vector["file"]
        if vector["expect"] != "OK":
            # At least one of the rules is answered by this code, by the appendix.
            assert set(vector["rules"]) & answers[vector["expect"]], vector["file"]


def test_every_code_about_bytes_has_a_vector() -> None:
    covered = {vector["expect"] for vector in VECTORS} - {"OK"}
    several_files = {Code.VOLUMES, Code.UNLISTED, Code.NOT_AS_LISTED}
    # Names that a reader gave and thresholds that she set are no part of a file: tests/signing.
    of_the_reader = {Code.SIGNER_CHANGED, Code.TOO_FEW_SIGNERS}
    # A receipt is a file beside a bundle: tests/verify/test_receipts.py.
    of_receipts = {Code.RECEIPT, Code.RECEIPT_SUBJECT, Code.RECEIPT_CLAIMS}
    # So is a statement about a key: tests/signing/test_key_statements.py.
    of_keys = {Code.KEY_REVOKED, Code.KEY_STATEMENT, Code.KEY_CONFLICT}
    # And a time stamp: tests/signing/test_timestamps.py.
    of_time = {Code.TIMESTAMP}
    elsewhere = several_files | of_the_reader | of_receipts | of_keys | of_time
    wanted = {code.code for code in set(Code) - elsewhere if code.code < "RPK600"}
    assert wanted - covered == set()


@pytest.mark.parametrize("row", [*range(1, 34), 39, 40])
def test_rows_of_the_hostile_corpus_are_covered(row: int) -> None:
    assert [vector["file"] for vector in VECTORS if row in vector["rows"]]
