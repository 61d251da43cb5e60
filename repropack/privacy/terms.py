# SPDX-License-Identifier: Apache-2.0
"""The author's own terms: names, addresses, hosts and places that would tell who she is.

Pure: `repropack.export.identity` collects what the machine and git know, `terms_of` makes terms of
it. A term that is short, or a common word, would be found everywhere: it is searched only where its
surroundings say what it is (`/home/kim`, `kim@`), never alone.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

__all__ = ["MIN_ALONE", "Identity", "Term", "TermKind", "is_distinctive", "terms_of"]

MIN_ALONE: Final = 4
"""Letters and digits that a term needs to be searched by itself: in a gigabyte of text, each word
of three letters stands somewhere."""

_COMMON: Final = frozenset(
    """
    about account admin administrator alpha anaconda anonymous apple april archive author authors
    author_name auto azureuser baker bash batch beta bird black bloom book brown build builder
    buildbot byte camera carl case centos chase church class clay client clone cloud cluster code
    coder cole color colab conda config container cook cooper cross data dataset date dean debian
    default demo depth desktop deploy dev developer docker drew earl east ec2-user edge email
    engine error event example fedora field file first fisher ford forest foundation frank free
    garden gene git gitea gitlab github glen gold google grace grant graph gray green group guest
    hall hash head heath hope host house hunter image info institute intel iris jack jenkins joy
    json jovyan june jupyter kernel kind king knight lake lance laptop last layer lead learn lines
    linear linux local localhost logic long love mac mail main major mark mason mass master matrix
    max may media mesh miles mill miller mint model moon moss name nano network nginx nobody node
    noreply norm north null nvidia open operator oracle orange origin owner page paris park
    parser pass patch patience person phone pierce pike pilot pine point pool port post power
    price prince python query rail rand ray reader reed release remote repropack research
    rich river rob robin root rose rules runner sage sample science script seed self serve server
    service session shell sigma silver singer slim smith snow society sort source south stack star
    state steel step stone store strand string student suse system table tail taylor team temp
    tensor test tester theta tiger train training turner twist ubuntu unit university unknown
    update upstream user username vagrant value vector version view viewer walker ward water web
    welcome west white wheeler will wise wolf wood word work worker workspace world yarn young
    your zero
    """.split()  # noqa: SIM905 - a list of words that people read
)
"""Words that mean something else in code and prose, and names that are such words."""

_PUBLIC_HOSTS: Final = frozenset(
    """
    bitbucket.org codeberg.org dev.azure.com git.sr.ht github.com gist.github.com gitlab.com
    gitee.com huggingface.co hf.co localhost notabug.org sourceforge.net
    """.split()  # noqa: SIM905 - a list of words that people read
)
"""Hosts of repositories that say nothing of who uses them."""

_PUBLIC_MAIL: Final = frozenset(
    """
    126.com 163.com aol.com fastmail.com gmail.com gmx.de gmx.net googlemail.com hey.com
    hotmail.com icloud.com live.com mac.com mail.com mail.ru me.com msn.com outlook.com
    pm.me proton.me protonmail.com qq.com users.noreply.github.com web.de yahoo.com yandex.ru
    """.split()  # noqa: SIM905 - a list of words that people read
)
"""Providers of mail: an address there is a term, the domain is none."""

_NOBODY: Final = re.compile(
    r"\[bot\]|\bnoreply@github\.com$|^no-?reply@|@(?:invalid|localhost|example\.(?:com|net|org))$|\.invalid$"
    r"|^(?:github|gitlab|root|unknown|your name|you@example\.com)$",
    re.IGNORECASE,
)

_SSH: Final = re.compile(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)(.+)")
"""`git@host:owner/name.git` (gitglossary, "scp-like syntax")."""

_WORD: Final = re.compile(r"[^\W_]+")


class TermKind(enum.StrEnum):
    """What a term is."""

    NAME = "name"
    MAIL = "e-mail address"
    DOMAIN = "domain"
    USER = "user name"
    HOST = "host name"
    HOME = "home directory"
    REMOTE = "owner of a remote"
    AFFILIATION = "affiliation"
    DECLARED = "term of repropack.yaml"


class Identity(Struct, frozen=True, kw_only=True):
    """What is known of the author.

    Attributes:
        people: Name and mail address of each author and committer, and of git's configuration.
        remotes: Addresses of git remotes.
        declared: Further terms that she names.
    """

    people: tuple[tuple[str, str], ...] = ()
    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    remotes: tuple[str, ...] = ()
    affiliations: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()


class Term(Struct, frozen=True, kw_only=True):
    """Something that says who the author is.

    Attributes:
        text: The term as she knows it.
        spellings: How it may stand in files, without regard to case; a space stands for any short
            run of white space, `.`, `_`, `-` or `+`. Where letters adjoin, it is no match.
    """

    kind: TermKind
    text: str
    spellings: tuple[str, ...]


def terms_of(identity: Identity) -> tuple[Term, ...]:
    """The terms to search for; each spelling once, in a stable order."""
    terms: list[Term] = []
    taken: set[str] = set()
    for kind, text, spellings in _terms(identity):
        forms = (each for spelling in spellings for each in (spelling, *_in_ascii(spelling)))
        fresh = tuple(dict.fromkeys(f for f in forms if f and f not in taken))
        taken.update(fresh)
        if fresh:
            terms.append(Term(kind=kind, text=text, spellings=fresh))
    return tuple(terms)


def is_distinctive(text: str) -> bool:
    """Whether a term means the author wherever it stands: long enough, and no common word."""
    words = _WORD.findall(text)
    # A letter of another script tells more than one of 26: it counts as the bytes that it takes.
    letters = sum(len(word.encode("utf-8", "surrogateescape")) for word in words)
    return (
        letters >= MIN_ALONE
        and any(c.isalpha() for c in text)
        and not all(w.lower() in _COMMON or len(w) < 2 for w in words)
        and text.lower() not in _COMMON
    )


def _terms(identity: Identity) -> Iterator[tuple[TermKind, str, Iterable[str]]]:
    for text in identity.declared:
        yield TermKind.DECLARED, text, [text]
    for name, mail in identity.people:
        if _NOBODY.search(mail) or _NOBODY.search(name):
            continue
        yield TermKind.NAME, name, _name_spellings(name)
        local, at, domain = mail.rpartition("@")
        if not at:
            continue
        yield TermKind.MAIL, mail, [mail]
        local = re.sub(r"^[0-9]+\+|\+.*$", "", local)
        if is_distinctive(local):
            yield TermKind.MAIL, local, [local]
        yield TermKind.DOMAIN, domain, _domain_spellings(domain, _PUBLIC_MAIL)
    for user in identity.users:
        yield TermKind.USER, user, _user_spellings(user)
    for home in identity.homes:
        place = home.rstrip("/")
        if place.count("/") >= 2:
            yield TermKind.HOME, place, [place]
    for host in identity.hosts:
        short = host.partition(".")[0]
        names = dict.fromkeys((host, short))
        yield TermKind.HOST, host, [n for n in names if is_distinctive(n)]
    for address in identity.remotes:
        yield from _remote_terms(address)
    for text in identity.affiliations:
        joined = text.replace(" ", "")
        spellings = [text, *([joined] if is_distinctive(joined) else [])]
        yield TermKind.AFFILIATION, text, spellings if len(text) >= 2 else []


def _name_spellings(name: str) -> Iterator[str]:
    """`Zoe Marsh` may stand as that, `Marsh, Zoe`, `zoe.marsh`, `zmarsh`, `marsh`."""
    words = [w for w in re.split(r"[\s._,]+", name.strip()) if w]
    if len(words) < 2:
        yield from [name] if is_distinctive(name) else []
        return
    first, last = words[0], words[-1]
    yield " ".join(words)
    yield f"{first} {last}"
    yield f"{last} {first}"
    yield f"{last}, {first}"
    for joined in (f"{first}{last}", f"{last}{first}", f"{first[0]}{last}", f"{first[0]} {last}"):
        if is_distinctive(joined) and len(joined) > MIN_ALONE:
            yield joined
    # With the full stop it is a name, even if it is a word as well.
    yield f"{first[0]}. {last}"
    yield f"{last}, {first[0]}."
    # A family name tells who it is; a given name by itself seldom does, unless it is a rare one.
    if len(last) > MIN_ALONE and is_distinctive(last):
        yield last


def _user_spellings(user: str) -> Iterator[str]:
    if is_distinctive(user):
        yield user
        return
    if user and user != "root" and user.lower() not in _COMMON:
        for context in (
            "/home/{}",
            "/Users/{}",
            "\\Users\\{}",
            "/scratch/{}",
            "user={}",
            "USER={}",
        ):
            yield context.format(user)
        yield f"{user}@"


def _domain_spellings(domain: str, public: frozenset[str]) -> Iterator[str]:
    """A host and the organisation's domain above it: `gpu.cs.example.edu` and `example.edu`."""
    lower = domain.lower()
    if lower in public or "." not in lower or any(lower.endswith("." + p) for p in public):
        return
    yield domain
    labels = domain.split(".")
    # `ac.uk` and the like are no organisation.
    keep = 3 if len(labels[-1]) == 2 and len(labels[-2]) <= 3 else 2
    if len(labels) > keep:
        yield ".".join(labels[-keep:])


def _remote_terms(address: str) -> Iterator[tuple[TermKind, str, Iterable[str]]]:
    ssh = _SSH.fullmatch(address) if "://" not in address else None
    if ssh:
        host, path = ssh[1], ssh[2]
    elif "://" in address:
        try:
            parts = urlsplit(address)
            host, path = parts.hostname or "", parts.path
        except ValueError:
            return
    else:
        return
    yield TermKind.DOMAIN, host, _domain_spellings(host, _PUBLIC_HOSTS)
    steps = [s for s in path.strip("/").removesuffix(".git").split("/") if s]
    owner = "/".join(steps[:-1])
    if owner:
        whole = "/".join(steps)
        spellings = [s for s in (owner, whole) if is_distinctive(s)]
        yield TermKind.REMOTE, owner, spellings


def _in_ascii(text: str) -> Iterator[str]:
    """Without accents, and as it is transcribed: `Müller` is spelt `Muller` and `Mueller`."""
    for letters in (_WITHOUT, _WITHOUT | _TRANSCRIBED):
        table = letters | {k.upper(): v.capitalize() for k, v in letters.items() if k.isalpha()}
        changed = unicodedata.normalize("NFC", text).translate(
            {ord(k): v for k, v in table.items() if len(k) == 1}
        )
        decomposed = unicodedata.normalize("NFKD", changed)
        yield unicodedata.normalize(
            "NFC", "".join(c for c in decomposed if not unicodedata.combining(c))
        )


_WITHOUT: Final = {"ø": "o", "ł": "l", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i",
                   "þ": "th", "ð": "d", "ħ": "h"}  # fmt: skip
"""Letters that Unicode does not decompose."""

_TRANSCRIBED: Final = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"}
"""As machine-readable passports have them (ICAO Doc 9303, part 3, section 6)."""
