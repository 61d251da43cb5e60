# SPDX-License-Identifier: Apache-2.0
"""Files that libraries open below Python: a `fopen` through ctypes stands for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.project import Project

NATIVE = """\
import ctypes, sys
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
def read(path, keep=False):
    file = libc.fopen(str(path).encode(), b'r')
    assert file, path
    buffer = ctypes.create_string_buffer(64)
    libc.fread(buffer, 1, 64, ctypes.c_void_p(file))
    if not keep: libc.fclose(ctypes.c_void_p(file))
    return buffer.value
"""


def _read(project: Project) -> dict[str, list[str]]:
    return {m["path"]: m["evidence"] for m in project.segment().get("materials", [])}


def _run(project: Project, script: str, *arguments: str) -> str:
    project.write("native.py", NATIVE + script)
    return project.ok("run", "--", "python", "native.py", *arguments)


@pytest.fixture
def data(project: Project, tmp_path: Path) -> Path:
    project.write(".gitignore", "out/\ncache/\n")
    place = tmp_path / "sets" / "table"
    (place / "part").mkdir(parents=True)
    for name in ("a.col", "b.col", "part/c.col"):
        (place / name).write_text(name)
    (place / ".hidden").write_text("no")
    return place


def test_a_file_and_a_directory_on_the_command_line(project: Project, data: Path) -> None:
    script = "[read(a + '/a.col') if '.' not in a[-4:] else read(a) for a in sys.argv[1:]]\n"
    _run(project, script, str(data / "b.col"))
    assert list(_read(project).values()) == [["argument"]]
    _run(project, script, str(data))
    assert _read(project) == {
        f"{{data:table}}/{name}": ["argument"] for name in ("a.col", "b.col", "part/c.col")
    }


def test_a_file_that_a_configuration_names(project: Project, data: Path) -> None:
    project.write("conf/train.yaml", f"data:\n  train: {data}/b.col\n  other: /no/such/file.x\n")
    project.write("conf/rel.json", json.dumps({"table": "../cache/x.col", "url": "http://a.b/c"}))
    project.write("cache/x.col", "1")
    _run(
        project,
        f"open('conf/train.yaml').read(); open('conf/rel.json').read(); read('{data}/b.col')\n",
    )
    assert _read(project) == {
        "{data:table}/b.col": ["configuration"],
        "{project}/cache/x.col": ["configuration"],
    }


def test_a_directory_that_was_listed(project: Project, data: Path) -> None:
    _run(
        project,
        f"import os\nfor n in os.listdir('{data}'): n == 'a.col' and read('{data}/a.col')\n",
    )
    assert _read(project) == {"{data:table}/a.col": ["code"], "{data:table}/b.col": ["listed"]}
    # A reader in Python has passed over what it did not open.
    _run(project, f"import glob\nfor p in glob.glob('{data}/a*'): open(p).read()\n")
    assert _read(project) == {"{data:table}/a.col": ["python-open"]}


def test_a_file_that_is_open_at_the_end(project: Project, data: Path) -> None:
    _run(project, f"read('{data}/a.col', keep=True)\n")
    assert _read(project) == {"{data:table}/a.col": ["mapped"]}
    script = f"import mmap, os\nm = mmap.mmap(os.open('{data}/b.col', os.O_RDONLY), 0, prot=1)\n"
    _run(project, script)
    assert _read(project) == {"{data:table}/b.col": ["mapped", "python-open"]}


def test_neighbours_of_outputs_are_no_inputs_but_weights_are(project: Project) -> None:
    make = "import os; os.makedirs('out'); [open(f'out/{n}', 'w').write(n) for n in sys.argv[1:]]\n"
    _run(project, make, "config.json", "model.safetensors", "log.txt", "optimizer.pt")
    _run(project, "open('out/config.json').read(); read('out/model.safetensors')\n", "out")
    found = {m["path"]: m["origin"]["run"] for m in project.segment()["materials"]}
    assert sorted(found) == ["{project}/out/config.json", "{project}/out/model.safetensors"]
    # A script that lists its own output folder for the next free number has not read it.
    _run(project, "import os; os.listdir('out'); os.listdir('.')\n", "--out=out")
    assert "{project}/out/log.txt" not in _read(project)


def test_too_many_files_are_said(
    project: Project, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10_050):
        (data / f"{number}.col").touch()
    _run(project, "", str(data))
    assert any("--data NAME=" in gap["message"] for gap in project.segment()["gaps"])


def test_an_import_lists_nothing(project: Project) -> None:
    project.write("cache/extra.bin", "1")
    project.write("cache/module.py", "x = 1\n")
    _run(project, "sys.path.insert(0, 'cache'); import module\n")
    assert "{project}/cache/extra.bin" not in _read(project)
    # Nor does a question for the installed packages.
    script = (
        "import os; sys.path.insert(0, os.path.abspath('cache')); import importlib.metadata as m\n"
        "list(m.distributions())\n"
    )
    _run(project, script)
    assert "{project}/cache/extra.bin" not in _read(project)


@pytest.mark.slow
def test_a_real_library_that_reads_in_rust(project: Project, tmp_path: Path) -> None:
    save = (
        "import numpy, sys; from safetensors.numpy import save_file\n"
        "save_file({'w': numpy.ones(3, dtype='float32')}, sys.argv[1])\n"
    )
    load = (
        "import sys; from safetensors import safe_open\n"
        "with safe_open(sys.argv[1] + '/model.safetensors', framework='np') as file:\n"
        "    print('sum:', file.get_tensor('w').sum())\n"
    )
    project.write(".gitignore", "out/\n")
    (project.root / "out").mkdir()
    project.ok("run", "--", sys.executable, "-c", save, "out/model.safetensors")
    (product,) = project.segment()["products"]
    project.ok("run", "--", sys.executable, "-c", load, "out")
    (material,) = project.segment()["materials"]
    assert material["path"] == "{project}/out/model.safetensors"
    assert material["evidence"] == ["argument"]
    assert material["sha256"] == product["sha256"]
    assert material["origin"]["path"] == product["path"]
    place = tmp_path / "hub"
    place.mkdir()
    project.ok("run", "--", sys.executable, "-c", save, str(place / "model.safetensors"))
    project.ok("run", "--trace", "strace", "--", sys.executable, "-c", load, str(place))
    (material,) = project.segment()["materials"]
    assert material["path"] == "{data:hub}/model.safetensors"
    assert material["evidence"] == ["trace"]


def test_names_in_the_code_that_ran(project: Project, data: Path) -> None:
    _run(
        project,
        f"import os\nROOT = '{data}'\nread(os.path.join(ROOT, 'a.col'))\n"
        f'read(f"{{ROOT}}/part/c.col")\n'
        "unused = '/no/such/place.col'\n",
    )
    # Where the code names files below a directory, its other files are not taken for read.
    assert _read(project) == {
        "{data:table}/a.col": ["code"],
        "{data:table}/part/c.col": ["code"],
    }
    _run(project, f"import os\n[read('{data}/' + n) for n in ('b.c' + 'ol',)]\n")
    assert set(_read(project)) == {
        f"{{data:table}}/{name}" for name in ("a.col", "b.col", "part/c.col")
    }


def test_a_named_directory_adds_nothing_to_what_python_was_seen_reading(
    project: Project, data: Path
) -> None:
    """Also where the code uses a native reader; and without one a name alone is no evidence."""
    script = f"import os\nDATA = '{data}'\n[open(os.path.join(DATA, n + 'ol')) for n in ('a.c',)]\n"
    for native in (True, False):
        project.write("native.py", (NATIVE if native else "") + script)
        project.ok("run", "--", "python", "-W", "ignore", "native.py")
        assert _read(project) == {"{data:table}/a.col": ["python-open"]}


def test_a_named_directory_that_is_as_wide_as_the_home_is_no_data(
    project: Project, data: Path
) -> None:
    home = Path(project.environment["HOME"])
    for place in (home, home.parent, Path("/"), project.root):
        (place / "unrelated.col").write_text("1") if place == home else None
        done = _run(project, f"import os\nPLACE = '{place}'\nread('{data}' + '/a.col')\n")
        assert done == ""
        assert _read(project) == {"{data:table}/a.col": ["code"]}, place


def test_names_in_the_cells_of_a_notebook(project: Project, data: Path) -> None:
    """Jupyter's kernel gets the code over a socket: no Python file holds it."""
    cell = f'import os\nread(os.path.join("{data}", "a.col"))'
    cells = [
        {"cell_type": "markdown", "source": f'"{data}/b.col" is not read'},
        {"cell_type": "code", "source": cell.splitlines(keepends=True)},
        {"cell_type": "code", "source": f'read("{data}/part/c.col")'},
    ]
    project.write("train.ipynb", json.dumps({"cells": cells, "nbformat": 4}))
    _run(
        project,
        "import json\n"
        "for cell in json.load(open('train.ipynb'))['cells']:\n"
        "    if cell['cell_type'] == 'code': exec(''.join(cell['source']))\n",
    )
    assert _read(project) == {
        "{data:table}/a.col": ["code"],
        "{data:table}/part/c.col": ["code"],
    }
    project.write("train.ipynb", "no notebook")
    assert (
        "repropack: recorded"
        in project.repropack(
            "run", "--", "python", "-c", "import ctypes; open('train.ipynb').read()"
        ).stderr
    )


def test_addresses_patterns_and_variables_in_the_code(project: Project, data: Path) -> None:
    _run(project, f"SQL = \"SELECT * FROM '{data}/b*.col'\"\nread('{data}' + '/b.col')\n")
    assert _read(project) == {"{data:table}/b.col": ["code"]}
    _run(project, f"uri = 'file://{data}/part/c.col?format=libsvm#cache'\n")
    assert _read(project) == {"{data:part}/c.col": ["code"]}
    project.environment["TABLE_FILE"] = str(data / "b.col")
    _run(project, "import os\nread(os.environ['TABLE_FILE'])\n")
    assert _read(project) == {"{data:table}/b.col": ["code"]}


def test_code_without_a_native_reader_is_not_searched(project: Project, data: Path) -> None:
    project.write("plain.py", f"default = '{data}/a.col'\n")
    project.ok("run", "--", "python", "plain.py")
    assert _read(project) == {}


def test_a_native_reader_of_which_nothing_is_known_is_said(project: Project, data: Path) -> None:
    script = (
        "cv2 = type('cv2', (), {'imread': staticmethod(read)})\n"
        f"cv2.imread(bytes.fromhex('{str(data / 'a.col').encode().hex()}').decode())\n"
    )
    project.write("native.py", NATIVE + script)
    said = project.repropack("run", "--", "python", "native.py").stderr
    assert "the code reads files by ctypes, below Python" in said
    assert _read(project) == {}


@pytest.mark.parametrize("told", ["argument", "declared", "code"])
def test_pictures_that_a_list_names(project: Project, tmp_path: Path, told: str) -> None:
    """The list is read by Python, and the pictures beside it, in a folder, are not."""
    place = tmp_path / "sets" / "pictures"
    (place / "images").mkdir(parents=True)
    (place / "labels.csv").write_text("1\n2\n")
    (place / "other.csv").write_text("3\n")
    for number in (1, 2):
        (place / f"images/{number}.img").write_text(f"picture {number}")
    script = (
        "import os\n"
        "cv2 = type('cv2', (), {'imread': staticmethod(read)})\n"
        f"root = sys.argv[1] if len(sys.argv) > 1 else {str(place)!r}\n"
        "for line in open(os.path.join(root, 'labels.csv')):\n"
        "    cv2.imread(os.path.join(root, 'images', line.strip() + '.img'))\n"
    )
    project.write("native.py", NATIVE + script)
    options = ("--data", f"set={place}") if told == "declared" else ()
    arguments = (str(place),) if told == "argument" else ()
    done = project.repropack("run", *options, "--", "python", "native.py", *arguments)
    assert done.returncode == 0
    read = {path.partition("}/")[2]: evidence for path, evidence in _read(project).items()}
    assert read.pop("labels.csv") == ["python-open"]
    # Of those beside a file that was seen, Python has passed over the others.
    pictures = {"images/1.img": [told], "images/2.img": [told]} if told != "code" else {}
    assert read == pictures
    assert ("nothing names them" in done.stderr) is (told == "code")


def test_a_file_that_the_command_line_names_is_known(project: Project, data: Path) -> None:
    script = "cv2 = type('cv2', (), {'imread': staticmethod(read)})\ncv2.imread(sys.argv[1])\n"
    project.write("native.py", NATIVE + script)
    said = project.repropack("run", "--", "python", "native.py", str(data / "a.col")).stderr
    assert _read(project) == {"{data:table}/a.col": ["argument"]}
    assert "nothing names them" not in said
