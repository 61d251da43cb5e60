# SPDX-License-Identifier: Apache-2.0
"""What a user may name as something that was executed: a recorded run, or a bundle."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from repropack.cli.location import (
    begins_as_bundle,
    existing_bundle,
    is_called_bundle,
    open_named,
)
from repropack.cli.paired_environments import Used
from repropack.cli.places import trust_policy
from repropack.cli.progress import byte_progress
from repropack.escaping import show
from repropack.findings import DefectError
from repropack.model import Environment, Metric, RunRecord, SignerReport
from repropack.reports.text import describe_signer
from repropack.store import Store
from repropack.verify.integrity import read_signed
from repropack.verify.release import read_release

__all__ = ["Execution", "named_execution"]


class Execution(Struct, frozen=True, kw_only=True):
    """A recorded run, or the run whose numbers a bundle claims.

    Attributes:
        name: What it is called on the screen: an id, or the bundle's name and its signer.
        argument: What the user typed.
        environments: By digest, as the segments of the record name them: of each its main one.
        further: The others of the last segment.
        store: Where the run was recorded; None for a bundle.
        signer: Who signed the bundle; None for a recorded run.
    """

    name: str
    argument: str
    record: RunRecord
    environments: dict[str, Environment]
    metrics: tuple[Metric, ...]
    further: tuple[Used, ...] = ()
    store: Store | None = None
    signer: SignerReport | None = None


def named_execution(text: str, *, quiet: bool) -> Execution:
    """What an argument names: what looks like a bundle is one, all else a run of this store.

    Args:
        text: The id of a run, its name, a unique prefix or `last`; or a bundle in any of its forms.
        quiet: Whether nothing is said about what takes long.

    Raises:
        UsageError: There is no such run, or it has no record; or there is no such file.
        DefectError: The bundle is damaged, not signed, or signed by a key that is revoked.
    """
    if _is_bundle(text):
        return _of_bundle(text, quiet=quiet)
    store = Store.find(Path.cwd())
    stored = store.resolve(text)
    record = store.finished(stored)
    needed = {segment.environment for segment in record.segments}
    return Execution(
        name=stored.id,
        argument=stored.id,
        record=record,
        environments={each: store.environment(each) for each in needed if each is not None},
        metrics=store.metrics(stored).metrics,
        further=tuple(
            (used, store.environment(used.environment))
            for used in record.segments[-1].environments[1:]
        ),
        store=store,
    )


def _is_bundle(text: str) -> bool:
    """A file or a directory without the look of a bundle does not hide a run of the same name."""
    path = Path(text).expanduser()
    return (
        "://" in text
        or is_called_bundle(path)
        or (path.is_file() and ("/" in text or begins_as_bundle(path)))
        or os.path.isfile(f"{path}.001")
        or (path / "manifest.json").is_file()
    )


def _of_bundle(text: str, *, quiet: bool) -> Execution:
    with open_named(existing_bundle(text), quiet=quiet) as opened:
        signed = read_signed(opened, trust_policy(()))
        if signed.refusal is not None:
            raise DefectError.of(signed.refusal)
        size = signed.listed.content_size
        with byte_progress(f"checking {show(text, limit=60)}", size, quiet=quiet) as advance:
            verified = signed.listed.verify(progress=advance)
        release = read_release(verified, signed.statement)
    run = release.claimed
    # Of a run with several segments the environment of the last is packed.
    last = run.packed.record.segments[-1].environment
    there = release.environments[run.packed.environment].environment
    others = (release.environments[one].environment for one in run.packed.environments[1:])
    used = run.packed.record.segments[-1].environments[1:]
    return Execution(
        name=f"{show(text, limit=200)} (signed by {describe_signer(signed.signer)})",
        argument=text,
        record=run.packed.record,
        environments={} if last is None else {last: there},
        metrics=run.metrics.metrics,
        further=tuple(zip(used, others, strict=True)),
        signer=signed.signer,
    )
