# SPDX-License-Identifier: Apache-2.0
"""What the code that ran says of files: names in its string literals, and readers that it uses.

`lightgbm.Dataset("/data/train.csv")` leaves no trace in Python but this line. Text is searched, not
parsed: the observed interpreter may have another grammar than ours. A literal that names nothing
on the disk costs a look-up and does no harm. The code of a notebook is in its cells.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from repropack import canonical

__all__ = ["CodeNames", "named_places", "read_code", "readers_below"]

FILES: Final = 300
FILE_LIMIT: Final = 512 * 1024
TOTAL_LIMIT: Final = 4 * 1024 * 1024
"""Files of code, bytes of each and of all: some ten milliseconds. Larger ones are generated."""

NOTEBOOK_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of a notebook, which holds its outputs too: pictures, above all."""

LITERALS: Final = 4_000
"""String literals that are looked up."""

GLOBBED: Final = 10_000
"""Files that one pattern may stand for."""

_LITERAL: Final = re.compile(
    r"""(?<![\w'"])[rRbBuUfF]{0,2}(?:'([^'\n\\]{1,1000})'|"([^"\n\\]{1,1000})")"""
)
_IMPORT: Final = re.compile(r"^[ \t]*(?:import|from)[ \t]+([^#\n]+)", re.MULTILINE)
_MODULE: Final = re.compile(r"[A-Za-z_]\w*")
_INNER: Final = re.compile(r"[^\s\"'`,;=\[\]{}()<>|]+")
"""Parts of a literal such as `SELECT * FROM '/data/x.parquet'` or `{root}/train.csv`."""

READERS: Final = frozenset(
    {
        "av", "catboost", "cffi", "ctypes", "ctranslate2", "cv2", "datasets", "decord", "duckdb",
        "faiss", "fasttext", "fiona", "h5py", "imagecodecs", "lance", "lightgbm", "lmdb",
        "netCDF4", "onnxruntime", "open3d", "polars", "pyarrow", "pyogrio", "pyreadr",
        "pyreadstat", "pysam", "rasterio", "safetensors", "sentencepiece", "SimpleITK",
        "soundfile", "tables", "tensorflow", "tokenizers", "torchaudio", "torchcodec",
        "torchvision", "transformers", "xarray", "xgboost",
    }
)  # fmt: skip
"""Libraries that open files in C, C++ or Rust; where pandas does, pyarrow or HDF5 does it."""

_BY_PANDAS: Final = re.compile(r"\bread_(?:parquet|feather|orc|hdf|spss)\b")

_READING: Final = re.compile(
    r"\b(?:imread|VideoCapture|VideoReader|read_parquet|read_feather|read_orc|scan_parquet"
    r"|scan_csv|read_table|ParquetFile|ParquetDataset|safe_open|read_image|read_video|read_hdf)\s*\("
)
"""Calls that can hardly mean anything but that a file is read natively."""


class CodeNames(Struct, frozen=True, kw_only=True):
    """What code says.

    Attributes:
        literals: Its string literals, each once, in order.
        readers: Which of `READERS` it imports or has pandas use.
        reads: Whether it calls a function that reads a file natively.
    """

    literals: tuple[str, ...] = ()
    readers: frozenset[str] = frozenset()
    reads: bool = False


def read_code(paths: Iterable[str]) -> CodeNames:
    """Searches Python files and notebooks, within limits; what cannot be read is passed over."""
    literals: dict[str, None] = {}
    readers: set[str] = set()
    reads = False
    left = TOTAL_LIMIT
    for path in itertools.islice(paths, FILES):
        try:
            text = _code_of(path)
        except (OSError, canonical.NotCanonicalError):
            # It was removed or replaced by a directory meanwhile, or is no notebook.
            continue
        left -= len(text)
        if left < 0:
            break
        for match in _IMPORT.finditer(text):
            readers.update(READERS.intersection(_MODULE.findall(match[1])))
        if _BY_PANDAS.search(text):
            readers.add("pandas")
        reads = reads or _READING.search(text) is not None
        for match in _LITERAL.finditer(text):
            literals[match[1] or match[2]] = None
    return CodeNames(
        literals=tuple(itertools.islice(literals, LITERALS)),
        readers=frozenset(readers),
        reads=reads,
    )


def _code_of(path: str) -> str:
    if not path.endswith(".ipynb"):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(FILE_LIMIT)
    with open(path, "rb") as file:
        notebook = canonical.decode_foreign(file.read(NOTEBOOK_LIMIT))
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    sources = [
        cell.get("source")
        for cell in (cells if isinstance(cells, list) else ())
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]
    # nbformat 4: a text, or its lines, each with its end.
    texts = ("".join(map(str, one)) if isinstance(one, list) else str(one) for one in sources)
    return "\n".join(texts)[:FILE_LIMIT]


def readers_below(names: CodeNames) -> str:
    """The readers in words."""
    return ", ".join(sorted(names.readers))


def named_places(
    names: CodeNames,
    bases: Iterable[str],
    roots: Iterable[str],
    variables: Mapping[str, str],
) -> Iterator[str]:
    """Absolute paths that literals name and at which there is something.

    Args:
        names: What the code says.
        bases: Directories that relative names may start from.
        roots: Directories that are known as data, to which names may be added:
            `os.path.join(root, "train.parquet")`.
        variables: Environment variables; the value of one that a literal names is named as well.
    """
    bases, told = tuple(dict.fromkeys(bases)), set()
    directories = dict.fromkeys(roots)
    parts: dict[str, None] = {}
    for literal in names.literals:
        for text in dict.fromkeys((literal, *_INNER.findall(literal), variables.get(literal, ""))):
            name = _without_address(text)
            if not _is_name(name):
                continue
            parts[name.strip("/")] = None
            for base in bases:
                for place in _expanded(os.path.join(base, os.path.expanduser(name))):
                    if place not in told:
                        told.add(place)
                        if os.path.isdir(place):
                            directories[place] = None
                        yield place
    for directory in itertools.islice(directories, 20):
        for part in itertools.islice(parts, 1000):
            if "." not in part or part.startswith("."):
                continue
            for place in _expanded(os.path.join(directory, part)):
                if place not in told and os.path.isfile(place):
                    told.add(place)
                    yield place


def _without_address(text: str) -> str:
    """A path as readers write it: `file:///data/x`, `train.libsvm?format=libsvm#cache`."""
    text = text.removeprefix("file://")
    return "" if "://" in text else re.split(r"[?#]", text, maxsplit=1)[0]


def _is_name(text: str) -> bool:
    """Whether it may be the name of something, and not of all there is."""
    return 1 < len(text) < 4096 and "\0" not in text and text.strip("./~*") != ""


def _expanded(path: str) -> Iterator[str]:
    place = os.path.normpath(path)
    if os.path.lexists(place):
        yield place
    elif "*" in place and "**" not in place:
        # Sorted: which files count must not depend on the order of a listing.
        yield from sorted(itertools.islice(glob.iglob(place), GLOBBED))
