# SPDX-License-Identifier: Apache-2.0
"""Time to the first verdict: from a file and nothing else to the claimed numbers.

The bundle of `examples/digits` (scikit-learn, numpy, scipy), with and without its wheels, beside a
virtual environment made by hand and beside what runs a recorded command again without containers.
What each has to have beforehand stands in the table: that is the difference, not the seconds.

Peers live in an environment of their own, in their newest versions. By hand takes longest, and its
figures vary least against its length: one round of it is enough.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from uv import find_uv_bin

from benchmarks.measuring import Command, Run, table, take_turns
from benchmarks.peers import install

ROUNDS = 3
ROUNDS_BY_HAND = 1
EXAMPLE = Path(__file__).parents[1] / "examples" / "digits"
PEERS = ("reprozip", "reprounzip", "datalad", "guildai")

INSIDE = "repropack verify, wheels inside"
COLD = "repropack verify, cold"
WARM = "repropack verify, warm"
BY_HAND = "python -m venv, pip install -r"

BEFOREHAND = {
    INSIDE: "Python; no network",
    COLD: "Python, the package index",
    WARM: "Python, packages of an earlier check",
    f"{BY_HAND}, cold": "Python, the package index",
    f"{BY_HAND}, warm": "Python, packages in pip's cache",
    "reprounzip directory": "the same system; it has packed the environment",
    "datalad rerun": "the environment",
    "guild run": "the environment",
}


def measure(scratch: Path) -> str:
    """The section `Verdict` of docs/performance.md."""
    place = Place(scratch)
    place.prepare()
    commands = place.commands()
    by_hand = {name: one for name, one in commands.items() if name.startswith(BY_HAND)}
    quick = {name: one for name, one in commands.items() if name not in by_hand}
    found = take_turns(by_hand, ROUNDS_BY_HAND) | take_turns(quick, ROUNDS)
    runs = {name: found[name] for name in commands}
    environments = {name: place.environment_seconds(name) for name in (INSIDE, COLD, WARM)}
    return "\n".join([*_table(runs), "", *_notes(runs, environments, place)])


class Place:
    """The author's project, what she hands out, and the tools."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.project = scratch / "project"
        self.python = scratch / "env" / "bin" / "python"
        trouble: dict[str, str] = {}
        found = install({"peers": shlex.join(PEERS)}, scratch, trouble)
        if trouble:
            raise SystemExit(f"the peers of this benchmark {trouble['peers']}")
        self.tools = found["peers"] / "bin"
        self.variables = {
            **{k: v for k, v in os.environ.items() if k in {"LANG", "PATH", "TMPDIR"}},
            **{k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_"))},
            "HOME": str(scratch / "home"),
            "XDG_CACHE_HOME": str(scratch / "cache"),
            "PIP_CACHE_DIR": str(scratch / "pip-cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "REPROZIP_USAGE_STATS": "off",
        }

    def do(self, line: str, *, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["bash", "-ec", line],
            cwd=cwd or self.project,
            env=self.variables,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{line} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def prepare(self) -> None:
        """Everything that no reader waits for: the training, the packing, the tools."""
        for directory in (self.project, self.scratch / "home", self.scratch / "guild"):
            directory.mkdir()
        q = self.quoted()
        self.do(f"{q['uv']} venv -q -p {q['us']} {q['env']}")
        self.do(f"{q['uv']} pip install -q -p {q['python']} scikit-learn")
        self.do(f"{q['uv']} pip freeze -q -p {q['python']} > {q['requirements']}")
        self.do(f"cp {q['example']}/*.py {q['example']}/repropack.yaml {q['example']}/.gitignore .")
        self.do("git config --global user.name A; git config --global user.email a@example.invalid")
        self.do("git init -q && git add . && git commit -q -m digits")
        for line in (
            "run --name train -- {python} train.py",
            "run --name eval -- {python} eval.py out/model.joblib",
            "key new",
            "export --run eval -o {plain} --yes",
            "export --run eval -o {full} --yes --wheels",
        ):
            self.do(f"{q['us']} -m repropack {line.format(**q)}")
        self.do(f"tar --zstd -cf {q['archive']} --exclude=.git --exclude=.repropack -C . .")
        again = "{python} eval.py out/model.joblib".format(**q)
        self.do(f"{q['tools']}/reprozip trace -d {q['trace']} --overwrite {again}")
        self.do(f"{q['tools']}/reprozip pack -d {q['trace']} {q['rpz']}")
        (self.project / "guild.yml").write_text(
            f"evaluate:\n  exec: {self.python} eval.py out/model.joblib\n  requires:\n"
            "    - file: eval.py\n    - file: out/model.joblib\n      target-path: out\n"
        )
        datalad = f"PATH={q['tools']}:$PATH {q['tools']}/datalad"
        self.do(f"{datalad} create -c text2git {q['dataset']}", cwd=self.scratch)
        self.do(f"cp eval.py {q['dataset']} && mkdir {q['dataset']}/out")
        self.do(f"cp out/model.joblib {q['dataset']}/out && cd {q['dataset']} && {datalad} save")
        self.do(
            f"cd {q['dataset']} && {datalad} run -i out/model.joblib -o out/metrics.json "
            + shlex.quote(again)
        )

    def quoted(self) -> dict[str, str]:
        names = {
            "us": Path(sys.executable),
            "env": self.scratch / "env",
            "python": self.python,
            "uv": Path(find_uv_bin()),
            "tools": self.tools,
            "example": EXAMPLE,
            "requirements": self.scratch / "requirements.txt",
            "plain": self.scratch / "digits.rpk",
            "full": self.scratch / "digits-wheels.rpk",
            "archive": self.scratch / "digits.tar.zst",
            "trace": self.scratch / "trace",
            "rpz": self.scratch / "digits.rpz",
            "dataset": self.scratch / "dataset",
            "work": self.scratch / "work",
            "cache": self.scratch / "cache",
            "pip_cache": self.scratch / "pip-cache",
            "guild": self.scratch / "guild",
        }
        return {name: shlex.quote(str(path)) for name, path in names.items()}

    def commands(self) -> dict[str, Command]:
        q = self.quoted()
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in self.variables.items())
        verify = f"env -i {settings} {q['us']} -m repropack verify --allow-unknown-signer --json"
        by_hand = (
            f"mkdir {q['work']} && cd {q['work']} && tar -xf {q['archive']} && "
            f"env -i {settings} {q['us']} -m venv venv && "
            f"env -i {settings} venv/bin/python -m pip install -q -r {q['requirements']} && "
            "venv/bin/python eval.py out/model.joblib"
        )
        datalad = f"PATH={q['tools']}:$PATH {q['tools']}/datalad"
        reprounzip = f"{q['tools']}/reprounzip directory"
        lines = {
            INSIDE: f"{verify} --offline {q['full']} > {q['work']}",
            COLD: f"{verify} {q['plain']} > {q['work']}",
            WARM: f"{verify} {q['plain']} > {q['work']}",
            f"{BY_HAND}, cold": by_hand,
            f"{BY_HAND}, warm": by_hand,
            "reprounzip directory": (
                # It refuses to run where Ctrl-C is ignored, as it is in the background of a shell.
                "export REPROZIP_USAGE_STATS=off; "
                f"{reprounzip} setup {q['rpz']} {q['work']} && "
                f"env --default-signal=INT {reprounzip} run {q['work']}"
            ),
            "datalad rerun": (
                f"export HOME={shlex.quote(self.variables['HOME'])}; "
                f"{datalad} clone {q['dataset']} {q['work']} && cd {q['work']} && {datalad} rerun"
            ),
            "guild run": (
                f"cd {shlex.quote(str(self.project))} && "
                f"{q['tools']}/guild -H {q['guild']} run evaluate -y"
            ),
        }
        # Where a command finds nothing of an earlier one. Links and annexed files are read-only.
        away = f"chmod -R u+w {q['work']} 2>/dev/null || true; rm -rf {q['work']}"
        prepare = dict.fromkeys(lines, away) | {
            INSIDE: f"{away} {q['cache']}",
            COLD: f"{away} {q['cache']}",
            f"{BY_HAND}, cold": f"{away} {q['pip_cache']}",
        }
        for name in (INSIDE, COLD, WARM):
            # The report is read after the last round.
            lines[name] = lines[name].replace(q["work"], shlex.quote(str(self.report(name))))
        return {name: Command(line, prepare=prepare[name]) for name, line in lines.items()}

    def report(self, name: str) -> Path:
        return self.scratch / f"{list(BEFOREHAND).index(name)}.json"

    def environment_seconds(self, name: str) -> float:
        """What the step `environment` of the last check took, after it had reproduced."""
        report = json.loads(self.report(name).read_text(encoding="utf-8"))
        assert report["verdict"] == "REPRODUCED", report["reason"]
        seconds = [one["seconds"] for one in report["steps"] if one["name"] == "environment"]
        return float(seconds[0])

    def versions(self) -> str:
        uv = shlex.quote(find_uv_bin())
        listed = json.loads(self.do(f"{uv} pip list -q -p {self.tools}/python --format json"))
        found: Mapping[str, str] = {one["name"].lower(): one["version"] for one in listed}
        return ", ".join(f"{name} {found[name]}" for name in PEERS)


def _table(runs: Mapping[str, list[Run]]) -> list[str]:
    rows = [
        [
            f"**{name}**" if name.startswith("repropack") else name,
            BEFOREHAND[name],
            f"{statistics.median(r.wall for r in found):.1f}",
            f"{statistics.median(r.processor for r in found):.1f}",
        ]
        for name, found in runs.items()
    ]
    header = ["command", "has to be there beforehand", "seconds", "processor seconds"]
    return ["## Verdict", "", *table(header, rows)]


def _notes(
    runs: Mapping[str, list[Run]], environments: Mapping[str, float], place: Place
) -> list[str]:
    hand = statistics.median(r.wall for r in runs[f"{BY_HAND}, cold"])
    ours = statistics.median(r.wall for r in runs[COLD])
    sizes = ", ".join(
        f"{name} {(place.scratch / name).stat().st_size / 1e6:.1f} MB"
        for name in ("digits.rpk", "digits-wheels.rpk", "digits.rpz")
    )
    steps = ", ".join(f"{seconds:.1f} s ({name})" for name, seconds in environments.items())
    return [
        f"From a file to the numbers of `examples/digits`; median of {ROUNDS} rounds in which the "
        f"commands take turns; by hand {ROUNDS_BY_HAND}. Cold: nothing was downloaded before; how "
        "fast the package index answers is in it. Cold by hand takes "
        f"{hand / ours:.1f} times as long as a cold check.",
        f"Of that the environment: {steps}; of the last round.",
        f"Only repropack checks digests and a signer, isolates what it runs and compares the "
        f"numbers. Sizes: {sizes}. Peers: {place.versions()}.",
    ]
