# SPDX-License-Identifier: Apache-2.0
"""`verify --receipt` and `receipt check` as their users meet them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from repropack import canonical
from repropack.signing.dsse import seal
from repropack.signing.keys import load_signing
from tests.project import Project
from tests.verify.release_builder import metrics, simple
from tests.verify.test_repetitions import seeded


@pytest.fixture
def checked(bare_project: Project, tmp_path: Path) -> tuple[Project, Path]:
    """A release of a stranger, and two readers with keys of their own."""
    place = tmp_path / "release"
    place.mkdir()
    bundle = simple(place, metrics("0.91")).write()
    for name in ("alice", "bob"):
        bare_project.ok("key", "new", "--key", str(tmp_path / name))
    return bare_project, bundle


def verify(project: Project, bundle: Path, name: str) -> Path:
    receipt = bundle.with_name(f"{name}.receipt.json")
    key = bundle.parent.parent / name
    done = project.repropack(
        "verify", str(bundle), "--allow-unknown-signer", "--receipt", str(receipt),
        "--key", str(key),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"receipt: {receipt}" in done.stdout
    return receipt


def test_two_readers_sign_and_a_third_counts(checked: tuple[Project, Path]) -> None:
    project, bundle = checked
    receipts = [str(verify(project, bundle, name)) for name in ("alice", "bob")]
    unknown = project.repropack("receipt", "check", str(bundle), *receipts)
    assert unknown.returncode == 4
    last = unknown.stdout.splitlines()[-1]
    way = "2 trained again with the same seed"
    assert last == f"REPRODUCED: by 2 of 2 signers on 1 platform ({way}), 0 of them established"
    assert "REPRODUCED, trained again with the same seed, on Linux" in unknown.stdout
    assert "repropack key trust SHA256:" in unknown.stderr
    keys = [str(bundle.parent.parent / f"{name}.pub") for name in ("alice", "bob")]
    known = project.repropack(
        "receipt", "check", str(bundle), *receipts, "--threshold", "2",
        "--signer", keys[0], "--signer", keys[1], "--json",
    )  # fmt: skip
    assert known.returncode == 0, known.stdout + known.stderr
    assert len(json.loads(known.stdout)["stack"]["established"]) == 2
    again = project.repropack("receipt", "check", str(bundle), receipts[0], receipts[0])
    assert "by 1 of 1 signer on" in again.stdout


def test_receipts_of_another_bundle_and_rubbish_are_refused(
    checked: tuple[Project, Path], tmp_path: Path
) -> None:
    project, bundle = checked
    receipt = verify(project, bundle, "alice")
    place = tmp_path / "another"
    place.mkdir()
    another = simple(place, metrics("0.92"), expected=0.92).write()
    done = project.repropack("receipt", "check", str(another), str(receipt))
    assert done.returncode == 1
    assert "RPK311" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("; 1 receipt refused")
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"\x1b[2J")
    done = project.repropack("receipt", "check", str(bundle), str(receipt), str(rubbish))
    assert done.returncode == 1
    assert "RPK301" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_a_receipt_about_other_claims_is_refused(checked: tuple[Project, Path]) -> None:
    project, bundle = checked
    envelope = json.loads(verify(project, bundle, "alice").read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["passedTests"] = ["moon landing"]
    forged = bundle.with_name("forged.json")
    forged.write_bytes(
        seal(canonical.encode(statement), load_signing(bundle.parent.parent / "bob"))
    )
    done = project.repropack("receipt", "check", str(bundle), str(forged))
    assert done.returncode == 1
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("FAIL")]
    assert "forged.json: RPK317" in line
    assert "moon landing" in line
    assert done.stdout.splitlines()[-1].startswith("INCONCLUSIVE: by 0 of 0 signers")


def test_receipts_of_new_seeds_say_which(bare_project: Project, tmp_path: Path) -> None:
    bundle = seeded(tmp_path).write()
    bare_project.ok("key", "new", "--key", str(tmp_path / "alice"))
    receipt = str(tmp_path / "r.json")
    done = bare_project.repropack(
        "verify", str(bundle), "--retrain", "--new-seed", "--runs", "2", "--allow-unknown-signer",
        "--receipt", receipt, "--key", str(tmp_path / "alice"), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    seeds = ", ".join(json.loads(done.stdout)["seeds"])
    said = bare_project.repropack("receipt", "check", str(bundle), receipt).stdout
    assert f"trained again with new seeds 2 times ({seeds}), on Linux" in said
    assert "(1 trained again with new seeds)" in said.splitlines()[-1]


def test_a_receipt_of_a_number_that_did_not_come_out(
    checked: tuple[Project, Path], tmp_path: Path
) -> None:
    project, _ = checked
    place = tmp_path / "wrong"
    place.mkdir()
    bundle = simple(place, metrics("0.5")).write()
    receipt = place / "r.json"
    done = project.repropack(
        "verify", str(bundle), "--receipt", str(receipt), "--key", str(tmp_path / "alice")
    )
    assert done.returncode == 1
    stacked = project.repropack("receipt", "check", str(bundle), str(receipt))
    assert stacked.returncode == 1
    assert stacked.stdout.splitlines()[-1].startswith("NOT REPRODUCED: ")


def test_wrong_usage_comes_before_the_work(checked: tuple[Project, Path]) -> None:
    project, bundle = checked
    key = str(bundle.parent.parent / "alice")
    for arguments, words in (
        (("--no-run", "--receipt", "r", "--key", key), "--no-run repeats nothing"),
        (("--key", key), "give --receipt FILE"),
        (("--receipt", "/nowhere/r", "--key", key), "is not a directory"),
        (("--receipt", "r", "--key", "/nowhere"), "cannot be read"),
        (("--receipt", "r"), "there is no signing key yet"),
    ):
        done = project.repropack("verify", str(bundle), *arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_a_badge_and_a_report_are_written(checked: tuple[Project, Path]) -> None:
    project, bundle = checked
    badge, report = bundle.with_suffix(".svg"), bundle.with_suffix(".html")
    done = project.repropack("verify", str(bundle), "--badge", str(badge), "--report", str(report))
    assert done.returncode == 4
    assert f"badge: {badge}" in done.stdout
    assert "reproduced, signer unknown" in badge.read_text()
    assert "How to cite this check" in report.read_text()
    picture = bundle.with_suffix(".png")
    done = project.repropack("verify", str(bundle), "--no-run", "--badge", str(picture))
    assert done.returncode == 4
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    wrong = project.repropack("verify", str(bundle), "--badge", "badge.jpg")
    assert wrong.returncode == 2
    assert "an .svg or a .png" in wrong.stderr
