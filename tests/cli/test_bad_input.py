# SPDX-License-Identifier: Apache-2.0
"""Every parameter of every command that names a bundle, a run, a key or a file, given a bad one.

The parameters come from the parser. Each has to say in one line what is wrong with what, with the
exit status that the README promises, and leave nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final, NamedTuple

import click
import pytest

from tests.cli.commands import every_command
from tests.cli.many_calls import Called, call_all
from tests.project import EVAL, TRAIN, Project, project_in
from tests.signing.authority import Authority

BROKEN: Final = ("empty.rpk", "half.rpk", "picture.rpk", "sparse.rpk")
"""Files that are no whole bundles: they were checked, and do not hold."""

BAD: Final[dict[str, dict[str, int]]] = {
    "bundle": {
        **dict.fromkeys(BROKEN, 1),
        **dict.fromkeys(("absent.rpk", "folder.rpk", "https://[bad/x.rpk", "", "loop.rpk"), 2),
    },
    "run": dict.fromkeys(("nothing", "ambiguous", "damaged", "x\x1b[31m"), 2),
    "key": dict.fromkeys(("absent", "empty", "picture", "folder", "sparse", "", "open"), 2),
    "signer": dict.fromkeys(("absent", "empty", "picture", "folder", "sparse", ""), 2),
    # What says something about a bundle or a key is refused as a broken bundle is.
    "signed": {
        **dict.fromkeys(("empty", "picture"), 1),
        **dict.fromkeys(("absent", "folder", "sparse", ""), 2),
    },
    "list": dict.fromkeys(("absent", "empty", "picture", "folder", "sparse", ""), 2),
    "written": dict.fromkeys(("folder", "absent/file", ""), 2),
}
"""What is given for each kind of parameter, and how the program has to end."""

KINDS: Final[dict[str, dict[str, str]]] = {
    "calibrate": {"bundle": "bundle", "runs": "", "data": ""},
    "checklist": {"run": "run", "kind": ""},
    "data check": {"name": "", "against": "list", "run": "run"},
    "data diff": {"one": "bundle", "other": "run", "name": ""},
    "diff": {"one": "bundle", "other": "run"},
    "doctor": {},
    "export": {
        "run": "run",
        "output": "written",
        "key_names": "key",
        **dict.fromkeys(("weights", "author", "replacements", "withheld", "volumes"), ""),
        **dict.fromkeys(("calibrate", "waived"), ""),
    },
    "extract": {"bundle": "bundle", "directory": "", "paths": ""},
    "gc": {"keep_last": "", "older_than": ""},
    "init": {},
    "inspect": {"bundle": "bundle"},
    "key import": {"files": "signed"},
    "key list": {},
    # What is not there yet is made, with its directories.
    "key new": {"path": "", "revocation": "written"},
    "key revoke": {
        "named": "key",
        "by": "key",
        "successor": "signer",
        "output": "written",
        **dict.fromkeys(("reason", "since"), ""),
    },
    "key rotate": {"old_name": "key", "new_name": "key", "output": "written"},
    "key show": {"named": "key"},
    "key trust": {"signer": "signer", "name": ""},
    "key untrust": {"which": ""},
    "list": {},
    "receipt check": {
        "bundle": "bundle",
        "receipts": "signed",
        "signers": "signer",
        "threshold": "",
    },
    "repeat": {
        "run": "run",
        "report": "written",
        **dict.fromkeys(("runs", "data", "time_limit"), ""),
    },
    "restore": {"run": "run", "paths": "", "directory": "", "segment": ""},
    "reveal": {"arguments": "bundle", "key": "key", "output": "written", "signers": "signer"},
    "run": {
        "resume": "run",
        **dict.fromkeys(("name", "data", "trace", "keep_file", "keep_run", "no_keep", "argv"), ""),
    },
    # A search takes any file; what it finds is no defect of the file.
    "scan": {"what": "", "waived": ""},
    "show": {"run": "run", "graph": ""},
    "sign": {"bundle": "bundle", "key_names": "key", "output": "", "model_key": "key"},
    "timestamp": {"bundle": "bundle", "url": "", "authorities": "list", "output": ""},
    "verify": {
        "bundle": "bundle",
        "signers": "signer",
        "stamp": "signed",
        "authorities": "list",
        "report": "written",
        "badge": "written",
        "receipt": "written",
        "key_names": "key",
        **dict.fromkeys(("runs", "seeds", "threshold", "pin", "expect", "data", "memory"), ""),
        **dict.fromkeys(("time_limit", "packages"), ""),
    },
}
"""For each command every parameter that takes a value; those of no kind name no file."""

WORDS: Final[dict[str, list[str]]] = {
    "calibrate": ["{bundle}"],
    "checklist": ["{run}", "--kind", "acm"],
    "data check": ["rows", "--against", "{against}", "--run", "{run}"],
    "data diff": ["{one}", "{other}"],
    "diff": ["{one}", "{other}"],
    "export": ["--run", "{run}", "--yes", "--json"],
    "extract": ["{bundle}", "../new"],
    "inspect": ["{bundle}"],
    "key import": ["{files}"],
    "key new": ["--key", "../new"],
    "key revoke": ["--key", "{named}", "--reason", "retired", "-o", "../new"],
    "key rotate": ["--key", "{old_name}", "--to", "{new_name}", "-o", "../new"],
    "key show": [],
    "key trust": ["{signer}", "--name", "lab"],
    "receipt check": ["{bundle}", "{receipts}"],
    "repeat": ["{run}", "--json"],
    "restore": ["{run}", "-o", "../new"],
    "reveal": ["{arguments}"],
    "run": ["--resume", "{resume}", "--", "true"],
    "show": ["{run}"],
    "sign": ["{bundle}", "--yes"],
    "timestamp": ["{bundle}", "--url", "http://127.0.0.1:9/", "-o", "../new"],
    "verify": ["{bundle}", "--no-run", "--json"],
}
"""The words of a good call, with a place for each parameter that is always given."""

GOOD: Final = {"bundle": "release.rpk", "run": "eval", "key": "key", "signer": "key.pub"}

WITH: Final[dict[tuple[str, str], list[str]]] = {
    ("reveal", "signers"): ["check", "{bundle}", "{bundle}"],
    ("sign", "model_key"): ["{bundle}", "--yes"],
    ("verify", "authorities"): ["{bundle}", "--no-run", "--timestamp", "{bundle}"],
    ("verify", "key_names"): ["{bundle}", "--receipt", "../new"],
    ("verify", "receipt"): ["{bundle}"],
    ("reveal", "key"): ["{anonymous}"],
    ("reveal", "output"): ["{anonymous}"],
    ("verify", "stamp"): ["{bundle}", "--no-run", "--tsa-ca", "{authority}"],
    ("key revoke", "by"): ["--key", "{key}", "--reason", "retired", "-o", "../new"],
    ("key revoke", "named"): ["--reason", "retired", "-o", "../new"],
    ("key revoke", "output"): ["--key", "{key}", "--reason", "retired"],
    ("key rotate", "output"): ["--key", "{key}", "--to", "{other}"],
}
"""Where a parameter needs other words beside it."""

AT_WORK: Final = ("looking up", "checking", "searching", "recording", "downloading")
"""How lines begin that say what goes on."""


class Case(NamedTuple):
    """One parameter of a command."""

    command: str
    parameter: str


CASES: Final = [
    Case(command, parameter)
    for command, kinds in KINDS.items()
    for parameter, kind in kinds.items()
    if kind
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, python_environment: Path) -> Project:
    """A project with runs, one of them damaged and two with ids that begin alike, and bad files."""
    top = tmp_path_factory.mktemp("bad")
    for name in ("home", "project", "files"):
        (top / name).mkdir()
    project = project_in(top, python_environment)
    project.write("train.py", TRAIN)
    project.write("eval.py", EVAL)
    project.write(".gitignore", "out/\n")
    project.git("init", "-q", "-b", "main")
    project.ok("key", "new")
    files = top / "files"
    for key in ("key", "other"):
        project.ok("key", "new", "--key", str(files / key))
    project.ok("run", "--name", "damaged", "--", "python", "train.py")
    project.ok("run", "--name", "train", "--", "python", "train.py")
    project.ok("run", "--name", "eval", "--", "python", "eval.py", "out/model.bin")
    bundle = files / "release.rpk"
    project.ok("export", "--run", "eval", "-o", str(bundle), "--yes")
    anonymous = ["--anonymous", "--unevaluated", "-o", str(files / "anonymous.rpk")]
    project.ok("export", "--run", "eval", "--yes", *anonymous)
    (files / "sums").write_text(f"{'0' * 64}  x\n")
    Authority.create(files / "authority")
    _damage(project)
    _bad_files(files, bundle.read_bytes())
    return project


def _damage(project: Project) -> None:
    listed = {one["name"]: one["id"] for one in json.loads(project.ok("list", "--json"))}
    runs = project.root / ".repropack/runs"
    broken = runs / listed["damaged"] / "run.json"
    broken.chmod(0o644)
    broken.write_bytes(broken.read_bytes()[:99])
    own = listed["train"]
    for number in (1, 2):
        other = f"ambiguous{number}{own[10:]}"
        shutil.copytree(runs / own, runs / other)
        for file in (runs / other).glob("*.json"):
            file.chmod(0o644)
            file.write_text(file.read_text().replace(own, other).replace('"train"', '"twin"'))


def _bad_files(files: Path, bundle: bytes) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2
    for suffix in ("", ".rpk"):
        (files / f"empty{suffix}").write_bytes(b"")
        (files / f"picture{suffix}").write_bytes(picture)
        (files / f"folder{suffix}").mkdir()
        with (files / f"sparse{suffix}").open("wb") as sparse:
            sparse.truncate(1 << 40)
    (files / "half.rpk").write_bytes(bundle[: len(bundle) // 2])
    (files / "loop.rpk").symlink_to("loop.rpk")
    (files / "open").write_bytes((files / "key").read_bytes())
    for file in files.iterdir():
        if not file.is_symlink() and not file.is_dir():
            file.chmod(0o644 if file.name == "open" else 0o600)


def _value(kind: str, bad: str, files: Path) -> str:
    named = kind != "run" and bad and "://" not in bad
    return str(files / bad) if named else bad


def _words(case: Case, bad: str, files: Path) -> list[str]:
    """The call with a bad value for one parameter and good ones for the others."""
    kinds = KINDS[case.command]
    good = {
        name: str(files / GOOD[kind]) if kind in GOOD and kind != "run" else GOOD.get(kind, "")
        for name, kind in kinds.items()
        if kind
    }
    good |= {"bundle": str(files / "release.rpk"), "key": str(files / "key")}
    good |= {"other": str(files / "other"), "new_name": str(files / "other")}
    good |= {"against": str(files / "sums"), "anonymous": str(files / "anonymous.rpk")}
    good |= {"authority": str(files / "authority/ca.pem"), "receipts": str(files / "release.rpk")}
    words = WITH.get((case.command, case.parameter), WORDS[case.command])
    value = _value(kinds[case.parameter], bad, files)
    if f"{{{case.parameter}}}" in words:
        good[case.parameter] = value
        return [word.format(**good) for word in words]
    (option,) = [p for p in every_command()[case.command].params if p.name == case.parameter]
    return [*(word.format(**good) for word in words), option.opts[-1], value]


def test_no_command_and_no_parameter_is_forgotten() -> None:
    found = {
        name: {p.name for p in command.params if not getattr(p, "is_flag", False) or p.nargs != 1}
        | {p.name for p in command.params if isinstance(p, click.Option) and p.name == "graph"}
        for name, command in every_command().items()
    }
    assert {name: set(kinds) for name, kinds in KINDS.items()} == found


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_bad_value_is_said_in_one_line_and_nothing_is_left(place: Project, case: Case) -> None:
    files = place.root.parent / "files"
    expected = BAD[KINDS[case.command][case.parameter]]
    before = _contents(place)
    calls = [(place.root, [*case.command.split(), *_words(case, bad, files)]) for bad in expected]
    for (_, words), called, (bad, status) in zip(
        calls, call_all(calls, place.environment), expected.items(), strict=True
    ):
        _assert_said(words, called, bad, status)
    assert _contents(place) == before


def _assert_said(words: list[str], called: Called, bad: str, status: int) -> None:
    told = (words, called)
    assert called.status == status, told
    assert "Traceback" not in called.stderr, told
    assert "defect of repropack" not in called.stderr, told
    assert "\x1b" not in called.stderr + called.stdout, told
    lines = _errors(called)
    if words[0] in ("verify", "receipt") and called.status == 1:
        # A refusal is a result: it stands with the verdict.
        assert not lines or words[0] == "receipt", told
        lines = lines or [called.stdout]
    assert len(lines) == 1, told
    name = bad.rpartition("/")[2].replace("\x1b", "\\x1b").removesuffix(".rpk")
    assert name in lines[0], told


def _errors(called: Called) -> list[str]:
    return [
        line
        for line in called.stderr.splitlines()
        if not line.removeprefix("repropack: ").startswith(AT_WORK)
    ]


def _contents(project: Project) -> dict[str, bytes | None]:
    """Every file, but for locks, indexes and caches, which any command may touch."""
    top = project.root.parent
    return {
        str(path.relative_to(top)): path.read_bytes() if path.stat().st_size < 1 << 24 else None
        for path in sorted(top.rglob("*"))
        if path.is_file()
        and path.suffix != ".lock"
        and ".cache" not in path.parts
        and ".repropack/index" not in str(path)
    }


NEEDING_A_STORE: Final = sorted(
    {case.command for case in CASES if KINDS[case.command][case.parameter] == "run"}
)


@pytest.mark.parametrize("command", NEEDING_A_STORE)
def test_without_a_store_it_is_said_where_none_was_found(place: Project, command: str) -> None:
    files = place.root.parent / "files"
    (place.root.parent / "elsewhere").mkdir(exist_ok=True)
    run = next(name for name, kind in KINDS[command].items() if kind == "run")
    words = [*command.split(), *_words(Case(command, run), "eval", files)]
    elsewhere = place.root.parent / "elsewhere"
    (called,) = call_all([(elsewhere, words)], place.environment)
    assert called.status == 2, called
    lines = _errors(called)
    assert len(lines) == 1, called
    assert f"{elsewhere}: nothing has been recorded here" in lines[0]
    assert not os.listdir(elsewhere)
