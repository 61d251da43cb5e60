# SPDX-License-Identifier: Apache-2.0
"""Checklists of venues, ready to paste: filled from the record, blank where it does not say.

Sources: the ML Code Completeness Checklist (paperswithcode/releasing-research-code), the NeurIPS
Paper Checklist (its 16 questions since 2025), and the artifact appendix template of ACM and cTuning
artifact evaluations (V20240722); titles and their order are theirs. Nothing is answered that the
record does not show: what only the author knows is `____`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from repropack.escaping import show
from repropack.export.chain import ChainedRun
from repropack.export.members import describe_claim
from repropack.export.planned import ExportPlan
from repropack.privacy.search import concealed

__all__ = ["KINDS", "write_checklist"]

BLANK: Final = "____"


def write_checklist(kind: str, planned: ExportPlan) -> str:
    """A checklist as Markdown.

    Args:
        kind: A key of `KINDS`.
        planned: What the release holds.
    """
    return KINDS[kind](planned)


def _ml_code(planned: ExportPlan) -> str:
    locked = sum(len(e.locked) for e in planned.environments)
    unlocked = sum(len(e.unlocked) for e in planned.environments)
    training = planned.chain[:-1] or planned.chain
    evaluation = f"`{_command(planned.chain[-1])}`"
    if len(planned.chain) == 1:
        evaluation = f"the same run gives the numbers: {evaluation}" if planned.claims else BLANK
    items = [
        (
            _python(planned) != BLANK and not unlocked,
            "Specification of dependencies",
            f"`environment/pylock.toml`: {_python(planned)}, {locked} packages with digests"
            + (f"; {unlocked} could not be locked" if unlocked else ""),
        ),
        (True, "Training code", "; ".join(f"`{_command(run)}`" for run in training)),
        (evaluation != BLANK, "Evaluation code", evaluation),
        (
            bool(planned.artifacts),
            "Pre-trained models",
            ", ".join(f"`{show(a.member)}`" for a in planned.artifacts) or BLANK,
        ),
        (
            bool(planned.claims),
            "README file including table of results accompanied by precise commands to run/produce "
            "those results",
            "; ".join(_claims(planned)) or BLANK,
        ),
    ]
    lines = [f"- [{'x' if done else ' '}] **{name}**: {text}" for done, name, text in items]
    return _document("ML code completeness", planned, lines)


def _neurips(planned: ExportPlan) -> str:
    claims = "; ".join(_claims(planned)) or BLANK
    weights = ", weights" if planned.artifacts else ""
    filled = {
        # Whether the paper says it too, no record knows.
        4: (
            BLANK,
            f"A signed bundle holds code, environment{weights} and commands; `repropack verify` "
            f"repeats them. Claims: {claims}",
        ),
        5: (BLANK, f"Code: in the bundle. Data: {_data(planned)}. Address of the bundle: {BLANK}"),
        6: (
            BLANK,
            "Commands with all arguments: " + "; ".join(f"`{_command(r)}`" for r in planned.chain),
        ),
        7: (BLANK, f"Declared tolerances: {claims}"),
        8: (BLANK, f"{_hardware(planned)}. Recorded time: {_time(planned)}. In total: {BLANK}"),
        12: (BLANK, f"Data: {_data(planned)}. Packages: listed with versions in `pylock.toml`"),
        13: (
            BLANK,
            "Documented in the bundle's `README.md`, `REPRODUCING.md` and RO-Crate metadata. "
            f"Licence: {_licence(planned)}",
        ),
    }
    lines = ["Each answer is [Yes], [No] or [NA].", ""]
    for number, question in enumerate(_NEURIPS, 1):
        answer, why = filled.get(number, (BLANK, BLANK))
        lines += [f"{number}. **{question}**", f"   Answer: {answer}", f"   Justification: {why}"]
    return _document("NeurIPS paper checklist", planned, lines)


_NEURIPS: Final = (
    "Claims", "Limitations", "Theory assumptions and proofs", "Experimental result reproducibility",
    "Open access to data and code", "Experimental setting/details",
    "Experiment statistical significance", "Experiments compute resources", "Code of ethics",
    "Broader impacts", "Safeguards", "Licenses for existing assets", "New assets",
    "Crowdsourcing and research with human subjects",
    "Institutional review board (IRB) approvals or equivalent for research with human subjects",
    "Declaration of LLM usage",
)  # fmt: skip


def _acm(planned: ExportPlan) -> str:
    size = sum(a.product.size for a in planned.artifacts)
    models = ", ".join(f"`{show(a.member)}`" for a in planned.artifacts) or BLANK
    facts = [
        ("Algorithm", BLANK),
        ("Program", "; ".join(f"`{_command(run)}`" for run in planned.chain)),
        ("Compilation", BLANK),
        ("Transformations", BLANK),
        ("Binary", BLANK),
        ("Model", models),
        ("Data set", _data(planned)),
        ("Run-time environment", f"{_system(planned)}, {_python(planned)}"),
        ("Hardware", _hardware(planned)),
        ("Run-time state", BLANK),
        ("Execution", f"`repropack verify FILE`, `repropack verify FILE --retrain`; {BLANK}"),
        ("Metrics", ", ".join(dict.fromkeys(show(c.metric) for c in planned.claims)) or BLANK),
        ("Output", "one verdict, and a report with `--report FILE.html`"),
        ("Experiments", f"the commands above, in this order; {BLANK}"),
        ("How much disk space required (approximately)?", f"{-(-size // 2**20)} MiB of weights; "
         f"data and packages: {BLANK}"),
        ("How much time is needed to prepare workflow (approximately)?", BLANK),
        ("How much time is needed to complete experiments (approximately)?", _time(planned)),
        ("Publicly available?", BLANK),
        ("Code licenses (if publicly available)?", _licence(planned)),
        ("Data licenses (if publicly available)?", _data_licences(planned)),
        ("Workflow framework used?", "repropack"),
        ("Archived (provide DOI)?", BLANK),
    ]  # fmt: skip
    sections = [
        ("Abstract", BLANK),
        ("Artifact check-list (meta-information)",
         "\n".join(f"- **{name}**: {text}" for name, text in facts)),
        ("Description", ""),
        ("How to access", f"One `.rpk` file: {BLANK}"),
        ("Hardware dependencies", f"Recorded on: {_hardware(planned)}. Needed: {BLANK}"),
        ("Software dependencies", f"{_system(planned)}, {_python(planned)}, git, uv, bubblewrap."),
        ("Data sets", _data(planned)),
        ("Models", models),
        ("Installation", "`pip install repropack`, or by hand: the bundle's `README.md`."),
        ("Experiment workflow", "`repropack verify FILE --signer SHA256:…`"),
        ("Evaluation and expected results",
         "\n".join(f"- {claim}" for claim in _claims(planned)) or BLANK),
        ("Experiment customization", BLANK),
        ("Notes", BLANK),
        ("Methodology",
         "Submission, reviewing and badging methodology:\n\n"
         "- https://www.acm.org/publications/policies/artifact-review-and-badging-current\n"
         "- https://cTuning.org/ae"),
    ]  # fmt: skip
    lines: list[str] = []
    section = part = 0
    for title, text in sections:
        below = title in _BELOW_DESCRIPTION
        section, part = (section, part + 1) if below else (section + 1, 0)
        number = f"### A.{section}.{part}" if below else f"## A.{section}"
        lines += [f"{number} {title}", "", *([text, ""] if text else [])]
    return _document("Artifact appendix", planned, lines[:-1])


_BELOW_DESCRIPTION: Final = frozenset(
    {"How to access", "Hardware dependencies", "Software dependencies", "Data sets", "Models"}
)


KINDS: Final[dict[str, Callable[[ExportPlan], str]]] = {
    "ml-code": _ml_code,
    "neurips": _neurips,
    "acm": _acm,
}
"""Each kind of checklist."""


def _document(name: str, planned: ExportPlan, lines: list[str]) -> str:
    return "\n".join([f"# {name}: {show(planned.title)}", "", *lines]) + "\n"


def _command(chained: ChainedRun) -> str:
    typed = " ".join(chained.record.segments[-1].invocation.argv)
    return show(concealed(typed)).replace("`", "'")


def _claims(planned: ExportPlan) -> list[str]:
    return [show(describe_claim(claim)) for claim in planned.claims]


def _python(planned: ExportPlan) -> str:
    versions = {e.environment.python.version for e in planned.environments if e.environment.python}
    return f"Python {', '.join(sorted(versions))}" if versions else BLANK


def _system(planned: ExportPlan) -> str:
    machine = planned.environments[0].environment.machine
    return show(machine.distribution or machine.system)


def _hardware(planned: ExportPlan) -> str:
    machine = planned.environments[0].environment.machine
    parts = [
        machine.cpu and f"{machine.cpu_count} processors ({machine.cpu})",
        machine.memory and f"{machine.memory / 2**30:.0f} GiB of memory",
        ", ".join(machine.accelerators) or "no accelerator recorded",
    ]
    return show("; ".join(part for part in parts if part))


def _time(planned: ExportPlan) -> str:
    seconds = sum(
        (datetime.fromisoformat(s.ended) - datetime.fromisoformat(s.started)).total_seconds()
        for chained in planned.chain
        for s in chained.record.segments
    )
    if seconds < 1:
        return "less than a second"
    return f"{seconds / 3600:.2f} h" if seconds >= 360 else f"{seconds:.0f} s"


def _data(planned: ExportPlan) -> str:
    sets = [
        f"{d.manifest.name} ({len(d.manifest.files)} files; "
        + ("in the bundle" if d.manifest.included else d.manifest.address or f"address {BLANK}")
        + f"; licence {d.manifest.licence or BLANK})"
        for d in planned.data
    ]
    return show("; ".join(sets)) if sets else "none was seen to be read from outside the code"


def _data_licences(planned: ExportPlan) -> str:
    return "; ".join(f"{d.manifest.name}: {d.manifest.licence or BLANK}" for d in planned.data) or (
        "no data"
    )


def _licence(planned: ExportPlan) -> str:
    return ", ".join(show(path) for path in planned.licences) or BLANK
