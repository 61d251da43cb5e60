# SPDX-License-Identifier: Apache-2.0
"""Each kind of sandbox that works on this machine."""

from __future__ import annotations

import pytest

from repropack.sandbox import NoSandbox, Sandbox, find_bubblewrap, find_landlock


@pytest.fixture(params=["bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    found = find_bubblewrap() if request.param == "bubblewrap" else find_landlock()
    if found is None or isinstance(found, str | NoSandbox):
        pytest.skip(str(found))
    return found
