# SPDX-License-Identifier: Apache-2.0
"""The real git, as nobody but the named author has configured it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["run_git"]


def run_git(
    directory: Path,
    *arguments: str,
    home: Path,
    author: tuple[str, str],
    date: str = "",
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """Runs git; whether it succeeded is for the caller to look at.

    Args:
        home: Where it finds a configuration, if there is any.
        author: Name and address; also those of the committer.
        date: Of commits, as git reads it; the present if empty.
    """
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        variables[f"GIT_{who}_NAME"], variables[f"GIT_{who}_EMAIL"] = author
        if date:
            variables[f"GIT_{who}_DATE"] = date
    return subprocess.run(
        ["git", *arguments],
        cwd=directory,
        input=stdin,
        capture_output=True,
        check=False,
        env=variables,
    )
