# SPDX-License-Identifier: Apache-2.0
"""The table of rules: what a secret or a private place looks like, and why it matters.

A rule names a few byte strings, of which one stands in everything that it finds; its pattern is
tried only there. Forms of tokens are those that their issuers document.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from repropack.privacy.edges import AFTER_ESCAPE
from repropack.privacy.plausibility import (
    is_assigned,
    is_basic_auth,
    is_credential,
    is_encoded_key,
    is_home,
    is_mail,
    is_mixed,
    is_password,
    is_real,
    is_somebody,
    is_unquoted_password,
    is_varied,
    secret_of,
)

__all__ = ["ISSUED", "REACH", "RULES", "Rule"]

REACH: Final = 4096
"""Bytes of what a rule finds: of a longer token the rest is not looked at."""


class Rule(Struct, frozen=True, kw_only=True):
    """What is searched for.

    Attributes:
        name: Short, for waivers and reports.
        pattern: On bytes; the group `secret` is the secret part, else all of it is. A match is at
            most `REACH` bytes long.
        why: What somebody could do with it, or learn from it.
        anchors: Byte strings without capital letters, one of which stands in every match, whatever
            the case: at its beginning,
        before: or after at most so many bytes. Then
        near: matches wherever the anchor may belong to a match, and is tried first.
        blocks: Whether it stops an export. What only may be private is shown.
        secret: Whether it is masked.
        accept: Whether a match counts, where the pattern cannot say it.
    """

    name: str
    pattern: re.Pattern[bytes]
    why: str
    anchors: tuple[bytes, ...]
    before: int = 0
    near: re.Pattern[bytes] | None = None
    blocks: bool = True
    secret: bool = True
    accept: Callable[[re.Match[bytes]], bool] = is_real


def _rule(
    name: str,
    pattern: bytes,
    why: str,
    anchors: bytes,
    *,
    before: int = 0,
    near: bytes = b"",
    blocks: bool = True,
    secret: bool = True,
    accept: Callable[[re.Match[bytes]], bool] = is_real,
) -> Rule:
    return Rule(
        name=name,
        pattern=re.compile(pattern),
        why=why,
        anchors=tuple(anchors.lower().split()),
        before=before,
        near=re.compile(near) if near else None,
        blocks=blocks,
        secret=secret,
        accept=accept,
    )


def _is_no_issued_token(match: re.Match[bytes]) -> bool:
    """What is assigned has no rule of its own, which says better what it is."""
    data = secret_of(match)
    return is_assigned(match) and not any(
        (found := rule.pattern.match(data)) and rule.accept(found) for rule in _ISSUED
    )


_ESCAPED: Final = AFTER_ESCAPE.encode("ascii")
_EDGE: Final = rb"(?:(?<![A-Za-z0-9])|" + _ESCAPED + rb")"
_END: Final = rb"(?![A-Za-z0-9])"
_HOSTING: Final = "gives access to code"
_MODELS: Final = "spends money, reads prompts and files"
_EXPERIMENTS: Final = "gives access to experiments"
_CLOUD: Final = "gives access to a cloud account"
_MESSAGES: Final = "reads and sends messages"
_LOGIN: Final = "logs in somewhere"
_PLACE: Final = "tells who and where the author is, and does not work elsewhere"

_ISSUED: Final = (
    _rule("github-token", _EDGE + rb"gh[pousr]_[A-Za-z0-9]{36,255}", _HOSTING,
          b"ghp_ gho_ ghu_ ghs_ ghr_", accept=is_varied),
    _rule("github-pat", rb"github_pat_[A-Za-z0-9_]{60,255}", _HOSTING, b"github_pat_",
          accept=is_varied),
    _rule("gitlab-token", _EDGE + rb"gl(?:pat|dt|rt|ptt|ft|soat|cbt)-[A-Za-z0-9_=.-]{20,300}",
          _HOSTING, b"glpat- gldt- glrt- glptt- glft- glsoat- glcbt-", accept=is_varied),
    _rule("bitbucket-token", _EDGE + rb"ATBB[A-Za-z0-9]{28,40}" + _END, _HOSTING, b"ATBB",
          accept=is_varied),
    _rule("huggingface-token", _EDGE + rb"(?:hf|api_org)_[A-Za-z0-9]{34}" + _END,
          "gives access to models and data", b"hf_ api_org_", accept=is_mixed),
    _rule("openai-key", _EDGE + rb"sk-(?!ant-)(?:[a-z]{1,16}-)?[A-Za-z0-9_-]{32,200}", _MODELS,
          b"sk-", accept=is_varied),
    _rule("anthropic-key", _EDGE + rb"sk-ant-[A-Za-z0-9_-]{32,200}", _MODELS, b"sk-ant-",
          accept=is_varied),
    _rule("replicate-token", _EDGE + rb"r8_[A-Za-z0-9]{37}" + _END, _MODELS, b"r8_",
          accept=is_varied),
    _rule("groq-key", _EDGE + rb"gsk_[A-Za-z0-9]{48,60}" + _END, _MODELS, b"gsk_",
          accept=is_varied),
    _rule("model-service-key", _EDGE + rb"(?:xai-[A-Za-z0-9]{70,90}|pplx-[A-Za-z0-9]{40,60}"
          rb"|nvapi-[A-Za-z0-9_-]{60,80}|tvly-(?:dev-)?[A-Za-z0-9]{32}|csk-[a-z0-9]{48}"
          rb"|pcsk_[A-Za-z0-9_]{60,80}|lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"
          rb"|pa-[A-Za-z0-9_-]{43}|tgp_v1_[A-Za-z0-9_-]{43}|llx-[A-Za-z0-9]{48}"
          rb"|jina_[A-Za-z0-9_-]{60}|a[ks]-[A-Za-z0-9]{22}|sk_[0-9a-f]{48}|fc-[0-9a-f]{32})" + _END,
          _MODELS,
          b"xai- pplx- nvapi- tvly- csk- pcsk_ lsv2_ pa- tgp_v1_ llx- jina_ ak- as- sk_ fc-",
          accept=is_varied),
    _rule("neptune-token", rb"eyJhcGlfYWRkcmVzcyI6[A-Za-z0-9+/_-]{60,400}={0,2}", _EXPERIMENTS,
          b"eyjhcglfywrkcmvzcyi6"),
    _rule("wandb-key", rb"(?i)wandb[^\r\n]{0,60}?[\s\"'=:](?P<secret>[0-9a-f]{40})" + _END,
          _EXPERIMENTS, b"wandb", accept=is_varied),
    _rule("wandb-token", _EDGE + rb"wandb_v1_[A-Za-z0-9_-]{40,120}", _EXPERIMENTS, b"wandb_v1_",
          accept=is_varied),
    _rule("kaggle-key", rb"\"key\"\s{0,8}:\s{0,8}\"(?P<secret>[0-9a-f]{32})\"",
          "gives access to data and competitions", b'"key"', accept=is_varied),
    _rule("kaggle-token", _EDGE + rb"KGAT_[0-9a-f]{32}" + _END,
          "gives access to data and competitions", b"kgat_", accept=is_varied),
    _rule("aws-key-id", _EDGE + rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}" + _END, _CLOUD,
          b"AKIA ASIA ABIA ACCA"),
    _rule("aws-session-token", rb"(?:IQoJb3JpZ2lu|FwoGZXIvYXdz)[A-Za-z0-9+/=]{100,3000}", _CLOUD,
          b"IQoJb3JpZ2lu FwoGZXIvYXdz", accept=is_varied),
    _rule("aws-secret", rb"(?i)secret_?(?:access_?)?key\\?[\"'\s]{0,4}[:=]\\?[\"'\s]{0,4}"
          rb"(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])", _CLOUD,
          b"secret_key secretkey secretaccesskey secret_accesskey secretaccess_key "
          b"secret_access_key", accept=is_varied),
    _rule("google-api-key", _EDGE + rb"AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])", _CLOUD, b"AIza",
          accept=is_varied),
    _rule("google-oauth", _EDGE + rb"(?:GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{30,300})",
          _CLOUD, b"GOCSPX- ya29.", accept=is_varied),
    _rule("google-refresh-token", _EDGE + rb"1//0[A-Za-z0-9_-]{60,120}", _CLOUD, b"1//0",
          accept=is_varied),
    _rule("google-service-account",
          rb"private_key_id\\?\"\s{0,8}:\s{0,8}\\?\"(?P<secret>[0-9a-f]{40})", _CLOUD,
          b"private_key_id"),
    _rule("azure-storage-key",
          rb"(?:Account|SharedAccess)Key=(?P<secret>[A-Za-z0-9+/]{86}==|[A-Za-z0-9+/]{43}=)",
          _CLOUD, b"accountkey= sharedaccesskey="),
    _rule("azure-sas", rb"[?&]sig=(?P<secret>[A-Za-z0-9%+/]{40,100}={0,2})", _CLOUD,
          b"?sig= &sig=", accept=is_varied),
    _rule("azure-client-secret", rb"(?:(?<![\w~.-])|" + _ESCAPED
          + rb")[\w~.-]{3}[0-9]Q~[\w~.-]{31,34}(?![\w~.-])",
          _CLOUD, b"q~", before=4, near=rb"(?<=[\w~.-]{3}[0-9])Q~[\w~.-]{31,34}",
          accept=is_varied),
    _rule("databricks-token", _EDGE + rb"(?:dapi|dose)[0-9a-f]{32}" + _END, _CLOUD, b"dapi dose",
          accept=is_varied),
    _rule("digitalocean-token", _EDGE + rb"do[opr]_v1_[0-9a-f]{64}", _CLOUD,
          b"doo_v1_ dop_v1_ dor_v1_", accept=is_varied),
    _rule("vault-token", _EDGE + rb"hv[sbr]\.[A-Za-z0-9_-]{24,300}", _CLOUD, b"hvs. hvb. hvr.",
          accept=is_varied),
    _rule("grafana-token", _EDGE + rb"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}", _EXPERIMENTS, b"glsa_",
          accept=is_varied),
    _rule("slack-token", _EDGE + rb"(?:xox[abeoprs][-.]|xapp-)[A-Za-z0-9-]{20,250}", _MESSAGES,
          b"xoxa- xoxb- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs- xapp-", accept=is_varied),
    _rule("slack-webhook", rb"hooks\.slack\.com/(?:services|workflows)/"
          rb"(?P<secret>T\w{6,20}/[AB]\w{6,20}/(?:[0-9]{6,20}/)?\w{20,40})",
          _MESSAGES, b"hooks.slack.com"),
    _rule("discord-webhook",
          rb"discord(?:app)?\.com/api/webhooks/(?P<secret>[0-9]{15,21}/[\w-]{50,100})", _MESSAGES,
          b"discord.com/api/ discordapp.com/api/", accept=is_varied),
    _rule("telegram-token", _EDGE + rb"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])",
          _MESSAGES, b":aa", before=10, near=rb"(?<=[0-9]):AA[A-Za-z0-9_-]{33}",
          accept=is_varied),
    _rule("sendgrid-key", _EDGE + rb"SG\.[\w-]{22}\.[\w-]{43}", _MESSAGES, b"SG.",
          accept=is_varied),
    _rule("mailgun-key", _EDGE + rb"key-[0-9a-f]{32}" + _END, _MESSAGES, b"key-",
          accept=is_varied),
    _rule("stripe-key", _EDGE + rb"[sr]k_live_[A-Za-z0-9]{20,100}", "moves money",
          b"sk_live_ rk_live_"),
    _rule("npm-token", _EDGE + rb"npm_[A-Za-z0-9]{36}" + _END, "publishes packages", b"npm_",
          accept=is_varied),
    _rule("pypi-token", _EDGE + rb"pypi-AgEI[A-Za-z0-9_-]{50,250}", "publishes packages",
          b"pypi-agei"),
    _rule("docker-token", _EDGE + rb"dckr_[po]at_[\w-]{27,40}", "publishes images",
          b"dckr_pat_ dckr_oat_"),
    _rule("json-web-token", _EDGE + rb"eyJ[\w-]{10,1000}\.eyJ[\w-]{10,2800}(?:\.[\w-]{10,200})?",
          "logs in as the author", b"eyJ"),
    _rule("service-token", _EDGE + rb"(?:NRAK-[A-Z0-9]{27}|ATATT3xFfGF0[\w=-]{150,250}"
          rb"|sq0(?:atp|csp)-[\w-]{22,43}|lin_api_[A-Za-z0-9]{40}"
          rb"|(?:ntn_|secret_)[A-Za-z0-9]{43,46}|figd_[\w-]{38,46}|HRKU-[\w-]{36,62}"
          rb"|sbp_[0-9a-f]{40}|rpa_[A-Z0-9]{40,48}"
          rb"|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|rubygems_[0-9a-f]{48}|GR1348941[\w-]{20}"
          rb"|dp\.(?:pt|st|ct)\.[A-Za-z0-9.]{40,60}|pscale_(?:tkn|oauth|pw)_[\w.=-]{32,64}"
          rb"|tskey-[a-z]{3,8}-[A-Za-z0-9]{8,20}-[A-Za-z0-9]{24,40}"
          rb"|fo1_[\w-]{43}|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"
          rb"|SK[0-9a-f]{32}|sl\.(?:u\.)?[A-Za-z0-9_=-]{120,1500}|sntryu_[0-9a-f]{64}"
          rb"|sntrys_eyJ[A-Za-z0-9+/=_]{80,400}|sb_secret_[\w-]{31}|nfp_[A-Za-z0-9]{36}"
          rb"|napi_[a-z0-9]{60,66})(?![A-Za-z0-9_-])",
          _LOGIN,
          b"NRAK- ATATT3xFfGF0 sq0atp- sq0csp- lin_api_ ntn_ secret_ "
          b"figd_ HRKU- sbp_ rpa_ PMAK- rubygems_ GR1348941 dp.pt. dp.st. dp.ct. pscale_ tskey- "
          b"fo1_ shpat_ shpca_ shppa_ shpss_ sl. sntryu_ sntrys_ sb_secret_ nfp_ napi_ "
          + b" ".join(b"sk%x" % n for n in range(16))
          + b" " + b" ".join(b"pat%c" % c for c in b"0123456789abcdefghijklmnopqrstuvwxyz"),
          accept=is_varied),
    _rule("terraform-token", rb"(?:(?<![A-Za-z0-9])|" + _ESCAPED
          + rb")[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}(?![\w=-])", _CLOUD, b".atlasv1.", before=14,
          near=rb"(?<=[A-Za-z0-9])\.atlasv1\.", accept=is_varied),
    _rule("private-key", rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
          rb"(?P<secret>(?:[\s\"',\\nr]{1,12}[A-Za-z-]{1,40}: [^\r\n]{0,200}){0,8}"
          rb"[\s\"',\\nr]{1,12}[A-Za-z0-9+/]{24,80})", "is a key", b"-----begin",
          accept=is_varied),
    _rule("private-key-in-base64", rb"(?P<secret>LS0tLS1CRUdJTi[A-Za-z0-9+/\r\n]{60,4000}={0,2})",
          "is a key", b"ls0tls1crudjti", accept=is_encoded_key),
    _rule("putty-key", rb"PuTTY-User-Key-File-[23]: [^\r\n]{3,40}\r?\n", "is a key",
          b"putty-user-key-file-"),
    _rule("age-key", rb"AGE-SECRET-KEY-1(?P<secret>[0-9A-Z]{58})", "is a key",
          b"age-secret-key-1"),
)  # fmt: skip
"""What has a form that its issuer gave it."""

_USERINFO: Final = rb"[^\s/:@'\"<>{}$\[\]()`\\]"
_ASSIGN: Final = rb"\\?[\"']?\]?[ \t]{0,4}(?::=|=>|[:=])[ \t]{0,4}"

RULES: Final = (
    *_ISSUED,
    _rule("docker-auth",
          rb"\"auth\\?\"\s{0,8}:\s{0,8}\\?\"(?P<secret>[A-Za-z0-9+/]{12,400}={0,2})\\?\"",
          "publishes images", b'"auth"  "auth\\"', accept=is_basic_auth),
    _rule("url-credentials", rb"://(?P<user>" + _USERINFO + rb"{0,64}):(?P<secret>" + _USERINFO
          + rb"{3,2000})@(?P<host>[\w.-]{1,253})", _LOGIN, b"://", accept=is_credential),
    _rule("url-token", rb"://(?P<secret>[A-Za-z0-9_~.-]{20,400})@[\w-]{1,63}\.[\w.-]{2,253}",
          _LOGIN, b"://", accept=is_varied),
    _rule("http-authorization",
          rb"(?i)authorization\\?[\"']?\s{0,8}[:=,]\s{0,8}\\?[\"']?(?:basic|bearer|token)\s{1,8}"
          rb"(?P<secret>[A-Za-z0-9+/=._~-]{16,2000})", _LOGIN, b"authorization",
          accept=is_varied),
    _rule("netrc",
          rb"(?:machine\s{1,80}\S{1,253}|default)\s{1,80}login\s{1,80}\S{1,128}\s{1,80}"
          rb"(?:account\s{1,80}\S{1,64}\s{1,80})?password\s{1,80}(?P<secret>\S{4,128})",
          _LOGIN, b"machine default"),
    _rule("pgpass", rb":5432:[^:\s]{1,64}:[^:\s]{1,64}:(?P<secret>[^:\s\"'\\]{4,128})(?=\s|\\|$)",
          _LOGIN, b":5432:"),
    _rule("command-password",
          rb"(?:sshpass[ \t]{1,8}-p[ \t]{0,8}|curl(?:[ \t][^\r\n]{0,300}?)?[ \t](?:-u|--user)"
          rb"[ =]{1,4}[\"']?[^\s:\"'$]{1,64}:)[\"']?(?P<secret>[^\s\"'$]{4,128})", _LOGIN,
          b"sshpass curl", accept=is_password),
    _rule("option-secret",
          rb"(?i)--?(?:[a-z0-9]{1,20}[_-]){0,3}(?:password|passwd|passphrase|token|secret|api[_-]?key"
          rb"|access[_-]?key|secret[_-]?key)(?:=|[ \t]{1,4}"
          rb"|\\?\"[ \t\r\n]{0,16},[ \t\r\n]{0,16}\\?\")[\"']?"
          rb"(?P<secret>[^\s\"'\\,;(){}\[\]<>$]{6,200})", _LOGIN,
          b"password passwd passphrase token secret apikey api_key api-key accesskey access_key "
          b"access-key secretkey secret_key secret-key", before=72,
          near=rb"(?i)(?:password|passwd|passphrase|token|secret|api[_-]?key|access[_-]?key"
          rb"|secret[_-]?key)(?:=|\\?\"[ \t\r\n]{0,16},|[ \t])", accept=is_unquoted_password),
    _rule("secret-assignment",
          rb"(?i)(?:key|token|secret|credential|passwd|password|passphrase|auth)s?" + _ASSIGN
          + rb"[bru]?\\?[\"']?(?P<secret>[A-Za-z0-9+/_.-]{20,3000}={0,2})(?![A-Za-z0-9+/_.(\[-])",
          "is called a key, a token or a secret",
          b"key token secret credential passwd password passphrase auth",
          accept=_is_no_issued_token),
    _rule("uuid-key",
          rb"(?i)(?:api_?key|api_?token|auth_?token|access_?token|api_?secret)" + _ASSIGN
          + rb"\\?[\"']?(?P<secret>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w-])",
          "is called a key", b"apikey api_key apitoken api_token authtoken auth_token accesstoken "
          b"access_token apisecret api_secret", accept=is_varied),
    _rule("password-assignment",
          rb"(?i)(?:passwd|password|passphrase|pwd|_pass)" + _ASSIGN
          + rb"\\?[\"'](?P<secret>[^\s\"'\\,;(){}\[\]<>$]{6,64})(?=\\?[\"']|\s|$)",
          "is called a password", b"passwd password passphrase pwd _pass", accept=is_password),
    _rule("password-setting",
          rb"(?:(?<=[\n\r\t A-Z_])(?:PASSWORD|PASSWD|PASSPHRASE|PWD|PASS)="
          rb"|(?:(?<=[\n\r\t _])|(?<=\\n)|^)(?:password|passwd|passphrase|pwd|pass)[ \t]{0,8}[:=]"
          rb"[ \t]{0,8}|(?<=[; ])(?:[Pp]assword|[Pp]wd)=)"
          rb"(?P<secret>[^\s\"'\\,;(){}\[\]<>$]{6,64})(?=[ \t]{0,8}(?:[\r\n;\\]|$))",
          "is called a password", b"passwd password passphrase pwd pass",
          accept=is_unquoted_password),
    _rule("home-path", rb"/(?:home[0-9]?|homes|Users)/(?P<secret>[A-Za-z][\w.-]{1,31})"
          rb"(?![\w.-]*[*{}<>$(])", _PLACE,
          b"/home/ /homes/ /users/ " + b" ".join(b"/home%d/" % n for n in range(10)),
          secret=False, accept=is_home),
    _rule("windows-home",
          rb"(?i)[a-z]:(?:\\{1,4}|/)users(?:\\{1,4}|/)(?P<secret>[a-z][\w.-]{1,31})",
          _PLACE, b"\\users /users", before=5, secret=False, accept=is_somebody),
    _rule("cluster-path",
          rb"(?:(?<![\w.})\]-])|" + _ESCAPED + rb")/"
          rb"(?:g?scratch|gpfs|lustre|beegfs|cephfs|nfs|nfs-home|pfs|wekafs|bigdata"
          rb"|netscratch|fsx|afs)"
          rb"[0-9]{0,3}(?:/[\w.-]{1,64}){0,4}/(?P<secret>[A-Za-z][\w.-]{1,63})", _PLACE,
          b"/scratch /gscratch /gpfs /lustre /beegfs /cephfs /nfs /pfs /wekafs /bigdata "
          b"/netscratch /fsx /afs", secret=False, accept=is_somebody),
    _rule("internal-host", rb"(?i)(?:://|@|\bssh\s{1,8}(?:-\S{1,40}\s{1,8}){0,6})"
          rb"(?:[a-z0-9-]{1,63}\.){1,6}(?:internal|corp|intra|intranet|lan|hpc)(?![\w.-])", _PLACE,
          b".internal .corp .intra .lan .hpc", before=400,
          near=rb"(?i)(?<=[a-z0-9-])\.(?:internal|corp|intra|intranet|lan|hpc)(?![\w.-])",
          blocks=False, secret=False),
    _rule("e-mail", rb"(?<![\w.+%-])[\w.+%-]{2,64}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,12}"
          rb"(?![\w@-])", "names a person",
          b" ".join(b"@%c" % c for c in b"-0123456789abcdefghijklmnopqrstuvwxyz"), before=64,
          near=rb"(?<=[\w.+%-]{2})@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,12}(?![\w@-])",
          blocks=False, secret=False, accept=is_mail),
    _rule("slurm-account",
          rb"#SBATCH\s{1,8}(?:-A\s{0,8}|--account[= ]|--mail-user[= ])(?P<secret>[\w.@+-]{1,100})",
          _PLACE, b"#sbatch", blocks=False, secret=False),
    _rule("bucket", rb"(?:s3|gs|abfss?)://(?P<secret>[a-z0-9][a-z0-9.@-]{2,62})",
          "names an account's storage", b"s3:// gs:// abfs:// abfss://", blocks=False,
          secret=False),
)  # fmt: skip
"""All rules. Names are part of waivers: they do not change."""

ISSUED: Final = frozenset(rule.name for rule in _ISSUED)
"""Names of the rules for what has a form of its own, by which it is known also out of context."""
