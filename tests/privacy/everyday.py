# SPDX-License-Identifier: Apache-2.0
"""Files in which people have secrets, as the programs write them that own the files.

Unlike the lines of `tests.privacy.corpus`, which have a rule each, these were written down before
looking whether a rule finds them; the values are as random as their issuers draw them.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import string
import tarfile
import zipfile
from collections.abc import Callable
from typing import Final, NamedTuple

import zstandard

__all__ = ["EVERYDAY", "WRAPPINGS", "Secret", "draw"]

WORD: Final = string.ascii_letters + string.digits
HEX: Final = "0123456789abcdef"
B64: Final = WORD + "+/"
URL64: Final = WORD + "-_"


class Secret(NamedTuple):
    """A file, and what in it must not get out."""

    name: str
    text: str
    secret: str


def draw(seed: int) -> list[Secret]:
    """All files of `EVERYDAY`, with values of their own."""
    numbers = random.Random(seed)
    made = []
    for name, form, (alphabet, count) in EVERYDAY:
        value = "".join(numbers.choices(alphabet, k=count))
        made.append(Secret(name, _fill(form, value, numbers), value))
    return made


def _fill(form: str, value: str, numbers: random.Random) -> str:
    text = form.replace("@@", value)
    while "##" in text:
        text = text.replace("##", "".join(numbers.choices(WORD, k=12)), 1)
    for mark, made in (
        ("BASE64(", lambda part: base64.b64encode(part.encode()).decode()),
        ("PEM64(", lambda part: base64.b64encode(_pem(part).encode()).decode()),
        ("PEM(", _pem),
        ("PEMN(", lambda part: _pem(part).replace("\n", "\\n")),
    ):
        while mark in text:
            before, _, rest = text.partition(mark)
            part, _, after = rest.partition(")")
            text = before + made(part) + after
    return text


def _pem(value: str, kind: str = "RSA PRIVATE KEY") -> str:
    lines = "\n".join(value[at : at + 64] for at in range(0, len(value), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"


_PASSWORD: Final = (WORD + "!#%^*_+", 18)

EVERYDAY: Final[tuple[tuple[str, str, tuple[str, int]], ...]] = (
    (".env", "DEBUG=1\nOPENAI_API_KEY=sk-proj-@@\nMODEL=gpt\n", (URL64, 150)),
    (".env", "ANTHROPIC_API_KEY=sk-ant-api03-@@AA\n", (URL64, 90)),
    (".env.local", 'export HF_TOKEN="hf_@@"\n', (string.ascii_letters, 34)),
    (".env", "WANDB_API_KEY=@@\nWANDB_PROJECT=nets\n", (HEX, 40)),
    (".env", "DATABASE_URL=postgresql://svc:@@@db.lab.dev:5432/runs\n", (WORD, 20)),
    (".env", "REDIS_URL=redis://:@@@cache.lab.dev:6379/0\n", (WORD, 24)),
    (".env", "DB_PASSWORD=@@\nDB_HOST=db\n", _PASSWORD),
    (".env", "SECRET_KEY=@@\n", (WORD + "-_", 50)),
    (".env", "NEPTUNE_API_TOKEN=eyJhcGlfYWRkcmVzcyI6@@==\n", (B64, 120)),
    (".env", "COMET_API_KEY=@@\n", (WORD, 25)),
    (".env", "CLEARML_API_SECRET_KEY=@@\n", (WORD, 60)),
    (".env", "MLFLOW_TRACKING_PASSWORD=@@\n", _PASSWORD),
    (".env", "GEMINI_API_KEY=AIza@@\n", (URL64, 35)),
    (".env", "XAI_API_KEY=xai-@@\n", (WORD, 80)),
    (".env", "LANGSMITH_API_KEY=lsv2_pt_@@_0a1b2c3d4e\n", (HEX, 32)),
    (".env", "NVIDIA_API_KEY=nvapi-@@\n", (URL64, 64)),
    (".env", "KAGGLE_API_TOKEN=KGAT_@@\n", (HEX, 32)),
    (".env", "AIRTABLE_API_KEY=pat4kQ9xLm2VtY7bN.@@\n", (HEX, 64)),
    ("table.py", 'Api("patZ4kQ9xLm2VtY7b.@@")\n', (HEX, 64)),
    ("call.py", 'Client("AC" + account, "@@")  # SK@@\n', (HEX, 32)),
    (".terraformrc", 'credentials "app.terraform.io" {\n  token = "a8Kq2LxV9mNb4T.atlasv1.@@"\n}\n',
     (WORD, 67)),
    (".env", "VOYAGE_API_KEY=pa-@@\n", (URL64, 43)),
    ("embed.py", 'vo = voyageai.Client("pa-@@")\n', (WORD, 43)),
    ("upload.py", 'dropbox.Dropbox("sl.u.@@")\n', (URL64, 140)),
    ("upload.py", 'dropbox.Dropbox("sl.@@")\n', (URL64, 135)),
    ("shop.py", 'session = Session(shop, "2024-01", "shpat_@@")\n', (HEX, 32)),
    (".env", "LIGHTNING_API_KEY=6f1e2d3c-4b5a-4978-8a6b-@@\n", (HEX, 12)),
    (".env", "REPLICATE_API_TOKEN=r8_@@\n", (WORD, 37)),
    ("chat.py", 'Groq("gsk_@@")\n', (WORD, 52)),
    (".env", "MISTRAL_API_KEY=@@\n", (WORD, 32)),
    (".env", "CO_API_KEY=@@\n", (WORD, 40)),
    ("chat.py", 'OpenAI("sk-@@", base_url="https://api.deepseek.com")\n', (HEX, 32)),
    ("chat.py", 'OpenAI("sk-or-v1-@@", base_url="https://openrouter.ai/api/v1")\n', (HEX, 64)),
    ("chat.py", 'OpenAI("pplx-@@")\n', (WORD, 48)),
    ("chat.py", 'Together("tgp_v1_@@")\n', (URL64, 43)),
    (".databricks", "client_secret = dose@@\n", (HEX, 32)),
    ("index.py", 'Pinecone("pcsk_4Kq2Lx_@@")\n', (WORD, 62)),
    (".comet.config", "[comet]\napi_key=@@\n", (WORD, 25)),
    ("track.py", 'neptune.init_run("lab/nets", "eyJhcGlfYWRkcmVzcyI6@@==")\n', (B64, 120)),
    ("clearml.conf", 'api {\n  credentials {\n    "secret_key" = "@@"\n  }\n}\n', (WORD, 50)),
    ("serve.py", 'modal.Client.from_credentials("ak-id", "as-@@")\n', (WORD, 22)),
    ("speech.py", 'ElevenLabs("sk_@@")\n', (HEX, 48)),
    ("errors.py", 'Sentry("sntryu_@@")\n', (HEX, 64)),
    (".docker/config.json",
     '{\n\t"auths": {\n\t\t"registry.lab.dev": {\n\t\t\t"auth": "BASE64(zq:@@)"\n\t\t}\n\t}\n}\n',
     (WORD, 20)),
    (".docker/config.json",
     '{"auths": {"ghcr.io": {"auth": "BASE64(someone:ghp_@@)"}}}', (WORD, 36)),
    (".kube/config",
     "users:\n- name: me\n  user:\n    client-certificate-data: LS0tLS1CRUdJTiBDRVJU\n"
     "    client-key-data: PEM64(@@)\n", (B64, 800)),
    (".kube/config", "users:\n- name: me\n  user:\n    token: eyJhbGciOiJSUzI1NiIsImtpZCI6@@."
     "eyJpc3MiOiJrdWJlcm5ldGVz@@.@@\n", (URL64, 300)),
    (".netrc", "machine api.wandb.ai\n  login user\n  password @@\n", (HEX, 40)),
    (".netrc", "machine github.com login zq password gho_@@\n", (WORD, 36)),
    (".netrc", "default login anonymous password @@\n", (WORD, 14)),
    ("pip.conf", "[global]\nindex-url = https://zq:@@@pypi.lab.dev/simple\n", (WORD, 22)),
    (".pypirc", "[pypi]\nusername = __token__\npassword = pypi-AgEIcHlwaS5vcmc@@\n", (URL64, 150)),
    (".pypirc", "[lab]\nusername = zq\npassword = @@\n", _PASSWORD),
    (".npmrc", "//registry.example/:_authToken=npm_@@\n", (WORD, 36)),
    (".condarc", "channels:\n  - https://conda.lab.dev/t/##/get\n  - https://zq:@@@c.lab.dev/x\n",
     (WORD, 20)),
    (".git-credentials", "https://zq:ghp_@@@github.com\n", (WORD, 36)),
    (".git/config", '[remote "origin"]\n\turl = https://oauth2:glpat-@@@gitlab.lab.dev/a/b.git\n',
     (URL64, 20)),
    (".git/config", '[remote "origin"]\n\turl = https://@@@github.com/a/b.git\n', (HEX, 40)),
    (".git/config", '[http "https://dev.azure.com"]\n\textraheader = AUTHORIZATION: basic BASE64(:@@)\n',
     (string.ascii_lowercase + "234567", 52)),
    ("git-credentials", "https://x-token-auth:ATBB@@@bitbucket.org\n", (WORD, 32)),
    (".cache/huggingface/token", "hf_@@", (string.ascii_letters, 34)),
    (".kaggle/kaggle.json", '{"username":"zq","key":"@@"}', (HEX, 32)),
    (".aws/credentials", "[default]\naws_access_key_id = AKIA@@\n", (string.ascii_uppercase + "234567", 16)),
    (".aws/credentials", "[default]\naws_secret_access_key = @@\n", (B64, 40)),
    (".aws/credentials", "aws_session_token = IQoJb3JpZ2luX2Vj@@\n", (B64, 700)),
    ("boto.json", '{"AccessKeyId": "ASIA####", "SecretAccessKey": "@@"}', (B64, 40)),
    ("s3.sh", "aws configure set aws_secret_access_key @@\nexport AWS_SECRET_ACCESS_KEY=@@\n", (B64, 40)),
    ("gcp.json", '{"type": "service_account", "private_key_id": "@@"}', (HEX, 40)),
    ("gcp.json", '{"type": "service_account", "private_key": "PEMN(@@)"}', (B64, 1600)),
    ("application_default_credentials.json",
     '{"client_id": "7-a.apps.googleusercontent.com", "client_secret": "GOCSPX-@@"}', (URL64, 28)),
    ("application_default_credentials.json", '{"refresh_token": "1//0g@@"}', (URL64, 95)),
    ("azure.sh", 'AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=https;AccountName=lab;'
     'AccountKey=@@==;EndpointSuffix=core.windows.net"', (B64, 86)),
    ("azure.txt", "AZURE_CLIENT_SECRET=abc8Q~@@\n", (WORD + "_~.-", 34)),
    ("azure.txt", "https://lab.blob.core.windows.net/d?sp=r&sv=2022-11-02&sr=c&sig=@@%3D\n", (WORD, 43)),
    ("appsettings.json", '{"Db": "Server=tcp:lab.database.windows.net;User ID=zq;Password=@@;Encrypt=True"}',
     (WORD + "!#", 18)),
    ("odbc.ini", "Driver=PostgreSQL;Server=db;Uid=zq;Pwd=@@;\n", (WORD, 16)),
    (".pgpass", "db.lab.dev:5432:runs:zq:@@\n", (WORD, 16)),
    (".my.cnf", "[client]\nuser=zq\npassword=@@\n", _PASSWORD),
    ("slack.py", 'client = WebClient(token="xoxb-482915730264-571938264015-@@")\n', (WORD, 24)),
    ("slack.py", 'APP = "xapp-1-A07K2M9QX41-571938264015-@@"\n', (HEX, 64)),
    ("notify.sh", "curl -X POST https://hooks.slack.com/services/T0AB1CD2E/B0FG3HI4J/@@\n", (WORD, 24)),
    ("notify.sh", "curl -u zq:@@ https://jenkins.lab.dev/job/x/build\n", (WORD + "!#", 16)),
    ("sync.sh", "sshpass -p '@@' rsync -a out/ zq@login.lab.dev:runs\n", (WORD + "!#", 14)),
    ("submit.sh", "#!/bin/bash\n#SBATCH --gres=gpu:1\nexport GITHUB_TOKEN=github_pat_@@\nsrun python t.py\n",
     (WORD + "_", 82)),
    ("submit.sh", "srun bash -c 'WANDB_API_KEY=@@ python train.py'\n", (HEX, 40)),
    ("train.py", 'wandb.login(key="@@")\n', (HEX, 40)),
    ("train.py", 'login(token="hf_@@")\n', (string.ascii_letters, 34)),
    ("train.py", "requests.get(u, headers={'Authorization': 'Bearer @@'})\n", (URL64, 44)),
    ("train.py", 'headers = {"X-Api-Key": "@@"}\n', (WORD, 40)),
    ("config.yaml", "storage:\n  clientSecret: @@\n", (WORD, 32)),
    ("config.yaml", "db:\n  user: zq\n  password: @@\n", _PASSWORD),
    ("secret.yaml", "kind: Secret\ndata:\n  api-token: BASE64(@@)\n", (WORD, 30)),
    ("values.yaml", 'grafana:\n  adminToken: "glsa_@@_0a1b2c3d"\n', (WORD, 32)),
    ("terraform.tfstate", '{"attributes": {"password": "@@"}}', _PASSWORD),
    ("vault.hcl", 'token = "hvs.@@"\n', (URL64, 90)),
    ("id_rsa", "PEM(@@)", (B64, 1600)),
    ("settings.json", '{"ssh_key": "PEMN(@@)"}', (B64, 1600)),
    ("deploy.json", json.dumps({"inner": json.dumps({"key": "PEMN(@@)"})}), (B64, 800)),
    ("jupyter.log", "http://127.0.0.1:8888/lab?token=@@\n", (HEX, 48)),
    ("session.log", "Set-Cookie: session=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6cSIsImV4cCI6@@.@@; Path=/\n",
     (URL64, 43)),
    ("telegram.py", 'BOT = "7394028156:AA@@"\n', (URL64, 33)),
    ("databricks.cfg", "[DEFAULT]\nhost = https://x.cloud.databricks.com\ntoken = dapi@@\n", (HEX, 32)),
    ("sentry.py", 'sentry_sdk.init("https://@@@o1.ingest.sentry.io/2")\n', (HEX, 32)),
    ("history.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": ["import os\n"], "outputs": [
        {"output_type": "stream", "name": "stdout",
         "text": ["environ({'SHELL': '/bin/bash', 'OPENAI_API_KEY': 'sk-@@'})\n"]}]}]}), (WORD, 48)),
    ("history.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": [
        "!git clone https://oauth2:glpat-@@@gitlab.com/x/y.git\n"], "outputs": []}]}), (URL64, 20)),
)  # fmt: skip
"""The name of a file, its text, and of what alphabet and length its secret `@@` is."""


def _tar(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _zip(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


WRAPPINGS: Final[dict[str, Callable[[str, bytes], bytes]]] = {
    "plain": lambda _, data: data,
    "UTF-16": lambda _, data: b"\xff\xfe" + data.decode().encode("utf-16-le"),
    "CRLF": lambda _, data: data.replace(b"\n", b"\r\n"),
    "gz": lambda _, data: gzip.compress(data, mtime=0),
    "bz2": lambda _, data: bz2.compress(data),
    "xz": lambda _, data: lzma.compress(data),
    "zst": lambda _, data: zstandard.compress(data),
    "tar": _tar,
    "tar.gz": lambda name, data: gzip.compress(_tar(name, data), mtime=0),
    "zip": _zip,
    "gz in tar in zip": lambda name, data: _zip("a.tar", _tar("b.gz", gzip.compress(data, mtime=0))),
    "zip in tar.xz": lambda name, data: lzma.compress(_tar("a.zip", _zip(name, data))),
    "pickle": lambda _, data: pickle.dumps({"config": data.decode()}),
    "bytes in a pickle": lambda _, data: pickle.dumps([gzip.compress(data, mtime=0)]),
    "string of JSON": lambda _, data: json.dumps({"log": data.decode()}).encode(),
    "among weights": lambda _, data: (
        random.Random(1).randbytes(70_000) + b"\n" + data + b"\n" + random.Random(2).randbytes(9_000)
    ),
    "past a megabyte of text": lambda _, data: b"step 1 loss 0.5\n" * 70_000 + data,
}  # fmt: skip
"""What a file may lie in."""
