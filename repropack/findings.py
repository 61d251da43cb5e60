# SPDX-License-Identifier: Apache-2.0
"""Coded facts about a bundle. The codes are those of docs/spec/rpk-v1.md.

A finding is a value: the reader of a bad bundle gets an answer, not a traceback. Inside the
reader a defect travels as `DefectError` to the one place that turns it into a report.
"""

from __future__ import annotations

import enum
from typing import Self

from msgspec import Struct

from repropack.errors import RepropackError
from repropack.escaping import show

__all__ = ["Code", "DefectError", "Finding"]


class Code(enum.Enum):
    """Every code, with its title. Codes are never reused.

    Hundreds: 1 container, 2 manifest, 3 signature, 4 code, 5 records, 6 environment, 7 data,
    8 execution.
    """

    # 1: zstd frames, seek table, tar layer (specification sections 3 and 4)
    NOT_RPK = ("RPK101", "this is not an .rpk file")
    TRUNCATED = ("RPK102", "the file ends too early, or goes on after its end")
    SEEK_TABLE = ("RPK103", "the seek table is malformed or does not describe the file")
    FRAME_HEADER = ("RPK104", "a zstd frame has a form that version 1 does not allow")
    FRAME_CONTENT = ("RPK105", "a zstd frame does not decode to what its header says")
    FRAME_LAYOUT = ("RPK106", "the frames are not cut where the members say")
    TAR_HEADER = ("RPK107", "a tar header is not the canonical header of its member")
    TAR_PADDING = ("RPK108", "padding or the end of the archive is not zero")
    TOO_LARGE = ("RPK109", "a limit of version 1 is exceeded")
    VOLUMES = ("RPK110", "the volumes are not those of one bundle")
    # 2: manifest and members (section 5)
    MANIFEST_JSON = ("RPK201", "manifest.json is not canonical JSON of the manifest's type")
    MANIFEST_VERSION = ("RPK202", "the bundle has a format version that this reader does not know")
    MANIFEST_DIGEST = ("RPK203", "manifest.json is not the file that was signed")
    MEMBER_PATH = ("RPK204", "a member's path is not allowed")
    MEMBER_ORDER = ("RPK205", "members are not in canonical order, or a path stands twice")
    MEMBER_DIGEST = ("RPK206", "a member does not have the digest that the manifest states")
    MEMBER_MISSING = ("RPK207", "a member that version 1 requires is missing")
    UNLISTED = ("RPK208", "the directory holds something that the manifest does not list")
    NOT_AS_LISTED = ("RPK209", "a file of the directory is missing, or of another kind or mode")
    # 3: attestation (section 7)
    ENVELOPE = ("RPK301", "this is not a DSSE envelope of the allowed form")
    NO_SIGNATURE = ("RPK302", "the bundle is not signed")
    SIGNATURE = ("RPK303", "the signature does not belong to this content")
    WEAK_KEY = ("RPK304", "the signer's key is not a sound Ed25519 key")
    STATEMENT = ("RPK305", "the signed statement is not an in-toto release statement")
    SIGNER_REJECTED = ("RPK306", "the signer is not one that you accept")
    UNEXPECTED_DIGEST = ("RPK307", "the manifest digest is not the one you expect")
    SIGNER_CHANGED = ("RPK308", "the signer is not the one that you know under this name")
    TOO_FEW_SIGNERS = ("RPK309", "too few of the signers that you named have signed")
    RECEIPT = ("RPK310", "a receipt is not an in-toto test result of repropack")
    RECEIPT_SUBJECT = ("RPK311", "a receipt is about another bundle")
    KEY_REVOKED = ("RPK312", "the key that signed is revoked")
    KEY_STATEMENT = ("RPK313", "a statement about a key does not have the allowed form or signers")
    KEY_CONFLICT = ("RPK314", "a statement about a key contradicts others, or has no authority")
    TIMESTAMP = ("RPK315", "the time stamp does not hold for this bundle")
    NOT_ITS_OWN_KEY = ("RPK316", "an anonymous bundle is not signed by the key that it names")
    RECEIPT_CLAIMS = ("RPK317", "a receipt is about other claims than those of the bundle")
    # 4: code bundles (section 8)
    CODE_HEADER = ("RPK401", "a code bundle's header has a form that is not allowed")
    CODE_OBJECTS = ("RPK402", "git refuses objects of a code bundle")
    CODE_UNREACHABLE = ("RPK403", "a code bundle holds objects that its commit does not reach")
    CODE_TREE = ("RPK404", "a code bundle's tree holds an entry that is not allowed")
    CODE_IDENTITY = ("RPK405", "a code bundle is not the tree or commit that its run names")
    CODE_LIMIT = ("RPK406", "a code bundle exceeds a limit")
    CODE_HISTORY = ("RPK407", "a code bundle is not exactly one commit without parents")
    # 5: records (section 6)
    RECORD_JSON = ("RPK501", "a record is not strict JSON of its type")
    RECORD_REFERENCE = ("RPK502", "a record names something that the bundle does not hold")
    # 6: environment
    PYTHON_PATCH = ("RPK601", "the interpreter's patch version differs")
    PYTHON_MISSING = ("RPK602", "no interpreter of the recorded version is here")
    LOCK = ("RPK603", "the lock file has a form that is not allowed")
    PACKAGE_MISSING = ("RPK604", "a locked package cannot be installed")
    MACHINE_DIFFERS = ("RPK605", "the machine differs from the recorded one")
    PACKAGE_UNLOCKED = ("RPK606", "a package was recorded without a digest")
    PACKAGE_ALTERED = ("RPK607", "an installed file is not the one of its wheel")
    STARTUP_CODE = ("RPK608", "a package runs code whenever Python starts")
    CONDA_NOT_BUILT = ("RPK609", "the recorded environment of conda cannot be rebuilt here")
    # 7: data
    DATA_MISSING = ("RPK701", "data is missing")
    DATA_DIFFERS = ("RPK702", "data differs from what the run read")
    # 8: execution
    NO_SANDBOX = ("RPK801", "no sandbox is available")
    RUN_FAILED = ("RPK802", "the repeated command ended otherwise than the recorded one")
    TIMED_OUT = ("RPK803", "the repeated command did not end in time")
    METRIC_MISSING = ("RPK804", "the repetition did not give a claimed metric")
    PARTIAL_CAPTURE = ("RPK805", "the recorder could not see or keep everything")
    NO_ROOM = ("RPK806", "the repeated command left too little room on the disk")
    CODE_WITHHELD = ("RPK807", "the author withheld files of the code that ran")
    CODE_REPLACED = ("RPK808", "the author replaced words in the code that ran")

    def __init__(self, code: str, title: str) -> None:
        self.code = code
        self.title = title


class Finding(Struct, frozen=True, kw_only=True):
    """A coded fact.

    Attributes:
        subject: The file, member, package or metric it is about. From the bundle: escape to show.
        found: What was there, if that can be said in a few words. From the bundle: escape to show.
        expected: What should have been there.
    """

    code: Code
    subject: str = ""
    found: str = ""
    expected: str = ""


class DefectError(RepropackError):
    """Carries a finding out of a reader. `verify` reports it; other commands end with status 1."""

    exit_status = 1

    @classmethod
    def of(cls, finding: Finding) -> Self:
        """The error that carries a finding."""
        return cls(finding.code, finding.subject, found=finding.found, expected=finding.expected)

    def __init__(
        self, code: Code, subject: str = "", *, found: str = "", expected: str = ""
    ) -> None:
        self.finding = Finding(code=code, subject=subject, found=found, expected=expected)
        if code is Code.MANIFEST_VERSION:
            # Another reader may find it in order: nothing is decided.
            self.exit_status = 3
        # Each part is cut by itself, so that a path of a megabyte cannot hide the code behind it.
        text = f"{code.code} {code.title}"
        if subject:
            text = f"{show(subject)}: {text}"
        if found:
            text += f": found {show(found)}"
        if expected:
            text += f", expected {show(expected)}"
        super().__init__(text)
