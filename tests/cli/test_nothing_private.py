# SPDX-License-Identifier: Apache-2.0
"""Thirty strings that say who and where: none is in what leaves the machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.project import Project

CODE = """\
import json, os, pathlib, random
home = pathlib.Path(os.environ["HOME"])
data = (home / "planted-datasetowner" / "train.txt").read_text()
cache = pathlib.Path(os.environ["TMPDIR"]) / "planted-scratchdir"
cache.mkdir(exist_ok=True)
(cache / "x").write_text(data)
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/model.bin").write_text(str(len(data)))
pathlib.Path("out/metrics.json").write_text(json.dumps({"accuracy": len(data) / 8}))
"""

VARIABLES = {
    "USER": "planted-user",
    "LOGNAME": "planted-logname",
    "HOSTNAME": "planted-hostname",
    "MAIL": "/var/mail/planted-mail",
    "SSH_CONNECTION": "planted-sshclient 22",
    "SSH_AUTH_SOCK": "/run/planted-sshagent",
    "SLURM_JOB_USER": "planted-slurmuser",
    "SLURM_JOB_ACCOUNT": "planted-slurmaccount",
    "SLURM_NODELIST": "planted-slurmnode",
    "SLURM_SUBMIT_HOST": "planted-slurmhost",
    "PBS_O_HOST": "planted-pbshost",
    "HF_TOKEN": "planted-hftoken",
    "WANDB_API_KEY": "planted-wandbkey",
    "AWS_SECRET_ACCESS_KEY": "planted-awssecret",
    "GITHUB_TOKEN": "planted-ghtoken",
    "TORCH_HUB_TOKEN": "planted-torchtoken",
    "CUDA_SECRET": "planted-cudasecret",
    "NCCL_AUTH_FILE": "planted-ncclauth",
    "JAX_COMPILATION_CREDENTIALS": "planted-jaxcredential",
    "HTTP_PROXY": "http://planted-proxyuser:planted-proxypassword@127.0.0.1:9",
    "PIP_INDEX_URL": "https://planted-indexuser:planted-indextoken@127.0.0.1:9/simple",
    "CONDA_PREFIX": "/opt/planted-condaprefix",
    "VIRTUAL_ENV": "/opt/planted-virtualenv",
    "XDG_RUNTIME_DIR": "/run/user/planted-runtimedir",
    "LD_LIBRARY_PATH": "/mnt/planted-mountpoint/lib",
}
OTHERS = (
    "planted-gitname",
    "planted-gitmail",
    "planted-remoteowner",
    "planted-commitmessage",
    "planted-branch",
    "planted-home",
    "planted-scratchroot",
    "planted-place",
)


def _planted() -> list[str]:
    found = [word for value in VARIABLES.values() for word in value.replace("@", "/").split("/")]
    words = [w for text in found for w in text.replace(":", " ").split() if "planted-" in w]
    return sorted({*words, *OTHERS})


def _holders(directory: Path, words: list[str]) -> dict[str, str]:
    found = {}
    for place in sorted(directory.rglob("*")):
        data = place.read_bytes() if place.is_file() else b""
        for word in words:
            if word.encode() in data or word in place.name:
                found[word] = str(place.relative_to(directory))
    return found


def test_no_planted_string_leaves(bare_project: Project, tmp_path: Path) -> None:
    home = tmp_path / "planted-home"
    scratch = tmp_path / "planted-scratchroot"
    data = home / "planted-datasetowner"
    for place in (data, scratch):
        place.mkdir(parents=True)
    (data / "train.txt").write_text("1 2 3 4\n")
    root = tmp_path / "planted-place" / "project"
    shutil.copytree(bare_project.root, root)
    project = Project(
        root,
        {
            **bare_project.environment,
            **VARIABLES,
            "HOME": str(home),
            "TMPDIR": str(scratch),
            "REPROPACK_HOME": str(home / "settings"),
            **{f"GIT_{who}_NAME": "planted-gitname" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "planted-gitmail@x.example" for who in ("AUTHOR", "COMMITTER")},
        },
    )
    project.write("train.py", CODE)
    project.write(".gitignore", "out/\n")
    project.git("init", "-q", "-b", "planted-branch")
    project.git("remote", "add", "origin", "git@127.0.0.1:planted-remoteowner/repo.git")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "planted-commitmessage")
    project.ok("key", "new")
    project.ok("run", "--", "python", str(root / "train.py"))
    words = _planted()
    assert len(words) >= 30
    run = project.segment()
    assert run["outcome"] == {"status": 0}

    exportable = tmp_path / "record"
    exportable.mkdir()
    (exportable / "show.json").write_text(project.ok("show", "last", "--json"))
    (directory,) = (root / ".repropack/runs").iterdir()
    for name in ("run.json", "metrics.json"):
        shutil.copy(directory / name, exportable)
    environment = root / ".repropack/objects" / run["environment"][:2] / run["environment"][2:]
    shutil.copy(environment, exportable / "environment.json")
    assert _holders(exportable, words) == {}

    bundle = tmp_path / "release.rpk"
    project.ok("export", "--include-data", "-o", str(bundle), "--yes")
    opened = tmp_path / "opened"
    project.ok("extract", str(bundle), str(opened))
    for code in sorted(opened.glob("code/*.bundle")):
        # Unpacked, for what is compressed cannot be searched.
        subprocess.run(["git", "clone", "-q", code, opened / f"{code.stem}-tree"], check=True)
    found = _holders(opened, words)
    # The name of the directory of a data set is that of the data set, and is shown at export.
    assert found == {}
