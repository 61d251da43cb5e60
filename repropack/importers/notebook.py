# SPDX-License-Identifier: Apache-2.0
"""Metrics in what the cells of an executed notebook printed.

`jupyter nbconvert --execute` and papermill print nothing of it on the console: what a cell prints
is in the notebook that they write (nbformat 4, "Code cell outputs"). It is read as a console is;
the last value of a name is the metric. Where a notebook is cut off or no notebook there is none.
"""

from __future__ import annotations

from msgspec.structs import replace

from repropack import canonical
from repropack.importers import CONSOLE, NotMetricsError, Reading, UnreadableMetricsError, importer

__all__ = ["handles", "read"]


def handles(path: str) -> bool:
    """Files that end in `.ipynb`."""
    return path.endswith(".ipynb")


def read(data: bytes, path: str) -> Reading:
    """What the outputs say, in the order of the cells.

    Raises:
        NotMetricsError: It has no cells.
        UnreadableMetricsError: It is not JSON.
    """
    try:
        notebook = canonical.decode_foreign(data)
    except canonical.NotCanonicalError as error:
        raise UnreadableMetricsError(f"not JSON: {error}") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise NotMetricsError("no cells")
    printed = [
        _text(output)
        for cell in cells
        if isinstance(cell, dict) and isinstance(cell.get("outputs"), list)
        for output in cell["outputs"]
        if isinstance(output, dict)
    ]
    text = "\n".join(filter(None, printed))
    found = importer(CONSOLE).read(text.encode("utf-8", "replace"), path)
    return Reading(
        # Lines of what was printed are no lines of the file.
        metrics=tuple(
            replace(m, source=replace(m.source, importer="notebook", line=None))
            for m in found.metrics
        ),
        remarks=found.remarks,
    )


def _text(output: dict[str, object]) -> str:
    """The text of an output: a stream's, or of a result what is shown where nothing else can be."""
    text = output.get("text")
    bundle = output.get("data")
    if text is None and isinstance(bundle, dict):
        text = bundle.get("text/plain")
    if isinstance(text, list):
        return "".join(part for part in text if isinstance(part, str))
    return text if isinstance(text, str) else ""
