# SPDX-License-Identifier: Apache-2.0
"""A `repropack.yaml` to begin with: every key explained, filled in from a recorded run.

Pure. Prose begins with `# `, a setting that is left out with `#` alone, as in sshd_config: whoever
removes that `#` has a valid file.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml
from msgspec import Struct

from repropack.comparators.interval import MIN_RECORDED
from repropack.errors import UsageError
from repropack.export.claims import claim_metrics
from repropack.model import Absolute, Claim, Metric, Relative
from repropack.project_file import PROJECT_FILE, DeclaredClaim

__all__ = ["Known", "write_template"]

MAX_SUGGESTED = 20
"""Claims that are suggested: more than this nobody reads through."""

SHARE = 0.02
"""Of a number, as an example of how much trainings may differ; the author has to know better."""


class Known(Struct, frozen=True, kw_only=True):
    """What is known of a project.

    Attributes:
        title: What it may be called.
        run: The run that the rest was taken from; None where none has been recorded.
        metrics: Its metrics.
        trains_alone: Whether to repeat this run is to train again.
        weights: What an export of it packs, as paths below the project.
        data: The names of its data sets.
    """

    title: str
    run: str | None = None
    metrics: tuple[Metric, ...] = ()
    trains_alone: bool = False
    weights: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


def write_template(known: Known) -> str:
    """The text of the file."""
    lines = [
        f"# {PROJECT_FILE}: what cannot be seen in a recorded run. All of it is optional.",
        "# A line that begins with # and a space is explanation; one that begins with # alone",
        "# is a setting that is left out: remove the # to use it.",
        "",
        "# What a release is called; the directory's name if left out.",
        _line(f"title: {_scalar(known.title)}", active=known.run is not None),
        "",
        *_claims(known),
        "",
        "# Outputs that an export packs: paths or patterns below the project. If left out: files",
        "# that look like weights, and what a later run of the chain has read.",
        f"#weights: {_list(known.weights or ('out/model.pt',))}",
        "",
        "# Where each data set can be had (https) and under which licence: data itself stays here",
        "# unless you export with --include-data, and a reader has to get it somewhere.",
        "#data:",
    ]
    for name in known.data or ("mnist",):
        lines += [
            f"#  {_scalar(name)}:",
            '#    address: "https://example.org/data"',
            "#    licence: CC-BY-4.0",
        ]
    lines += [
        "",
        "# Institutions, laboratories and projects whose names tell who you are: an export",
        "# searches for them in all that goes out.",
        "#affiliations: [Example University]",
        "",
        "# Files of the code that stay out of every release; a directory stands for all below it.",
        '#withhold: [notes, "*.pem"]',
    ]
    return "\n".join(lines) + "\n"


def _claims(known: Known) -> list[str]:
    lines = [
        "# The numbers that a release claims, by names that `repropack show` prints; if left out,",
        "# the final metrics are chosen by their names. `file` is needed only where two have the",
        "# same name. For each kind of repetition, how near it has to come:",
        "# - evaluate: the claimed run again on the packed files",
        "# - retrain: all runs again with the same seeds; one run alone tells nothing of",
        "# how much trainings differ, so put what you know",
        "# - retrain_new_seed: all runs again with another seed",
        "# Tolerances: exact: true, absolute: N, relative: N (with absolute: added), at_least: N,",
        "# at_most: N; for new seeds also interval: {} (of three or more recorded seeds; with",
        "# confidence, floor and max_half_width if you like) and equivalent: N. Both take a side,",
        "# where only what is worse counts: equivalent: {margin: N, side: lower}.",
    ]
    suggested = _suggested(known)
    if not suggested:
        return [
            *lines,
            "#claims:",
            "#  - metric: accuracy",
            "#    file: out/metrics.json",
            "#    evaluate: {absolute: 0.0025}",
            "#    retrain: {absolute: 0.02}",
            "#    retrain_new_seed: {interval: {}}",
        ]
    lines += [f"# Those of run {known.run}, with what it gave:", "claims:"]
    for claim in suggested:
        value = _scalar(claim.expected)
        lines.append(f"  - metric: {_scalar(claim.metric)}  # {value}")
        file = _file_of(claim)
        if file is not None:
            lines.append(f"    file: {_scalar(file)}")
        spread = float(f"{abs(claim.expected) * SHARE or SHARE:.1g}")
        lines += [
            _line(f"    evaluate: {_near(claim)}", active=not known.trains_alone),
            f"#    retrain: {{absolute: {_scalar(spread)}}}",
            f"#    retrain_new_seed: {{interval: {{}}}}  # needs {MIN_RECORDED} recorded seeds",
        ]
    return lines


def _suggested(known: Known) -> list[Claim]:
    """What an export would claim, as far as the file can name it."""
    found = []
    for claim in claim_metrics(
        known.metrics, None, retraining_only=False, limit=len(known.metrics)
    ):
        choice = DeclaredClaim(metric=claim.metric, file=_file_of(claim))
        if claim.tolerance is None or not isinstance(claim.tolerance, Absolute | Relative):
            continue
        try:
            claim_metrics(known.metrics, [choice], retraining_only=True)
        except UsageError:
            # Two numbers of one file have this name.
            continue
        found.append(claim)
    return found[:MAX_SUGGESTED]


def _file_of(claim: Claim) -> str | None:
    path = claim.source.path
    return path.removeprefix("{project}/") if path.startswith("{project}/") else None


def _near(claim: Claim) -> str:
    if isinstance(claim.tolerance, Absolute):
        return f"{{absolute: {_scalar(claim.tolerance.within)}}}"
    assert isinstance(claim.tolerance, Relative)
    return f"{{relative: {_scalar(claim.tolerance.within)}}}"


def _line(text: str, *, active: bool) -> str:
    return text if active else f"#{text}"


def _scalar(value: str | float) -> str:
    """A value as YAML writes it in a list: quoted only where it must be, in ASCII."""
    return _list((value,))[1:-1]


def _list(values: Sequence[str | float]) -> str:
    dumped: str = yaml.safe_dump(list(values), default_flow_style=True, width=2**31)
    return dumped.strip()
