# SPDX-License-Identifier: Apache-2.0
"""The two texts for people in a bundle: how to check it by hand, and how to run it by hand.

They must still work when repropack is gone: every command in them uses tar, zstd, git, openssl and
the usual shell tools, and a test runs them as they stand.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Final

import jinja2
from msgspec import Struct

from repropack.environment.conda import channel_names, needs_conda
from repropack.environment.editable import EditableInstall
from repropack.escaping import show
from repropack.export.chain import ChainedRun, ChosenArtifact, products_of
from repropack.model import (
    CodeMember,
    CodeRoot,
    DataManifest,
    Environment,
    Material,
    Segment,
    SourceSnapshot,
)
from repropack.paths import to_logical_path
from repropack.placeholders import (
    PROJECT_DATA,
    code_placeholder,
    data_placeholder,
    fill,
    names_in,
    split_code,
    split_data,
)
from repropack.signing.keys import PublicKey

__all__ = ["Documents", "write_documents"]

_WORDS: Final = {
    "project": '"$PROJECT"',
    "env": '"$ENV"',
    "home": '"$HOME"',
    "tmp": "/tmp",  # noqa: S108 - a text for people
    "host": "host",
    "user": "user",
}
"""What the shell of a reader has for a placeholder, as part of a word."""

_SHOWN_PRODUCTS: Final = 20
"""Files that a run wrote, as far as the text names them; `run.json` has all."""


class Documents(Struct, frozen=True, kw_only=True):
    """README.md and REPRODUCING.md."""

    readme: bytes
    reproducing: bytes


def write_documents(
    *,
    title: str,
    file_name: str,
    chain: tuple[ChainedRun, ...],
    code: Mapping[tuple[str, str], CodeMember],
    artifacts: tuple[ChosenArtifact, ...],
    data: tuple[DataManifest, ...],
    environments: Mapping[str, Environment],
    environments_of: Mapping[str, tuple[str, ...]],
    wheels: Mapping[str, int],
    claims: tuple[str, ...],
    public_keys: tuple[PublicKey, ...],
    anonymous: bool = False,
) -> Documents:
    """Fills the templates.

    Args:
        title: The project's title.
        file_name: The bundle's file name.
        chain: The runs.
        code: Code members by place and tree id.
        artifacts: Products in the bundle.
        data: Data manifests.
        environments: Environment records by member directory.
        environments_of: The member directories of each run's environments, by the run's id.
        wheels: How many wheels are packed of an environment, by member directory.
        claims: One line each.
        public_keys: The signers'.
        anonymous: Whether the author is to stay unknown until she reveals herself.
    """
    segments = [segment for chained in chain for segment in chained.record.segments]
    names = _data_names(data, segments)
    beside = {chained.number: _data_beside(chained, data) for chained in chain}
    places = _Places(
        code=code,
        environments=environments,
        environments_of=environments_of,
        environment_places={
            directory: ("env" if index == 1 else f"env-{index}") if environment.python else ""
            for index, (directory, environment) in enumerate(environments.items(), 1)
        },
        members={artifact.product.sha256: artifact.member for artifact in artifacts},
        copies=_copies(segments, data, {artifact.product.sha256 for artifact in artifacts}),
        numbers={chained.record.id: chained.number for chained in chain},
        data=names,
        beside=beside,
        runs={chained.number: _project_place(chained, beside[chained.number]) for chained in chain},
    )
    facts: dict[str, Any] = {
        "title": title,
        "file": file_name,
        "anonymous": anonymous,
        "claims": claims,
        "signers": [
            {"fingerprint": key.fingerprint, "openssh": key.openssh, "pem": key.pem.strip()}
            for key in public_keys
        ],
        "data": [_data_facts(each, names[each.name], places) for each in data],
        "unlisted_data": [
            {"name": name, "variable": variable}
            for name, variable in names.items()
            if name not in {each.name for each in data}
        ],
        "environments": [
            {
                "directory": directory,
                "place": places.environment_places[directory],
                "python": environment.python,
                "machine": environment.machine,
                "conda": channel_names(environment) if needs_conda(environment) else None,
                "packages": sum(one.origin != "conda" for one in environment.distributions),
                "wheels": wheels.get(directory, 0),
            }
            for directory, environment in environments.items()
        ],
        "runs": [_run_facts(chained, places) for chained in chain],
        "project_data": names.get(PROJECT_DATA),
    }
    templates = _templates(names, segments)
    return Documents(
        readme=templates.get_template("README.md").render(facts).encode("utf-8"),
        reproducing=templates.get_template("REPRODUCING.md").render(facts).encode("utf-8"),
    )


class _Places(Struct, frozen=True, kw_only=True):
    """Where a reader who follows the text has everything.

    Attributes:
        code: Code members by place and tree id.
        environments: Environment records by member directory.
        environments_of: The member directories of each run's environments, by the run's id.
        environment_places: Where each is made, by member directory; empty for none.
        members: The member of a product, by digest.
        copies: Paths of data sets that hold nothing but copies of packed outputs.
        numbers: The number of each run, by its id.
        data: The variable that names each data set.
        beside: By number of a run, the data sets that stood beside its project.
        runs: By number of a run, where its project lies.
    """

    code: Mapping[tuple[str, str], CodeMember]
    environments: Mapping[str, Environment]
    environments_of: Mapping[str, tuple[str, ...]]
    environment_places: Mapping[str, str]
    members: dict[str, str]
    copies: frozenset[str]
    numbers: Mapping[str, int]
    data: Mapping[str, str]
    beside: Mapping[int, list[DataManifest]]
    runs: Mapping[int, str]


def _templates(names: Mapping[str, str], segments: Iterable[Segment]) -> jinja2.Environment:
    """The templates, with what makes foreign text safe in them."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown; foreign strings go through `line`, `quote`, `word`
    )
    words = {
        **_WORDS,
        **{data_placeholder(n): f'"${v}"' for n, v in names.items()},
        **{
            code_placeholder(split[0]): f'"${_code_variable(split[0])}"'
            for segment in segments
            for root in segment.roots
            if (split := split_code(root.root)) is not None and split[0] is not None
        },
    }
    templates.filters["line"] = _line
    templates.filters["quote"] = _quote
    templates.filters["word"] = functools.partial(_word, words=words)
    templates.filters["fenced"] = _fenced
    return templates


def _run_facts(chained: ChainedRun, places: _Places) -> dict[str, Any]:
    """What the text says of one run."""
    record, number = chained.record, chained.number
    return {
        "number": number,
        "id": record.id,
        "environment": places.environment_places[places.environments_of[record.id][0]],
        "place": places.runs[number],
        "data": [
            {
                "variable": places.data[each.name],
                "position": each.position,
                "parent": os.path.dirname(each.position or ""),
            }
            for each in places.beside[number]
        ],
        "segments": [
            _segment_facts(chained, before, segment, segment.source, places)
            for before, segment in zip((None, *record.segments), record.segments, strict=False)
            if segment.source is not None
        ],
        "products": [path.removeprefix("{project}/") for path in products_of(record)][
            :_SHOWN_PRODUCTS
        ],
    }


def _segment_facts(
    chained: ChainedRun,
    before: Segment | None,
    segment: Segment,
    source: SourceSnapshot,
    places: _Places,
) -> dict[str, Any]:
    """What the text says of one execution of a run, after the one `before`."""
    code, number, run_id = places.code, chained.number, chained.record.id
    return {
        "code": code["{project}", source.tree],
        "roots": [
            _root_facts(root, code[root.root, root.source.tree], number)
            for root in _outer_first(segment.roots)
        ],
        "python_path": segment.python_path,
        "editable": _installs(segment, places.environments[places.environments_of[run_id][0]]),
        "argv": segment.invocation.argv,
        "directory": segment.invocation.directory,
        "variables": segment.invocation.variables,
        "directories": _directories(segment),
        "links": [
            (places.environment_places[directory], one.place)
            for one, directory in zip(
                segment.environments, places.environments_of[run_id], strict=False
            )
            if one.place and places.environment_places[directory]
        ],
        "needs": [
            _need(material, places.members[material.sha256], places.numbers, places.runs, run_id)
            for material in segment.materials
            if material.origin is not None
            and material.sha256 in places.members
            and (material.path.startswith("{project}/") or material.path in places.copies)
        ],
        "reads_project_data": any(
            material.origin is None and (split_data(material.path) or ("",))[0] == PROJECT_DATA
            for material in segment.materials
        ),
        "changed_roots": _changed_roots(before, segment, code, number),
        "outcome": segment.outcome.signal or segment.outcome.status or 0,
    }


def _directories(segment: Segment) -> tuple[str, ...]:
    """The directories inside the project that a run needs and that git may not have kept."""
    parents = [m.path.rpartition("/")[0] for m in segment.materials if m.origin is not None]
    return tuple(
        path
        for path in dict.fromkeys((*segment.directories, *parents))
        if path.startswith("{project}/")
    )


def _data_beside(chained: ChainedRun, data: Iterable[DataManifest]) -> list[DataManifest]:
    """The data sets of a run that stood beside its project."""
    read = {
        split[0]
        for segment in chained.record.segments
        for material in segment.materials
        if (split := split_data(material.path)) is not None
    }
    return [each for each in data if each.name in read and each.position is not None]


def _project_place(chained: ChainedRun, data: Iterable[DataManifest]) -> str:
    """Where a run's project lies: deep enough for code and data that were found as `../lib`."""
    roots = (root for segment in chained.record.segments for root in segment.roots)
    positions = (*(one.position for one in roots), *(one.position for one in data))
    climbs = max((one.split("/").count("..") for one in positions if one), default=0)
    below = "/".join([*(["in"] * (climbs - 1)), "project"]) if climbs else ""
    return f"work-run-{chained.number}/{below}".rstrip("/")


def _outer_first(roots: Iterable[CodeRoot]) -> list[CodeRoot]:
    """The order of writing: what holds another first, what replaces files last."""
    return sorted(
        roots,
        key=lambda r: (
            r.root == "{project}",
            (r.position or "").count("/"),
            r.root.count("/"),
        ),
    )


def _root_facts(root: CodeRoot, member: CodeMember, number: int) -> dict[str, Any]:
    """Further code: its bundle and where it goes."""
    split = split_code(root.root)
    assert split is not None
    name, below = split
    return {
        "member": member,
        "root": root.root,
        "replaces": root.root == "{project}",
        "variable": _code_variable(name) if name is not None and not below else None,
        "position": root.position,
        "place": f"code-run-{number}/{name}",
        "beside": f"/{below}" if name is None else f"-{name}/{below}".rstrip("/"),
    }


def _changed_roots(
    before: Segment | None,
    segment: Segment,
    code: Mapping[tuple[str, str], CodeMember],
    number: int,
) -> list[dict[str, Any]]:
    """Further code of a resumed run that is not as the segment before had it."""
    if before is None:
        return []
    trees = {root.root: root.source.tree for root in before.roots}
    return [
        {
            **_root_facts(root, code[root.root, root.source.tree], number),
            "new": root.root not in trees and root.root != "{project}",
        }
        for root in _outer_first(segment.roots)
        if trees.get(root.root) != root.source.tree
    ]


def _code_variable(name: str) -> str:
    return "CODE_" + re.sub(r"[^A-Za-z0-9_]", lambda m: f"_{ord(m[0]):02x}_", name)


def _installs(segment: Segment, environment: Environment) -> list[EditableInstall]:
    return [
        install
        for one in environment.distributions
        if one.name in segment.from_code and (install := EditableInstall.of(one)) is not None
    ]


def _need(
    material: Material,
    member: str,
    number_of: Mapping[str, int],
    place_of_run: Mapping[int, str],
    reader: str,
) -> dict[str, Any]:
    """A file that a run reads and an earlier one made: where it belongs and whence it comes.

    What an earlier segment of the same run left at the same place is there already, unless a
    reader does the last segment alone.
    """
    assert material.origin is not None
    made = material.origin.path
    number = number_of.get(material.origin.run) if made.startswith("{project}/") else None
    return {
        "member": member,
        "path": material.path,
        "made_in": place_of_run[number] if number is not None else None,
        "made": made.removeprefix("{project}/"),
        "in_place": material.origin.run == reader and made == material.path,
    }


def _copies(
    segments: Iterable[Segment], data: Iterable[DataManifest], packed: Set[str]
) -> frozenset[str]:
    """The paths of data sets that are not packed because all their files are packed outputs."""
    made = {m.path for s in segments for m in s.materials if m.origin and m.sha256 in packed}
    sets = (
        {f"{{{data_placeholder(each.name)}}}/{file.path}" for file in each.files}
        for each in data
        if each.included is None and each.name != PROJECT_DATA
    )
    return frozenset().union(*(paths for paths in sets if paths <= made))


def _data_facts(manifest: DataManifest, variable: str, places: _Places) -> dict[str, Any]:
    """A data set; files whose member has another name must get their own names back."""
    first = f"{{{data_placeholder(manifest.name)}}}/{manifest.files[0].path}"
    # Of a set all files are copies, or it is not made of them.
    copied = first in places.copies
    renamed = copied or (
        manifest.included is not None
        and any(to_logical_path(file.path) != file.path for file in manifest.files)
    )
    return {
        "set": manifest,
        "variable": variable,
        "copied": copied,
        "own_names": [
            {
                "member": places.members[file.sha256]
                if copied
                else f"{manifest.included}/{to_logical_path(file.path)}",
                "path": file.path,
                "parent": file.path.rpartition("/")[0],
            }
            for file in manifest.files
        ]
        if renamed
        else [],
    }


def _data_names(data: Iterable[DataManifest], segments: Iterable[Segment]) -> dict[str, str]:
    """A shell variable for each data set of the release or of a command line."""
    names = [each.name for each in data]
    for segment in segments:
        called = segment.invocation
        for text in (*called.argv, called.directory, *called.variables.values()):
            names += [n.removeprefix("data:") for n in names_in(text) if n.startswith("data:")]
    variables: dict[str, str] = {}
    for name in dict.fromkeys(names):
        variable = plain = "DATA_" + re.sub(r"[^A-Za-z0-9_]", "_", name)
        number = 1
        while variable in variables.values():
            number += 1
            variable = f"{plain}_{number}"
        variables[name] = variable
    return variables


def _line(text: str) -> str:
    """Foreign text in a line of Markdown: visible, and without markup of its own."""
    shown = show(text)
    for mark in ("`", "<", "[", "]", "|"):
        shown = shown.replace(mark, " ")
    return shown


def _quote(text: str) -> str:
    """Exactly this text as (a part of) a word of a POSIX shell.

    What would be invisible on the page is written as octal numbers; a newline stays one.
    """
    quoted = ""
    for hidden, group in itertools.groupby(text, lambda c: c != "\n" and show(c) != c):
        piece = "".join(group)
        if hidden:
            octal = "".join(f"\\{byte:03o}" for byte in piece.encode("utf-8"))
            quoted += f"\"$(printf '{octal}')\""
        else:
            quoted += shlex.quote(piece)
    return quoted or "''"


def _word(text: str, *, words: Mapping[str, str]) -> str:
    """Recorded text as a word of a POSIX shell, with placeholders as shell variables."""
    # No argument, variable or path of a process holds NUL: it can mark where placeholders were.
    filled = fill(text, {name: f"\0{name}\0" for name in names_in(text)})
    pieces = filled.split("\0")
    word = "".join(
        words[piece] if index % 2 else _quote(piece) for index, piece in enumerate(pieces) if piece
    )
    return word or "''"


def _fenced(script: str) -> str:
    """A block of shell commands in Markdown, between fences that nothing inside can close."""
    longest = max((len(run) for run in re.findall("`+", script)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{script.strip(chr(10))}\n{fence}\n"
