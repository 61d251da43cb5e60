# SPDX-License-Identifier: Apache-2.0
"""Fills a directory with conda packages: a program of its own, for the inside of a sandbox.

The archives have the recorded digests; what is in them is a stranger's all the same, and paths in
them may lead anywhere. So whoever starts this shows it nothing but the archives and the directory.
Scripts of packages are not run. Only py-rattler is imported, from the directory that is named.

Usage: conda_link.py LIBRARY PREFIX CACHE ARCHIVE…
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from pathlib import Path


async def _link(prefix: str, cache: str, archives: list[str]) -> None:
    import rattler

    # One after the other: each has a file open.
    records = [await rattler.RepoDataRecord.from_package_archive(archive) for archive in archives]
    await rattler.install(
        records,
        target_prefix=prefix,
        cache_dir=Path(cache),
        execute_link_scripts=False,
        show_progress=False,
    )


def main() -> None:
    """See the module."""
    library, prefix, cache, *archives = sys.argv[1:]
    sys.path.insert(0, library)
    os.makedirs(cache)
    status = 1
    try:
        asyncio.run(_link(prefix, cache, archives))
        status = 0
    finally:
        if status:
            traceback.print_exc()
        sys.stderr.flush()
        # Without Python's own end, during which the library's threads sometimes crash.
        os._exit(status)


if __name__ == "__main__":
    main()
