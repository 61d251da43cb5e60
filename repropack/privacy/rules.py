# SPDX-License-Identifier: Apache-2.0
"""The table of rules: what a secret or a private place looks like, and why it matters.

A rule names words or byte strings of which at least one stands in everything that it finds; its
pattern runs only where one does. Forms of tokens are those that their issuers document.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

__all__ = ["RULES", "Rule"]


class Rule(Struct, frozen=True, kw_only=True):
    """What is searched for.

    Attributes:
        name: Short, for waivers and reports.
        pattern: On bytes; the group `secret` is the secret part, else all of it is.
        why: What somebody could do with it, or learn from it.
        words: Lower-case words of letters, one of which stands in every match; where none are
            given, `literals` does it.
        literals: Byte strings, as `words`.
        blocks: Whether it stops an export. What only may be private is shown.
        secret: Whether it is masked.
        begins: Whether a match begins with the word.
        accept: Whether a match counts, where the pattern cannot say it.
    """

    name: str
    pattern: re.Pattern[bytes]
    why: str
    words: tuple[str, ...] = ()
    literals: tuple[bytes, ...] = ()
    blocks: bool = True
    secret: bool = True
    begins: bool = False
    accept: Callable[[re.Match[bytes]], bool] = bool


_I: Final = re.IGNORECASE
_PLACEHOLDER: Final = re.compile(
    rb"example|placeholder|changeme|change_me|your|dummy|fake|sample|redacted|xxxx|\.\.\.|<|\$|\{|%[sd(]"
    rb"|\*\*|0{8}|1234|abcd|password|passwd|secret|foobar|hunter2|none|null|true|false|test",
    re.IGNORECASE,
)
_ISSUED: Final = re.compile(
    rb"gh[pousr]_|github_pat_|glpat-|hf_|sk-|[sr]k_live|A[KS]IA|AIza|xox|npm_|pypi-|r8_|gsk_|dckr_"
    rb"|do[opr]_v1|eyJ|GOCSPX|SG\.|dapi|ATBB"
)
"""Beginnings for which there are rules of their own."""

_DOCUMENTED_USERS: Final = frozenset(
    b"""
    user username users runner ubuntu you me foo bar baz guest conda docker builder vagrant jovyan
    travis circleci ec2-user admin root test tester name someone somebody nobody ci jenkins build
    dev developer app appuser node airflow spark hadoop hdfs linuxbrew shared public common
    buildozer codespace guido web_user alex david
    vscode alice bob eve john joe jane johndoe jdoe myuser myname my_name
    your_user your_username your-username yourname your_name youruser user_name default work
    hostedtoolcache anaconda miniconda mambaforge pi kali centos debian fedora azureuser xxx
    """.split()
)
_MAIL_NOBODY: Final = re.compile(
    rb"@(?:[\w.-]*\.)?(?:example|invalid|test|localhost|domain|email|company|foo|bar|host)"
    rb"(?:\.(?:com|org|net|edu))?$|^git@|noreply|\.(?:png|jpe?g|gif|svg|py|js|css|html)$",
    re.IGNORECASE,
)


def _entropy(data: bytes) -> float:
    """Bits for each byte (Shannon)."""
    total = len(data)
    return -sum(n / total * math.log2(n / total) for n in Counter(data).values()) if total else 0.0


def _secret(match: re.Match[bytes]) -> bytes:
    return match["secret"] if "secret" in match.re.groupindex else match[0]


def _varied(match: re.Match[bytes]) -> bool:
    """Letters and digits mixed as no word, name or path has them."""
    data = _secret(match)
    tail = data[-24:]
    return (
        not _PLACEHOLDER.search(data)
        and _entropy(data) > 3.0
        and sum(c in b"0123456789" for c in tail) >= 2
        and any(c in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" for c in tail)
    )


def _assigned(match: re.Match[bytes]) -> bool:
    """A value with the look of a token: one run of letters and digits, no expression."""
    data = _secret(match)
    return (
        _varied(match)
        and not _ISSUED.match(data)
        and _entropy(data) > 3.4
        and sum(c in b"0123456789" for c in data) >= 3
        and data.count(b"_") + data.count(b"-") + data.count(b".") < 5
        # `mlkem768_x25519`, `sk-ssh-ed25519`: words with digits, joined.
        and not re.fullmatch(rb"[a-z0-9]+(?:[._/-][a-z0-9]+)+", data)
        # `x25519.X25519PrivateKey`: an attribute.
        and not re.fullmatch(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", data)
        # A digest or a git commit is no secret where it is called so.
        and not re.search(
            rb"sha\d|md5|digest|hash|checksum|commit|public|pubkey",
            match.string[max(0, match.start() - 24) : match.start("secret")],
            _I,
        )
    )


def _mixed(match: re.Match[bytes]) -> bool:
    """Letters of both cases, as random as they come."""
    data = _secret(match)
    lower = sum(c in b"abcdefghijklmnopqrstuvwxyz" for c in data)
    return not _PLACEHOLDER.search(data) and 4 < lower < len(data) - 8 and _entropy(data) > 3.8


def _password(match: re.Match[bytes]) -> bool:
    data = _secret(match)
    return (
        not _PLACEHOLDER.search(data)
        and any(c in b"0123456789!@#&^+?~" for c in data)
        and any(c in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" for c in data)
        and _entropy(data) > 2.5
    )


def _real(match: re.Match[bytes]) -> bool:
    return not _PLACEHOLDER.search(_secret(match))


def _credential(match: re.Match[bytes]) -> bool:
    user, host = match["user"].lower(), match["host"].lower()
    data = match["secret"]
    return not (
        _PLACEHOLDER.search(data)
        or user in (b"user", b"username", b"me", b"foo", b"joe", b"a", b"u")
        or data.lower() in (b"pass", b"pwd", b"bar", b"port", b"pw", user)
        or b"example" in host
        or host in (b"host", b"hostname", b"localhost", b"server", b"domain")
    )


def _somebody(match: re.Match[bytes]) -> bool:
    return match["secret"].lower().strip(b"._-") not in _DOCUMENTED_USERS


def _cluster(match: re.Match[bytes]) -> bool:
    return match["secret"].lower() not in _DOCUMENTED_USERS


def _mail(match: re.Match[bytes]) -> bool:
    # What stands before the `@` of an address may be a password, which must not be shown.
    before = match.string[max(0, match.start() - 100) : match.start()]
    return not (_MAIL_NOBODY.search(match[0]) or re.search(rb"://[^\s/@]*$", before))


def _rule(
    name: str,
    pattern: bytes,
    why: str,
    words: str = "",
    literals: tuple[bytes, ...] = (),
    *,
    blocks: bool = True,
    secret: bool = True,
    begins: bool = False,
    accept: Callable[[re.Match[bytes]], bool] = _real,
) -> Rule:
    return Rule(
        name=name,
        pattern=re.compile(pattern),
        why=why,
        words=tuple(words.split()),
        literals=literals,
        blocks=blocks,
        secret=secret,
        begins=begins,
        accept=accept,
    )


_EDGE: Final = rb"(?<![A-Za-z0-9])"
_END: Final = rb"(?![A-Za-z0-9])"
_HOSTING: Final = "gives access to code"
_MODELS: Final = "spends money, reads prompts and files"
_CLOUD: Final = "gives access to a cloud account"
_MESSAGES: Final = "reads and sends messages"
_PLACE: Final = "tells who and where the author is, and does not work elsewhere"

RULES: Final = (
    _rule("github-token", _EDGE + rb"gh[pousr]_[A-Za-z0-9]{36,255}", _HOSTING,
          "ghp gho ghu ghs ghr", accept=_varied),
    _rule("github-pat", rb"github_pat_[A-Za-z0-9_]{60,255}", _HOSTING, "pat", accept=_varied),
    _rule("gitlab-token", _EDGE + rb"gl(?:pat|dt|rt|ptt|ft|soat|cbt)-[A-Za-z0-9_=.-]{20,300}",
          _HOSTING, "glpat gldt glrt glptt glft glsoat glcbt", accept=_varied),
    _rule("bitbucket-token", _EDGE + rb"ATBB[A-Za-z0-9]{28,40}" + _END, _HOSTING,
          literals=(b"ATBB",), accept=_varied),
    _rule("huggingface-token", _EDGE + rb"(?:hf|api_org)_[A-Za-z0-9]{34}" + _END,
          "gives access to models and data", "hf org", accept=_mixed),
    _rule("openai-key", _EDGE + rb"sk-(?!ant-)(?:[a-z]+-)?[A-Za-z0-9_-]{32,200}", _MODELS,
          "sk", accept=_varied),
    _rule("anthropic-key", _EDGE + rb"sk-ant-[A-Za-z0-9_-]{32,200}", _MODELS, "sk",
          accept=_varied),
    _rule("replicate-token", _EDGE + rb"r8_[A-Za-z0-9]{37}" + _END, _MODELS,
          literals=(b"r8_",), accept=_varied),
    _rule("groq-key", _EDGE + rb"gsk_[A-Za-z0-9]{48,60}" + _END, _MODELS, "gsk", accept=_varied),
    _rule("wandb-key", rb"(?i)wandb[^\r\n]{0,60}?[\s\"'=:](?P<secret>[0-9a-f]{40})" + _END,
          "gives access to experiments", "wandb", accept=_varied),
    _rule("kaggle-key", rb"\"key\"\s*:\s*\"(?P<secret>[0-9a-f]{32})\"",
          "gives access to data and competitions", "key", accept=_varied),
    _rule("aws-key-id", _EDGE + rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}" + _END, _CLOUD,
          literals=(b"AKIA", b"ASIA", b"ABIA", b"ACCA")),
    _rule("aws-secret", rb"(?i)secret_?(?:access_?)?key[\"'\s]{0,4}[:=][\"'\s]{0,4}"
          rb"(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])", _CLOUD,
          "secret secretkey secretaccesskey", accept=_varied),
    _rule("google-api-key", _EDGE + rb"AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])", _CLOUD,
          literals=(b"AIza",), accept=_varied),
    _rule("google-oauth", _EDGE + rb"(?:GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{30,300})",
          _CLOUD, "gocspx ya", accept=_varied),
    _rule("google-service-account", rb"private_key_id\\?\"\s*:\s*\\?\"(?P<secret>[0-9a-f]{40})",
          _CLOUD, "private"),
    _rule("azure-storage-key", rb"AccountKey=(?P<secret>[A-Za-z0-9+/]{86}==)", _CLOUD,
          "accountkey"),
    _rule("azure-sas", rb"[?&]sig=(?P<secret>[A-Za-z0-9%+/]{40,100}={0,2})", _CLOUD, "sig",
          accept=_varied),
    _rule("databricks-token", _EDGE + rb"dapi[0-9a-f]{32}" + _END, _CLOUD,
          literals=(b"dapi",), accept=_varied),
    _rule("digitalocean-token", _EDGE + rb"do[opr]_v1_[0-9a-f]{64}", _CLOUD, "doo dop dor",
          accept=_varied),
    _rule("slack-token", _EDGE + rb"xox[abeoprs]-[A-Za-z0-9-]{20,250}", _MESSAGES,
          "xoxa xoxb xoxe xoxo xoxp xoxr xoxs", accept=_varied),
    _rule("slack-webhook", rb"hooks\.slack\.com/services/(?P<secret>T\w{6,}/B\w{6,}/\w{20,})",
          _MESSAGES, "hooks"),
    _rule("discord-webhook",
          rb"discord(?:app)?\.com/api/webhooks/(?P<secret>[0-9]{15,21}/[\w-]{50,100})", _MESSAGES,
          "webhooks", accept=_varied),
    _rule("telegram-token", _EDGE + rb"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])",
          _MESSAGES, literals=(b":AA",), accept=_varied),
    _rule("sendgrid-key", _EDGE + rb"SG\.[\w-]{22}\.[\w-]{43}", _MESSAGES, "sg", accept=_varied),
    _rule("stripe-key", _EDGE + rb"[sr]k_live_[A-Za-z0-9]{20,100}", "moves money", "live"),
    _rule("npm-token", _EDGE + rb"npm_[A-Za-z0-9]{36}" + _END, "publishes packages", "npm",
          accept=_varied),
    _rule("pypi-token", _EDGE + rb"pypi-AgEI[A-Za-z0-9_-]{50,250}", "publishes packages", "pypi"),
    _rule("docker-token", _EDGE + rb"dckr_pat_[\w-]{27}", "publishes images", "dckr"),
    _rule("json-web-token", _EDGE + rb"eyJ[\w-]{10,2000}\.eyJ[\w-]{10,2000}\.[\w-]{10,2000}",
          "logs in as the author", literals=(b"eyJ",)),
    _rule("private-key", rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
          rb"(?P<secret>(?:[\s\"',\\nr]{1,12}[A-Za-z-]+: [^\r\n]{0,200})*"
          rb"[\s\"',\\nr]{1,12}[A-Za-z0-9+/]{24,80})", "is a key", "private", accept=_varied),
    _rule("putty-key", rb"PuTTY-User-Key-File-[23]: [^\r\n]{3,40}\r?\n", "is a key", "putty"),
    _rule("age-key", rb"AGE-SECRET-KEY-1(?P<secret>[0-9A-Z]{58})", "is a key", "secret"),
    _rule("url-credentials", rb"://(?P<user>[^\s/:@'\"<>{}$\[\]()`\\]{1,64}):"
          rb"(?P<secret>[^\s/:@'\"<>{}$\[\]()`\\]{3,128})@(?P<host>[\w.-]{1,253})",
          "logs in somewhere", literals=(b"://",), accept=_credential),
    _rule("http-authorization",
          rb"(?i)authorization\\?[\"']?\s*[:=,]\s*\\?[\"']?(?:basic|bearer|token)\s+"
          rb"(?P<secret>[A-Za-z0-9+/=._~-]{16,2000})", "logs in somewhere", "authorization",
          accept=_varied),
    _rule("netrc", rb"machine\s+\S{1,253}\s+login\s+\S{1,64}\s+password\s+(?P<secret>\S{4,128})",
          "logs in somewhere", "machine"),
    _rule("secret-assignment",
          rb"(?i)(?:key|token|secret|credential|apikey|passwd|password|passphrase|auth)s?"
          rb"\\?[\"']?\]?[ \t]{0,4}(?::=|=>|[:=])[ \t]{0,4}[bru]?\\?[\"']?"
          rb"(?P<secret>[A-Za-z0-9+/_.-]{20,200}={0,2})(?![A-Za-z0-9+/_.(\[-])",
          "is called a key, a token or a secret",
          "key keys token tokens secret secrets apikey passwd password passphrase auth credential "
          "credentials accesskey secretkey authtoken accesstoken apitoken", begins=True,
          accept=_assigned),
    _rule("password-assignment",
          rb"(?i)(?:passwd|password|passphrase|pwd)\\?[\"']?\]?[ \t]{0,4}(?::=|=>|=|:)[ \t]{0,4}"
          rb"(?:\\?[\"']|(?<=_PASSWORD=)|(?<=_PASSWD=)|(?<=_PWD=)|(?<=\nPASSWORD=)|(?<=password: ))"
          rb"(?P<secret>[^\s\"'\\,;(){}\[\]<>$]{6,64})(?=\\?[\"']|\s|$)",
          "is called a password", "passwd password passphrase pwd", begins=True, accept=_password),
    _rule("home-path", rb"/(?:home|Users)/(?P<secret>[A-Za-z][\w.-]{1,31})(?![\w.-]*[*{}<>$(])",
          _PLACE, "home users", secret=False, accept=_somebody),
    _rule("windows-home",
          rb"(?i)[a-z]:(?:\\{1,4}|/)users(?:\\{1,4}|/)(?P<secret>[a-z][\w.-]{1,31})",
          _PLACE, "users", secret=False, accept=_somebody),
    _rule("cluster-path",
          rb"(?<![\w.})\]-])/(?:g?scratch|gpfs|lustre|beegfs|cephfs|nfs|nfs-home|pfs|wekafs|bigdata)"
          rb"[0-9]{0,3}(?:/[\w.-]{1,64}){0,4}/(?P<secret>[A-Za-z][\w.-]{1,63})", _PLACE,
          "scratch gscratch gpfs lustre beegfs cephfs nfs pfs wekafs bigdata", secret=False,
          accept=_cluster),
    _rule("internal-host", rb"(?i)(?:://|@|\bssh\s+(?:-\S+\s+)*)(?:[a-z0-9-]{1,63}\.){1,6}"
          rb"(?:internal|corp|intra|intranet|lan|hpc)(?![\w.-])", _PLACE,
          "internal corp intra intranet lan hpc", blocks=False, secret=False),
    _rule("e-mail", rb"(?<![\w.+%-])[\w.+%-]{2,64}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,12}"
          rb"(?![\w@-])", "names a person", literals=(b"@",), blocks=False, secret=False,
          accept=_mail),
    _rule("slurm-account",
          rb"#SBATCH\s+(?:-A\s*|--account[= ]|--mail-user[= ])(?P<secret>[\w.@+-]+)",
          _PLACE, "sbatch", blocks=False, secret=False),
    _rule("bucket", rb"(?:s3|gs|abfss?)://(?P<secret>[a-z0-9][a-z0-9.@-]{2,62})",
          "names an account's storage", literals=(b"s3://", b"gs://", b"abfs"), blocks=False,
          secret=False),
)  # fmt: skip
"""All rules. Names are part of waivers: they do not change."""
