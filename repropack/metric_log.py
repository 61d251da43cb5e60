# SPDX-License-Identifier: Apache-2.0
"""`repropack.log_metric`: a number said by the training itself, in one call.

The recorder names a file in the variable REPROPACK_METRICS; each call appends a line to it. Nothing
but the standard library is imported, and nothing happens where no recorder is. The line is what
docs/concepts.md describes, so that a program can also write it without this package.
"""

from __future__ import annotations

import os
from binascii import crc32

__all__ = ["VARIABLE", "log_metric"]

VARIABLE = "REPROPACK_METRICS"
"""The environment variable that names the log; every process of a run inherits it."""

_JSON = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""What Python's `json` writes for the values that JSON has not."""

_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")

_MARK = 1_746_820_519
"""The position in our open file, far beyond its end, by which we know it again: what is appended by
`pwrite` does not move it (pwrite(2), BUGS). To ask for it costs a tenth of what `fstat` does: where
a time of a file was looked at, Linux has the next write note a finer one."""

_REMEMBERED = 1_000
"""Names whose spelling in JSON is remembered: a program that makes up ever new ones is no leak."""


class _Log:
    """The log as this process has it open; a child that was forked may use the same descriptor."""

    descriptor = -1
    path = ""
    pid = 0
    end = ""
    names: dict[str, str] = {}  # noqa: RUF012 - one log a process


def log_metric(name: str, value: object, step: float | None = None) -> None:
    """Records a metric of the run that is going on; does nothing where none is recorded.

    Never raises: what cannot be recorded must not end a training. The record then says so.

    Args:
        name: For example `val/loss`.
        value: A number, or what `float` makes one of: a scalar of numpy, a tensor of one element.
        step: Where in the training: a step or an epoch. Without it the values are counted.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        _write(path, _line(name, value, step))
    except Exception:  # noqa: BLE001 - the training goes on, whatever a disk or a value does
        return


def _line(name: str, value: object, step: float | None) -> bytes:
    pid = os.getpid()
    if pid != _Log.pid:
        rank = next((os.environ[v] for v in _RANKS if os.environ.get(v, "").isdigit()), "")
        _Log.end = (f',"rank":{int(rank)}' if rank else "") + f',"pid":{pid}}}'
        _Log.pid = pid
    start = _Log.names.get(name) or _start(name)
    said = f'"value":{_spelled(value)}' if type(value) is float else _said(value)
    at = "" if step is None else f',"step":{step}' if type(step) is int else _at(step)
    body = f"{start}{said}{at}{_Log.end}".encode("ascii")
    return b"%08x %s\n" % (crc32(body), body)


def _start(name: str) -> str:
    start = f'{{"name":{_quoted(str(name))},'
    if len(_Log.names) < _REMEMBERED:
        _Log.names[name] = start
    return start


def _quoted(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    # With what it imports it takes longer than a thousand metrics.
    from json.encoder import encode_basestring_ascii

    return encode_basestring_ascii(text)


def _said(value: object) -> str:
    try:
        number = float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - whatever a user's type raises
        return f'"refused":{_quoted(type(value).__name__)}'
    kind = str(getattr(value, "dtype", "")).rpartition(".")[2]
    stored = f',"dtype":"{kind}"' if kind in ("float32", "float16", "bfloat16") else ""
    return f'"value":{_spelled(number)}{stored}'


def _at(step: object) -> str:
    try:
        return f',"step":{_spelled(float(step))}'  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - whatever a user's type raises; the value is worth more
        return f',"refused_step":{_quoted(type(step).__name__)}'


def _spelled(number: float) -> str:
    text = repr(number)
    return _JSON.get(text, text)


def _write(path: str, line: bytes) -> None:
    """Appends a line by one `write`, which a killed process has done wholly or not at all."""
    if _Log.path != path or not _is_open():
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.lseek(descriptor, _MARK, os.SEEK_SET)
        except OSError:
            os.close(descriptor)
            raise
        _Log.descriptor, _Log.path = descriptor, path
    os.pwrite(_Log.descriptor, line, 0)


def _is_open() -> bool:
    """Whether the descriptor is still the log: programs close all that they did not open."""
    try:
        return os.lseek(_Log.descriptor, 0, os.SEEK_CUR) == _MARK
    except OSError:
        return False
