# SPDX-License-Identifier: Apache-2.0
"""Generates the JSON Schemas of every record from the types in `repropack.model`, and those of what
commands print with `--json` from the types in `repropack.cli`.

`python -m repropack.schema DIR` writes them; a test proves that `schemas/` is in step. The types
are the source, so that code and schema cannot disagree (docs/adr/0003-schemas-from-types.md).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from repropack import durable, model
from repropack.cli.documents import TABLE, document_type

__all__ = ["OUTPUTS", "SCHEMAS", "schema", "write_schemas"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

SCHEMAS: Final[dict[str, type[msgspec.Struct]]] = {
    "authorship": model.Authorship,
    "claims": model.ClaimSet,
    "data-manifest": model.DataManifest,
    "environment": model.Environment,
    "key-revocation": model.KeyRevocationStatement,
    "key-rotation": model.KeyRotationStatement,
    "manifest": model.Manifest,
    "metrics": model.MetricSet,
    "receipt": model.Receipt,
    "report": model.Report,
    "reveal-author": model.AuthorReveal,
    "reveal-commit": model.CommitReveal,
    "run": model.PackedRun,
    "statement": model.Statement,
}
"""File name to the record it describes."""

OUTPUTS: Final = {f"output-{command}": command for command in TABLE}
"""File name to the command whose `--json` it describes."""


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record or of a command's output.

    Raises:
        KeyError: There is no such name in `SCHEMAS` or `OUTPUTS`.
    """
    kind = document_type(OUTPUTS[name]) if name in OUTPUTS else SCHEMAS[name]
    (top,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    document: dict[str, Any] = {
        "$schema": DIALECT,
        "$id": f"urn:repropack:schema:v1:{name}",
        "title": name,
        **top,
        "$defs": definitions,
    }
    return document


def write_schemas(directory: Path) -> None:
    """Writes every schema.

    Raises:
        OSError: The directory cannot be written.
    """
    for name in (*SCHEMAS, *OUTPUTS):
        text = json.dumps(schema(name), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        durable.write_file(directory / f"{name}.json", text.encode("utf-8"))


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
