# SPDX-License-Identifier: Apache-2.0
"""What a sandbox has to show of an interpreter."""

from __future__ import annotations

import os
import pwd

from repropack.environment.interpreter import FoundInterpreter, places_of


def at(prefix: str) -> FoundInterpreter:
    return FoundInterpreter(
        path=f"{prefix}/bin/python3.11", version="3.11.7", prefix=prefix, implementation="cpython"
    )


def test_a_directory_of_its_own_is_shown_as_a_whole() -> None:
    for prefix in ("/usr", "/opt/python", "/home/zoe/.pyenv/versions/3.11.7"):
        assert places_of(at(prefix), "/home/zoe") == (prefix,)


def test_a_home_is_never_shown_whatever_the_variables_call_home() -> None:
    account = os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir)
    for home in (account, "/nonexistent", "", None):
        for prefix in (account, f"{account}/.local", os.path.dirname(account)):
            shown = places_of(at(prefix), home)
            assert prefix not in shown
            assert shown[0] == f"{prefix}/bin/python3.11"
    assert "/home/zoe" not in places_of(at("/home/zoe"), "/home/zoe/")
    assert "/home" not in places_of(at("/home"), "/home/zoe")
