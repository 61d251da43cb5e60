# SPDX-License-Identifier: Apache-2.0
"""Releases for the tests of `verify`: complete and valid ones, and each defect alone.

A `Draft` is a release in the hands of an author who may be hostile: everything in it can be edited
before it is written and signed by the product's own writer. `check` verifies a file, and asserts
what holds for any file whatever: nothing is left behind, nothing unprintable comes out.
"""

from __future__ import annotations

import dataclasses
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from repropack import canonical
from repropack.bundle import MemberSource, write_bundle
from repropack.digest import sha256_hex
from repropack.environment.lock import write_lock
from repropack.model import (
    Absolute,
    Artifact,
    Claim,
    ClaimMode,
    ClaimSet,
    CodeMember,
    DataFile,
    DataManifest,
    Environment,
    Evidence,
    Invocation,
    Machine,
    Material,
    MetricSet,
    MetricSource,
    Origin,
    Outcome,
    PackedRun,
    Product,
    Python,
    ReleasePredicate,
    Report,
    Role,
    RunRecord,
    Segment,
    SourceSnapshot,
    Statement,
    Subject,
    Tolerance,
)
from repropack.reports import TABLE, render
from repropack.signing.dsse import seal
from repropack.signing.keys import SigningKey
from repropack.signing.policy import TrustPolicy
from repropack.source.unpack import bundle_header
from repropack.verify import Mode, Observer, VerifyRequest, verify
from tests.plain_git import run_git

NOW: Final = "2026-01-02T03:04:05Z"
MACHINE: Final = Machine(system="Linux", architecture="x86_64")
SHELL: Final = Environment(version=1, machine=MACHINE)

AUTHOR: Final = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
THIEF: Final = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32))

OURS: Final = ("temporary", "cache")
"""Directories of the verifier beside the bundle: its work, and what uv has downloaded."""

Edit = Callable[[Any], object]


class Link(str):
    """The target of a symbolic link, among the files of a code tree."""


def git(directory: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    done = run_git(
        directory,
        *arguments,
        home=directory,
        author=("a", "a@invalid"),
        date="@0 +0000",
        stdin=stdin,
    )
    done.check_returncode()
    return done.stdout


def code_bundle(place: Path, files: dict[str, str]) -> tuple[CodeMember, bytes]:
    """A code tree as a bundle holds it, made by git."""
    place.mkdir(parents=True)
    git(place, "init", "-q")
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content)
        else:
            path.write_text(content)
    git(place, "add", "-A", "-f")
    tree = git(place, "write-tree").decode().strip()
    commit = git(place, "commit-tree", tree, "-m", "code").decode().strip()
    pack = git(place, "pack-objects", "-q", "--revs", "--stdout", stdin=f"{commit}\n".encode())
    member = f"code/{tree[:12]}.bundle"
    return (
        CodeMember(root="{project}", tree=tree, commit=commit, member=member),
        bundle_header(commit) + pack,
    )


@dataclasses.dataclass
class Draft:
    """A release that is not yet written. `edits` change a member's JSON, or its bytes."""

    place: Path
    runs: list[PackedRun] = dataclasses.field(default_factory=list)
    claims: list[Claim] = dataclasses.field(default_factory=list)
    seeds: tuple[str, ...] = ()
    data: list[DataManifest] = dataclasses.field(default_factory=list)
    environments: dict[str, Environment] = dataclasses.field(
        default_factory=lambda: {"environment": SHELL}
    )
    members: dict[str, tuple[Role, bytes]] = dataclasses.field(default_factory=dict)
    edits: dict[str, Edit] = dataclasses.field(default_factory=dict)
    statement: Edit | None = None
    envelope: Callable[[bytes], bytes] | None = None

    def add_run(
        self,
        files: dict[str, str],
        *argv: str,
        run_id: str | None = None,
        materials: tuple[Material, ...] = (),
        artifacts: dict[str, bytes] | None = None,
        variables: dict[str, str] | None = None,
        directory: str = "{project}",
        outcome: Outcome | None = None,
        data: tuple[str, ...] = (),
    ) -> str:
        """Adds a run of some code. `artifacts`: files it left behind, by their project path."""
        number = len(self.runs) + 1
        run_id = run_id or f"run{number:09}"
        code, bundle = code_bundle(self.place / f"code-{number}", files)
        self.members[code.member] = (Role.CODE, bundle)
        packed = []
        for path, content in (artifacts or {}).items():
            member = f"weights/run-{number}/{path}"
            self.members[member] = (Role.WEIGHTS, content)
            packed.append(
                Artifact(path=f"{{project}}/{path}", member=member, sha256=sha256_hex(content))
            )
        segment = Segment(
            invocation=Invocation(argv=argv, directory=directory, variables=variables or {}),
            source=SourceSnapshot(tree=code.tree, versioned=True, dirty=False),
            environment="0" * 64,
            started="2026-01-01T00:00:00Z",
            ended="2026-01-01T00:00:01Z",
            outcome=outcome or Outcome(status=0),
            materials=materials,
            products=tuple(
                Product(path=a.path, size=len(self.members[a.member][1]), sha256=a.sha256)
                for a in packed
            ),
        )
        self.runs.append(
            PackedRun(
                version=1,
                record=RunRecord(version=1, id=run_id, segments=(segment,)),
                code=(code,),
                environment="environment",
                artifacts=tuple(packed),
                data=data,
            )
        )
        return run_id

    def add_claim(
        self,
        expected: float,
        *,
        metric: str = "accuracy",
        source: MetricSource | None = None,
        tolerance: Tolerance | None = None,
        mode: ClaimMode = ClaimMode.RETRAIN_SAME_SEED,
        unit: str = "",
    ) -> None:
        self.claims.append(
            Claim(
                metric=metric,
                source=source
                or MetricSource(importer="json", path="{project}/metrics.json", key="/accuracy"),
                expected=expected,
                mode=mode,
                tolerance=tolerance or Absolute(within=0.01),
                unit=unit,
            )
        )

    def add_data(self, name: str, files: dict[str, bytes], **fields: Any) -> DataManifest:
        manifest = DataManifest(
            version=1,
            name=name,
            files=tuple(
                DataFile(path=path, size=len(content), sha256=sha256_hex(content))
                for path, content in files.items()
            ),
            **fields,
        )
        self.data.append(manifest)
        return manifest

    def sources(self) -> list[MemberSource]:
        records: dict[str, tuple[Role, bytes]] = {
            "README.md": (Role.DOCUMENT, b"# A release\n"),
            "claims.json": (
                Role.CLAIMS,
                canonical.encode(
                    ClaimSet(
                        version=1,
                        run=self.runs[-1].record.id,
                        claims=tuple(self.claims),
                        seeds=self.seeds,
                    )
                ),
            ),
        }
        for number, run in enumerate(self.runs, 1):
            records[f"runs/{number}/run.json"] = (Role.RUN, canonical.encode(run))
            records[f"runs/{number}/metrics.json"] = (
                Role.RUN,
                canonical.encode(MetricSet(version=1, metrics=())),
            )
        for directory, environment in self.environments.items():
            records[f"{directory}/environment.json"] = (
                Role.ENVIRONMENT,
                canonical.encode(environment),
            )
            if environment.python is not None:
                records[f"{directory}/pylock.toml"] = (
                    Role.ENVIRONMENT,
                    write_lock(environment.python, ()),
                )
        for manifest in self.data:
            records[f"data/{manifest.name}.json"] = (
                Role.DATA_MANIFEST,
                canonical.encode(manifest),
            )
        records |= self.members
        for path, edit in self.edits.items():
            role, content = records.pop(path)
            edited = edit(json.loads(content) if path.endswith(".json") else content)
            if edited is None:
                continue
            records[path] = (
                role,
                edited if isinstance(edited, bytes) else json.dumps(edited).encode(),
            )
        return [
            MemberSource(path=path, role=role, content=content)
            for path, (role, content) in records.items()
        ]

    def write(self, name: str = "release.rpk", *, key: SigningKey = AUTHOR) -> Path:
        path = self.place / name
        write_bundle(path, self.sources(), seal=lambda m, at: self._seal(m, at, key))
        return path

    def _seal(self, manifest: bytes, offset: int, key: SigningKey) -> bytes:
        statement = msgspec.to_builtins(
            Statement(
                type_="https://in-toto.io/Statement/v1",
                subject=(Subject(name="manifest.json", digest={"sha256": sha256_hex(manifest)}),),
                predicate_type="urn:repropack:release:v1",
                predicate=ReleasePredicate(
                    format="rpk",
                    version=1,
                    manifest_offset=offset,
                    manifest_size=len(manifest),
                    run=self.runs[-1].record.id,
                    claims=(),
                    tool="test",
                ),
            )
        )
        if self.statement is not None:
            self.statement(statement)
        envelope = seal(canonical.encode(statement), key)
        return self.envelope(envelope) if self.envelope else envelope


def simple(
    place: Path,
    script: str | None = None,
    *,
    expected: float = 0.91,
    files: dict[str, str] | None = None,
) -> Draft:
    """A release of one shell script that writes `metrics.json` (0.91 if it is not given)."""
    draft = Draft(place)
    draft.add_run({"run.sh": script or metrics("0.91"), **(files or {})}, "sh", "run.sh")
    draft.add_claim(expected)
    return draft


def metrics(number: str) -> str:
    """A script that writes a number, spelled like this, as JSON."""
    return f"printf '%s' '{{\"accuracy\": {number}}}' > metrics.json\n"


def chain(
    place: Path, *, packed: str = "0.91", made: str = "0.91", train: str | None = None
) -> Draft:
    """A trains (writes `out/model`), B evaluates: it prints what is in the file.

    Args:
        place: Where it is made.
        packed: What the author's model says.
        made: What A's code writes.
        train: Its code, if it does more than that.
    """
    draft = Draft(place)
    model = f"{packed}\n".encode()
    first = draft.add_run(
        {"train.sh": train or f"mkdir -p out; echo {made} > out/model\n"},
        "sh",
        "train.sh",
        artifacts={"out/model": model},
    )
    draft.add_run(
        {"eval.sh": 'echo "accuracy: $(cat "$1")"\n'},
        "sh",
        "eval.sh",
        "{project}/out/model",
        materials=(
            Material(
                path="{project}/out/model",
                size=len(model),
                sha256=sha256_hex(model),
                evidence=(Evidence.ARGUMENT,),
                origin=Origin(run=first, path="{project}/out/model"),
            ),
        ),
    )
    for mode in ClaimMode:
        draft.add_claim(
            0.91,
            source=MetricSource(importer="console", path="stdout", key="accuracy"),
            mode=mode,
        )
    return draft


def python_environment(version: str, *, implementation: str = "cpython") -> Environment:
    return Environment(
        version=1,
        machine=MACHINE,
        python=Python(implementation=implementation, version=version, cache_tag="x"),
    )


def segment_of(record: Any) -> Any:
    """The only segment in the JSON of a run."""
    return record["record"]["segments"][0]


def listing(root: Path) -> dict[str, tuple[int, int]]:
    """Everything below a directory, links not followed."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.lstat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.relative_to(root).parts[0] not in OURS
    }


def unprintable(text: str) -> list[str]:
    """Characters that could do something to a terminal or hide something from a reader."""
    bad = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return [hex(ord(c)) for c in text if c != "\n" and unicodedata.category(c) in bad]


TRUSTED: Final = TrustPolicy(required=(AUTHOR.public.fingerprint,))


def check(bundle: Path, *, mode: Mode = Mode.EVALUATE, **options: Any) -> Report:
    """Verifies a file, and asserts what holds for every file."""
    live = options.pop("live", lambda _, __: None)
    place = bundle.parent
    temporary = place / "temporary"
    temporary.mkdir(exist_ok=True)
    before = listing(place)
    told: list[str] = []
    report = verify(
        VerifyRequest(
            bundle=bundle,
            mode=mode,
            temporary=temporary,
            policy=options.pop("policy", TRUSTED),
            **options,
        ),
        {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "XDG_CACHE_HOME": str(place / "cache"),
        },
        Observer(tell=told.append, advance=lambda _, __: None, live=live),
        now=NOW,
    )
    after = listing(place)
    assert not list(temporary.iterdir()), "the work directory was not removed"
    assert after == before, "something outside the work directory has changed"
    for form in TABLE:
        assert not unprintable(render(form, report)), form
    assert not unprintable("".join((*told, report.reason)))
    return report
