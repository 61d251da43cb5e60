# SPDX-License-Identifier: Apache-2.0
"""`repropack doctor`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from repropack import canonical
from repropack.cli.places import load_key
from repropack.cli.screen import bold, dim, say
from repropack.doctor import Check, Place, State, diagnose
from repropack.environment.cache import cache_directory
from repropack.escaping import show
from repropack.model.fields import Record

__all__ = ["Document", "command"]

_MARKS = {State.GOOD: "ok", State.MISSING: "MISSING", State.OPTIONAL: "-"}


class Document(Record, frozen=True, kw_only=True):
    """What `--json` prints.

    Attributes:
        complete: Whether all that is needed is there.
    """

    complete: bool
    checks: tuple[Check, ...]


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def command(as_json: bool) -> int:
    """Say what is missing on this machine, what it is for, and how to get it.

    Nothing is changed and nothing is downloaded. The exit status is 0 where all that is needed is
    there, else 1.
    """
    places = (
        Place(
            directory=Path(tempfile.gettempdir()),
            purpose="verify: work directories (TMPDIR)",
            advice="name another place by TMPDIR",
            shown=True,
        ),
        Place(
            directory=cache_directory(os.environ),
            purpose="verify: downloaded packages (XDG_CACHE_HOME)",
            advice="name another place by XDG_CACHE_HOME",
        ),
        Place(
            directory=Path.cwd(),
            purpose="run: records and kept outputs",
            advice="they are kept in the project: work where you can write and there is room; "
            "`repropack gc` removes what no run needs",
        ),
    )
    checks = []
    for check in diagnose(dict(os.environ), key=_key, places=places):
        checks.append(check)
        if not as_json:
            _say_check(check)
    missing = [check for check in checks if check.state is State.MISSING]
    if as_json:
        document = Document(complete=not missing, checks=tuple(checks))
        say(canonical.encode(document).decode())
    elif missing:
        say(bold(f"missing: {', '.join(check.name for check in missing)}"))
    else:
        say(bold("all that is needed is here"))
    return 1 if missing else 0


def _key() -> str:
    return load_key(None).public.fingerprint


def _say_check(check: Check) -> None:
    mark = _MARKS[check.state].ljust(8)
    shown = bold(mark) if check.state is State.MISSING else mark
    say(f"{shown} {check.name.ljust(9)} {dim(check.purpose + ':')} {show(check.found, limit=300)}")
    for line in check.advice.splitlines():
        say(f"{' ' * 18} → {show(line, limit=500)}")
