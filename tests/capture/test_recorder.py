# SPDX-License-Identifier: Apache-2.0
"""Recording in the places and with the commands that people have."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from repropack.agent.log import read_agent_logs
from repropack.capture.hashing import hash_path
from tests.project import Project

RESUME = (
    "import os; n = int(open('ckpt').read()) if os.path.exists('ckpt') else 0; "
    "open('ckpt', 'w').write(str(n + 1))"
)


def test_a_long_chain_of_runs_within_seconds_is_exported_in_its_order(project: Project) -> None:
    project.write(".gitignore", "ckpt\n")
    project.ok("key", "new")
    for name in "abcd":
        project.ok("run", "--name", name, "--", "python", "-c", RESUME)
    ids = [project.show(name)["run"]["id"] for name in "abcd"]
    plan = json.loads(project.ok("export", "--run", "d", "--json", "-o", "d.rpk"))
    assert plan["runs"] == ids
    (project.root / ".repropack" / "runs" / ids[1] / "run.json").unlink()
    refused = project.repropack("export", "--run", "d", "--yes")
    assert refused.returncode == 2
    assert ids[1] in refused.stderr


def test_a_project_reached_through_a_link_is_the_project(project: Project, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project.root)
    (project.root / "lab").mkdir()
    done = project.repropack(
        *("run", "--", "python", f"{link}/train.py", f"-I{link}/lab"),
        cwd=link / "lab",
        variables={"PWD": f"{link}/lab"},
    )
    assert "outside the project" not in done.stderr
    invocation = project.segment()["invocation"]
    assert invocation["argv"] == ["python", "{project}/train.py", "-I{project}/lab"]
    assert str(tmp_path) not in json.dumps(project.show())


def test_data_behind_a_link_in_the_project_is_recorded(project: Project, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt" / "a.txt").write_text("1 2 3\n")
    (project.root / "data").symlink_to(tmp_path / "mnt")
    project.ok("run", "--", "python", "-c", "open('data/a.txt').read()")
    (material,) = project.segment()["materials"]
    assert material["path"] == "{project}/data/a.txt"
    assert material["size"] == 6


def test_a_home_inside_the_project_is_part_of_it(project: Project) -> None:
    home = project.root / "home"
    home.mkdir()
    script = "import os; open(os.path.expanduser('~/w.bin'), 'w').write('1')"
    for place in (home, project.root):
        project.ok("run", "--", "python", "-c", script, variables={"HOME": str(place)})
        (product,) = project.segment()["products"]
        assert product["path"] == "{project}/" + str((place / "w.bin").relative_to(project.root))


def test_what_is_written_outside_the_project_is_said(project: Project, tmp_path: Path) -> None:
    data = tmp_path / "set" / "numbers.txt"
    data.parent.mkdir()
    data.write_text("1\n")
    done = project.repropack("run", "--", "sh", "-c", f"cat {data} > t; cat t >> {data}")
    assert "written outside the project, so not kept" in done.stderr
    assert "what these files held when they were read is not known" in done.stderr
    (material,) = project.segment()["materials"]
    assert material["sha256"] is None
    assert str(tmp_path) not in json.dumps(project.segment()["gaps"])


def test_every_kind_of_change_of_code_that_is_long_there_is_named(project: Project) -> None:
    names = ["content.py", "gone.py", "link.py", "mode.py", "moved.py", "same_size_and_time.py"]
    for name in (*names, "untouched.py"):
        project.write(name, "x = 1\n")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "more")
    # From then on two scans alone can tell that nothing has changed.
    time.sleep(2.1)
    project.ok("run", "--", "python", "-c", "pass")
    assert "changed_during_run" not in project.segment()["source"]
    project.ok(
        *("run", "--trace", "python", "--", "sh", "-c"),
        "printf 'x = 2' > content.py; rm gone.py; ln -sf untouched.py link.py; chmod +x mode.py; "
        "printf 'x = 3\\n' > new; mv new moved.py; touch -r same_size_and_time.py stamp; "
        "printf 'x = 4\\n' > same_size_and_time.py; touch -r stamp same_size_and_time.py; rm stamp",
    )
    assert project.segment()["source"]["changed_during_run"] == names
    # The warning names the first few.
    said = project.ok("show")
    assert all(f"{name} (while the run went on)" in said for name in names)


def test_a_signal_without_a_name_is_recorded(project: Project) -> None:
    project.repropack("run", "--", "sh", "-c", "kill -40 $$")
    assert project.segment()["outcome"] == {"signal": "SIG40"}


def test_a_recorder_that_was_killed_leaves_a_store_that_works(project: Project) -> None:
    recorder = subprocess.Popen(
        [sys.executable, "-m", "repropack", "run", "--", "sh", "-c", "echo up; exec sleep 60"],
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert recorder.stdout is not None
    assert recorder.stdout.readline() == "up\n"
    recorder.kill()
    recorder.wait()
    recorder.stdout.close()
    assert "no end" in project.ok("list")
    assert "has no record" in project.repropack("show", "last").stderr
    project.ok("run", "--", "python", "-c", "pass")
    assert project.ok("list").splitlines()[-1].split()[3] == "ok"


def test_damage_to_one_run_hides_no_other(project: Project) -> None:
    project.ok("run", "--name", "sound", "--", "python", "train.py")
    project.ok("run", "--name", "broken", "--", "python", "train.py")
    broken = project.show("broken")["run"]["id"]
    (project.root / ".repropack" / "runs" / broken / "run.json").write_text("{")
    listed = project.repropack("list")
    assert listed.returncode == 0
    assert "damaged" in listed.stdout
    assert "run.json" in listed.stderr
    project.ok("show", "sound")
    refused = project.repropack("show", "broken")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_a_release_in_the_project_is_no_code_of_the_next_run(project: Project) -> None:
    project.write("last.rpk", "a bundle")
    project.ok("run", "--", "python", "-c", "pass")
    source = project.segment()["source"]
    assert source["dirty"] is False
    assert [(e["path"], e["reason"]) for e in source["excluded"]] == [("last.rpk", "a release")]


def test_a_number_that_is_not_finite_is_said_and_not_claimed(project: Project) -> None:
    project.ok("key", "new")
    script = "import json; json.dump({'acc': 0.5, 'auc': float('nan')}, open('m.json', 'w'))"
    project.ok("run", "--", "python", "-c", script)
    told = project.ok("export", "--yes", "-o", "x.rpk")
    assert "auc is NaN and is not claimed" in told
    assert "acc = 0.5" in told


def _gaps(project: Project) -> str:
    return "\n".join(gap["message"] for gap in project.segment()["gaps"])


def test_a_shell_pipeline_with_python_in_it_is_linked_to_the_training(project: Project) -> None:
    project.write("eval.sh", "python3 -c 'print(1)'\nawk 'END {print NR}' out/model.bin\n")
    project.ok("run", "--name", "train", "--", "python", "train.py")
    assert "gaps" not in project.segment()
    train = project.show("train")["run"]["id"]
    called = "import subprocess; subprocess.run(['awk', 'END {print NR}', 'out/model.bin'])"
    for command in (["sh", "eval.sh"], ["env", "python", "-c", called]):
        project.ok("run", "--trace", "python", "--", *command)
        (material,) = project.segment()["materials"]
        assert material["origin"] == {"path": "{project}/out/model.bin", "run": train}
        assert material["evidence"] == ["present"]
        assert "observed" in _gaps(project) or "no Python program" in _gaps(project)
    assert "awk" in _gaps(project)


def test_data_that_nobody_was_seen_reading(project: Project, tmp_path: Path) -> None:
    (tmp_path / "set" / "deep").mkdir(parents=True)
    (tmp_path / "set" / "deep" / "a.txt").write_text("1\n")
    (tmp_path / "set" / "m.py").write_text("2\n")
    project.write("out/cache.bin", "3")
    project.write("out/.secret", "4")
    place = str(tmp_path / "set")
    for options, command, name in (
        (["--data", f"mine={place}"], ["sh", "-c", "cat $0/deep/a.txt", place], "mine"),
        ([], ["sh", "-c", "cat $0/deep/a.txt", place], ""),
        (["--data", f"mine={place}"], ["python", "-c", "pass"], "mine"),
    ):
        project.ok("run", "--trace", "python", *options, "--", *command)
        found = {m["path"]: m["evidence"] for m in project.segment()["materials"]}
        outside = {path: e for path, e in found.items() if path.startswith("{data:" + name)}
        assert list(outside.values()) == [["declared"]] * 2
        assert all(path.endswith(("/a.txt", "/m.py")) for path in outside)
        inside = {path: e for path, e in found.items() if path not in outside}
        unseen = command[0] == "sh"
        assert inside == ({"{project}/out/cache.bin": ["present"]} if unseen else {})


def test_outputs_behind_a_link_are_said(project: Project, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "old.bin").write_text("1")
    (project.root / "out").symlink_to(tmp_path / "scratch")
    project.ok("run", "--", "python", "train.py")
    assert "not kept: {project}/out/model.bin" in _gaps(project)
    command = ("sh", "-c", "cat out/old.bin > out/new.bin")
    project.ok("run", "--trace", "python", "--", *command)
    assert "not kept: {project}/out/new.bin" in _gaps(project)
    found = {m["path"] for m in project.segment()["materials"]}
    assert found == {"{project}/out/model.bin", "{project}/out/old.bin"}
    project.ok("run", "--", *command)
    assert "not kept: {project}/out/new.bin" in _gaps(project)
    found = {m["path"] for m in project.segment()["materials"]}
    assert found == {"{project}/out/old.bin"}


def test_a_mistyped_command_leaves_no_run(project: Project) -> None:
    assert project.repropack("run", "--", "no-such-program").returncode == 127
    assert list((project.root / ".repropack" / "runs").iterdir()) == []


def test_output_that_is_redirected_into_the_project_is_no_code(project: Project) -> None:
    for name in ("train.log", "train.py.log"):
        with (project.root / name).open("w") as log:
            subprocess.run(
                [sys.executable, "-m", "repropack", "run", "--", "python", "train.py"],
                cwd=project.root,
                env=project.environment,
                stdout=log,
                check=True,
            )
        segment = project.segment()
        assert not {"changed_during_run", "untracked"} & segment["source"].keys()
        assert "gaps" not in segment


def test_a_file_that_is_replaced_with_its_time_kept(project: Project, tmp_path: Path) -> None:
    data = tmp_path / "set" / "a.txt"
    data.parent.mkdir()
    data.write_text("1\n")
    script = (
        "import os, shutil, sys; p = sys.argv[1]; open(p).read(); shutil.copy2(p, 'copy'); "
        "open('copy', 'a').write('2'); shutil.copystat(p, 'copy'); os.replace('copy', p)"
    )
    project.ok("run", "--", "python", "-c", script, str(data))
    (material,) = project.segment()["materials"]
    assert material["sha256"] == hashlib.sha256(b"1\n").hexdigest()
    assert "is not known" not in _gaps(project)
    # Nobody hashes for a program that is not Python.
    script = "cat $0 > copy; echo 2 >> copy; touch -r $0 copy; mv copy $0"
    project.ok("run", "--", "sh", "-c", script, str(data))
    (material,) = project.segment()["materials"]
    assert material["sha256"] is None
    assert "is not known" in _gaps(project)


def test_temporary_files_of_the_run_itself_are_nothing(project: Project, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    script = (
        "import os, tempfile; f, name = tempfile.mkstemp(); os.write(f, b'1'); open(name).read(); "
        "g = tempfile.NamedTemporaryFile('w+'); g.write('x'); g.flush(); open(g.name).read()"
    )
    variables = {"TMPDIR": str(tmp_path / "temporary")}
    project.ok("run", "--", "python", "-c", script, variables=variables)
    assert not {"materials", "gaps"} & project.segment().keys()


def test_an_interruption_while_outputs_are_kept_loses_no_record(project: Project) -> None:
    script = "for i in range(40): open(f'{i:02}.bin', 'w').truncate(32 << 20)"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        recorder = subprocess.Popen(
            [sys.executable, "-m", "repropack", "run", "--", "python", "-c", script],
            cwd=project.root,
            env=project.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        objects = project.root / ".repropack" / "objects"
        while recorder.poll() is None and not any(objects.glob(".*.partial")):
            time.sleep(0.001)
        recorder.send_signal(number)
        _, told = recorder.communicate()
        assert recorder.returncode == 0
        assert "recorded run" in told
        assert "interrupted, so these outputs are not recorded" in _gaps(project)
        assert project.segment()["outcome"] == {"status": 0}


def test_an_argument_that_is_only_written_is_no_input(project: Project) -> None:
    project.write(".gitignore", "*.bin\n")
    script = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    for _ in range(2):
        project.ok("run", "--", "python", "-c", script, "model.bin", "1")
    assert "materials" not in project.segment()
    project.ok("run", "--", "sh", "-c", 'echo 2 > "$1"', "sh", "model.bin")
    assert "materials" not in project.segment()
    script = "import sys; n = open(sys.argv[1]).read(); open(sys.argv[1], 'w').write(n + '1')"
    project.ok("run", "--", "python", "-c", script, "model.bin")
    (material,) = project.segment()["materials"]
    assert material["evidence"] == ["argument", "python-open"]


@pytest.mark.parametrize("seen", [True, False])
def test_two_runs_at_once_are_told_apart_where_python_wrote(project: Project, seen: bool) -> None:
    project.write(".gitignore", "*.bin\n")
    waiting = "open('outer.bin', 'w').write('1'); print('up', flush=True); input()"
    outer = subprocess.Popen(
        [
            *(sys.executable, "-m", "repropack", "run", "--name", "outer", "--"),
            *("python", "-c", waiting),
        ],
        cwd=project.root,
        env=project.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert outer.stdout is not None
    assert outer.stdout.readline() == "up\n"
    script = "open('inner.bin', 'w').write('2')"
    if not seen:
        script = "import os; os.system('echo 2 > inner.bin')"
    project.ok("run", "--name", "inner", "--", "python", "-c", script)
    outer.communicate("\n")
    assert outer.returncode == 0
    inner = project.show("inner")["run"]["id"]
    segments = {name: project.segment(name) for name in ("inner", "outer")}
    products = {n: [p["path"] for p in s["products"]] for n, s in segments.items()}
    said = json.dumps(segments["outer"].get("gaps", []))
    assert products["inner"] == ["{project}/inner.bin"]
    assert products["outer"] == ["{project}/inner.bin"] * (not seen) + ["{project}/outer.bin"]
    # What nobody was seen writing may be of either, and only then is that worth a word.
    assert ("went on at the same time" in said) == (not seen)
    assert seen or inner in said


def test_a_checkpoint_that_no_run_made_is_recorded_as_it_was_when_it_was_read(
    project: Project, tmp_path: Path
) -> None:
    project.write(".gitignore", "*.pt\n")
    outside = tmp_path / "pool" / "shared.pt"
    outside.parent.mkdir()
    for replace in (
        "open(p, 'w').write('new')",
        "open(p + '.tmp', 'w').write('new'); os.replace(p + '.tmp', p)",
        "os.remove(p); open(p, 'w').write('new')",
        "os.replace(p, p + '.old'); open(p, 'w').write('new')",
        "os.truncate(p, 0)",
        "f = open(p, 'r+'); f.read(); f.seek(0); f.truncate(); f.write('new')",
        "os.remove(p)",
    ):
        old = project.write("in.pt", f"downloaded {replace}").read_bytes()
        outside.write_bytes(old)
        script = (
            f"import os\nfor p in ('in.pt', {str(outside)!r}):\n    open(p).read(); {replace}\n"
        )
        project.ok("run", "--", "python", "-c", script)
        materials = project.segment()["materials"]
        assert [m["path"] for m in materials] == ["{data:pool}/shared.pt", "{project}/in.pt"]
        for material in materials:
            assert material["sha256"] == hashlib.sha256(old).hexdigest()
            assert material["size"] == len(old)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("kind", ["link", "directory"])
def test_a_file_that_is_exchanged_while_the_run_goes_on_is_not_taken_for_the_one_that_was_read(
    project: Project, tmp_path: Path, kind: str, inside: bool
) -> None:
    project.write(".gitignore", "pool\n")
    pool = (project.root if inside else tmp_path) / "pool"
    for version in ("one", "two"):
        (pool / version).mkdir(parents=True)
        (pool / version / "x.txt").write_text(version)
    if kind == "link":
        (pool / "now").symlink_to("one")
        exchange = "os.symlink('two', 'next'); os.rename('next', 'now')"
    else:
        (pool / "one").rename(pool / "now")
        exchange = "os.rename('now', 'old'); os.rename('two', 'now')"
    script = f"import os\nos.chdir({str(pool)!r})\nopen('now/x.txt').read(); {exchange}\n"
    done = project.repropack("run", "--", "python", "-c", script)
    assert done.returncode == 0
    (material,) = project.segment()["materials"]
    known = material["sha256"]
    # In the project the scans may tell that the file was moved, and is still there.
    assert (known is None and "exchanged" in done.stderr) or (
        inside and known == hashlib.sha256(b"one").hexdigest()
    )


def test_a_training_that_is_killed_keeps_its_code_and_its_packages(project: Project) -> None:
    project.write(".gitignore", "settings.py\n__pycache__\n")
    project.write("settings.py", "RATE = 0.1\n")
    script = "import os, settings, msgspec; os.kill(os.getpid(), 15)"
    for cached in (False, True):
        # Bytecode that is there hides the source from whoever looks at opened files.
        assert (project.root / "__pycache__").exists() is cached
        done = project.repropack("run", "--", sys.executable, "-c", script)
        assert done.returncode in (143, -15)
        segment = project.segment()
        assert [root["root"] for root in segment["roots"]] == ["{project}"]
        assert "was killed" in done.stderr
        store = project.root / ".repropack"
        (document,) = store.glob(f"objects/**/*{segment['environment'][2:]}")
        environment = json.loads(document.read_bytes())
        imported = {d["name"] for d in environment["distributions"] if d.get("imported")}
        assert "msgspec" in imported
        assert "pytest" not in imported


def test_a_file_that_is_written_while_it_is_hashed_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(64 << 20))
    stop = threading.Event()

    def write() -> None:
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                file.seek(0)
                file.write(os.urandom(8))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(OSError, match="written while it was read"):
            hash_path(path)
    finally:
        stop.set()
        writer.join()
    assert hash_path(path).size == 64 << 20


NATIVE = """\
import ctypes
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
def write(path, text):  # As torch.save does: no hook of Python sees it.
    file = ctypes.c_void_p(libc.fopen(path.encode(), b"w"))
    libc.fputs(text.encode(), file)
    libc.fclose(file)
"""


def test_what_native_code_wrote_and_python_read_back_is_no_output_of_an_earlier_run(
    project: Project,
) -> None:
    project.write(".gitignore", "*.pt\n")
    for text in ("first", "second"):
        script = f"{NATIVE}write('best.pt', {text!r}); assert open('best.pt').read() == {text!r}"
        project.ok("run", "--", "python", "-c", script)
        segment = project.segment()
        assert segment.get("materials", []) == []
        assert [product["path"] for product in segment["products"]] == ["{project}/best.pt"]
    # Read, overwritten, and read again: that is lineage.
    script = f"{NATIVE}open('best.pt').read(); write('best.pt', 'x'); open('best.pt').read()"
    project.ok("run", "--", "python", "-c", script)
    (material,) = project.segment()["materials"]
    assert material["sha256"] == hashlib.sha256(b"second").hexdigest()
    assert material["origin"]["run"] != project.show()["run"]["id"]


@pytest.mark.parametrize("shell", [False, True])
def test_what_one_process_reads_and_another_replaces_is_recorded_as_it_was(
    project: Project, tmp_path: Path, shell: bool
) -> None:
    project.write(".gitignore", "*.pt\n")
    project.write("score.py", "import sys\nfor p in sys.argv[1:]: open(p).read()\n")
    outside = tmp_path / "pool" / "shared.pt"
    outside.parent.mkdir()
    for replace in (
        "open(p, 'w').write('new')",
        "open(p + '.tmp', 'w').write('new'); os.replace(p + '.tmp', p)",
        "os.remove(p); open(p, 'w').write('new')",
        "os.replace(p, p + '.old'); open(p, 'w').write('new')",
        "os.truncate(p, 0)",
        "os.remove(p)",
    ):
        old = project.write("in.pt", f"downloaded {replace}").read_bytes()
        outside.write_bytes(old)
        project.write("learn.py", f"import os, sys\nfor p in sys.argv[1:]:\n    {replace}\n")
        project.write(
            "go.sh", 'python score.py "$@"; python learn.py "$@"; python score.py in.pt\n'
        )
        project.write(
            "go.py",
            "import subprocess, sys\n"
            "for name in ('score.py', 'learn.py', 'learn.py'):\n"
            "    subprocess.run([sys.executable, name, *sys.argv[1:]], stderr=-3)\n",
        )
        command = ["sh", "go.sh"] if shell else ["python", "go.py"]
        project.repropack("run", "--", *command, "in.pt", str(outside))
        materials = project.segment()["materials"]
        assert [m["path"] for m in materials] == ["{data:pool}/shared.pt", "{project}/in.pt"]
        for material in materials:
            assert material.get("sha256") == hashlib.sha256(old).hexdigest(), replace
            assert material["size"] == len(old)


def test_what_no_process_reads_and_one_replaces_is_no_input(
    project: Project, tmp_path: Path
) -> None:
    project.write(".gitignore", "*.pt\n")
    outside = tmp_path / "pool" / "shared.pt"
    outside.parent.mkdir()
    outside.write_text("of before")
    project.write("model.pt", "of before")
    script = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', '']); "
        f"[open(p, 'w').write('new') for p in ('model.pt', {str(outside)!r})]"
    )
    project.ok("run", "--", "python", "-W", "ignore", "-c", script)
    assert "materials" not in project.segment()


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_what_a_traced_process_replaces_without_reading_it_is_no_input(project: Project) -> None:
    project.write(".gitignore", "*.json\n")
    project.write("out.json", "of before")
    project.write("make.py", "open('out.json', 'w').write('new')\n")
    project.write("show.py", "print(open('out.json').read())\n")
    project.ok("run", "--", "sh", "-c", "python make.py && python show.py")
    assert "materials" not in project.segment()


def test_what_only_one_process_could_have_read_costs_no_hashing(project: Project) -> None:
    project.write(".gitignore", "*.pt\n")
    project.write("model.pt", "of before")
    project.ok("run", "--", "python", "-c", "open('model.pt', 'w').write('new')")
    (agent,) = (project.root / ".repropack/runs").glob("*/agent")
    assert not any(process.replaced for process in read_agent_logs(agent))


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_what_a_shell_reads_and_python_replaces_is_recorded_as_it_was(project: Project) -> None:
    old = project.write("in.csv", "of before").read_bytes()
    project.write(".gitignore", "*.csv\n")
    project.write("clean.py", "open('in.csv', 'w').write('new')\n")
    project.ok("run", "--", "sh", "-c", "cat in.csv > count.csv; python clean.py")
    (material,) = project.segment()["materials"]
    assert material["evidence"] == ["trace"]
    assert material["sha256"] == hashlib.sha256(old).hexdigest()


def test_hashing_for_another_process_has_a_limit(project: Project) -> None:
    project.write(".gitignore", "*.pt\n")
    sizes = {"a.pt": 200 << 20, "b.pt": 100 << 20, "c.pt": 3}
    for name, size in sizes.items():
        os.truncate(project.write(name, ""), size)
    script = (
        "import os, subprocess, sys; names = ('a.pt', 'b.pt', 'c.pt'); "
        "r = 'import sys; [open(n) for n in sys.argv[1:]]'; "
        "subprocess.run([sys.executable, '-c', r, *names]); [os.remove(n) for n in names]"
    )
    done = project.repropack("run", "--", "python", "-W", "ignore", "-c", script)
    assert done.returncode == 0
    known = {m["path"]: m["sha256"] is not None for m in project.segment()["materials"]}
    assert known == {"{project}/a.pt": True, "{project}/b.pt": False, "{project}/c.pt": True}
    (told,) = (line for line in done.stderr.splitlines() if "is not known" in line)
    assert "b.pt" in told
    assert "c.pt" not in told


def test_what_another_run_writes_meanwhile_is_an_input_of_the_run_that_reads_it(
    project: Project,
) -> None:
    project.write(".gitignore", "*.pt\n")
    project.write("old.pt", "epoch 1")
    inner = "for n in ('new.pt', 'old.pt'): open(n, 'w').write('epoch 2')"
    outer = (
        "import os, subprocess, sys; "
        f"command = [sys.executable, '-m', 'repropack', 'run', '--', 'python', '-c', {inner!r}];"
        "environment = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'};"
        "subprocess.run(command, check=True, env=environment);"
        "[open(n).read() for n in ('new.pt', 'old.pt')]"
    )
    project.ok("run", "--name", "outer", "--", sys.executable, "-c", outer)
    materials = project.segment("outer")["materials"]
    assert {m["path"]: m["sha256"] for m in materials} == dict.fromkeys(
        ("{project}/new.pt", "{project}/old.pt"), hashlib.sha256(b"epoch 2").hexdigest()
    )
    assert all("origin" in m for m in materials)


def test_a_library_that_asks_the_loader_for_its_files_leaves_no_gap(project: Project) -> None:
    project.write(".gitignore", "*.dat\n")
    project.write("unread.dat", "1")
    script = (
        "import subprocess, sys; subprocess.run(['/sbin/ldconfig', '-p'], env={'LC_ALL': 'C'}, "
        "stdout=subprocess.DEVNULL)"
    )
    project.ok("run", "--", "python", "-c", script)
    segment = project.segment()
    assert segment.get("gaps", []) == []
    assert segment.get("materials", []) == []


def test_a_python_without_an_agent_that_a_python_starts_is_said(
    project: Project, tmp_path: Path
) -> None:
    # Of old Pythons few machines have one: a program that is called like it stands for it.
    old = tmp_path / "old" / "bin" / "python3.6"
    old.parent.mkdir(parents=True)
    shutil.copy("/bin/true", old)
    script = f"import subprocess; subprocess.run([{str(old)!r}, 'x.py'], check=True)"
    done = project.repropack("run", "--", "python", "-c", script)
    assert "before Python 3.8 there is no agent" in done.stderr
    assert str(tmp_path) not in json.dumps(project.segment()["gaps"]).replace("{tmp}", "")


@pytest.mark.parametrize("options", [["-I"], ["-Wignore", "-uS"], ["-Wignore", "-E"]])
def test_a_python_that_loads_no_agent_is_traced(project: Project, options: list[str]) -> None:
    project.write(".gitignore", "*.dat\n")
    project.write("a.dat", "1")
    project.write("unread.dat", "1")
    project.write("read.py", "import sys; print(open('a.dat').read(), file=sys.stderr)")
    project.ok("run", "--", "python", *options, "read.py")
    (material,) = project.segment()["materials"]
    assert (material["path"], material["evidence"]) == ("{project}/a.dat", ["trace"])


def test_a_launcher_that_waits_for_the_python_that_it_starts_leaves_no_gap(
    project: Project,
) -> None:
    project.ok("run", "--", "timeout", "60", "python", "-c", "pass")
    assert project.segment().get("gaps", []) == []


def test_a_tree_that_the_repository_has_already_is_known_file_by_file(project: Project) -> None:
    project.write("lib.py", "a = 1\n")
    project.git("add", "lib.py")
    project.git("commit", "-qm", "one")
    project.write("lib.py", "a = 2\n")
    project.git("commit", "-qam", "two")
    # As `git stash apply` and `git checkout HEAD~1 -- .` leave it.
    project.write("lib.py", "a = 1\n")
    done = project.repropack("run", "--", "python", "-c", "import lib")
    segment = project.segment()
    assert segment["source"]["uncommitted"] == ["lib.py"]
    assert "roots" not in segment
    assert segment.get("gaps", []) == []
    assert "ignored by git" not in done.stderr


@pytest.mark.parametrize("where", ["home", "above"])
def test_the_home_is_no_project(project: Project, tmp_path: Path, where: str) -> None:
    home = tmp_path / "people" / "zoe"
    home.mkdir(parents=True)
    variables = {"HOME": str(home)}
    place = home if where == "home" else home.parent
    script = "open('out.txt', 'w').write('1'); print('ran')"
    done = project.repropack("run", "--", "python", "-c", script, cwd=place, variables=variables)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "is not recorded" in done.stderr
    assert "is not a project" in done.stderr
    assert not (place / ".repropack").exists()


def test_what_cannot_be_kept_for_one_reason_is_said_once(project: Project) -> None:
    script = "for n in range(50): open(f'{n}.bin', 'w').write('1' * 2000)"
    done = project.repropack("run", "--keep-file", "1K", "--", "python", "-c", script)
    (gap,) = project.segment()["gaps"]
    assert "47 more: each is larger than 1" in gap["message"]
    assert done.stderr.count("larger than") == 1
    assert len(project.segment()["products"]) == 50


def test_what_chooses_the_version_of_python_is_neither_data_nor_an_unseen_python(
    project: Project, tmp_path: Path
) -> None:
    shim = tmp_path / "zoe" / ".pyenv" / "shims" / "python3"
    shim.parent.mkdir(parents=True)
    (shim.parent.parent / "version").write_text("3\n")
    shim.write_text(f"#!/bin/sh\nread v < {shim.parent.parent}/version\nexec {sys.executable} $@\n")
    shim.chmod(0o755)
    variables = {
        "HOME": str(tmp_path / "zoe"),
        "PATH": f"{shim.parent}:{project.environment['PATH']}",
    }
    project.write("run.sh", "python3 -c pass\ntrue\n")
    project.ok("run", "--", "sh", "run.sh", variables=variables)
    segment = project.segment()
    assert segment.get("materials", []) == []
    assert segment.get("gaps", []) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_what_a_shell_read_before_a_link_or_directory_was_exchanged_is_not_known(
    project: Project, tmp_path: Path
) -> None:
    pool = tmp_path / "pool"
    for version in ("one", "two", "three", "four", "five"):
        (pool / version).mkdir(parents=True)
        (pool / version / "x.txt").write_text(version)
    (pool / "link").symlink_to("one")
    (pool / "same").symlink_to("five")
    project.write(
        "steps.sh",
        f"cd {pool}\n"
        "cat link/x.txt three/x.txt same/x.txt > /dev/null\n"
        "ln -sfn two link; mv three old; mv four three\n",
    )
    done = project.repropack("run", "--", "sh", "steps.sh")
    materials = {m["path"]: m["sha256"] for m in project.segment()["materials"]}
    assert materials == {
        "{data:pool}/link/x.txt": None,
        "{data:pool}/three/x.txt": None,
        "{data:pool}/same/x.txt": hashlib.sha256(b"five").hexdigest(),
    }
    assert "exchanged" in done.stderr


def test_what_is_too_large_for_code_is_said_unless_it_is_recorded(project: Project) -> None:
    size = 10 * 1024 * 1024 + 1
    for name in ("read.bin", "other.bin", "made.bin"):
        project.write(name, "")
        os.truncate(project.root / name, size)
    code = "open('read.bin', 'rb').read(1); open('made.bin', 'w').write('x')"
    said = project.repropack("run", "--", "python", "-c", code).stderr
    (line,) = (line for line in said.splitlines() if "too large for code" in line)
    assert "not recorded: other.bin; track it, or have it ignored" in line
    project.write(".gitignore", "*.bin\n")
    assert "too large" not in project.repropack("run", "--", "python", "-c", code).stderr


def test_what_a_child_overwrites_without_reading_it_is_no_input(project: Project) -> None:
    """Its old content is hashed, for another process may have read it; that is no reading."""
    project.write(".gitignore", "model.bin\n")
    child = "open('model.bin', 'w').write('weights of this run')"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    for _ in range(2):
        project.ok("run", "--", "python", "-c", code)
        assert project.segment().get("materials", []) == []
