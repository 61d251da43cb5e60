# SPDX-License-Identifier: Apache-2.0
"""A corpus with secrets and terms in it, made anew from a seed: each planted thing in many places.

Every file has one planted thing, so that a miss has a name. The values are random and belong to
nobody; the form of each is that of its issuer.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import io
import json
import lzma
import marshal
import pickle
import random
import sqlite3
import string
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import zstandard

from repropack.privacy.terms import Identity, Term, terms_of

__all__ = ["IDENTITY", "KINDS", "Planted", "make_corpus", "own_terms", "secrets_of"]

IDENTITY = Identity(
    people=(
        ("Zoë Quillfeather", "zoe.quillfeather@neuro.quillon-institute.edu"),
        ("Ivo Marshmontov", "marshmontov@gmail.com"),
    ),
    users=("zquill7",),
    hosts=("tachyon42.hpc.quillon-institute.edu",),
    homes=("/home/zquill7", "/nfs/people/zq"),
    remotes=("git@git.quillon-institute.edu:sparse-marmots/nets.git",),
    affiliations=("Quillon Institute of Neurodynamics",),
)
"""An author, her colleague, and their machine."""

TERMS = (
    "Zoë Quillfeather",
    "Quillfeather, Zoe",
    "zoe.quillfeather@neuro.quillon-institute.edu",
    "Ivo Marshmontov",
    "marshmontov",
    "zquill7",
    "tachyon42",
    "/home/zquill7/projects/nets",
    "/nfs/people/zq/data",
    "sparse-marmots",
    "git.quillon-institute.edu",
    "Quillon Institute of Neurodynamics",
)
"""What is planted of them, in the forms in which it is found in files."""


class Planted(NamedTuple):
    """A file with something in it.

    Attributes:
        kind: The kind of container.
        what: What was planted: a rule's name, or `term`.
        text: The secret or the term itself.
    """

    path: Path
    kind: str
    what: str
    text: str


def own_terms() -> tuple[Term, ...]:
    return terms_of(IDENTITY)


def secrets_of(random_: random.Random) -> dict[str, tuple[str, str]]:
    """For each rule the secret and a line in which it stands."""

    def some(alphabet: str, count: int) -> str:
        # Each has several digits and letters, as nearly every real one.
        while True:
            text = "".join(random_.choices(alphabet, k=count))
            if sum(c.isdigit() for c in text[-20:]) >= 3 and any(c.isalpha() for c in text[-20:]):
                return text

    word = string.ascii_letters + string.digits
    hexa = "0123456789abcdef"
    b64 = word + "+/"
    upper = string.ascii_uppercase + "234567"
    key = "\n".join(some(b64, 64) for _ in range(6))
    values = {
        "github-token": ("ghp_{}", some(word, 36)),
        "github-pat": ("github_pat_{}", some(word, 82)),
        "gitlab-token": ("glpat-{}", some(word, 20)),
        "bitbucket-token": ("ATBB{}", some(word, 32)),
        "huggingface-token": ("hf_{}", some(string.ascii_letters + "0123", 34)),
        "openai-key": ("sk-proj-{}", some(word, 48)),
        "anthropic-key": ("sk-ant-api03-{}", some(word, 93)),
        "replicate-token": ("r8_{}", some(word, 37)),
        "groq-key": ("gsk_{}", some(word, 52)),
        "aws-key-id": ("AKIA{}", some(upper, 16)),
        "google-api-key": ("AIza{}", some(word, 35)),
        "google-oauth": ("GOCSPX-{}", some(word, 28)),
        "databricks-token": ("dapi{}", some(hexa, 32)),
        "digitalocean-token": ("dop_v1_{}", some(hexa, 64)),
        "slack-token": ("xoxb-{}", f"{random_.randrange(10**12)}-{some(word, 24)}"),
        "telegram-token": ("{}", f"{random_.randrange(10**8, 10**9)}:AA{some(word, 33)}"),
        "terraform-token": ("{}", f"{some(word, 14)}.atlasv1.{some(word, 67)}"),
        "service-token": ("pat{}", f"{some(word, 14)}.{some(hexa, 64)}"),
        "model-service-key": ("pa-{}", some(word, 43)),
        "neptune-token": ("eyJhcGlfYWRkcmVzcyI6{}", some(word, 120)),
        "sendgrid-key": ("SG.{}", f"{some(word, 22)}.{some(word, 43)}"),
        "stripe-key": ("sk_live_{}", some(word, 24)),
        "npm-token": ("npm_{}", some(word, 36)),
        "pypi-token": ("pypi-AgEI{}", some(word, 70)),
        "docker-token": ("dckr_pat_{}", some(word, 27)),
        "json-web-token": ("eyJ{}", f"{some(word, 30)}.eyJ{some(word, 60)}.{some(word, 43)}"),
        "age-key": ("AGE-SECRET-KEY-1{}", some(string.ascii_uppercase + string.digits, 58)),
    }
    found = {name: (form.format(value),) * 2 for name, (form, value) in values.items()}
    hidden = {
        "wandb-key": ("WANDB_API_KEY={}", some(hexa, 40)),
        "kaggle-key": ('{{"username":"zq","key":"{}"}}', some(hexa, 32)),
        "aws-secret": ("aws_secret_access_key = {}", some(b64, 40)),
        "azure-storage-key": ("AccountName=x;AccountKey={}==", some(b64, 86)),
        "azure-sas": ("https://x.blob.core.windows.net/y?sv=2022&sig={}%3D", some(word, 43)),
        "google-service-account": ('"private_key_id": "{}"', some(hexa, 40)),
        "slack-webhook": (
            "https://hooks.slack.com/services/{}",
            f"T{some(upper, 9)}/B{some(upper, 9)}/{some(word, 24)}",
        ),
        "discord-webhook": (
            "https://discord.com/api/webhooks/{}",
            f"{random_.randrange(10**17, 10**18)}/{some(word, 68)}",
        ),
        "private-key": ("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", key),
        "url-credentials": ("https://deploy:{}@git.quux.dev/x.git", some(word, 14)),
        "http-authorization": ("Authorization: Bearer {}", some(word, 40)),
        "netrc": ("machine api.quux.dev login zq password {}", some(word, 16)),
        "uuid-key": (
            "LIGHTNING_API_KEY={}",
            "-".join(some(hexa, 12)[:n] for n in (8, 4, 4, 4, 12)),
        ),
        "secret-assignment": ("MYSERVICE_API_KEY={}", some(word, 32)),
        "password-assignment": ('db_password = "{}"', some(word, 12) + "!7"),
        "home-path": ("/home/{}/run", "kmarlowe"),
        "windows-home": ("C:\\Users\\{}\\run", "kmarlowe"),
        "cluster-path": ("/scratch/{}/run", "proj771/kmarlowe"),
    }
    found |= {name: (value, form.format(value)) for name, (form, value) in hidden.items()}
    return found


# ---------------------------------------------------------------- kinds of files


def _prose(line: str) -> str:
    return f"import os\n\n# settings\nvalue = 3\n{line}\n\nprint(value)\n" * 1


def _json(line: str) -> bytes:
    return json.dumps({"config": {"note": line, "n": 3}}, indent=1).encode()


def _notebook(line: str) -> bytes:
    cell = {
        "cell_type": "code",
        "source": ["x = 1\n"],
        "metadata": {},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": [line + "\n", "done\n"]}],
    }
    return json.dumps(
        {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    ).encode()


def _notebook_image(line: str) -> bytes:
    image = base64.encodebytes(_png_compressed(line)).decode()
    output = {"output_type": "display_data", "data": {"image/png": image}, "metadata": {}}
    return json.dumps({"cells": [{"cell_type": "code", "outputs": [output]}]}).encode()


def _zip(content: bytes, name: str = "a/notes.txt", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
        archive.writestr("a/empty", b"")
    return buffer.getvalue()


def _torch(line: str, method: int = zipfile.ZIP_STORED) -> bytes:
    args = {"best_model_path": line, "lr": 0.1}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"hyper_parameters": args}, protocol=2))
        archive.writestr("archive/data/0", random.Random(1).randbytes(4096))
    return buffer.getvalue()


def _safetensors(line: str) -> bytes:
    tensor = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    header = json.dumps({"__metadata__": {"args": line}, "w": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16)


def _gguf(line: str) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    return (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("general.author") + struct.pack("<I", 8)
        + text(line)
    )  # fmt: skip


def _numpy(line: str) -> bytes:
    """An array of dtype `<U…`: UTF-32."""
    header = f"{{'descr': '<U{len(line) + 5}', 'fortran_order': False, 'shape': (1,), }}"
    padded = header.ljust(117) + "\n"
    return (
        b"\x93NUMPY\1\0" + struct.pack("<H", len(padded)) + padded.encode()
        + line.encode("utf-32-le") + bytes(20)
    )  # fmt: skip


def _pdf(line: str) -> bytes:
    text = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    latin = text.encode("utf-8")
    # Kerned: `[(Zo) -20 (e)] TJ`, as typesetters write it.
    middle = len(latin) // 2
    while middle < len(latin) and (
        latin[middle - 1 : middle] == b"\\" or latin[middle] & 0xC0 == 0x80
    ):
        middle += 1
    content = b"BT /F1 12 Tf [(" + latin[:middle] + b") -20 (" + latin[middle:] + b")] TJ ET"
    packed = zlib.compress(content)
    return (
        b"%%PDF-1.5\n1 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed)
        + packed
        + b"\nendstream\nendobj\ntrailer << >>\n%%EOF\n"
    )


def _pdf_information(line: str) -> bytes:
    title = b"\xfe\xff" + line.encode("utf-16-be")
    return b"%PDF-1.4\n1 0 obj\n<< /Author <" + title.hex().encode() + b"> >>\nendobj\n%%EOF\n"


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(*chunks: bytes) -> bytes:
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = _png_chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + _png_chunk(b"IEND", b"")


def _png_compressed(line: str) -> bytes:
    return _png(_png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(line.encode())))


def _jpeg(line: str) -> bytes:
    exif = b"Exif\0\0II*\0" + line.encode() + b"\0"
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + b"\xff\xd9"


def _sqlite(line: str, scratch: Path) -> bytes:
    path = scratch / "made.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE runs (id INTEGER, params TEXT)")
        # So long that it lies on several pages, wherever the line falls.
        database.execute("INSERT INTO runs VALUES (1, ?)", ("x " * 2040 + line + " y" * 4000,))
        database.commit()
    return path.read_bytes()


def _events(line: str) -> bytes:
    payload = b"\x1a" + bytes([min(len(line.encode()), 127)]) + line.encode()
    return struct.pack("<Q", len(payload)) + b"\1\2\3\4" + payload + b"\5\6\7\x08"


def _pyc(line: str) -> bytes:
    code = compile(f"def f():\n    return {line!r}\n", "/opt/app/x.py", "exec")
    return b"\xa7\r\r\n" + bytes(12) + marshal.dumps(code)


def _gzip_named(line: str) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", fileobj=buffer, mtime=0) as file:
        file.write(b"x")
    data = buffer.getvalue()
    name = line.replace("\n", " ").encode()
    return data[:3] + bytes([data[3] | 8]) + data[4:10] + name + b"\0" + data[10:]


def _tar(line: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        content = line.encode()
        entry = tarfile.TarInfo("notes/a.txt")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _git_bundle(line: str, scratch: Path) -> bytes:
    repository = scratch / "repository"
    if not repository.exists():
        subprocess.run(["git", "init", "-q", str(repository)], check=True)
    (repository / "a.py").write_text(_prose(line), encoding="utf-8")
    identity = ("-c", "user.name=n", "-c", "user.email=n@invalid", "-c", "commit.gpgsign=false")
    for arguments in (
        ("add", "a.py"),
        ("commit", "-q", "--amend", "-m", "x") if (repository / "made").exists() else (
            "commit", "-q", "-m", "x"),
        ("bundle", "create", "-q", "../made.bundle", "HEAD"),
    ):  # fmt: skip
        subprocess.run(
            ["git", *identity, *arguments], cwd=repository, check=True, capture_output=True
        )
    (repository / "made").touch()
    return (scratch / "made.bundle").read_bytes()


def _uuencoded(content: bytes) -> bytes:
    lines = (binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45))
    return b"begin 644 a\n" + b"".join(lines) + b"`\nend\n"


def _nested(line: str) -> bytes:
    return _zip(gzip.compress(_torch(line, zipfile.ZIP_DEFLATED)), "outer/inner.pt.gz")


Maker = Callable[[str, Path], bytes]

KINDS: dict[str, tuple[str, Maker]] = {
    "text": (".py", lambda line, _: _prose(line).encode()),
    "JSON": (".json", lambda line, _: _json(line)),
    "YAML": (".yaml", lambda line, _: f"a: 1\nb: |\n  {line}\nc: 2\n".encode()),
    "notebook output": (".ipynb", lambda line, _: _notebook(line)),
    "image in a notebook": (".ipynb", lambda line, _: _notebook_image(line)),
    "zip, deflated": (".zip", lambda line, _: _zip(_prose(line).encode())),
    "torch checkpoint": (".pt", lambda line, _: _torch(line)),
    "torch checkpoint, deflated": (".pt", lambda line, _: _torch(line, zipfile.ZIP_DEFLATED)),
    "pickle, protocol 0": (".pkl", lambda line, _: pickle.dumps({"a": line}, protocol=0)),
    "pickle, protocol 5": (".pkl", lambda line, _: pickle.dumps([line], protocol=5)),
    "safetensors": (".safetensors", lambda line, _: _safetensors(line)),
    "GGUF": (".gguf", lambda line, _: _gguf(line)),
    "NPY": (".npy", lambda line, _: _numpy(line)),
    "NPZ": (".npz", lambda line, _: _zip(_numpy(line), "names.npy")),
    "PDF text": (".pdf", lambda line, _: _pdf(line)),
    "PDF information": (".pdf", lambda line, _: _pdf_information(line)),
    "PNG text": (".png", lambda line, _: _png_compressed(line)),
    "EXIF": (".jpg", lambda line, _: _jpeg(line)),
    "gzip": (".gz", lambda line, _: gzip.compress(_prose(line).encode())),
    "gzip name": (".gz", lambda line, _: _gzip_named(line)),
    "bzip2": (".bz2", lambda line, _: bz2.compress(_prose(line).encode())),
    "xz": (".xz", lambda line, _: lzma.compress(_prose(line).encode())),
    "lzma": (
        ".lzma",
        lambda line, _: lzma.compress(_prose(line).encode(), format=lzma.FORMAT_ALONE),
    ),
    "zlib": ("", lambda line, _: zlib.compress(_prose(line).encode())),
    "zipapp": (
        ".pyz", lambda line, _: b"#!/usr/bin/env python3\n" + _zip(_prose(line).encode())
    ),
    "archive behind a picture": (
        ".jpg", lambda line, _: _jpeg("x") + _zip(_prose(line).encode())
    ),
    "uuencoded": (".txt", lambda line, _: _uuencoded(_prose(line).encode())),
    "zstd": (".zst", lambda line, _: zstandard.compress(_prose(line).encode())),
    "tar.gz": (".tar.gz", lambda line, _: _tar(line)),
    "bytecode": (".pyc", lambda line, _: _pyc(line)),
    "SQLite": (".sqlite", _sqlite),
    "TensorBoard": (".tfevents.1", lambda line, _: _events(line)),
    "git bundle": (".bundle", _git_bundle),
    "archive in archive": (".zip", lambda line, _: _nested(line)),
    "UTF-16": (".txt", lambda line, _: ("\ufeff" + _prose(line)).encode("utf-16-le")),
    "UTF-16, big-endian": (".txt", lambda line, _: ("\ufeff" + _prose(line)).encode("utf-16-be")),
    "base64": (".txt", lambda line, _: b"data: " + base64.encodebytes(_prose(line).encode())),
    "hexadecimal": (".txt", lambda line, _: b"data: " + line.encode().hex().encode() + b"\n"),
    "base32": (".txt", lambda line, _: b"data: " + base64.b32encode(_prose(line).encode())),
    "base85": (".txt", lambda line, _: b"data: " + base64.b85encode(_prose(line).encode())),
    "dump of bytes": (".txt", lambda line, _: b"data: " + line.encode().hex(" ").encode()),
    "URL-encoded": (
        ".txt",
        lambda line, _: "".join(f"%{b:02X}" if b in b" /@,:=" or b > 127 else chr(b)
                                for b in line.encode()).encode(),
    ),
    "unknown binary": (
        ".dat",
        lambda line, _: random.Random(2).randbytes(900) + b"\0" + line.encode() + b"\0"
        + random.Random(3).randbytes(900),
    ),
}  # fmt: skip
"""Each kind of file: its ending, and what makes one with a line in it."""

TERMS_ONLY = frozenset(
    {
        "base64", "base32", "base85", "hexadecimal", "dump of bytes", "URL-encoded",
        "PDF information",
    }
)  # fmt: skip
"""Kinds that hide the line in an encoding, in which only the author's terms are searched."""

ONE_LINE = frozenset({"PDF text", "EXIF", "gzip name", "TensorBoard", "YAML"})
"""Kinds whose text has no line feeds."""


def make_corpus(directory: Path, seed: int = 20261125) -> list[Planted]:
    """Writes the corpus: each secret in one kind after the other, each term in every kind."""
    random_ = random.Random(seed)
    scratch = directory / ".scratch"
    scratch.mkdir(parents=True)
    planted: list[Planted] = []

    def write(kind: str, what: str, text: str, line: str) -> None:
        ending, make = KINDS[kind]
        path = directory / f"{len(planted):04d}{ending}"
        path.write_bytes(make(line, scratch))
        planted.append(Planted(path, kind, what, text))

    secrets = secrets_of(random_)
    able = [kind for kind in KINDS if kind not in TERMS_ONLY]
    turn = 0
    for name, (value, line) in secrets.items():
        for _ in range(5):
            kind = able[turn % len(able)]
            turn += 1
            if "\n" in line and kind in ONE_LINE:
                kind = "text"
            write(kind, name, value, line)
    for number, kind in enumerate(KINDS):
        for step in range(4):
            term = TERMS[(number + step * 3) % len(TERMS)]
            write(kind, "term", term, term)
    return planted
