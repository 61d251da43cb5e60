# SPDX-License-Identifier: Apache-2.0
"""The specification and the code speak of the same codes, requirements and limits."""

from __future__ import annotations

import re
from pathlib import Path

from repropack import canonical, paths
from repropack.bundle import frames, limits
from repropack.findings import Code

TEXT = (Path(__file__).parent.parent / "docs/spec/rpk-v1.md").read_text(encoding="utf-8")
REQUIREMENT = re.compile(r"^- \*\*(\d+\.\d+)\*\* ", re.MULTILINE)
ROW = re.compile(r"^\| (RPK\d{3}) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def test_the_table_of_codes_is_that_of_the_code() -> None:
    assert [(code, title) for code, title, _ in ROW.findall(TEXT)] == [
        (code.code, code.title) for code in Code
    ]


def test_codes_name_requirements_that_exist() -> None:
    numbers = REQUIREMENT.findall(TEXT)
    assert len(numbers) > 50
    assert len(set(numbers)) == len(numbers)
    answered = {n for _, _, cell in ROW.findall(TEXT) for n in cell.split(", ")}
    assert answered <= set(numbers)


def test_every_rule_about_bytes_has_a_code() -> None:
    """Rules of sections 2 to 8 that a file can break, not rules for what a program does."""
    about_programs = {"3.10", "5.6", "8.9"}
    answered = {n for _, _, cell in ROW.findall(TEXT) for n in cell.split(", ")}
    about_bytes = {n for n in REQUIREMENT.findall(TEXT) if 2 <= int(n.split(".")[0]) <= 8}
    assert about_bytes - answered == about_programs


def test_requirements_are_numbered_in_order() -> None:
    last = (0, 0)
    for number in REQUIREMENT.findall(TEXT):
        section, item = (int(part) for part in number.split("."))
        assert (section, item) in {(last[0], last[1] + 1), (section, 1)}
        assert section >= last[0]
        last = (section, item)


def test_limits_are_those_of_the_code() -> None:
    table = TEXT[TEXT.index("## 10. Limits") : TEXT.index("- **10.1**")]
    cells: list[list[str]] = [
        [cell.strip() for cell in row.split("|")[1:3]] for row in table.splitlines() if "|" in row
    ]
    stated = dict(cells)
    assert stated["content of a frame"] == f"{limits.FRAME_CONTENT // 2**20} MiB"
    more = limits.MAX_FRAME_STORED - limits.FRAME_CONTENT
    assert stated["stored frame"] == f"4 MiB + {more // 2**10} KiB"
    assert stated["block"] == f"{frames.MAX_BLOCK // 2**10} KiB"
    assert stated["frames"] == f"{limits.MAX_FRAMES:,}"
    assert stated["tar stream before the manifest"] == f"{limits.MAX_CONTENT // 2**40} TiB"
    assert stated["members"] == f"{limits.MAX_MEMBERS:,}"
    assert stated["`manifest.json`, any other record"] == f"{limits.MAX_MANIFEST // 2**20} MiB"
    assert stated["`attestation.dsse.json`"] == f"{limits.MAX_ATTESTATION // 2**20} MiB"
    assert stated["nesting of JSON"] == str(canonical.MAX_DEPTH)
    assert stated["commas, brackets of JSON"] == (
        f"{canonical.MAX_COMMAS:,}, {2 * canonical.MAX_COMMAS:,}"
    )
    assert stated["characters of a number"] == str(canonical.MAX_NUMBER)
    assert stated["path, component, components"] == (
        f"{paths.MAX_PATH:,}, {paths.MAX_COMPONENT}, {paths.MAX_COMPONENTS}"
    )
