# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock

from repropack.environment.lock import (
    MAX_LOCK,
    LockedPackage,
    read_lock,
    select,
    write_lock,
)
from repropack.errors import RepropackError
from repropack.findings import Code, DefectError
from repropack.model import Distribution, Machine, Python, Wheel

PYTHON = Python(implementation="cpython", version="3.11.7", cache_tag="cpython-311")
MACHINE = Machine(system="Linux", architecture="x86_64")
DIGEST = "0123456789abcdef" * 4


def package(name: str = "six", version: str = "1.17.0", tag: str = "py3-none-any") -> LockedPackage:
    filename = f"{name.replace('-', '_')}-{version}-{tag}.whl"
    return LockedPackage(
        name=name, version=version, wheels=(Wheel(filename=filename, sha256=DIGEST),)
    )


# ---------------------------------------------------------------- select


def test_imported_packages_and_what_they_require_are_selected() -> None:
    installed = [
        Distribution(name="app", version="1", imported=True, requires=("mid[fast]>=1", "absent")),
        Distribution(
            name="mid",
            version="1",
            requires=("leaf", 'speed; extra == "fast"', 'docs; extra == "docs"', "### broken"),
        ),
        Distribution(name="leaf", version="1", requires=("app",)),
        Distribution(name="speed", version="1"),
        Distribution(name="docs", version="1"),
        Distribution(name="unused", version="1"),
    ]
    names = [d.name for d in select(installed, PYTHON, MACHINE)]
    assert names == ["app", "leaf", "mid", "speed"]


def test_markers_are_those_of_the_recorded_machine() -> None:
    requires = (
        'old; python_version < "3.8"',
        'new; python_version >= "3.11"',
        'win; sys_platform == "win32"',
        'mac; platform_system == "Darwin"',
        'cpy; platform_python_implementation == "CPython"',
        'arm; platform_machine == "aarch64"',
        'full; python_full_version >= "3.11.8"',
    )
    names = ("old", "new", "win", "mac", "cpy", "arm", "full")
    installed = [
        Distribution(name="app", version="1", imported=True, requires=requires),
        *(Distribution(name=name, version="1") for name in names),
    ]
    assert [d.name for d in select(installed, PYTHON, MACHINE)] == ["app", "cpy", "new"]
    mac = Machine(system="Darwin", architecture="aarch64")
    older = Python(implementation="cpython", version="3.7.17", cache_tag="cpython-37")
    assert [d.name for d in select(installed, older, mac)] == ["app", "arm", "cpy", "mac", "old"]


def test_an_editable_install_is_code_but_what_it_requires_is_not() -> None:
    installed = [
        Distribution(name="mine", version="1", imported=True, editable=True, requires=("dep",)),
        Distribution(name="dep", version="1"),
    ]
    assert [d.name for d in select(installed, PYTHON, MACHINE)] == ["dep"]


def test_a_recorded_version_of_no_known_form_is_an_error() -> None:
    odd = Python(implementation="cpython", version="3", cache_tag="")
    with pytest.raises(RepropackError):
        write_lock(odd, [package()])


# ---------------------------------------------------------------- write


def test_the_lock_file_is_valid_pep_751() -> None:
    data = write_lock(
        PYTHON, [package("torch", "2.13.0+cpu", "cp311-cp311-linux_x86_64"), package()]
    )
    lock = Pylock.from_dict(tomllib.loads(data.decode()))
    assert str(lock.lock_version) == "1.0"
    assert lock.created_by == "repropack"
    assert str(lock.requires_python) == "==3.11.*"
    assert [p.name for p in lock.packages] == ["six", "torch"]
    (wheel,) = lock.packages[1].wheels or ()
    assert wheel.path == "wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"
    assert dict(wheel.hashes) == {"sha256": DIGEST}


def test_an_empty_lock_file_is_one_too() -> None:
    data = write_lock(PYTHON, [])
    Pylock.from_dict(tomllib.loads(data.decode()))
    assert read_lock(data) == ()


@given(st.permutations([package("a"), package("b-c"), package("z9", "1!2.0rc1.post1+x.1")]))
def test_order_does_not_matter_and_nothing_is_lost(entries: list[LockedPackage]) -> None:
    data = write_lock(PYTHON, entries)
    assert data == write_lock(PYTHON, sorted(entries, key=lambda e: e.name))
    assert read_lock(data) == tuple(sorted(entries, key=lambda e: e.name))


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=60), st.text(max_size=70))
def test_no_value_can_break_out_of_its_place(name: str, ver: str, file: str, digest: str) -> None:
    try:
        entry = LockedPackage(name=name, version=ver, wheels=(Wheel(filename=file, sha256=digest),))
    except ValueError:
        return
    assert read_lock(write_lock(PYTHON, [entry])) == (entry,)


# ---------------------------------------------------------------- read: hostile files

HEAD = 'lock-version = "1.0"\ncreated-by = "x"\n'
WHEEL = "six-1.17.0-py3-none-any.whl"


def lock(
    *,
    head: str = HEAD,
    name: str = '"six"',
    version: str = '"1.17.0"',
    more: str = "",
    wheel: str = f'"{WHEEL}"',
    path: str = f'"wheels/{WHEEL}"',
    hashes: str = f'{{ sha256 = "{DIGEST}" }}',
    wheel_more: str = "",
) -> str:
    return (
        f"{head}[[packages]]\nname = {name}\nversion = {version}\n{more}"
        f"[[packages.wheels]]\nname = {wheel}\npath = {path}\nhashes = {hashes}\n{wheel_more}"
    )


def test_the_pattern_of_the_hostile_files_is_accepted() -> None:
    assert read_lock(lock().encode()) == (package(),)


HOSTILE = {
    "lock-version-2": lock(head='lock-version = "2.0"\ncreated-by = "x"\n'),
    "lock-version-number": lock(head='lock-version = 1.0\ncreated-by = "x"\n'),
    "no-lock-version": lock(head='created-by = "x"\n'),
    "no-packages": HEAD,
    "packages-table": HEAD + '[packages]\nname = "six"\n',
    "packages-numbers": HEAD + "packages = [1, 2]\n",
    "unknown-top-level": HEAD + 'index-url = "https://evil.example/simple"\npackages = []\n',
    "tool-table": HEAD + "packages = []\n[tool.uv]\nindex-url = 'https://evil.example'\n",
    "environments": HEAD + "environments = [\"sys_platform == 'x'\"]\npackages = []\n",
    "vcs": lock(more='vcs = { type = "git", url = "https://evil.example", commit-id = "0" }\n'),
    "directory": lock(more='directory = { path = "/etc" }\n'),
    "archive": lock(more=f'archive = {{ path = "x", hashes = {{ sha256 = "{DIGEST}" }} }}\n'),
    "sdist": lock(more=f'sdist = {{ path = "s.zip", hashes = {{ sha256 = "{DIGEST}" }} }}\n'),
    "index": lock(more='index = "https://evil.example/simple"\n'),
    "marker": lock(more="marker = \"os_name == 'nt'\"\n"),
    "no-wheels": HEAD + '[[packages]]\nname = "six"\nversion = "1.17.0"\n',
    "empty-wheels": HEAD + '[[packages]]\nname = "six"\nversion = "1.17.0"\nwheels = []\n',
    "no-version": lock().replace('version = "1.17.0"\n', ""),
    "version-number": lock(version="1.17"),
    "version-range": lock(version='">=1"'),
    "version-invalid": lock(version='"one"'),
    "version-second-line": lock(version='"1.17.0\\n--index-url https://evil.example"'),
    "version-option": lock(version='"1.17.0 --no-binary :all:"'),
    "version-unicode-digits": lock(version='"١.17.0"'),
    "name-not-normal": lock(name='"Six"'),
    "name-other": lock(name='"seven"'),
    "name-option": lock(name='"-e"'),
    "name-url": lock(name='"six @ file:///x"'),
    "name-path": lock(name='"../six"'),
    "name-env": lock(name='"${HOME}"'),
    "name-empty": lock(name='""'),
    "name-list": lock(name='["six"]'),
    "wheel-url": lock(wheel_more='url = "https://evil.example/six.whl"\n'),
    "wheel-size": lock(wheel_more="size = 1\n"),
    "wheel-path-outside": lock(path=f'"../../{WHEEL}"'),
    "wheel-path-absolute": lock(path=f'"/etc/{WHEEL}"'),
    "wheel-path-elsewhere": lock(path=f'"{WHEEL}"'),
    "wheel-name-directory": lock(wheel=f'"a/{WHEEL}"', path=f'"wheels/a/{WHEEL}"'),
    "wheel-is-sdist": lock(wheel='"six-1.17.0.tar.gz"', path='"wheels/six-1.17.0.tar.gz"'),
    "wheel-other-version": lock(
        wheel='"six-1.16.0-py3-none-any.whl"', path='"wheels/six-1.16.0-py3-none-any.whl"'
    ),
    "wheel-other-package": lock(
        wheel='"evil-1.17.0-py3-none-any.whl"', path='"wheels/evil-1.17.0-py3-none-any.whl"'
    ),
    "wheel-twice": lock() + "[[packages.wheels]]" + lock().partition("[[packages.wheels]]")[2],
    "no-hash": lock(hashes="{}"),
    "md5": lock(hashes='{ md5 = "d41d8cd98f00b204e9800998ecf8427e" }'),
    "md5-beside": lock(hashes=f'{{ sha256 = "{DIGEST}", md5 = "0" }}'),
    "hash-short": lock(hashes='{ sha256 = "0123" }'),
    "hash-upper": lock(hashes=f'{{ sha256 = "{DIGEST.upper()}" }}'),
    "hash-line": lock(hashes=f'{{ sha256 = "{DIGEST}\\n" }}'),
    "hash-number": lock(hashes="{ sha256 = 1 }"),
    "hashes-text": lock(hashes=f'"sha256:{DIGEST}"'),
    "package-twice": lock() + "\n" + lock(head=""),
    "key-twice": lock(more='version = "1.16.0"\n'),
    "not-toml": "[[packages",
    "date": lock(name="2024-01-01"),
    "nested": HEAD + "packages = " + "[" * 5000 + "]" * 5000,
    "deep-key": HEAD + "a" + ".a" * 5000 + " = 1\npackages = []\n",
    "many-packages": HEAD + "packages = [" + "{}," * 6000 + "]\n",
    "many-wheels": lock() + "[[packages.wheels]]\n" * 201,
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_hostile_lock_files_are_refused(case: str) -> None:
    with pytest.raises(DefectError) as caught:
        read_lock(HOSTILE[case].encode())
    assert caught.value.finding.code is Code.LOCK
    assert caught.value.exit_status == 1


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\0", b" " * (MAX_LOCK + 1)])
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(DefectError):
        read_lock(data)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_lock_or_a_defect_and_no_other_error(data: bytes) -> None:
    with contextlib.suppress(DefectError):
        read_lock(data)


def test_every_truncation_is_refused_or_shorter() -> None:
    data = write_lock(PYTHON, [package("a"), package("b")])
    full = read_lock(data)
    for end in range(len(data) - 1):
        try:
            read = read_lock(data[:end])
        except DefectError:
            continue
        assert read in (full[:1], full)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "a." * (MAX_LOCK // 2 - 10) + "a]\n",
        ("[" + "a." * 510 + "b]\n") * (MAX_LOCK // 1024),
        "".join("[" + "a." * 508 + f"b{i}]\n" for i in range(MAX_LOCK // 1030)),
        "a = [\n" + ("{" + "a." * 500 + "a = 1},\n") * (MAX_LOCK // 1024) + "]\n",
        "[[a]]\n" * (MAX_LOCK // 6 - 1),
        "".join(f"a{i}.b.c = 1\n" for i in range(MAX_LOCK // 16 - 10)),
        'a = """' + "\\n\n" * (MAX_LOCK // 3 - 10) + '"""\n',
        "a = [\n" + "1,\n" * (MAX_LOCK // 3 - 10) + "]\n",
        "a = " + "9" * (MAX_LOCK - 10) + "\n",
    ],
    ids=[
        "dotted-header",
        "same-headers",
        "other-headers",
        "inline",
        "array-tables",
        "dotted-keys",
        "escapes",
        "array",
        "integer",
    ],
)
@pytest.mark.slow
def test_the_largest_hostile_files_are_refused_in_bounded_time(text: str) -> None:
    assert len(text) <= MAX_LOCK
    started = time.process_time()
    with pytest.raises(DefectError):
        read_lock(text.encode())
    # A bound against quadratic parsing (minutes), not a measurement.
    assert time.process_time() - started < 60


def test_requirements_from_a_stranger_end_soon() -> None:
    extras = ",".join(f"e{i}" for i in range(10_000))
    again = tuple(f"b; extra == 'e{i}'" for i in range(10_000))
    hostile = [
        Distribution(name="a", version="1", imported=True, requires=(f"b[{extras}]",)),
        Distribution(name="b", version="1", requires=again),
    ]
    with pytest.raises(DefectError) as caught:
        select(hostile, PYTHON, MACHINE)
    assert caught.value.finding.code is Code.TOO_LARGE


@pytest.mark.parametrize(
    "text",
    ["b; " + "(" * 5000 + "os_name == 'posix'" + ")" * 5000, "b; python_version > 'x y'", "\0", ""],
)
def test_a_requirement_that_is_none_is_no_error(text: str) -> None:
    hostile = [Distribution(name="a", version="not one", imported=True, requires=(text,))]
    assert select(hostile, PYTHON, MACHINE) == tuple(hostile)
