# SPDX-License-Identifier: Apache-2.0
"""Double-blind releases: nothing in them tells who made them, and their author can prove it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from repropack.signing.dsse import seal
from repropack.signing.keys import SigningKey
from repropack.verify.reveal.authors import reveal_payload
from tests.project import EVAL, TRAIN, Project
from tests.unfolding import contents, everything, found_in, opened

# ---------------------------------------------------------------- nothing tells who it was

AUTHOR = {
    "GIT_AUTHOR_NAME": "Zofia Pevensey",
    "GIT_AUTHOR_EMAIL": "zpevensey@quokka-labs.example",
    "GIT_COMMITTER_NAME": "Ludomir Brankovic",
    "GIT_COMMITTER_EMAIL": "ludomir@brankovic.example",
}
VARIABLES = {
    "USER": "zpevuser",
    "LOGNAME": "zpevlogin",
    "HOSTNAME": "wombathost7",
    "MAIL": "/var/mail/zpevmailbox",
    "SLURM_CLUSTER_NAME": "numbatcluster",
    "SLURM_SUBMIT_HOST": "login3.numbatcluster",
    "SLURM_JOB_ACCOUNT": "quollaccount",
    "SLURM_JOB_PARTITION": "bilbypartition",
    "SLURM_JOB_NODELIST": "potoroonode[1-4]",
    "SSH_CLIENT": "pademelonclient 22",
    "TZ": "Pacific/Chatham",
    "LC_TIME": "mi_NZ.UTF-8",
    "NCCL_SOCKET_IFNAME": "ibdunnart0",
    "NCCL_IB_HCA": "mlxkultarr_2",
    "SOURCE_DATE_EPOCH": "1717171717",
    "CONDA_PREFIX": "/opt/antechinusconda",
}
NOWHERE = [
    *("Zofia", "Pevensey", "zpevensey", "quokka-labs", "Ludomir", "Brankovic"),
    *("zpevuser", "zpevlogin", "wombathost7", "zpevmailbox", "numbatcluster", "login3"),
    *("quollaccount", "bilbypartition", "potoroonode", "pademelonclient", "Pacific/Chatham"),
    *("Chatham", "mi_NZ", "ibdunnart0", "mlxkultarr", "1717171717", "antechinusconda"),
    *("kowarihome", "phascogaleproject", "marsupialorg", "ningauirepo", "planigalebranch"),
    *("mulgaratag", "wambengernote", "dibblerstash", "woyliemessage", "boodieconfig"),
    *("mala-run-name", "djoongariwords", "gileschart", "chudditchlog", "itjaritjariprint"),
    *("bettongbig", "warabiscratch", "monjondata"),
]
"""Where it stood says the place where each is planted; none of them may be in the release."""


def _planted(bare: Project, place: Path) -> Project:
    home = place / "kowarihome"
    scratch = place / "warabiscratch"
    data = home / "monjondata" / "numbers"
    for directory in (data, scratch):
        directory.mkdir(parents=True)
    (data / "rows.txt").write_text("1 2 3\n4 5 6\n")
    root = place / "phascogaleproject"
    root.mkdir()
    project = Project(
        root,
        {
            **bare.environment,
            **AUTHOR,
            **VARIABLES,
            "HOME": str(home),
            "TMPDIR": str(scratch),
            "REPROPACK_HOME": str(home / "settings"),
        },
    )
    project.write(
        "train.py",
        TRAIN
        # What it writes and prints, spelled backwards in the code itself.
        + '(out / ("trahcselig"[::-1] + ".txt")).write_text("sdrowiragnoojd"[::-1])\n'
        + 'pathlib.Path("golhctidduhc"[::-1] + ".log").write_text("x")\n'
        + 'print("tnirpirajtirajti"[::-1])\n',
    )
    project.write("eval.py", EVAL)
    project.write(".gitignore", "out/\n*.log\n")
    git = project.git
    git("init", "-q", "-b", "planigalebranch")
    git("remote", "add", "origin", "git@forge.example:marsupialorg/ningauirepo.git")
    git("config", "user.boodieconfig", "boodieconfig")
    git("add", ".")
    git("commit", "-q", "-m", "woyliemessage")
    git("tag", "mulgaratag")
    git("notes", "add", "-m", "wambengernote")
    project.write("eval.py", EVAL + "# dibblerstash\n")
    git("stash", "push", "-q", "-m", "dibblerstash")
    # Too large for code: its name is in the record as left out.
    with (root / "bettongbig.bin").open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    project.ok("key", "new")
    project.ok("run", "--name", "mala-run-name", "--", "python", "train.py", "--data", str(data))
    project.ok("run", "--", "python", "eval.py", "out/model.bin")
    return project


def test_no_planted_word_is_in_any_byte(bare_project: Project, tmp_path: Path) -> None:
    assert len(NOWHERE) >= 40
    project = _planted(bare_project, tmp_path)
    key = (tmp_path / "kowarihome/settings/key.pub").read_text().split()[1]
    runs = [place.name for place in (project.root / ".repropack/runs").iterdir()]
    bundle = tmp_path / "b.rpk"
    screen = project.ok(
        "export", "--anonymous", "--unevaluated", "--include-data", "-o", str(bundle), "--yes"
    )
    content = everything(bundle)
    assert found_in(content, "train.py") == ["UTF-8"]
    secret = [*NOWHERE, *runs, key, *re.findall(r"tree ([0-9a-f]{40})", screen)]
    found = {term: found_in(content, term) for term in secret}
    assert {term: where for term, where in found.items() if where} == {}
    # No time of the recording, in any record.
    year = json.loads((project.root / ".repropack/runs" / runs[0] / "run.json").read_bytes())
    day = year["segments"][0]["started"][:10]
    assert found_in(content, day) == []
    assert "sealed to Zofia Pevensey <zpevensey@quokka-labs.example>" in screen
    assert "variables: LC_TIME=mi_NZ.UTF-8 → C.UTF-8" in screen
    # Addresses of its network were not recorded to begin with.
    assert (
        "the variable NCCL_IB_HCA names a host, a network or a way to it; it is not recorded"
        in screen
    )
    assert re.search(r"variables: (?:\w+, )*SOURCE_DATE_EPOCH, TZ", screen)
    # It is whole all the same: a stranger repeats it without a network.
    done = project.repropack("verify", str(bundle), "--offline", "--json")
    report = json.loads(done.stdout)
    assert (report["verdict"], done.returncode) == ("REPRODUCED", 4), report["reason"]
    assert report["signer"]["status"].startswith("anonymous")
    # It is compared with this machine as coarsely as it tells its own.
    assert report.get("differences", []) == []


SPOTS: dict[str, tuple[str, bytes]] = {
    "code": ("model.py", b"# by Zoe Private\n"),
    "licence": ("LICENSE", b"Copyright (c) 2026 Zoe Private\n"),
    "citation": ("CITATION.cff", b"authors:\n  - family-names: Private\n    given-names: Zoe\n"),
    "notebook": ("plot.ipynb", b'{"cells": [{"outputs": [{"text": "/home/zprivate/x.png"}]}]}'),
    "UTF-16": ("notes.txt", "made by zoe@private.example".encode("utf-16-le")),
    "base64": ("blob.txt", base64.b64encode(b"made by zoe@private.example")),
    "name": ("zoe_private_utils.py", b"x = 1\n"),
    "scheduler": ("job.sh", b"#SBATCH --account=privatelab\n"),
    "bucket": ("load.py", b'PLACE = "s3://privatelab-weights/x"\n'),
    "colleague": ("thanks.py", b"# thanks to sam.colleague@elsewhere.org\n"),
}


def test_what_tells_in_the_code_stops_the_export(project: Project) -> None:
    project.ok("key", "new")
    for name, content in SPOTS.values():
        place = project.root / name
        place.write_bytes(content)
    project.ok("run", "--", "python", "train.py")
    project.ok("run", "--", "python", "eval.py", "out/model.bin")
    done = project.repropack("export", "--anonymous", "-o", "b.rpk", "--yes", "--json")
    assert done.returncode == 1
    assert not (project.root / "b.rpk").exists()
    leaks = [leak for leak in json.loads(done.stdout)["leaks"] if leak["blocks"]]
    places = " ".join(leak["place"] + leak["member"] for leak in leaks)
    missing = [spot for spot, (name, _) in SPOTS.items() if name not in places]
    assert missing == []
    # Under her own name, a licence names her and that is all right.
    named = json.loads(project.repropack("export", "--dry-run", "--json").stdout)
    assert all("LICENSE" not in leak["place"] for leak in named["leaks"] if leak["blocks"])


def test_a_place_of_her_machine_in_the_command_stops_the_export(
    project: Project,
) -> None:
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py", "--data=/srv/lab-disks/group")
    options = ("export", "--anonymous", "--unevaluated", "-o", "b.rpk", "--yes")
    done = project.repropack(*options)
    assert done.returncode == 1
    (line,) = [x for x in done.stdout.splitlines() if "place in the command" in x]
    assert "/srv/lab-disks/group" in line
    assert "--data NAME=DIR" in done.stdout
    assert not (project.root / "b.rpk").exists()
    # It may be a path inside of an image that every reader has.
    project.ok(*options, "--waive", line.split()[0])
    assert (project.root / "b.rpk").exists()


def test_the_key_that_is_kept_has_the_passphrase_of_her_own(project: Project) -> None:
    secret = {"REPROPACK_PASSPHRASE": "emu wren 7"}
    project.ok("key", "new", "--passphrase", variables=secret)
    project.ok("run", "--", "python", "train.py")
    export = ("export", "--anonymous", "--unevaluated", "-o", "b.rpk", "--yes")
    assert "protected by the passphrase" in project.ok(*export, variables=secret)
    (kept,) = (project.root / ".repropack/anonymous").iterdir()
    key = project.root / "kept-key"
    key.write_bytes(base64.b64decode(json.loads(kept.read_bytes())["key"]))
    key.chmod(0o600)

    def opened(passphrase: str) -> int:
        argv = ["ssh-keygen", "-y", "-P", passphrase, "-f", str(key)]
        return subprocess.run(argv, check=False, capture_output=True).returncode

    assert opened("emu wren 7") == 0
    assert opened("") != 0
    # The rest is sealed to that key: a copy that somebody finds tells nothing.
    content = json.loads(kept.read_bytes())
    plain = kept.read_bytes() + base64.b64decode(content["sealed"])
    assert not any(word in plain for word in (b"Zoe", b"private", b"salt", b"ssh-ed25519"))
    kept.write_text(json.dumps({**content, "manifest_sha256": "0" * 64}))
    done = project.repropack("reveal", "b.rpk", variables=secret)
    assert (done.returncode, "damaged" in done.stderr) == (2, True)
    kept.write_text(json.dumps(content))
    for wrong in ({}, {"REPROPACK_PASSPHRASE": "emu"}):
        done = project.repropack("reveal", "b.rpk", variables=wrong)
        assert done.returncode == 2
        assert "passphrase" in done.stderr
    project.ok("reveal", "b.rpk", "-o", "r.json", variables=secret)
    project.ok("reveal", "check", "b.rpk", "r.json")
    # Her own has another passphrase meanwhile: that of the release is asked for.
    own = next(Path(project.environment["REPROPACK_HOME"]).glob("key"))
    argv = ["ssh-keygen", "-p", "-q", "-P", "emu wren 7", "-N", "", "-f", str(own)]
    subprocess.run(argv, check=True, capture_output=True)
    assert project.repropack("reveal", "b.rpk", "-o", "s.json").returncode == 2
    project.ok("reveal", "b.rpk", "-o", "s.json", variables=secret)
    assert project.repropack("reveal", "--commit", "b.rpk", "-o", "t.json").returncode == 2
    project.ok("reveal", "--commit", "b.rpk", "-o", "t.json", variables=secret)
    project.ok("reveal", "check", "b.rpk", "t.json")
    again = project.repropack("export", "--anonymous", "--unevaluated", "-o", "c.rpk", "--yes")
    assert "in clear text" in again.stdout


def test_what_passed_under_her_name_does_not_pass_here(project: Project) -> None:
    project.write("model.py", "# by Zoe Private\n")
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")

    def found(*options: str) -> set[str]:
        done = project.repropack("export", *options, "--dry-run", "--json")
        return {leak["id"] for leak in json.loads(done.stdout)["leaks"] if leak["blocks"]}

    named = found()
    waived = [word for one in named for word in ("--waive", one)]
    project.ok("export", "-o", "../named.rpk", "--yes", *waived)
    assert found() == set()
    anonymous = found("--anonymous")
    assert anonymous
    assert not anonymous & named
    project.ok(
        "export", "--anonymous", "--unevaluated", "-o", "b.rpk", "--yes",
        *(w for one in anonymous for w in ("--waive", one)),
    )  # fmt: skip


# ---------------------------------------------------------------- two of them are not linked

COMMON = {
    "claims.json": {
        "claims/basis", "claims/mode", "claims/note", "claims/source/importer", "claims/metric",
        "claims/source/key", "claims/source/path", "claims/tolerance", "claims/tolerance/kind",
        "claims/tolerance/within", "version",
    },
    "environment.json": {
        # What selects packages and kernels: docs/adr/0013 says why each stays.
        "machine/architecture", "machine/cpu", "machine/cpu_count", "machine/cpu_flags",
        "machine/distribution", "machine/facts/cpu family", "machine/facts/cpu model",
        "machine/facts/cpu vendor", "machine/kernel", "machine/libc", "machine/locale",
        "machine/memory", "machine/system", "modules", "numerics/python/filesystem_encoding",
        "python/cache_tag", "python/compiler", "python/flags/hash_randomization",
        "python/flags/int_max_str_digits", "python/flags/dont_write_bytecode",
        "python/implementation", "python/version", "python/virtual", "version",
    },
    "run.json": {
        "version", "record/version", "environment", "code/root", "record/segments/started",
        "record/segments/ended", "record/segments/outcome/status", "record/segments/environment",
        "record/segments/invocation/directory", "record/segments/invocation/variables/LANG",
        "record/segments/invocation/variables/PYTHONPATH",
        "record/segments/invocation/argv", "record/segments/materials/evidence",
        "record/segments/source/dirty", "record/segments/source/versioned",
        "record/segments/directories", "record/segments/materials/path",
        "record/segments/materials/origin/path", "record/segments/products/path",
        "record/segments/python_path", "artifacts/member", "artifacts/path",
        "record/segments/gaps/code", "record/segments/gaps/message",
    },
    "metrics.json": {
        "version", "metrics/source/importer", "metrics/source/key", "metrics/source/path",
        "metrics/source/line", "metrics/name",
    },
    "authorship.json": {"version"},
    "manifest.json": {
        "format", "version", "members/executable", "members/path", "members/role",
        "members/size", "members/sha256",
    },
}  # fmt: skip
"""Where two anonymous releases of one machine may say the same."""


def _leaves(value: Any, path: str = "") -> set[tuple[str, str]]:
    if isinstance(value, dict):
        return set().union(*(_leaves(v, f"{path}/{k}") for k, v in value.items()))
    if isinstance(value, list):
        return set().union(*(_leaves(v, path) for v in value))
    return {(path.lstrip("/"), str(value))}


def _other_code(text: str, number: int) -> str:
    """The same program for a test, with nothing in common that is longer than a word."""
    return f"# project {number}\n" + text.replace("0, 1", f"{number}, 1").replace(
        "(50)", f"({50 + number})"
    )


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, python_environment: Path
) -> tuple[Project, Path, Path]:
    """One author's two projects on one machine, each released anonymously."""
    import os

    place = tmp_path_factory.mktemp("pair")
    home = place / "home"
    home.mkdir()
    environment = {
        **{k: v for k, v in os.environ.items() if k in ("LANG", "SSL_CERT_FILE")},
        "HOME": str(home),
        "PATH": f"{python_environment}/bin:{os.environ['PATH']}",
        "REPROPACK_HOME": str(home / "settings"),
        **{f"GIT_{who}_NAME": "Zoe Private" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "zoe@private.example" for who in ("AUTHOR", "COMMITTER")},
    }
    bundles = []
    for number in (1, 2):
        root = place / f"project-{number}"
        root.mkdir()
        project = Project(root, environment)
        project.write("train.py", _other_code(TRAIN, number))
        project.write("eval.py", _other_code(EVAL, number))
        project.write(".gitignore", f"out/\n*.{number}\n")
        project.git("init", "-q", "-b", "main")
        project.git("add", ".")
        project.git("commit", "-q", "-m", "x")
        if number == 1:
            project.ok("key", "new")
        project.ok("run", "--", "python", "train.py", "--seed", str(number))
        project.ok("run", "--", "python", "eval.py", "out/model.bin")
        bundle = place / f"{number}.rpk"
        project.ok("export", "--anonymous", "-o", str(bundle), "--yes")
        bundles.append(bundle)
    return Project(place / "project-1", environment), bundles[0], bundles[1]


def test_two_releases_share_nothing_but_what_has_a_reason(
    pair: tuple[Project, Path, Path],
) -> None:
    _, first, second = pair
    here, there = opened(first), opened(second)
    shared: dict[str, set[tuple[str, str]]] = {}
    for path in sorted(p.relative_to(here) for p in here.rglob("*.json")):
        if (there / path).exists() and path.name not in (
            "ro-crate-metadata.json",  # made of the others: its texts are searched below
            "attestation.dsse.json",
        ):
            one, other = (json.loads((place / path).read_bytes()) for place in (here, there))
            common = _leaves(one) & _leaves(other)
            unexplained = {each for each in common if each[0] not in COMMON[path.name]}
            shared[str(path)] = unexplained
    assert len(shared) >= 8
    assert {path: left for path, left in shared.items() if left} == {}


_ODD = re.compile(
    rb"[0-9a-f]{12,}|[A-Za-z0-9+/]{24,}={0,2}|[0-9a-z]{12}(?![0-9a-z])|[0-9]{7,}"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+"
)
"""Digests, keys, ids, numbers, times: what could be an identity and is no word."""


def _odd(content: bytes) -> set[bytes]:
    return {word for word in _ODD.findall(content) if re.search(rb"[0-9]", word)}


def test_no_digest_id_key_or_time_stands_in_both(pair: tuple[Project, Path, Path]) -> None:
    _, first, second = pair
    (environment,) = (json.loads((opened(first) / "environment/environment.json").read_bytes()),)
    explained = json.dumps(environment).encode() + (
        # Fixed by the format or by the documents that every release has.
        b"1970-01-01T00:00:00 000000000000 org.w3id.ro.crate ed25519 "
    )
    template = Path(__file__).parents[2] / "repropack/export"
    for document in ("README.md", "REPRODUCING.md", "ro_crate.py"):
        explained += (template / document).read_bytes()
    shared = _odd(contents(first)) & _odd(contents(second))
    environment_digests = {
        member["sha256"].encode()
        for member in json.loads((opened(first) / "manifest.json").read_bytes())["members"]
        if member["path"].startswith("environment/")
    }
    left = {w for w in shared if w not in explained and w not in environment_digests}
    # How long a run took, since the time at which every run begins.
    left = {w for w in left if not w.startswith(b"1970-01-01T00:0")}
    assert left == set()


def test_how_it_is_stored_is_how_every_bundle_is(pair: tuple[Project, Path, Path]) -> None:
    project, first, _ = pair
    project.ok("export", "-o", "../named.rpk", "--yes")
    named = (project.root.parent / "named.rpk").read_bytes()
    anonymous = first.read_bytes()
    # Magic number and frame header descriptor: sizes, checksum, no dictionary (RFC 8878, 3.1.1).
    assert anonymous[:5] == named[:5]
    assert anonymous[-5:] == named[-5:]
    headers = [
        header[:100].rstrip(b"\0") and header[100:124] + header[136:148] + header[156:]
        for bundle in (first, project.root.parent / "named.rpk")
        for header in [(opened(bundle).parent / f"{bundle.name}.tar").read_bytes()[:512]]
    ]
    assert headers[0] == headers[1]


def test_the_same_release_twice_has_other_keys_and_ids(
    pair: tuple[Project, Path, Path], tmp_path: Path
) -> None:
    project, first, _ = pair
    project.ok("export", "--anonymous", "-o", str(tmp_path / "again.rpk"), "--yes")
    one, other = (
        json.loads((opened(bundle) / "authorship.json").read_bytes())
        for bundle in (first, tmp_path / "again.rpk")
    )
    assert one["key"] != other["key"]
    assert one["commitment"] != other["commitment"]
    runs = [
        json.loads((opened(bundle) / "runs/2/run.json").read_bytes())["record"]
        for bundle in (first, tmp_path / "again.rpk")
    ]
    assert runs[0]["id"] != runs[1]["id"]
    commitments = [run["segments"][0]["source"]["commitment"] for run in runs]
    assert commitments[0] != commitments[1]


# ---------------------------------------------------------------- who checks it


def test_a_reviewer_is_told_and_not_frightened(pair: tuple[Project, Path, Path]) -> None:
    project, first, _ = pair
    done = project.repropack("verify", str(first), "--no-run")
    assert done.returncode == 4
    assert "every byte is what the anonymous author signed" in done.stdout
    assert "not established" not in done.stdout + done.stderr
    assert "--expect" in done.stderr
    assert "anonymous  its author is to stay unknown" in project.ok("inspect", str(first))
    digest = json.loads(project.ok("inspect", str(first), "--json"))["manifest_sha256"]
    project.ok("verify", str(first), "--no-run", "--expect", f"sha256:{digest}")
    report = project.root / "report.html"
    project.repropack("verify", str(first), "--no-run", "--report", str(report))
    text = report.read_text()
    assert "double-blind" in text
    assert "The signer is not established" not in text


def test_its_key_is_never_remembered(pair: tuple[Project, Path, Path]) -> None:
    project, first, _ = pair
    before = project.ok("key", "list")
    done = project.repropack("verify", str(first), "--no-run", "--pin", "reviewer-7")
    assert done.returncode == 4
    assert "reviewer-7 is not remembered" in done.stderr
    assert project.ok("key", "list") == before


def test_its_author_does_not_sign_it_by_mistake(
    pair: tuple[Project, Path, Path], tmp_path: Path
) -> None:
    project, first, _ = pair
    done = project.repropack("sign", str(first), "-o", str(tmp_path / "s.rpk"))
    assert done.returncode == 2
    assert "is anonymous, and a signature would tell" in done.stderr
    assert not (tmp_path / "s.rpk").exists()
    project.ok("sign", str(first), "-o", str(tmp_path / "s.rpk"), "--yes")
    done = project.repropack("verify", str(tmp_path / "s.rpk"), "--no-run")
    assert done.returncode == 0
    assert "anonymous: the key was made for this bundle alone" in done.stdout


def _resigned(project: Project, bundle: Path, place: Path, key: SigningKey) -> Path:
    """The bundle as a thief has it who strips the signature and signs the same statement."""
    stolen = place / "stolen"
    shutil.copytree(opened(bundle), stolen)
    attestation = stolen / "attestation.dsse.json"
    payload = base64.b64decode(json.loads(attestation.read_bytes())["payload"])
    attestation.write_bytes(seal(payload, key))
    return stolen


def test_a_thief_cannot_sign_it_as_hers(pair: tuple[Project, Path, Path], tmp_path: Path) -> None:
    project, first, _ = pair
    stolen = _resigned(project, first, tmp_path, SigningKey.from_seed(b"t" * 32))
    done = project.repropack("verify", str(stolen), "--no-run")
    assert done.returncode == 1
    assert "RPK316" in done.stdout


# ---------------------------------------------------------------- the author proves it


def _digest(bundle: Path) -> str:
    envelope = json.loads((opened(bundle) / "attestation.dsse.json").read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    return str(statement["subject"][0]["digest"]["sha256"])


@pytest.fixture(scope="module")
def reveal(pair: tuple[Project, Path, Path]) -> Path:
    project, first, _ = pair
    place = project.root.parent / "reveal.json"
    project.ok("reveal", str(first), "-o", str(place))
    return place


def test_the_author_reveals_herself(pair: tuple[Project, Path, Path], reveal: Path) -> None:
    project, first, _ = pair
    text = project.ok("reveal", "check", str(first), str(reveal))
    assert "Zoe Private <zoe@private.example>" in text
    assert text.splitlines()[-1].startswith("PROVEN")
    # Another reader knows the key from elsewhere, or does not know it.
    stranger = {"REPROPACK_HOME": str(project.root.parent / "stranger")}
    arguments = ("reveal", "check", str(first), str(reveal))
    done = project.repropack(*arguments, variables=stranger)
    assert done.returncode == 4
    assert "key trust SHA256:" in done.stderr
    assert (
        project.repropack(*arguments, "--allow-unknown-signer", variables=stranger).returncode == 0
    )
    key = project.root.parent / "home/settings/key.pub"
    done = project.repropack(*arguments, "--signer", str(key), variables=stranger)
    assert done.returncode == 0
    other = "SHA256:" + "A" * 43
    done = project.repropack(*arguments, "--signer", other, variables=stranger)
    assert done.returncode == 1
    assert "not one that you named" in done.stderr


def test_a_key_that_is_revoked_reveals_nobody(
    pair: tuple[Project, Path, Path], reveal: Path, tmp_path: Path
) -> None:
    project, first, _ = pair
    key = project.root.parent / "home/settings/key"
    arguments = ("reveal", "check", str(first), str(reveal), "--signer", f"{key}.pub")
    for reason, status, words in (("retired", 4, "retired"), ("compromised", 1, "is revoked")):
        statement = tmp_path / f"{reason}.json"
        apart = {"REPROPACK_HOME": str(tmp_path / f"author-{reason}")}
        project.ok(
            "key", "revoke", "--key", str(key), "--reason", reason, "-o", str(statement),
            variables=apart,
        )  # fmt: skip
        reader = {"REPROPACK_HOME": str(tmp_path / "reader")}
        project.ok("key", "import", str(statement), variables=reader)
        done = project.repropack(*arguments, variables=reader)
        assert done.returncode == status, done.stdout + done.stderr
        assert words in done.stdout + done.stderr


def test_a_replay_for_another_bundle_fails(pair: tuple[Project, Path, Path], reveal: Path) -> None:
    project, _, second = pair
    done = project.repropack("reveal", "check", str(second), str(reveal))
    assert done.returncode == 1
    assert "about another bundle" in done.stderr


def test_a_thief_with_the_published_reveal_fails(
    pair: tuple[Project, Path, Path], reveal: Path, tmp_path: Path
) -> None:
    """She has the bundle, the salt and a key of her own; what she lacks is the bundle's key."""
    project, first, _ = pair
    from repropack.model import Author

    published = json.loads(base64.b64decode(json.loads(reveal.read_bytes())["payload"]))
    salt = base64.b64decode(published["predicate"]["salt"])
    thief = SigningKey.from_seed(b"t" * 32)
    claim = Author(name="Tess Thief <tess@example.com>", key=thief.public.openssh)
    payload = reveal_payload(_digest(first), claim, salt)
    place = tmp_path / "thief.json"
    for keys, words in (
        ((thief,), "the bundle's own key"),
        ((thief, SigningKey.from_seed(b"u" * 32)), "the bundle's own key"),
    ):
        place.write_bytes(seal(payload, *keys))
        done = project.repropack("reveal", "check", str(first), str(place))
        assert done.returncode == 1
        assert words in done.stderr
    # Nor does the author's own signature under the thief's claim help: it is of other bytes.
    envelope = json.loads(reveal.read_bytes())
    envelope["payload"] = base64.b64encode(payload).decode()
    place.write_text(json.dumps(envelope, separators=(",", ":"), sort_keys=True))
    done = project.repropack("reveal", "check", str(first), str(place))
    assert done.returncode == 1
    assert "RPK303" in done.stderr


def test_only_the_store_that_made_it_can_reveal(
    pair: tuple[Project, Path, Path], tmp_path: Path
) -> None:
    project, first, second = pair
    done = project.repropack("reveal", str(second), "-o", str(tmp_path / "x.json"))
    assert done.returncode == 2
    assert "has not made this bundle" in done.stderr
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True
    )
    done = project.repropack(
        "reveal", str(first), "--key", str(tmp_path / "other"), "-o", str(tmp_path / "x.json")
    )
    assert done.returncode == 2
    assert "is sealed to the key SHA256:" in done.stderr
    assert not (tmp_path / "x.json").exists()


def test_the_commit_of_an_anonymous_release_can_be_revealed_too(
    pair: tuple[Project, Path, Path], tmp_path: Path
) -> None:
    project, first, _ = pair
    proof = tmp_path / "commit.json"
    project.ok("reveal", "--commit", str(first), "-o", str(proof))
    assert project.git("rev-parse", "HEAD").strip() in project.ok(
        "reveal", "check", str(first), str(proof)
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--author", "X"), "are about --anonymous"),
        (("--replace", "a=b"), "are about --anonymous"),
        (("--anonymous", "--replace", "ab"), "expected TERM=TEXT"),
        (("--anonymous", "--replace", "zebrafinch=bird"), "stands nowhere"),
        (("--anonymous", "--author", " "), "seals who you are"),
    ],
)
def test_slips_are_one_clear_line(
    pair: tuple[Project, Path, Path], options: tuple[str, ...], words: str
) -> None:
    project, _, _ = pair
    done = project.repropack("export", *options, "-o", "slip.rpk", "--yes")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.root / "slip.rpk").exists()


def test_a_dry_run_keeps_and_writes_nothing(pair: tuple[Project, Path, Path]) -> None:
    project, _, _ = pair
    kept = project.root / ".repropack/anonymous"
    before = sorted(kept.iterdir())
    facts = json.loads(project.ok("export", "--anonymous", "--dry-run", "--json"))
    assert facts["anonymous"]["author"]["name"] == "Zoe Private <zoe@private.example>"
    assert facts["anonymous"]["changed"] is False
    assert facts["anonymous"]["coarsened"]
    assert sorted(kept.iterdir()) == before
    assert {place.stat().st_mode & 0o777 for place in kept.iterdir()} == {0o600}


def test_a_checklist_for_a_blind_submission_has_no_id_of_the_store(
    pair: tuple[Project, Path, Path],
) -> None:
    project, _, _ = pair
    text = project.ok("checklist", "--kind", "acm", "--anonymous")
    assert "Anonymous release" in text
    assert "project-1" not in text


# ---------------------------------------------------------------- words are replaced


@pytest.fixture
def telling(project: Project) -> Project:
    """Code that names its author in text, in a module's name, and in a licence."""
    project.write("zprivate_lib.py", "# by Zoe Private\nSCALE = 2.0\n")
    project.write(
        "eval.py", "import zprivate_lib\n" + EVAL.replace("w * w", "w * zprivate_lib.SCALE")
    )
    project.write("LICENSE", "Copyright (c) 2026 Zoe Private\nskzoe\n")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "more")
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    project.ok("run", "--", "python", "eval.py", "out/model.bin")
    return project


WORDS = ("--replace", "Zoe Private=The Author", "--replace", "zprivate_lib=plain_lib")


def test_replaced_words_are_declared_and_gone(telling: Project) -> None:
    project = telling
    bundle = project.root.parent / "b.rpk"
    done = project.repropack("export", "--anonymous", "-o", str(bundle), "--yes")
    assert done.returncode == 1
    assert not bundle.exists()

    done = project.repropack("export", "--anonymous", *WORDS, "-o", str(bundle), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "evaluating it before it is signed" in done.stderr
    assert "what trained them is not repeated" in " ".join(done.stdout.split())
    assert re.search(
        r"replaced   'zprivate_lib' → 'plain_lib', 3 times: eval\.py \(2\), "
        r"zprivate_lib\.py \(1\)",
        done.stdout,
    ), done.stdout
    assert "'Zoe Private' → 'The Author', 2 times: LICENSE (1), zprivate_lib.py (1)" in done.stdout
    content = everything(bundle)
    for term in ("Zoe Private", "zprivate", "private"):
        assert found_in(content, term) == []
    # Only where no letter adjoins: this is not she. Three letters also come up by chance in what
    # is compressed, so what stands around them has to be of a text.
    assert b"skzoe" in content
    around = rb"[\t\n -/:-@\[-`{-~]"
    assert re.findall(rb"(?i)(?:\A|" + around + rb")zoe(?:\Z|" + around + rb")", content) == []

    record = json.loads((opened(bundle) / "runs/2/run.json").read_bytes())["record"]
    source = record["segments"][0]["source"]
    assert source["replaced"] == ["LICENSE", "eval.py", "plain_lib.py"]
    ran = project.segment()["source"]["tree"]
    assert source["tree"] != ran
    assert found_in(content, ran) == []
    assert "commitment" not in source
    done = project.repropack("verify", str(bundle), "--offline", "--json")
    report = json.loads(done.stdout)
    assert report["verdict"] == "REPRODUCED"
    (finding, _) = (f for f in report["findings"] if f["code"] == "RPK808")
    assert "3 files (LICENSE, eval.py, plain_lib.py)" in finding["found"]
    assert project.repropack("reveal", str(bundle), "-o", "r.json").returncode == 0


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("bias = len('larks of Basel')", 1, "does not give the claimed numbers"),
        ("bias = 1\nassert 'larks of ' + 'Basel' == 'larks of Basel'", 3, "could not be evaluated"),
    ],
)
def test_what_no_longer_gives_the_numbers_is_not_signed(
    project: Project, code: str, status: int, words: str
) -> None:
    project.write("eval.py", EVAL.replace("score = ", f"{code}\nscore = bias + "))
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    project.ok("run", "--", "python", "eval.py", "out/model.bin")
    arguments = ("export", "--anonymous", "--replace", "larks of Basel=us", "-o", "b.rpk", "--yes")
    done = project.repropack(*arguments)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert not (project.root / "b.rpk").exists()
    # She may say that she knows, and then the screen says it.
    assert "it is signed unevaluated, as you asked" in project.ok(*arguments, "--unevaluated")


def test_what_is_no_text_is_never_edited(project: Project) -> None:
    blob = b"\0\1\2 by Zoe Private \0"
    (project.root / "table.bin").write_bytes(blob)
    project.write("note.txt", "by Zoe Private\n")
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    words = ("--replace", "Zoe Private=The Author")
    done = project.repropack("export", "--anonymous", *words, "-o", "b.rpk", "--yes")
    assert done.returncode == 1
    assert "table.bin" in done.stderr + done.stdout
    project.ok(
        "export", "--anonymous", *words, "--withhold", "table.bin", "--unevaluated",
        "-o", "b.rpk", "--yes",
    )  # fmt: skip
    content = everything(project.root / "b.rpk")
    assert found_in(content, "Zoe Private") == []
    assert b"by The Author" in content
    assert b"table.bin" in content  # the pattern that the author gave
