# SPDX-License-Identifier: Apache-2.0
"""What a reader attests: an in-toto test result about a bundle."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from repropack.model.claim import ClaimMode
from repropack.model.container import Subject
from repropack.model.fields import Record, Seed, SparseRecord, Timestamp
from repropack.model.report import Difference, Verdict

__all__ = [
    "RECEIPT_CONFIGURATION",
    "RECEIPT_TYPE",
    "Receipt",
    "ReceiptConfiguration",
    "ReceiptFacts",
    "ReceiptResult",
]


RECEIPT_TYPE: Final = "https://in-toto.io/attestation/test-result/v0.1"
"""in-toto's predicate for the result of a test: any reader of in-toto statements knows it."""


RECEIPT_CONFIGURATION: Final = "urn:repropack:verify:v1"


class ReceiptFacts(SparseRecord, frozen=True, kw_only=True):
    """How a bundle was checked.

    Attributes:
        mode: Which kind of claims was checked; in a release of a single run an evaluation is a
            training with the same seed.
        repetitions: How many fresh runs the numbers are of.
        seeds: Of a training with new seeds, that of each repetition.
        platform: The class of the machine: system, architecture, accelerators.
        isolation: What kept the executed code apart.
        differences: What was not as recorded.
        tool: Name and version of the checker.
        checked: When, as the signer says.
    """

    version: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    verdict: Verdict
    mode: ClaimMode
    repetitions: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    platform: str
    isolation: str
    tool: str
    checked: Timestamp
    seeds: tuple[Seed, ...] = ()
    differences: tuple[Difference, ...] = ()


class ReceiptConfiguration(Record, frozen=True, kw_only=True):
    """An in-toto ResourceDescriptor whose annotations say how it was checked."""

    name: str
    uri: str
    annotations: ReceiptFacts


class ReceiptResult(SparseRecord, frozen=True, kw_only=True, rename="camel"):
    """in-toto's test-result predicate, version 0.1.

    Attributes:
        result: PASSED for REPRODUCED, FAILED for NOT REPRODUCED, WARNED for INCONCLUSIVE.
        configuration: Exactly one.
        passed_tests: The claims that came out again, each by metric, file and key; all claims of
            the mode stand in one of the three.
    """

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: tuple[ReceiptConfiguration, ...]
    passed_tests: tuple[str, ...] = ()
    warned_tests: tuple[str, ...] = ()
    failed_tests: tuple[str, ...] = ()


class Receipt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement of somebody who checked a bundle, about the digest of its manifest."""

    type_: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: ReceiptResult
