# SPDX-License-Identifier: Apache-2.0
"""Every numbered requirement has a vector, a named test, or a reason why it can have neither."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent
TEXT: Final = (TESTS.parent / "docs/spec/rpk-v1.md").read_text(encoding="utf-8")
NUMBERS: Final = re.findall(r"^- \*\*(\d+\.\d+)\*\* ", TEXT, re.MULTILINE)
CLAIMED: Final = {
    number
    for vector in json.loads((TESTS / "vectors/v1/index.json").read_bytes())["vectors"]
    for number in vector["rules"]
}

_TESTS: Final = {
    "vectors/test_isolation.py": {
        "1.1": "test_nothing_but_git_was_started",
    },
    "bundle/test_volumes_and_directories.py": {
        "1.3": "test_what_is_swapped_after_the_check_is_not_used",
        "12.1": "test_volumes_that_do_not_fit_are_one_clear_line",
        "12.2": "test_volumes_that_do_not_fit_are_one_clear_line",
        "12.3": "test_volumes_are_the_bundle_that_they_make_together",
        "13.1": "test_each_change_of_a_tree_is_found",
        "13.2": "test_each_change_of_a_tree_is_found",
        "13.3": "test_each_change_of_a_tree_is_found",
        "13.4": "test_an_extracted_tree_is_the_bundle",
        "13.5": "test_what_is_swapped_after_the_check_is_not_used",
    },
    "test_canonical.py": {
        "2.8": "test_one_spelling_only",
    },
    "bundle/test_tar_layer.py": {
        "4.6": "test_sizes_beyond_8_gib",
    },
    "environment/test_lock.py": {
        "6.5": "test_hostile_lock_files_are_refused",
    },
    "verify/test_verdicts.py": {
        "6.6": "test_missing_data_is_inconclusive_and_says_where_it_can_be_had",
    },
    "environment/test_wheels.py": {
        "6.9": "test_a_packed_wheel_must_be_one_of_the_lock",
    },
    "cli/test_signers.py": {
        "7.15": "test_a_threshold_counts_named_keys",
        "7.16": "test_a_pin_is_made_once_and_another_key_is_loud",
    },
    "cli/test_key_statements.py": {
        "17.1": "test_a_key_is_handed_over_and_its_readers_follow",
    },
    "signing/test_timestamps.py": {
        "18.1": "test_no_prefix_and_no_flipped_bit_of_a_stamp_gives_another_time",
        "18.2": "test_a_stamp_covers_the_signatures_that_were_there",
        "18.3": "test_a_signature_that_a_thief_adds_later_is_not_dated_by_a_bad_one_of_its_key",
        "18.4": "test_only_an_accepted_authority_whose_certificate_is_for_that_counts",
    },
    "cli/test_model_signature.py": {
        "20.1": "test_our_statement_is_the_one_that_model_signing_itself_makes",
        "20.2": "test_what_cannot_be_signed_is_one_clear_line",
        "20.3": "test_model_signing_accepts_the_weights_and_refuses_what_was_changed",
    },
    "cli/test_timestamp.py": {
        "18.5": "test_a_stamp_makes_nobody_known_and_nothing_true",
    },
    "signing/test_key_statements.py": {
        "17.2": "test_a_forged_or_mangled_statement_is_refused",
        "17.3": "test_a_forged_or_mangled_statement_is_refused",
        "17.4": "test_a_forged_or_mangled_statement_is_refused",
        "17.5": "test_a_forged_or_mangled_statement_is_refused",
        "17.6": "test_a_rotation_by_a_revoked_key_is_refused",
        "17.7": "test_only_the_key_and_those_that_follow_it_revoke_it",
        "17.8": "test_a_compromised_key_is_refused_an_idle_one_is_not_established",
        "17.9": "test_a_thiefs_later_or_milder_revocation_weakens_nothing",
        "17.10": "test_a_named_key_stands_for_those_that_follow_it_but_counts_once",
    },
    "cli/test_private_history.py": {
        "6.10": "test_withheld_files_are_declared_and_nowhere",
        "16.1": "test_withheld_files_do_not_hinder_the_proof",
        "16.2": "test_the_author_proves_which_commit_it_was",
        "16.3": "test_the_author_proves_which_commit_it_was",
    },
    "cli/test_anonymous.py": {
        "19.2": "test_the_same_release_twice_has_other_keys_and_ids",
        "19.4": "test_its_key_is_never_remembered",
        "19.5": "test_no_planted_word_is_in_any_byte",
        "19.6": "test_replaced_words_are_declared_and_gone",
        "19.9": "test_the_author_reveals_herself",
    },
    "verify/test_author_reveal.py": {
        "19.7": "test_reveals_that_are_refused",
        "19.8": "test_reveals_that_are_refused",
    },
    "verify/test_hostile_release.py": {
        # Found when code is written out, which no reader of the vectors does.
        "8.10": "test_code_whose_place_is_taken",
    },
    "bundle/test_far_away.py": {
        "14.1": "test_a_hostile_answer_is_one_clear_line",
        "14.3": "test_memory_stays_bounded_whatever_a_server_announces",
        "14.4": "test_what_is_used_later_was_downloaded_once",
    },
    "test_address.py": {
        "14.2": "test_a_redirect_to_a_name_of_a_private_address_is_refused",
    },
    "verify/test_receipts.py": {
        "15.1": "test_a_changed_payload_under_an_old_signature_is_refused",
        "15.2": "test_a_receipt_in_another_spelling_is_refused",
        "15.3": "test_receipts_that_are_refused",
        "15.4": "test_receipts_that_are_refused",
        "15.5": "test_receipts_that_are_refused",
        "15.9": "test_hostile_names_of_claims_are_the_same_in_receipt_and_bundle",
        "15.7": "test_a_key_that_says_both_does_not_count_as_having_reproduced",
    },
    "cli/test_receipt_commands.py": {
        "15.6": "test_receipts_of_another_bundle_and_rubbish_are_refused",
        "15.8": "test_two_readers_sign_and_a_third_counts",
    },
}
BY_TEST: Final = {
    number: f"{file}::{function}"
    for file, functions in _TESTS.items()
    for number, function in functions.items()
}
"""Requirements that no single file can show: they are about programs, servers, directories, other
files, or a file too large for a vector."""

EXEMPT: Final = {
    "11.3": "a permission for others, who sign files of their own",
    "11.4": "a name and a media type: nothing that a reader of a file decides by",
}
"""Requirements that nothing can break."""


def requirement(number: str) -> str:
    """The text of a requirement."""
    start = TEXT.index(f"- **{number}** ")
    end = re.compile(r"^(?:- \*\*|#|Note:)", re.MULTILINE).search(TEXT, start + 1)
    return TEXT[start : end.start() if end else len(TEXT)]


def uncovered(numbers: list[str]) -> list[str]:
    """Those that nothing claims and that no table explains."""
    return [n for n in numbers if n not in CLAIMED and n not in BY_TEST and n not in EXEMPT]


def test_every_requirement_is_covered_or_explained() -> None:
    assert len(NUMBERS) > 100
    assert uncovered(NUMBERS) == []
    assert uncovered([*NUMBERS, "99.1"]) == ["99.1"]


def test_the_tables_hold_nothing_that_is_not_needed() -> None:
    assert not set(BY_TEST) & CLAIMED, "a vector claims it: the row can go"
    assert not set(EXEMPT) & (CLAIMED | set(BY_TEST))
    assert set(BY_TEST) | set(EXEMPT) <= set(NUMBERS)


def test_nothing_that_must_be_is_exempt() -> None:
    for number in EXEMPT:
        assert "MUST" not in requirement(number), number


def test_every_must_stands_in_a_numbered_requirement() -> None:
    """What has no number could be claimed by no vector."""
    text = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    for number in NUMBERS:
        text = text.replace(requirement(number), "")
    left = [line for line in text.splitlines() if "MUST" in line]
    # What the words mean, and the column of section 6 that 2.6 and 6.1 refer to.
    allowed = [line for line in left if line.startswith(("The words MUST", "MUST refuse", "| "))]
    assert left == allowed


@pytest.mark.parametrize("name", sorted(set(BY_TEST.values())))
def test_the_named_tests_exist(name: str) -> None:
    file, _, function = name.partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
