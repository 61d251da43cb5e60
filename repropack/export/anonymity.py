# SPDX-License-Identifier: Apache-2.0
"""An export plan as an anonymous release has it (`export --anonymous`, specification section 19).

`anonymise` takes a plan and gives another one: new run ids, no times, no names of runs, a coarse
environment, only outputs that are packed, a tree in which words are replaced where the author says
so. It says what it did, for her screen. Everything that goes out is derived from the new plan, so
there is no second place where something could be forgotten; the leak gate then looks for her terms
in the bytes all the same.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from repropack import canonical
from repropack.digest import sha256_hex
from repropack.environment.coarsening import (
    coarse_environment,
    coarse_variables,
    without_private_paths,
)
from repropack.errors import UsageError
from repropack.export.anonymity_remarks import coarsened, left_out, remarks
from repropack.export.chain import ChainedRun, ChosenArtifact, code_of, is_inside_project
from repropack.export.data import ChosenData
from repropack.export.licences import licences_of
from repropack.export.planned import ExportPlan, PlannedEnvironment
from repropack.model import (
    RECORD_VERSION,
    Author,
    Authorship,
    CodeRoot,
    Material,
    Product,
    Segment,
    SourceSnapshot,
    Withheld,
)
from repropack.paths import collision_key
from repropack.placeholders import split_data
from repropack.privacy.replacement import Replacement, apply
from repropack.signing.commitments import author_commitment, commit_commitment
from repropack.signing.keys import PublicKey, SigningKey
from repropack.source.replacing import rewritten_tree
from repropack.source.squash import EMPTY_TREES, squashed_commit
from repropack.store.authorships import KeptAuthorship, KeptOpening

__all__ = ["ANONYMOUS_TITLE", "Anonymised", "Anonymity", "anonymise", "without_identity"]

ANONYMOUS_TITLE: Final = "Anonymous release"
"""Instead of the directory's name, which a search would find."""

EPOCH: Final = "1970-01-01T00:00:00Z"
"""When every run of an anonymous release starts; how long it took is kept."""

_ID_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DATA_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"

T = TypeVar("T")


class Anonymity(Struct, frozen=True, kw_only=True):
    """What the author asked for.

    Attributes:
        author: Who she is: sealed in the release, opened by `repropack reveal`.
        replacements: Her words, and what stands there instead.
        passphrase: What protects the key that is made for the release where it is kept; None for
            nothing.
    """

    author: Author
    replacements: tuple[Replacement, ...] = ()
    passphrase: str | None = None


class Anonymised(Struct, frozen=True, kw_only=True):
    """The plan of an anonymous release, and what was done to get it.

    Attributes:
        key: The key that was made for it,
        key_file: and as it is kept, with the author's passphrase.
        kept: What the store keeps to reveal the author later; its bundle is not known yet.
        coarsened: What goes out in a coarser form, in words.
        left_out: What stays here because of the anonymity, in words.
        replaced: Where words were replaced, and how often.
        remarks: What no program can take out of it, and readers may draw conclusions from.
        changed: Whether a repetition uses other code, or another command, than was recorded.
    """

    plan: ExportPlan
    key: SigningKey
    key_file: bytes
    kept: KeptAuthorship
    coarsened: tuple[str, ...]
    left_out: tuple[str, ...]
    replaced: tuple[str, ...]
    remarks: tuple[str, ...]
    changed: bool

    def secret_terms(self, asked: Anonymity) -> tuple[str, ...]:
        """What must stand nowhere in the release: to be searched for with the author's terms."""
        own = PublicKey.from_openssh(asked.author.key)
        return (
            *(one.term for one in asked.replacements),
            own.openssh.partition(" ")[2],
            own.fingerprint.partition(":")[2],
            own.raw.hex(),
            *self.kept.runs.values(),
        )


def anonymise(
    planned: ExportPlan, asked: Anonymity, random: Callable[[int], bytes] = secrets.token_bytes
) -> Anonymised:
    """Makes the plan of an anonymous release out of a plan.

    Args:
        planned: What would go out under the author's name.
        asked: Who she is, and what is replaced.
        random: Gives so many random bytes.

    Raises:
        UsageError: A replacement cannot be made.
        RepropackError: git failed.
    """
    key, salt = SigningKey.from_seed(random(32)), random(32)
    maker = _Maker(planned, asked.replacements, random)
    plan, openings = maker.plan()
    plan = replace(
        plan,
        authorship=Authorship(
            version=RECORD_VERSION,
            key=key.public.openssh,
            commitment=author_commitment(salt, key.public.raw, canonical.encode(asked.author)),
        ),
    )
    unused = [one.term for one in asked.replacements if one.term not in maker.counts]
    if unused:
        raise UsageError(
            f"--replace {unused[0]}=…: it stands nowhere in the code and the records",
            advice="spell it exactly as it stands there; no letter may adjoin",
        )
    return Anonymised(
        plan=plan,
        key=key,
        key_file=key.file_content(asked.passphrase),
        kept=KeptAuthorship(
            manifest_sha256="",
            salt=salt,
            author=asked.author,
            openings=openings,
            runs={new: old for old, new in maker.ids.items()},
        ),
        coarsened=coarsened(planned, plan),
        left_out=left_out(planned, plan),
        replaced=maker.told(),
        remarks=remarks(plan),
        # Where names of metrics were replaced, the code may still give the old ones.
        changed=bool(asked.replacements) or _is_changed(planned, plan),
    )


def without_identity(
    planned: ExportPlan, random: Callable[[int], bytes] = secrets.token_bytes
) -> ExportPlan:
    """A plan as an anonymous release has it, for what is written about it.

    Raises:
        UsageError: The store is damaged.
        RepropackError: git failed.
    """
    return _Maker(planned, (), random).plan()[0]


class _Maker:
    """Makes the new plan, and counts.

    Attributes:
        ids: The new id of each run, by its old one.
        counts: By term, how often it was replaced.
    """

    def __init__(
        self,
        planned: ExportPlan,
        replacements: Sequence[Replacement],
        random: Callable[[int], bytes],
    ) -> None:
        self._planned = planned
        self._replacements = replacements
        self._random = random
        self.ids = {c.record.id: _new_id(random) for c in planned.chain}
        self.counts: dict[str, int] = {}
        self._files: dict[str, dict[str, int]] = {}
        self._trees: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}
        self._openings: list[KeptOpening] = []
        self._digests: dict[str, str] = {}

    def plan(self) -> tuple[ExportPlan, tuple[KeptOpening, ...]]:
        planned = self._planned
        environments = tuple(self._environment(one) for one in planned.environments)
        self._digests = {
            one.directory: sha256_hex(canonical.encode(one.environment)) for one in environments
        }
        chain = tuple(self._run(chained) for chained in planned.chain)
        declared = planned.title if planned.title != planned.store.project.name else ""
        plan = replace(
            planned,
            chain=chain,
            artifacts=self._artifacts(),
            data=tuple(self._data(one) for one in planned.data),
            claims=tuple(self._spelled(claim) for claim in planned.claims),
            environments=environments,
            environments_of={self.ids[run]: used for run, used in planned.environments_of.items()},
            licences=licences_of(planned.store, chain),
            title=self._text(declared) or ANONYMOUS_TITLE,
            published=EPOCH,
        )
        return plan, tuple(self._openings)

    # ------------------------------------------------------------ words

    def _text(self, text: str) -> str:
        return apply(text, self._replacements, self.counts)

    def _spelled(self, value: T) -> T:
        """A record with every text in it changed; paths inside of data sets stay."""
        if not self._replacements:
            return value
        kind: type[T] = type(value)
        return msgspec.convert(_mapped(msgspec.to_builtins(value), self._text), kind)

    def told(self) -> tuple[str, ...]:
        """Where terms were replaced, and how often."""
        lines = []
        for one in self._replacements:
            places = [
                f"{name} ({counts[one.term]})"
                for name, counts in sorted(self._files.items())
                if one.term in counts
            ]
            in_code = sum(counts.get(one.term, 0) for counts in self._files.values())
            elsewhere = self.counts.get(one.term, 0) - in_code
            if elsewhere > 0:
                places.append(f"records ({elsewhere})")
            times = self.counts.get(one.term, 0)
            lines.append(
                f"{one.term!r} → {one.text!r}, {times} time{'s' if times != 1 else ''}: "
                + ", ".join(places)
            )
        return tuple(lines)

    # ------------------------------------------------------------ runs

    def _run(self, chained: ChainedRun) -> ChainedRun:
        record = chained.record
        metrics = self._planned.store.metrics(chained.stored)
        return replace(
            chained,
            record=replace(
                record,
                id=self.ids[record.id],
                name=None,
                segments=tuple(
                    self._segment(chained, number, segment)
                    for number, segment in enumerate(record.segments, 1)
                ),
            ),
            metrics=self._spelled(metrics),
        )

    def _segment(self, chained: ChainedRun, number: int, segment: Segment) -> Segment:
        assert segment.source is not None
        packed = {
            (a.product.path, a.product.sha256)
            for a in self._planned.artifacts
            if a.run == chained.number
        }
        last = chained.record.segments[-1]
        trees = dict(code_of(segment))
        used = [self._digests[one] for one in self._planned.environments_of[chained.record.id]]
        changed = self._spelled(
            replace(
                segment,
                source=None,
                roots=(),
                materials=(),
                products=tuple(p for p in segment.products if (p.path, p.sha256) in packed),
            )
        )
        return replace(
            changed,
            invocation=replace(
                changed.invocation, variables=coarse_variables(changed.invocation.variables)
            ),
            source=self._source(chained, number, "{project}", segment.source, trees),
            roots=tuple(self._root(root, trees) for root in segment.roots),
            materials=tuple(self._material(material) for material in segment.materials),
            environment=used[0] if segment.environment == last.environment else None,
            environments=tuple(
                replace(one, environment=digest)
                for one, digest in zip(changed.environments, used, strict=True)
            )
            if segment is last and segment.environments
            else (),
            gaps=tuple(
                replace(gap, message=without_private_paths(gap.message)) for gap in changed.gaps
            ),
            started=EPOCH,
            ended=_after(segment.started, segment.ended),
        )

    def _material(self, material: Material) -> Material:
        origin = material.origin
        if origin is not None:
            origin = replace(origin, run=self.ids[origin.run], path=self._text(origin.path))
            if is_inside_project(material):
                return replace(material, origin=origin, path=self._text(material.path))
        return replace(material, origin=origin, path=self._data_path(material.path))

    def _data_path(self, path: str) -> str:
        """A path in a data set: what a data set holds is not renamed, only the set itself."""
        split = split_data(path)
        if split is None:
            return path if path.startswith("{project}/") else self._text(path)
        if not path.startswith("{data:"):
            return path
        place, slash, below = path.partition("}")
        return self._text(place) + slash + below

    def _root(self, root: CodeRoot, trees: Mapping[str, SourceSnapshot]) -> CodeRoot:
        return replace(
            root,
            root=self._text(root.root),
            position=None if root.position is None else self._text(root.position),
            source=self._source(None, 0, root.root, root.source, trees),
        )

    def _source(
        self,
        chained: ChainedRun | None,
        number: int,
        place: str,
        source: SourceSnapshot,
        trees: Mapping[str, SourceSnapshot],
    ) -> SourceSnapshot:
        tree, files = self._tree(place, source, trees)
        withheld = source.withheld
        names = self._spelled(replace(source, excluded=(), withheld=None, commitment=None))
        return replace(
            names,
            tree=tree,
            replaced=files,
            withheld=None
            if withheld is None
            else Withheld(
                tree=None,
                files=withheld.files,
                patterns=tuple(self._text(p) for p in withheld.patterns),
                paths=tuple(self._text(p) for p in withheld.paths),
            ),
            commitment=self._commitment(chained, number, source, unchanged=not files),
        )

    def _commitment(
        self, chained: ChainedRun | None, number: int, source: SourceSnapshot, *, unchanged: bool
    ) -> str | None:
        """A commitment with a salt of this release: that of the store would link two of them."""
        if chained is None or source.commitment is None or source.withheld or not unchanged:
            return None
        opening = self._planned.store.opening(chained.stored, number)
        if opening is None:
            return None
        salt = self._random(32)
        self._openings.append(
            KeptOpening(
                run=self.ids[chained.record.id], segment=number, content=opening.content, salt=salt
            )
        )
        return commit_commitment(salt, opening.commit)

    def _tree(
        self, place: str, source: SourceSnapshot, trees: Mapping[str, SourceSnapshot]
    ) -> tuple[str, tuple[str, ...]]:
        """The tree that goes out for one, and the files in which it differs.

        At the place of a submodule is the commit that is packed for it: its own, which may be
        public, would name the repository.
        """
        tree = source.tree
        submodules = {}
        for path in source.submodules:
            below = trees.get(f"{place}/{path}")
            packed = self._tree(f"{place}/{path}", below, trees)[0] if below is not None else ""
            if len(packed) != len(tree):
                packed = EMPTY_TREES[len(tree)]
            submodules[path] = squashed_commit(packed)
        if not self._replacements and not submodules:
            return tree, ()
        known = (tree, *submodules.values())
        if known not in self._trees:

            def change(name: str, text: str) -> str:
                counts: dict[str, int] = {}
                changed = apply(text, self._replacements, counts)
                for term, times in counts.items():
                    here = self._files.setdefault(name, {})
                    here[term] = here.get(term, 0) + times
                    self.counts[term] = self.counts.get(term, 0) + times
                return changed

            rewritten = rewritten_tree(self._planned.store.git, tree, change, submodules)
            self._trees[known] = rewritten.tree, rewritten.files
        return self._trees[known]

    # ------------------------------------------------------------ the rest

    def _artifacts(self) -> tuple[ChosenArtifact, ...]:
        renamed = tuple(
            replace(
                one,
                product=_renamed(one.product, self._text(one.product.path)),
                member=self._text(one.member),
            )
            for one in self._planned.artifacts
        )
        _refuse_twins([one.member for one in renamed], "outputs")
        return renamed

    def _data(self, chosen: ChosenData) -> ChosenData:
        manifest = chosen.manifest
        name = self._text(manifest.name)
        if not _DATA_NAME.fullmatch(name):
            raise UsageError(
                f"the data set {manifest.name} would be called {name!r}: expected letters, digits "
                "and `. _ -`",
                advice="replace the term by such a text",
            )
        return replace(
            chosen,
            manifest=replace(
                manifest,
                name=name,
                recorded_path=None,
                position=None if manifest.position is None else self._text(manifest.position),
                licence=None if manifest.licence is None else self._text(manifest.licence),
                included=None if manifest.included is None else f"data/{name}",
            ),
            runs=frozenset(self.ids[run] for run in chosen.runs),
        )

    def _environment(self, planned: PlannedEnvironment) -> PlannedEnvironment:
        environment = coarse_environment(planned.environment)
        in_code = {
            self._text(name)
            for chained in self._planned.chain
            for segment in chained.record.segments
            for name in segment.from_code
        }
        return replace(
            planned,
            environment=replace(
                environment,
                distributions=tuple(
                    self._spelled(one) if self._text(one.name) in in_code else one
                    for one in environment.distributions
                ),
            ),
        )


def _renamed(product: Product, path: str) -> Product:
    return replace(product, path=path)


def _refuse_twins(names: Sequence[str], what: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(collision_key(name), name)
        if list(names).count(name) > 1 or other != name:
            raise UsageError(
                f"two {what} would be called {name}", advice="replace the term by another text"
            )


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _mapped(one, change) for name, one in value.items()}
    if isinstance(value, Iterable):
        return [_mapped(one, change) for one in value]
    return value


def _new_id(random: Callable[[int], bytes]) -> str:
    return "".join(_ID_ALPHABET[byte % len(_ID_ALPHABET)] for byte in random(12))


def _after(started: str, ended: str) -> str:
    """So long after the fixed beginning as the run took."""
    begin, end = (datetime.strptime(t, _FORM).replace(tzinfo=UTC) for t in (started, ended))
    epoch = datetime.strptime(EPOCH, _FORM).replace(tzinfo=UTC)
    return (epoch + max(end - begin, begin - begin)).strftime(_FORM)


def _is_changed(recorded: ExportPlan, anonymous: ExportPlan) -> bool:
    """Whether the author has never run what a reader would repeat."""
    return _what_is_repeated(recorded) != _what_is_repeated(anonymous) or any(
        source.withheld is not None
        for chained in recorded.chain
        for segment in chained.record.segments
        for _, source in code_of(segment)
    )


def _what_is_repeated(planned: ExportPlan) -> object:
    return [
        (
            [(root, source.tree) for root, source in code_of(segment)],
            segment.invocation.argv,
            segment.invocation.directory,
            segment.invocation.variables,
        )
        for chained in planned.chain
        for segment in chained.record.segments
    ]
