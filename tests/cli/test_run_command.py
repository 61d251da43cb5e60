# SPDX-License-Identifier: Apache-2.0
"""`repropack run`, `list`, `show`, `diff` as a user meets them."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project


def _fingerprint(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_a_dirty_work_tree_is_recorded_and_git_is_left_byte_identical(project: Project) -> None:
    project.write("staged.py", "x = 1\n")
    project.git("add", "staged.py")
    project.write("train.py", "print('loss: 0.5')\n")
    project.write("notes.txt", "untracked\n")
    project.git("status")
    before = _fingerprint(project.root / ".git")
    status = project.git("status", "--porcelain")
    project.ok("run", "--", "python", "train.py")
    assert _fingerprint(project.root / ".git") == before
    assert project.git("status", "--porcelain") == status
    source = project.segment()["source"]
    assert source["dirty"] is True
    assert set(source["uncommitted"]) == {"staged.py", "train.py"}
    assert source["untracked"] == ["notes.txt"]
    project.git("add", "-A")
    assert project.git("write-tree").strip() == source["tree"]


def test_output_status_and_the_last_line(project: Project) -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    done = project.repropack("run", "--", "python", "-c", script)
    assert done.returncode == 7
    assert done.stdout == "out\n"
    lines = done.stderr.splitlines()
    assert lines[0] == "err"
    run_id = lines[-1].split()[-1]
    assert lines[-1] == f"repropack: recorded run {run_id}"
    directory = project.root / ".repropack" / "runs" / run_id
    assert (directory / "stdout.log").read_text() == "out\n"
    assert (directory / "stderr.log").read_text() == "err\n"
    assert project.segment(run_id)["outcome"] == {"status": 7}
    assert "status 7" in project.ok("list")


def test_a_command_that_dies_by_a_signal_ends_us_by_the_same_signal(project: Project) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    done = project.repropack("run", "--", "python", "-c", script)
    assert done.returncode == -signal.SIGKILL
    assert project.segment()["outcome"] == {"signal": "SIGKILL"}


def test_outputs_are_kept_also_when_the_run_fails_after_saving(project: Project) -> None:
    script = "open('model.bin','w').write('weights'); raise SystemExit(3)"
    assert project.repropack("run", "--", "python", "-c", script).returncode == 3
    (product,) = project.segment()["products"]
    assert product["path"] == "{project}/model.bin"
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert product["sha256"] == sha256
    (project.root / "model.bin").write_text("overwritten by tomorrow's run")
    kept = project.root / ".repropack" / "objects" / sha256[:2] / sha256[2:]
    assert kept.read_bytes() == b"weights"


def test_outputs_of_any_language_are_found_and_inputs_of_children_too(
    project: Project, tmp_path: Path
) -> None:
    data = tmp_path / "elsewhere" / "corpus"
    data.mkdir(parents=True)
    (data / "a.txt").write_text("1 2 3\n")
    child = f"open({str(data / 'a.txt')!r}).read()"
    parent = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    project.ok("run", "--", "sh", "-c", 'python -c "$0" && echo made by sh > made.txt', parent)
    segment = project.segment()
    assert [p["path"] for p in segment["products"]] == ["{project}/made.txt"]
    (material,) = segment["materials"]
    assert material["path"] == "{data:corpus}/a.txt"
    assert material["sha256"] == hashlib.sha256(b"1 2 3\n").hexdigest()


def test_named_data_and_places_in_the_command_become_placeholders(
    project: Project, tmp_path: Path
) -> None:
    data = tmp_path / "numbers"
    data.mkdir()
    (data / "a.txt").write_text("1 2 3\n")
    project.ok("run", "--data", f"mine={data}", "--", "python", "train.py", f"--data={data}")
    segment = project.segment()
    assert segment["invocation"]["argv"] == ["python", "train.py", "--data={data:mine}"]
    assert [m["path"] for m in segment["materials"]] == ["{data:mine}/a.txt"]
    record = json.dumps(project.show())
    assert str(tmp_path) not in record


def test_lineage_is_found_by_digest_and_survives_being_overwritten(project: Project) -> None:
    resume = (
        "import os; n = int(open('ckpt').read()) if os.path.exists('ckpt') else 0; "
        "open('ckpt', 'w').write(str(n + 1)); print('steps:', n + 1)"
    )
    project.write(".gitignore", "ckpt\n")
    project.ok("run", "--name", "first", "--", "python", "-c", resume)
    project.ok("run", "--name", "second", "--", "python", "-c", resume)
    first = project.show("first")["run"]
    (material,) = project.segment("second")["materials"]
    assert material["origin"] == {"path": "{project}/ckpt", "run": first["id"]}
    assert material["sha256"] == hashlib.sha256(b"1").hexdigest()
    (product,) = project.segment("second")["products"]
    assert product["sha256"] == hashlib.sha256(b"2").hexdigest()


def test_metrics_come_from_json_csv_and_the_console(project: Project) -> None:
    script = (
        "import json\n"
        "json.dump({'test': {'f1': 0.5}, 'bad': float('nan')}, open('r.json', 'w'))\n"
        "open('log.csv', 'w').write('epoch,loss\\n1,0.9\\n2,0.25\\n')\n"
        "print('accuracy: 0.75')\n"
    )
    project.ok("run", "--", "python", "-c", script)
    metrics = {m["name"]: m for m in project.show()["metrics"]}
    assert metrics["test.f1"]["value"] == 0.5
    assert metrics["bad"]["value"] is None
    assert metrics["loss"]["value"] == 0.25
    assert (metrics["loss"]["series"]["first"], len(metrics["loss"]["series"]["values"])) == (1, 2)
    assert metrics["accuracy"]["source"]["path"] == "stdout"


def test_without_git_the_directory_is_the_code(bare_project: Project) -> None:
    bare_project.write("a.py", "print('x: 1.5')\n")
    bare_project.ok("run", "--", "python", "a.py")
    source = bare_project.segment()["source"]
    assert source["versioned"] is False
    assert not (bare_project.root / ".git").exists()


def test_a_subdirectory_of_a_larger_repository(project: Project) -> None:
    project.write("lab/go.py", "open('made', 'w').write('1')")
    project.ok("run", "--", "python", "go.py", cwd=project.root / "lab")
    segment = project.segment()
    assert segment["invocation"]["directory"] == "{project}/lab"
    assert [p["path"] for p in segment["products"]] == ["{project}/lab/made"]


def test_code_that_is_edited_during_the_run_is_named(project: Project) -> None:
    done = project.repropack("run", "--", "sh", "-c", "echo '# later' >> train.py")
    assert done.returncode == 0
    assert "code changed while the run went on" in done.stderr
    assert project.segment()["source"]["changed_during_run"] == ["train.py"]


def test_missing_and_forbidden_commands_have_the_statuses_of_a_shell(project: Project) -> None:
    done = project.repropack("run", "--", "no-such-program")
    assert done.returncode == 127
    assert done.stderr.count("\n") == 1
    project.write("plain.txt", "no program")
    assert project.repropack("run", "--", "./plain.txt").returncode == 126


def test_the_whole_system_is_no_project(project: Project) -> None:
    done = project.repropack("run", "--", "python", "-c", "print(1)", cwd=Path("/"))
    assert (done.returncode, done.stdout) == (0, "1\n")
    assert "this run is not recorded: / is not a project" in done.stderr
    assert "recorded run" not in done.stderr


def test_a_store_in_the_home_is_not_that_of_projects_below(
    bare_project: Project, tmp_path: Path
) -> None:
    home = bare_project.root.parent
    (home / ".repropack/runs").mkdir(parents=True)
    bare_project.ok("run", "--", "python", "-c", "pass", variables={"HOME": str(home)})
    assert len(list((bare_project.root / ".repropack/runs").iterdir())) == 1
    assert not list((home / ".repropack/runs").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop its rights")
@pytest.mark.root
def test_a_directory_that_cannot_be_written_never_stops_the_command(project: Project) -> None:
    # As an ordinary user, who may read the project and not write to it.
    place = project.root
    for path in (place.parent, *place.parent.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o055)
    readable = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", ""],
        check=False,
    )
    if readable.returncode != 0:
        pytest.skip("this interpreter lies where only root can read")
    done = subprocess.run(
        [
            *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
            *(sys.executable, "-m", "repropack", "run", "--", "sh", "-c", "echo worked; exit 5"),
        ],
        cwd=place,
        env={**project.environment, "GIT_CONFIG_COUNT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "worked\n"
    assert done.returncode == 5
    assert "not recorded" in done.stderr


def test_without_git_installed_the_command_runs_and_it_is_said(
    bare_project: Project, tmp_path: Path
) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    (only / "sh").symlink_to("/bin/sh")
    done = bare_project.repropack(
        "run", "--", "sh", "-c", "echo worked", variables={"PATH": str(only)}
    )
    assert done.returncode == 0
    assert done.stdout == "worked\n"
    assert "git was not found" in done.stderr
    bare_project.ok("key", "new")
    refused = bare_project.repropack("export", "--yes")
    assert refused.returncode == 2
    assert "without its code" in refused.stderr


def test_a_full_disk_is_a_warning(project: Project) -> None:
    (project.root / ".repropack").mkdir()
    (project.root / ".repropack" / "runs").symlink_to("/dev/full")
    done = project.repropack("run", "--", "sh", "-c", "echo worked")
    assert done.returncode == 0
    assert done.stdout == "worked\n"
    assert "not recorded" in done.stderr


def test_diff_says_what_differs(project: Project) -> None:
    project.ok("run", "--name", "a", "--", "python", "train.py", "--seed", "1")
    project.ok("run", "--name", "b", "--", "python", "train.py", "--seed", "2")
    done = project.repropack("diff", "a", "b")
    assert done.returncode == 1
    assert "command  python train.py --seed 1 → python train.py --seed 2" in done.stdout
    assert "wrote {project}/out/model.bin" in done.stdout
    same = project.repropack("diff", "a", "a")
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "nothing differs")


def test_of_a_data_set_diff_counts_the_files(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "numbers"
    place.mkdir()
    for number in range(12):
        (place / f"{number}.txt").write_text(f"{number} 1 2\n")
    project.ok("run", "--name", "a", "--", "python", "train.py", "--data", str(place))
    for number in range(10):
        (place / f"{number}.txt").unlink()
    (place / "11.txt").write_text("9 9 9\n")
    project.ok("run", "--name", "b", "--", "python", "train.py", "--data", str(place))
    text = project.repropack("diff", "a", "b").stdout
    assert "read numbers  10 removed, 1 changed of its files: repropack data diff " in text
    assert "read {data:numbers}" not in text


def test_wrong_usage_is_one_line_and_status_2(project: Project) -> None:
    for arguments, words in (
        (("show", "nothing"), "nothing has been recorded"),
        (("run", "--data", "x", "--", "true"), "expected NAME=DIR"),
        (("run",), "Missing argument"),
        (("frobnicate",), "No such command"),
        (("verify", "absent.rpk"), "no such file"),
        (("verify", "."), "is a directory"),
        (("verify", "train.py", "--expect", "sha256:12"), "64 hexadecimal digits"),
    ):
        done = project.repropack(*arguments)
        assert done.returncode == 2, arguments
        assert words in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stdout == ""


def test_help_names_every_command(project: Project) -> None:
    text = project.ok("--help")
    for name in ("run", "list", "show", "diff", "export", "verify", "inspect", "extract", "key"):
        assert f"  {name} " in text
        assert project.ok(name, "--help")
    assert project.ok("--version").startswith("repropack ")


def test_python_on_a_terminal_is_seen_like_python_elsewhere(project: Project) -> None:
    # There the command is no child of ours, but of the leader of its session.
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        program = [sys.executable, "-m", "repropack", "run", "--", "python", "train.py"]
        os.execve(sys.executable, program, project.environment)
    shown = b""
    try:
        while data := os.read(screen, 65536):
            shown += data
    except OSError:
        # EIO: nobody has the terminal open any more.
        pass
    os.close(screen)
    assert os.waitpid(pid, 0)[1] == 0
    assert b"rows: 50" in shown
    assert "gaps" not in project.segment(), shown


@pytest.mark.parametrize(
    ("end", "status"),
    [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", -signal.SIGKILL), ("sys.exit()", 0)],
)
def test_the_status_is_known_where_the_caller_ignores_the_ends_of_children(
    project: Project, end: str, status: int
) -> None:
    # SIGCHLD is ignored below some daemons. The kernel then keeps no exit status for us.
    caller = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    shows = f"import os, signal, sys; print(signal.getsignal(signal.SIGCHLD), flush=True); {end}"
    done = subprocess.run(
        [sys.executable, "-c", caller, "-m", "repropack", "run", "--", "python", "-c", shows],
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status
    assert done.stdout == f"{signal.SIG_IGN}\n"
    source = project.segment()["source"]
    assert source["versioned"] is True
    assert source["dirty"] is False


def test_a_command_in_the_c_locale_gets_the_variables_of_its_caller_alone(
    project: Project,
) -> None:
    # Python sets LC_CTYPE in itself there (PEP 538), and what it starts would inherit it.
    caller = {n: v for n, v in project.environment.items() if n not in ("LANG", "LC_ALL")}
    for given in ({}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"}):
        done = subprocess.run(
            [sys.executable, "-m", "repropack", "run", "--", "env"],
            cwd=project.root,
            env={**caller, **given},
            capture_output=True,
            text=True,
            check=True,
        )
        seen = [line for line in done.stdout.splitlines() if line.startswith("LC_CTYPE")]
        assert seen == [f"{name}={value}" for name, value in given.items()]


@pytest.mark.parametrize(
    "limit",
    [
        *(f"resource.RLIMIT_NOFILE, ({count}, {count})" for count in range(6, 24, 2)),
        # The stack of a thread is as large as this: no memory holds one.
        "resource.RLIMIT_STACK, (100 << 40, 100 << 40)",
    ],
)
def test_where_nothing_is_left_to_watch_the_command_it_runs_all_the_same(
    project: Project, limit: str
) -> None:
    caller = (
        f"import os, resource, sys; resource.setrlimit({limit});"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    for end, status in (("exit 7", 7), ("kill -KILL $$", -signal.SIGKILL)):
        done = subprocess.run(
            [
                *(sys.executable, "-c", caller, "-m", "repropack", "run", "--trace", "python"),
                *("--", "/bin/sh", "-c", f"echo out; {end}"),
            ],
            cwd=project.root,
            env=project.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.stdout, done.returncode) == ("out\n", status), done.stderr
        assert ("this run is not recorded" in done.stderr) != ("recorded run" in done.stderr)
        assert "defect" not in done.stderr


@pytest.mark.parametrize("mode", ["python", "auto"])
def test_what_goes_on_after_the_command_is_said(project: Project, mode: str) -> None:
    script = "(sleep 2; echo 0.5 > late.txt) & echo now"
    done = project.repropack("run", "--trace", mode, "--", "sh", "-c", script)
    assert "something that the command started still ran when it had ended" in done.stderr
    done = project.repropack("run", "--trace", mode, "--", "sh", "-c", "true & wait; echo now")
    assert "still ran" not in done.stderr


def test_what_came_by_standard_input_is_said_to_be_missing(project: Project) -> None:
    def told(script: str, given: str | None) -> str:
        if given is not None:
            (project.root / "given.txt").write_text(given)
        done = subprocess.run(
            ["sh", "-c", script.replace("RECORD", f"{sys.executable} -m repropack run --")],
            cwd=project.root,
            env=project.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stderr

    reads = "python -c 'print(input())'"
    assert "its file is recorded, and a repetition has none" in told(
        f"RECORD {reads} < given.txt", "5"
    )
    piped = told(f"cat given.txt | {{ sleep 1; RECORD {reads}; }}", "5")
    assert "what came is not kept, and a repetition has none" in piped
    for unread in ("RECORD true < given.txt", "cat given.txt | { sleep 1; RECORD true; }"):
        assert "standard input" not in told(unread, "5")


def test_a_log_that_the_shell_makes_is_not_said_to_be_of_an_earlier_run(project: Project) -> None:
    with (project.root / "train.log").open("wb") as log:
        subprocess.run(
            [sys.executable, "-m", "repropack", "run", "--", "python", "train.py"],
            cwd=project.root,
            env=project.environment,
            stdout=log,
            check=True,
        )
    assert "train.log (product of this run" in project.ok("show")


def test_the_two_dashes_may_be_left_out(project: Project) -> None:
    done = project.ok("run", "--name", "short", "python", "-c", "print('x')", "--name", "y")
    assert done == "x\n"
    shown = project.show("short")["run"]["segments"][-1]["invocation"]["argv"]
    assert shown == ["python", "-c", "print('x')", "--name", "y"]


def test_a_run_inside_a_run_is_recorded_as_if_it_were_alone(project: Project) -> None:
    inner = [sys.executable, "-m", "repropack", "run", "--name", "inner", "--", "python"]
    outer = ["run", "--name", "outer", "--", *inner, "train.py"]
    for variables in ({}, {"PYTHONPATH": f"{project.environment['PYTHONPATH']}{os.pathsep}lib"}):
        project.ok(*outer, variables=variables)
        recorded = project.segment("inner")["invocation"]["variables"].get("PYTHONPATH", "")
        assert "agent" not in recorded
        assert recorded.endswith("lib") is bool(variables)
        products = [p["path"] for p in project.segment("inner")["products"]]
        assert products == ["{project}/out/model.bin"]


def test_list_shows_what_goes_on_and_each_number_once(project: Project) -> None:
    script = "import json; json.dump({'score': 0.5}, open('m.json', 'w')); print('score: 0.5')"
    project.ok("run", "--", "python", "-c", script)
    assert project.ok("list").count("score 0.5") == 1
    command = [sys.executable, "-m", "repropack", "run", "--", "sh", "-c", "echo up; read end"]
    with subprocess.Popen(
        command,
        cwd=project.root,
        env=project.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == "up\n"
        assert project.ok("list").splitlines()[-1].split()[3] == "running"
        refused = project.repropack("show", "last")
        assert refused.returncode == 2
        assert "still goes on" in refused.stderr
        running.stdin.close()
        running.wait()
    assert project.ok("list").splitlines()[-1].split()[3] == "status"


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_a_python_that_is_told_to_load_no_agent_is_said(project: Project, option: str) -> None:
    done = project.repropack("run", "--trace", "python", "--", "python", option, "train.py")
    assert done.returncode == 0
    assert "`python` was not observed: with -I, -E or -S, and before Python 3.8, it" in done.stderr


def test_an_interpreter_that_no_agent_observes_is_no_data(
    project: Project, tmp_path: Path, python_environment: Path
) -> None:
    place = tmp_path / "tools" / "venv"
    (place / "bin").mkdir(parents=True)
    (place / "bin/python").symlink_to(python_environment / "bin/python")
    shutil.copy(python_environment / "pyvenv.cfg", place)
    project.ok("run", "--", str(place / "bin/python"), "-I", "train.py")
    assert not any("python" in m["path"] for m in project.segment().get("materials", ()))
