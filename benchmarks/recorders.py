# SPDX-License-Identifier: Apache-2.0
"""What recorders add to four scripts, repropack's and others', against the bare script.

An empty script, one that opens 5,000 files, one that opens 100,000, and a training of 20 s; a
metric that is logged 2,000 times. Each round runs every recorder once, so that other load meets all
of them. Of metrics the middle hundred counts: whatever else runs takes a processor away for longer
than all of them need. What a script itself takes while it is observed, from the start of its
process to the end, is said by a command that starts it.

Recorders that are Python packages get an environment of their own, from the index that uv is set up
for; REPROPACK_BENCH_PEERS names a directory to keep these in. What cannot be installed, or fails,
is said in the table.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from uv import find_uv_bin

from benchmarks.measuring import table
from benchmarks.peers import install

ROUNDS = 3
OPENS = 5_000
MANY = 100_000
METRICS = 2_000
TRAINING_SECONDS = 20

EMPTY = "pass\n"

OPENING = """\
import sys
folder, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    with open(f"{folder}/{number % 100:02d}/{number}", "rb") as file:
        file.read()
"""

TIMING = """\
import os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
status = os.waitpid(child, 0)[1]
print("SECONDS", time.perf_counter() - started)
sys.exit(status != 0)
"""
"""A command that says how long another one takes."""

TRAINING = """\
import sys, time
def train(steps):
    weights = [0.0] * 100
    for step in range(steps):
        x = [((step * 31 + i * 17) % 97) / 97 for i in range(100)]
        error = sum(w * v for w, v in zip(weights, x)) - sum(x) / 100
        weights = [w - 0.001 * error * v for w, v in zip(weights, x)]
        if step % 1000 == 0:
            print(f"step {step} loss: {error * error:.6f}", flush=True)
    return weights
if sys.argv[1] == "calibrate":
    started = time.perf_counter()
    train(20000)
    print(20000 / (time.perf_counter() - started))
else:
    open("weights.txt", "w").write(repr(train(int(sys.argv[1]))))
"""

SCRIPTS = {
    "empty.py": EMPTY,
    "opening.py": OPENING,
    "timing.py": TIMING,
    "training.py": TRAINING,
}

LOGGING = """\
import sys, time
{setup}
parts = []
for part in range(0, {count}, 100):
    started = time.perf_counter()
    for step in range(part, part + 100):
        {call}
    parts.append(time.perf_counter() - started)
spent = sorted(parts)[len(parts) // 2] * len(parts)
{end}
print("MICROSECONDS", 1e6 * spent / {count})
"""

LOGGERS = {
    "repropack": ("from repropack import log_metric", "log_metric('loss', step / 7, step)", ""),
    "mlflow": (
        "import mlflow\nmlflow.set_tracking_uri('sqlite:///mlflow.db')\nmlflow.start_run()",
        "mlflow.log_metric('loss', step / 7, step)",
        "mlflow.end_run()",
    ),
    "wandb": (
        "import os\nos.environ.update(WANDB_MODE='offline', WANDB_SILENT='true')\n"
        "import wandb\nrun = wandb.init(project='bench')",
        "run.log({'loss': step / 7}, step=step)",
        "run.finish()",
    ),
    "sacred": (
        "from sacred import Experiment\nfrom sacred.observers import FileStorageObserver\n"
        "ex = Experiment('bench', save_git_info=False)\n"
        "ex.observers.append(FileStorageObserver('sacred'))\n"
        "spent = 0\n@ex.main\ndef main(_run):\n"
        "    global spent\n    began = time.perf_counter()\n"
        "    for step in range({count}):\n        _run.log_scalar('loss', step / 7, step)\n"
        "    spent = time.perf_counter() - began\n"
        "ex.run()\nspent_there = spent",
        "pass",
        "spent = spent_there",
    ),
}
"""What a script says to log a metric: before, each time, after."""

PEERS = {
    "reprozip trace": "reprozip",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "sacred": "sacred",
    "guild run": "guildai",
    "dvc exp run": "dvc",
    "datalad run": "datalad",
    "sumatra": "sumatra gitpython",
}
"""Recorder to the packages that it needs."""


class Recorder(NamedTuple):
    """How a recorder is used.

    Attributes:
        line: Records a command, which stands for `{}`; `{place}` is the recorder's environment.
        prepare: What is said to it about the command beforehand, and is not measured.
        slow: Whether it has too long for 100,000 files: a stop of the process for each call.
    """

    line: str
    prepare: str = ""
    slow: bool = False


OWN = "**repropack run**"

OBSERVERS = ("bare", OWN, "repropack run --trace strace", "strace -f", "reprozip trace")
"""Those that look at what a script opens."""

RECORDERS = {
    "bare": Recorder("{}"),
    OWN: Recorder(f"{sys.executable} -m repropack run -- {{}}"),
    "repropack run --trace strace": Recorder(
        f"{sys.executable} -m repropack run --trace strace -- {{}}"
    ),
    "strace -f": Recorder("strace -f -o ../strace.log {}", slow=True),
    "reprozip trace": Recorder("{place}/bin/reprozip trace --overwrite -d ../rz {}", slow=True),
    "guild run": Recorder(
        "{place}/bin/guild run -y bench",
        "mkdir -p $GUILD_HOME; "
        "printf 'bench:\n  exec: {program} {project}/{script} {arguments}\n  sourcecode: no\n' "
        "> guild.yml",
    ),
    "dvc exp run": Recorder(
        "{place}/bin/dvc exp run --force",
        "[ -d .dvc ] || {place}/bin/dvc init -q; {place}/bin/dvc config core.analytics false; "
        "printf 'stages:\n  bench:\n    cmd: {}\n' > dvc.yaml; "
        "git add -A; git commit -q -m stage || true",
    ),
    "datalad run": Recorder(
        "PATH={place}/bin:$PATH datalad run '{}'",
        "git config --global --replace-all user.name A; "
        "[ -d .datalad ] || PATH={place}/bin:$PATH datalad create -c text2git --force .; "
        "PATH={place}/bin:$PATH datalad save -m state",
    ),
    "sumatra": Recorder(
        "{place}/bin/smt run --executable={program} --main={script} {arguments}",
        "[ -d .smt ] || {place}/bin/smt init bench; git add -A; git commit -q -m state || true",
    ),
}


def measure(scratch: Path) -> str:
    """The section `Recorders` of docs/performance.md."""
    trouble: dict[str, str] = {}
    peers = install(PEERS, scratch, trouble)
    data = scratch / "data"
    for number in range(MANY):
        if number < 100:
            (data / f"{number:02d}").mkdir(parents=True)
        (data / f"{number % 100:02d}" / str(number)).write_bytes(b"x" * 512)
    subprocess.run(
        [find_uv_bin(), "venv", "-q", "-p", sys.executable, scratch / "venv"], check=True
    )
    python = str(scratch / "venv/bin/python")
    present = {
        name: recorder
        for name, recorder in RECORDERS.items()
        if name not in PEERS or name in peers
        if name != "strace -f" or shutil.which("strace")
    }
    place = _Place(scratch, peers, trouble)
    lines = ["## Recorders", "", *_scripts(place, present, python, data), ""]
    lines += [*_training(place, present, python), "", *_metrics(place), ""]
    lines += [f"- {name}: {reason}" for name, reason in trouble.items()]
    return "\n".join(lines).rstrip() + "\n"


class _Place:
    """Where commands run: a project for each recorder, and variables that keep to it."""

    def __init__(self, scratch: Path, peers: dict[str, Path], trouble: dict[str, str]) -> None:
        self.scratch, self.peers, self.trouble = scratch, peers, trouble
        home = scratch / "home"
        home.mkdir()
        self.environment = {
            **os.environ,
            "HOME": str(home),
            "GUILD_HOME": str(home / "guild"),
            "DVC_NO_ANALYTICS": "1",
            "REPROZIP_USAGE_STATS": "off",
            "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
            **{f"GIT_{who}_NAME": "Author" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "author@example.invalid" for who in ("AUTHOR", "COMMITTER")},
        }
        (home / "gitconfig").write_text(
            "[user]\n name = Author\n email = author@example.invalid\n", encoding="ascii"
        )

    def project(self, name: str, recorder: Recorder, command: list[str]) -> Path:
        """A project of the recorder's own in which the scripts are committed."""
        project = self.place_of(name)
        if not project.exists():
            project.mkdir()
            for file, text in SCRIPTS.items():
                (project / file).write_text(text, encoding="ascii")
            (project / ".gitignore").write_text(".smt\n", encoding="ascii")
            self.shell("git init -q . && git add -A && git commit -q -m scripts", project)
        if recorder.prepare:
            self.shell(self.filled(name, recorder.prepare, command), project)
        return project

    def place_of(self, name: str) -> Path:
        return self.scratch / f"project-{''.join(filter(str.isalnum, name))}"

    def filled(self, name: str, line: str, command: list[str]) -> str:
        program, script, *arguments = command
        return (
            line.replace("{}", " ".join(command))
            .replace("{place}", str(self.peers.get(name)))
            .replace("{program}", program)
            .replace("{script}", script)
            .replace("{arguments}", " ".join(arguments))
            .replace("{project}", str(self.place_of(name)))
        )

    def shell(self, line: str, project: Path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise RuntimeError(said[-1][:200] if said else f"status {done.returncode}")
        return done

    def times(
        self,
        present: Mapping[str, Recorder],
        command: list[str],
        rounds: int,
        *,
        itself: bool = False,
    ) -> dict[str, float]:
        """Median seconds of each recorder; one that fails has none, and the reason is kept.

        Args:
            present: The recorders.
            command: What they record.
            rounds: How often each; where it is more than once, the first time does not count.
            itself: Whether the command says by itself how long it took.
        """
        found: dict[str, list[float]] = {name: [] for name in present}
        for number in range(rounds + 1):
            for name, recorder in present.items():
                if name in self.trouble:
                    continue
                try:
                    project = self.project(name, recorder, command)
                    started = time.perf_counter()
                    said = self.shell(self.filled(name, recorder.line, command), project).stdout
                    spent = time.perf_counter() - started
                    if itself:
                        spent = float(said.rpartition("SECONDS")[2].split()[0])
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    self.trouble[name] = f"failed: {error}"
                    continue
                if number or rounds == 1:
                    # Without the first, which makes a store and fills caches.
                    found[name].append(spent)
            if rounds == 1:
                break
        return {name: statistics.median(spent) for name, spent in found.items() if spent}


def _scripts(place: _Place, present: Mapping[str, Recorder], python: str, data: Path) -> list[str]:
    """An empty script, one that opens 5,000 files, and one that opens 100,000."""
    empty = place.times(present, [python, "empty.py"], ROUNDS)
    opening = [python, "opening.py", str(data)]
    some = place.times(present, [*opening, str(OPENS)], 1)
    observers = {name: present[name] for name in OBSERVERS if name in present}
    timed = [python, "timing.py", *opening, str(OPENS)]
    # So short a time needs more of them.
    itself = place.times(observers, timed, 3 * ROUNDS, itself=True)
    quick = {name: recorder for name, recorder in present.items() if not recorder.slow}
    # The data is unchanged since the smaller script: what is new is hashed once.
    place.times({OWN: present[OWN]}, [*opening, str(MANY)], 1)
    many = place.times(quick, [*opening, str(MANY)], 1)
    rows = []
    for name in present:
        if name not in empty:
            continue
        added = 1000 * (empty[name] - empty["bare"])
        opened = 1e6 * (some[name] - empty[name] - some["bare"] + empty["bare"]) / OPENS
        rows.append(
            [
                name,
                f"{1000 * empty[name]:.0f} ms" if name == "bare" else f"{added:+.0f} ms",
                f"{1000 * some[name]:.0f} ms",
                f"{some[name] / some['bare']:.2f}",
                f"{itself[name] / itself['bare']:.2f}" if name in itself else "–",
                "" if name == "bare" else f"{opened:.0f}",
                f"{many[name]:.1f} s" if name in many else "–",
            ]
        )
    header = ("recorder", "empty script", f"{OPENS:,} opens", "of bare", "script itself, of bare")
    return table((*header, "us an open", f"{MANY:,} opens"), rows)


def _training(place: _Place, present: Mapping[str, Recorder], python: str) -> list[str]:
    """A training that computes: what a recorder costs while nothing is opened."""
    names = ("bare", OWN, "strace -f", "reprozip trace")
    chosen = {name: present[name] for name in names if name in present}
    project = place.project("bare", present["bare"], [python, "training.py"])
    said = place.shell(f"{python} training.py calibrate", project).stdout
    speed = float(said.splitlines()[-1])
    steps = str(int(speed * TRAINING_SECONDS))
    found = place.times(chosen, [python, "training.py", steps], ROUNDS)
    rows = [
        [name, f"{spent:.2f} s", f"{100 * (spent / found['bare'] - 1):+.2f} %"]
        for name, spent in found.items()
    ]
    return table(("recorder", "training", "added"), rows)


def _metrics(place: _Place) -> list[str]:
    """A metric that a script logs, and what the script takes as a whole."""
    rows = []
    for name, (setup, call, end) in LOGGERS.items():
        program = sys.executable if name == "repropack" else f"{place.peers.get(name)}/bin/python"
        if name != "repropack" and name not in place.peers:
            continue
        project = place.scratch / f"logging-{name}"
        project.mkdir()
        text = LOGGING.replace("{count}", str(METRICS))
        text = text.replace("{setup}", setup.replace("{count}", str(METRICS)))
        (project / "log.py").write_text(text.replace("{call}", call).replace("{end}", end))
        line = f"{program} log.py"
        if name == "repropack":
            line = f"git init -q . ; {sys.executable} -m repropack run -- {line}"
        each, spent = [], []
        try:
            for _ in range(ROUNDS):
                started = time.perf_counter()
                said = place.shell(line, project).stdout
                spent.append(time.perf_counter() - started)
                each.append(float(said.rpartition("MICROSECONDS")[2].split()[0]))
        except (RuntimeError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
            place.trouble[f"{name} (metrics)"] = f"failed: {error}"
            continue
        rows.append([name, f"{statistics.median(each):.1f}", f"{statistics.median(spent):.1f} s"])
    return table(("logger", "us a metric", f"whole script, {METRICS:,} metrics"), rows)
