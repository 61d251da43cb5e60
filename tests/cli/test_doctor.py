# SPDX-License-Identifier: Apache-2.0
"""`repropack doctor` on this machine, and where things are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from repropack.sandbox import call_filter, find_bubblewrap
from tests.project import Project


def by_name(text: str) -> dict[str, Any]:
    return {check["name"]: check for check in json.loads(text)["checks"]}


def test_all_that_is_needed_is_here(bare_project: Project) -> None:
    done = bare_project.repropack("doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["complete"] is True
    checks = by_name(done.stdout)
    assert {
        "git",
        "sandbox",
        "conda",
        "time stamps",
        "betterleaks",
        "badges",
        "limits",
        "uv",
        "Python",
        "packages",
        "strace",
        "GPU",
        "key",
        "cache",
        "room",
    } == (set(checks))
    assert checks["sandbox"]["found"] == f"bubblewrap; {call_filter().summary}"
    assert "{}.{}.{}".format(*sys.version_info) in checks["Python"]["found"]
    assert checks["key"]["state"] == "optional"
    bare_project.ok("key", "new")
    text = bare_project.ok("doctor")
    assert "SHA256:" in text
    assert text.splitlines()[-1] == "all that is needed is here"


def test_what_is_missing_is_named_with_how_to_get_it(bare_project: Project, tmp_path: Path) -> None:
    bubblewrap = find_bubblewrap()
    assert bubblewrap is not None
    empty = tmp_path / "no-programs"
    empty.mkdir()
    # Without programs on PATH, and where no namespace can be made.
    done = subprocess.run(
        [bubblewrap.path, "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", "--",
         sys.executable, "-m", "repropack", "doctor", "--json"],
        cwd=bare_project.root, env={**bare_project.environment, "PATH": str(empty)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    checks = by_name(done.stdout)
    assert {name for name, check in checks.items() if check["state"] == "missing"} == {
        "git",
        "sandbox",
    }
    assert checks["git"]["advice"] == "apt install git"
    assert "{}.{}.{}".format(*sys.version_info) in checks["Python"]["found"]
    assert "Landlock" in checks["sandbox"]["found"]
    # The kernel says "No space left on device", and means a number of namespaces.
    assert checks["sandbox"]["found"].count("user.max_user_namespaces") == 2
    assert "python" not in checks["sandbox"]["found"]
    assert "namespaces" in checks["sandbox"]["advice"]
    assert checks["strace"]["state"] == "optional"
    assert all(check["advice"] for check in checks.values() if check["state"] != "good")


def test_no_password_of_an_index_is_shown(bare_project: Project) -> None:
    address = "https://zoe:hunter2@packages.example.org/simple"
    text = bare_project.ok("doctor", variables={"UV_DEFAULT_INDEX": address})
    assert "packages.example.org" in text
    assert "hunter2" not in text


def test_a_user_without_a_home_is_told() -> None:
    """As in a container that was started with a number for a user."""
    bubblewrap = find_bubblewrap()
    assert bubblewrap is not None
    done = subprocess.run(
        [bubblewrap.path, "--unshare-user", "--uid", "54321", "--dev-bind", "/", "/", "--",
         sys.executable, "-m", "repropack", "key", "show"],
        cwd="/", env={}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "repropack: no home directory is known; set HOME, or name the place without `~`\n"
    )


def test_a_path_of_a_user_who_is_not_there_is_no_defect(bare_project: Project) -> None:
    done = bare_project.repropack("inspect", "~nosuchuser/x.rpk")
    assert done.returncode == 2
    assert "name the place without `~`" in done.stderr


def test_a_directory_that_cannot_be_written_has_advice_that_helps(
    bare_project: Project, tmp_path: Path
) -> None:
    bubblewrap = find_bubblewrap()
    assert bubblewrap is not None
    shut = tmp_path / "shut"
    shut.mkdir()
    done = subprocess.run(
        [bubblewrap.path, "--dev-bind", "/", "/", "--ro-bind", shut, shut, "--",
         sys.executable, "-m", "repropack", "doctor", "--json"],
        cwd=shut, env={**bare_project.environment, "XDG_CACHE_HOME": str(shut)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rooms = {
        check["purpose"]: check
        for check in json.loads(done.stdout)["checks"]
        if check["name"] == "room"
    }
    advice = {purpose: check["advice"] for purpose, check in rooms.items() if check["advice"]}
    assert advice == {
        "verify: downloaded packages (XDG_CACHE_HOME)": "name another place by XDG_CACHE_HOME",
        "run: records and kept outputs": "they are kept in the project: work where you can write "
        "and there is room; `repropack gc` removes what no run needs",
    }


def test_what_is_broken_stops_no_other_check(bare_project: Project, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("[[[")
    variables = {"XDG_CACHE_HOME": str(file), "UV_CONFIG_FILE": str(file)}
    done = bare_project.repropack("doctor", "--json", variables=variables)
    assert done.returncode == 1, done.stdout + done.stderr
    checks = by_name(done.stdout)
    assert checks["uv"]["state"] == "missing"
    assert str(file) in checks["uv"]["found"]
    assert checks["cache"]["state"] == "optional"
    assert "room" in checks
    assert all(check["advice"] for check in checks.values() if check["state"] != "good")
