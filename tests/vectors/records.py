# SPDX-License-Identifier: Apache-2.0
"""Vectors of section 6: the records, and what they say of each other."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final

from repropack import canonical
from repropack.signing.keys import SigningKey
from tests.vectors.attestation import NASTY
from tests.vectors.code import with_root
from tests.vectors.forge import AUTHOR, THIEF, Draft, Edit, release
from tests.vectors.vector import Vector, bad, good

BASE: Final = release()
RUN: Final = "runs/1/run.json"


def _run(edit: Edit) -> Draft:
    return BASE.with_record(RUN, edit)


def _segment(edit: Edit) -> Draft:
    return _run(lambda r: edit(r["record"]["segments"][0]))


def _claim(edit: Edit) -> Draft:
    return BASE.with_record("claims.json", lambda c: edit(c["claims"][0]))


def _json(name: str, content: bytes, why: str, rules: str) -> Vector:
    draft = BASE.with_file("claims.json", content)
    return bad(f"RPK501-{name}", draft, why, rules=rules, step="records", rows=(22,))


def _head(more: bytes) -> bytes:
    return b'{"claims":[],"run":"run000000001",' + more + b"}"


def _run_json(edit: Edit) -> bytes:
    draft = _segment(edit)
    return next(file.content for file in draft.files if file.path == RUN)


def _expected(number: bytes) -> Draft:
    """Claims that expect a number which is spelled so."""
    claims = next(file.content for file in BASE.files if file.path == "claims.json")
    assert claims.count(b'"expected":0.91') == 1
    return BASE.with_file(
        "claims.json", claims.replace(b'"expected":0.91', b'"expected":' + number)
    )


JSON: Final = [
    _json("empty", b"", "A record without a byte.", "2.1 6.1"),
    _json("byte-order-mark", b"\xef\xbb\xbf" + _head(b'"version":1'), "A byte order mark.", "2.1"),
    _json("not-utf-8", _head(b'"version":1,"x":"\xff"'), "A byte that is not UTF-8.", "2.1"),
    _json("second-value", _head(b'"version":1') + b" {}", "A second value.", "2.1"),
    _json("name-twice", _head(b'"version":1,"version":1'), "A name twice.", "2.2"),
    _json("name-twice-by-an-escape", _head(b'"version":1,"\\u0076ersion":1'), "A name twice, once with an escape.", "2.2"),
    _json("nan", _head(b'"version":NaN'), "NaN.", "2.3"),
    _json("1e999", _head(b'"version":1e999'), "A number beyond all doubles.", "2.3"),
    _json("integer-of-10000-digits", _head(b'"version":1' + b"0" * 10_000), "An integer of ten thousand digits.", "2.7"),
    _json("integer-with-fraction", _head(b'"version":1.0'), "An integer with a fraction.", "2.3"),
    _json("integer-with-exponent", _head(b'"version":1e0'), "An integer with an exponent.", "2.3"),
    bad("RPK501-number-of-401-characters", _expected(b"0." + b"1" * 399), "A number of more characters than any double needs.", rules="2.3 10.1", step="records", rows=(22,), twin="numbers-of-every-spelling"),
    bad("RPK501-beyond-2-53", BASE.with_file(RUN, _run_json(lambda s: s["outcome"].update(status=0)).replace(b'"status":0', b'"status":9007199254740992')), "An integer of 2^53.", rules="2.3", step="records", rows=(22,), twin="numbers-of-every-spelling"),
    bad("RPK501-more-commas-than-allowed", _segment(lambda s: s["invocation"]["argv"].append("," * (2**24 + 1))), "A command with more commas than a document can have.", rules="2.5 10.1 1.2", step="records", rows=(22,)),
    bad("RPK501-fifteen-million-objects", BASE.with_file("claims.json", b'{"claims":[' + b"{}," * 15_000_000 + b'{}],"run":"run000000001","version":1}'), "An array of fifteen million empty objects instead of claims, in seven kilobytes.", rules="2.7", step="records", rows=(6, 22)),
    _json("nested-100000-deep", b"[" * 100_000 + b"]" * 100_000, "A hundred thousand arrays in each other.", "2.5"),
    _json("nested-65-deep", _head(b'"version":' + b"[" * 64 + b"]" * 64), "One level deeper than allowed.", "2.5 2.7"),
    _json("unknown-field", _head(b'"version":1,"extra":1'), "A field that version 1 does not have.", "2.7"),
    _json("array", b"[]", "An array instead of an object.", "2.7"),
    bad("RPK501-lone-surrogate", BASE.with_file("claims.json", next(f.content for f in BASE.files if f.path == "claims.json").replace(b'"metric":"accuracy"', b'"metric":"\\ud800"')), "A lone surrogate.", rules="2.4", step="records", rows=(22,)),
    bad("RPK501-unknown-tolerance", _claim(lambda c: c.update(tolerance={"kind": "always"})), "A kind of tolerance that version 1 does not have.", rules="2.7", step="records"),
    bad("RPK501-tolerance-negative", _claim(lambda c: c["tolerance"].update(within=-1)), "A negative tolerance.", rules="2.7", step="records"),
    bad("RPK501-expected-as-text", _claim(lambda c: c.update(expected="0.91")), "A claimed number in quotes.", rules="2.7", step="records"),
    bad("RPK501-integer-as-truth", _segment(lambda s: s["outcome"].update(status=True)), "A truth value for an exit status.", rules="2.7", step="records"),
    bad("RPK501-run-id-in-capitals", _run(lambda r: r["record"].update(id="RUN000000001")), "A run id in capitals.", rules="2.7", step="records"),
    bad("RPK501-no-segments", _run(lambda r: r["record"].update(segments=[])), "A run without an execution.", rules="2.7", step="records"),
    bad("RPK202-record-version-2", BASE.with_record("claims.json", lambda c: c.update(version=2)), "A record of a later version.", rules="11.1", step="records", rows=(26,)),
]  # fmt: skip


def _material(path: str, **fields: Any) -> dict[str, Any]:
    return {"path": path, "size": 1, "sha256": "0" * 64, "evidence": ["trace"], **fields}


def _data(content: bytes = b"x", **fields: Any) -> Draft:
    """A release with a data set named `d`."""
    manifest = {
        "version": 1,
        "name": "d",
        "files": [{"path": "x", "size": 1, "sha256": sha256(b"x").hexdigest()}],
        **fields,
    }
    draft = BASE.with_file("data/d.json", canonical.encode(manifest), role="data-manifest")
    return draft.with_file("data/d/x", content, role="data") if "included" in fields else draft


def _reference(name: str, draft: Draft, why: str, *rows: int, rules: str = "6.2") -> Vector:
    return bad(f"RPK502-{name}", draft, why, rules=rules, step="records", rows=rows)


REFERENCES: Final = [
    _reference("code-not-there", _run(lambda r: r["code"][0].update(member="code/none.bundle")), "A run whose code is not in the bundle.", 19),
    _reference("code-elsewhere", _run(lambda r: r["code"][0].update(member="README.md")), "A run whose code is a member outside of code/.", rules="6.2"),
    _reference("tree-not-there", _run(lambda r: r["code"][0].update(tree="0" * 40)), "An execution whose tree is not among the run's code."),
    _reference("artifact-not-there", _run(lambda r: r.update(artifacts=[{"path": "{project}/x", "member": "weights/x", "sha256": "0" * 64}])), "A file of the run that is not in the bundle.", 19),
    _reference("artifact-of-another-digest", _run(lambda r: r.update(artifacts=[{"path": "{project}/x", "member": "README.md", "sha256": "0" * 64}])), "A file of the run under another digest.", 19),
    _reference("data-not-there", _run(lambda r: r.update(data=["none"])), "A data set that is not in the bundle."),
    _reference("environment-elsewhere", _run(lambda r: r.update(environment="../environment")), "An environment outside of the bundle.", 1),
    _reference("claims-of-another-run", BASE.with_record("claims.json", lambda c: c.update(run="run000000002")), "Claims about a run that is not here.", rules="6.3"),
    _reference("statement-of-another-run", BASE(statement=lambda s: s["predicate"].update(run="run000000002")), "A statement about a run that is not here.", rules="6.3"),
    _reference("material-of-no-run", _segment(lambda s: s.update(materials=[_material("{project}/x", origin={"run": "run000000009", "path": "{project}/x"})])), "A file that comes from a run that is not here.", rules="6.3"),
    _reference("material-of-itself", _segment(lambda s: s.update(materials=[_material("{project}/x", origin={"run": "run000000001", "path": "{project}/x"})])), "A file that comes from the run that reads it.", rules="6.3"),
    _reference("directory-that-climbs", _segment(lambda s: s["invocation"].update(directory="{project}/../..")), "A working directory outside of the project.", 1, rules="6.4"),
    _reference("directory-absolute", _segment(lambda s: s["invocation"].update(directory="/etc")), "A working directory without placeholder.", 1, rules="6.4"),
    _reference("product-that-climbs", _segment(lambda s: s.update(products=[{"path": "{project}/../x", "size": 1, "sha256": "0" * 64}])), "An output outside of the project.", 1, rules="6.4"),
    _reference("data-of-another-name", _data(name="e"), "A data manifest that has another name inside.", rules="6.7"),
    _reference("data-included-elsewhere", _data(included="weights"), "Included data in the directory of something else.", rules="6.7"),
    _reference("data-file-changed", _data(b"y", included="data/d"), "Included data with another digest than its manifest states.", 19, rules="6.7"),
    _reference("data-file-that-climbs", _data(files=[{"path": "../x", "size": 1, "sha256": "0" * 64}]), "A file of a data set that leads out of it.", 1, rules="6.4"),
    _reference("data-file-twice", _data(files=[{"path": "x", "size": 1, "sha256": "0" * 64}] * 2), "A file twice in a data set.", 4, rules="6.7"),
]  # fmt: skip


def _root(name: str, root: str, why: str, **fields: Any) -> Vector:
    draft = with_root(BASE, root, **fields)
    return bad(
        f"RPK502-{name}",
        draft,
        why,
        rules="6.8",
        step="records",
        rows=(1,),
        twin="code-with-outside-code",
    )


def _python_path(path: str) -> Draft:
    outside = with_root(BASE, "{code:lib}")
    return outside.with_record(RUN, lambda r: r["record"]["segments"][0].update(python_path=[path]))


ROOTS: Final = [
    _root("root-absolute", "/etc", "Further code at an absolute path."),
    _root("root-that-climbs", "{project}/../x", "Further code that leads out of the project."),
    _root("root-in-a-git-directory", "{project}/lib/.GIT./hooks", "Further code in a git directory."),
    _root("root-in-a-disguised-git-directory", "{project}/lib/a:.g\u200cit", "Further code in a git directory by another spelling."),
    _root("root-named-like-the-parent", "{code:..}", "Further code whose name is two dots."),
    _root("root-below-no-root", "{code:lib}/sub", "A submodule of code that is not there."),
    _root("root-with-a-line-feed", "{project}/a\nb", "Further code at a path of two lines."),
    _root("position-absolute", "{code:lib}", "A position that is absolute.", position="/etc"),
    _root("position-of-nothing", "{code:lib}", "A position that is the directory above.", position="../"),
    _root("position-that-climbs-later", "{code:lib}", "A position that climbs after it has descended.", position="../a/../../x"),
    _root("position-of-four-climbs", "{code:lib}", "A position one level higher than allowed.", position="../../../../x"),
    _root("position-inside-the-project", "{project}/lib", "A position of code that lies in the project.", position="../lib"),
    bad("RPK502-root-twice", with_root(with_root(BASE, "{code:lib}"), "{code:lib}"), "Two trees for one place.", rules="6.8", step="records", twin="code-with-outside-code"),
    bad("RPK502-root-without-its-tree", with_root(BASE, "{code:lib}").with_record(RUN, lambda r: r.update(code=r["code"][:1])), "Further code that the bundle does not hold.", rules="6.8", step="records", rows=(19,), twin="code-with-outside-code"),
    bad("RPK502-root-of-another-place", with_root(BASE, "{code:lib}").with_record(RUN, lambda r: r["code"][1].update(root="{code:other}")), "Further code whose tree is there for another place.", rules="6.8", step="records", twin="code-with-outside-code"),
    bad("RPK502-python-path-of-the-system", _python_path("/usr/lib"), "A place of modules on the reader's machine.", rules="6.8", step="records", rows=(1,), twin="code-with-outside-code"),
    bad("RPK502-python-path-of-no-root", _python_path("{code:other}"), "A place of modules in code that is not there.", rules="6.8", step="records", twin="code-with-outside-code"),
    bad("RPK502-material-in-a-git-directory", _segment(lambda s: s.update(materials=[_material("{project}/.Git/config", sha256=None)])), "A file of a git directory among what was read.", rules="6.8", step="records", rows=(1,)),
]  # fmt: skip


def _resumed(**origin: Any) -> Draft:
    """A run that was resumed: its second segment reads the checkpoint that the first one wrote."""
    checkpoint = sha256(b"1").hexdigest()

    def edit(run: dict[str, Any]) -> None:
        (first,) = run["record"]["segments"]
        write = {"argv": ["sh", "-c", "printf 1 > ckpt"], "directory": "{project}", "variables": {}}
        product = {"path": "{project}/ckpt", "size": 1, "sha256": checkpoint}
        read = {"path": "{project}/ckpt", "size": 1, "sha256": checkpoint, "evidence": ["trace"]}
        read["origin"] = {"run": "run000000001", "path": "{project}/ckpt", **origin}
        second = {**first, "materials": [read]}
        run["record"]["segments"] = [{**first, "invocation": write, "products": [product]}, second]
        run["artifacts"] = [
            {"path": "{project}/ckpt", "member": "weights/ckpt", "sha256": checkpoint}
        ]

    packed = BASE.with_record(RUN, edit).with_file("weights/ckpt", b"1", role="weights")
    return packed.with_record("claims.json", lambda c: c["claims"][0].update(mode="evaluate"))


def _reversed(run: dict[str, Any]) -> None:
    run["record"]["segments"].reverse()


RESUMED: Final = [
    good("run-that-was-resumed", _resumed(), "A run of two segments, of which the second reads what the first wrote.", rules="6.3"),
    bad("RPK502-resumed-from-what-no-segment-wrote", _resumed(path="{project}/other"), "A checkpoint that no segment wrote.", rules="6.3", step="records", twin="run-that-was-resumed"),
    bad("RPK502-resumed-from-a-later-segment", _resumed().with_record(RUN, _reversed), "A checkpoint that only a later segment wrote.", rules="6.3", step="records", twin="run-that-was-resumed"),
    bad("RPK502-resumed-from-another-digest", _resumed().with_record(RUN, lambda r: r["record"]["segments"][0]["products"][0].update(sha256="0" * 64)), "A checkpoint with another content than the segment wrote.", rules="6.3", step="records", twin="run-that-was-resumed"),
]  # fmt: skip

LIMITS: Final = [
    bad("RPK109-claims-beyond-the-limit", BASE.with_record("claims.json", lambda c: c.update(claims=c["claims"] * 10_001)), "10,001 claims.", rules="10.1", step="records", rows=(6,)),
    bad("RPK109-executions-beyond-the-limit", _run(lambda r: r["record"].update(segments=r["record"]["segments"] * 1_001)), "1,001 executions.", rules="10.1", step="records", rows=(6,)),
]  # fmt: skip


def _hostile_records() -> Draft:
    draft = _claim(lambda c: c.update(metric="accuracy", note=NASTY, unit=""))
    return draft.with_record(RUN, lambda r: r["record"].update(name=NASTY)).with_record(
        "environment/environment.json",
        lambda e: e["machine"].update(cpu=NASTY, accelerators=[NASTY]),
    )


def _numbers() -> Draft:
    """Claims whose tolerance is written in many ways: 10^20 in two of them."""
    claims = json.loads(next(f.content for f in BASE.files if f.path == "claims.json"))
    spelled = (b"100000000000000000000", b"1e20", b"-0", b"12345678901234567890.5E-1")
    texts = [*spelled, b"0e999", b"0." + b"1" * 398, b"1" + b"0" * 308]
    claims["claims"] = [
        {**claims["claims"][0], "tolerance": {"kind": "absolute", "within": f"N{i}"}}
        for i in range(len(texts))
    ]
    content = canonical.encode(claims)
    for number, text in enumerate(texts):
        content = content.replace(b'"N%d"' % number, text)
    return BASE.with_file("claims.json", content)


def _project_data(digest: str = sha256(b"x").hexdigest(), **run: Any) -> Draft:
    """A release with a material that git ignores."""
    material = _material("{project}/x", sha256=digest)
    named = _segment(lambda s: s.update(materials=[material])).with_record(
        RUN, lambda r: r.update({"data": ["project"], **run})
    )
    file = {"path": "x", "size": 1, "sha256": sha256(b"x").hexdigest()}
    manifest = {"version": 1, "name": "project", "files": [file], "included": "data/project"}
    content = canonical.encode(manifest)
    listed = named.with_file("data/project.json", content, role="data-manifest")
    return listed.with_file("data/project/x", b"x", role="data")


def _named(name: str) -> Draft:
    """A release with a data set of a name."""
    manifest = {"version": 1, "name": name, "files": []}
    return BASE.with_file(f"data/{name}.json", canonical.encode(manifest), role="data-manifest")


def _second_run() -> Draft:
    """A release of two runs with one id."""
    draft = BASE
    for name in ("run.json", "metrics.json"):
        content = next(f.content for f in BASE.files if f.path == f"runs/1/{name}")
        draft = draft.with_file(f"runs/2/{name}", content, role="run")
    return draft


def _reads(path: str, **fields: Any) -> Draft:
    """A run that read a file."""
    return _segment(lambda s: s.update(materials=[_material(path, **fields)]))


FURTHER: Final = [
    _reference("run-twice", _second_run(), "Two runs with one id.", rules="6.3"),
    _reference("environment-of-five-digits", _run(lambda r: r.update(environment="environment/10000")).with_file("environment/10000/environment.json", next(f.content for f in BASE.files if f.path == "environment/environment.json"), role="environment"), "An environment with a number of five digits.", rules="6.2"),
    _reference("lock-missing", BASE.with_record("environment/environment.json", lambda e: e.update(python={"version": "3.11.7", "implementation": "CPython", "cache_tag": "cpython-311"})).without("environment/pylock.toml"), "An environment with Python and without a lock file.", 36, rules="6.2"),
    _reference("command-with-nul", _segment(lambda s: s["invocation"]["argv"].append("a\0b")), "A NUL in a word of a command.", 37, rules="6.11"),
    _reference("variable-with-nul", _segment(lambda s: s["invocation"].update(variables={"A": "\0"})), "A NUL in a variable.", 37, rules="6.11"),
    _reference("variable-without-name", _segment(lambda s: s["invocation"].update(variables={"": "x"})), "A variable without a name.", 37, rules="6.11"),
    _reference("variable-named-like-two", _segment(lambda s: s["invocation"].update(variables={"A=B": "x"})), "A variable whose name holds `=`.", 37, rules="6.11"),
    _reference("directory-of-the-home", _segment(lambda s: s["invocation"].update(directory="{home}/x")), "A working directory that is neither in the project nor in data.", 37, rules="6.12"),
    _reference("material-absolute", _reads("/etc/passwd"), "A file that was read at an absolute path.", 1, rules="6.4"),
    _reference("material-that-climbs-from-home", _reads("{home}/../x"), "A file that was read above the home directory.", 1, rules="6.4"),
    _reference("material-of-no-placeholder", _reads("{etc}/x"), "A file below a placeholder that version 1 does not have.", 1, rules="6.4"),
    _reference("material-with-nul", _reads("{project}/a\0b", sha256=None), "A NUL in the path of a file that was read.", 1, rules="6.12"),
    _reference("material-with-double-slash", _reads("{project}/a//b", sha256=None), "An empty component in the path of a file that was read.", 1, rules="6.12"),
    _reference("material-of-65-components", _reads("{project}/" + "a/" * 64 + "b", sha256=None), "A file that was read in 65 components.", 6, rules="6.12"),
    _reference("material-that-is-no-data", _reads("{project}/x"), "A file of the project that is neither of a run nor in the data set `project`.", rules="6.14"),
    bad("RPK502-material-of-another-digest", _project_data("0" * 64), "A file of the project whose digest is not that of the data set.", rules="6.14", step="records", twin="data-of-the-project"),
    bad("RPK502-material-of-a-data-set-not-named", _project_data(data=[]), "A file of a data set that its run does not name.", rules="6.14", step="records", twin="data-of-the-project"),
    _reference("product-in-a-git-directory", _segment(lambda s: s.update(products=[{"path": "{project}/a/.git/hooks/x", "size": 1, "sha256": "0" * 64}])), "An output in a git directory.", 1, rules="6.12"),
    bad("RPK502-origin-elsewhere", _resumed(path="{home}/ckpt"), "A file that a run wrote outside of its project.", rules="6.12", step="records", twin="run-that-was-resumed"),
    _reference("data-name-of-another-alphabet", _named("d e"), "A data set with a space in its name.", rules="6.13"),
    _reference("data-name-of-101-characters", _named("d" * 101), "A data set with a name of 101 characters.", 6, rules="6.13"),
    _reference("recorded-path-relative", _data(recorded_path="data"), "A recorded path that is relative.", 1, rules="6.13"),
    _reference("recorded-path-that-climbs", _data(recorded_path="/data/../etc"), "A recorded path that climbs.", 1, rules="6.13"),
    _reference("recorded-path-with-two-slashes", _data(recorded_path="//data"), "A recorded path with two slashes at its beginning.", 1, rules="6.13"),
]  # fmt: skip


GOOD: Final = [
    good("numbers-of-every-spelling", _numbers(), "Numbers beyond 2^53 where the schema says number, as RFC 8785 and others write them, and one of 400 characters.", rules="2.3", rows=(22,)),
    good("data-of-the-project", _project_data(), "A file of the project that git ignores: a material, and in the data set `project`.", rules="6.12 6.14"),
    good("records-with-spaces", BASE.with_file("claims.json", b' {"version" : 1, "run":"run000000001" ,\n"claims": [ ] }\n'), "A record that is not canonical, which only the manifest and the statement must be.", rules="6.1", rows=(22,)),
    good("data-included", _data(included="data/d"), "A data set in the bundle.", rules="6.7"),
    good("data-with-hostile-address", _data(address="http://169.254.169.254/latest/meta-data/", recorded_path="/proc/self/root"), "Data at the address of a cloud's own service, and a recorded path that is the reader's machine: nothing is fetched or shown.", rules="6.7", rows=(40,)),
    good("hostile-text-in-records", _hostile_records(), "Terminal escapes, bidirectional overrides and HTML in the records' text.", rules="6.1", rows=(39,)),
]  # fmt: skip


def _anonymous(key: SigningKey, **changes: object) -> Draft:
    """A bundle that names this key as its own; it is signed by that of the author."""
    record = {"commitment": "ab" * 32, "key": key.public.openssh, "version": 1, **changes}
    return BASE.with_file("authorship.json", canonical.encode(record), role="authorship")


ANONYMOUS: Final = [
    good("anonymous", _anonymous(AUTHOR), "An anonymous bundle, signed by the key that it names.", rules="19.1 19.3"),
    bad("RPK316-anonymous-signed-by-another-key", _anonymous(THIEF), "An anonymous bundle whose signature was replaced.", rules="19.3", step="signer", rows=(23,)),
    bad("RPK501-authorship-without-commitment", _anonymous(AUTHOR, commitment=""), "An anonymous bundle that is sealed to nobody.", rules="19.1", step="signer"),
]  # fmt: skip

VECTORS: Final[list[Vector]] = [
    *ANONYMOUS,
    *JSON,
    *REFERENCES,
    *FURTHER,
    *ROOTS,
    *RESUMED,
    *LIMITS,
    *GOOD,
]
