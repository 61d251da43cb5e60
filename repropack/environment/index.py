# SPDX-License-Identifier: Apache-2.0
"""Where the user's own configuration says that packages come from.

uv does not read pip's configuration and most people have configured pip. So: uv's settings if
there are any, else pip's, each from its documented places. Only addresses (and the certificates
to reach them) are taken over: no constraints, no options. Nothing here comes from a bundle.

Addresses can hold passwords: they go to uv through its environment, never through arguments that
other users can list, and `IndexSettings.conceal` takes them out of text that is shown.
"""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec import Struct

from repropack.errors import UsageError

__all__ = [
    "IndexSettings",
    "load_index_settings",
    "pip_environment",
    "uv_arguments",
    "uv_environment",
]

_PASSED_ON: Final = (
    *("HOME", "PATH", "LANG", "LC_ALL", "TMPDIR", "NETRC"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT"),
    *("UV_HTTP_TIMEOUT", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS"),
)
"""Variables of the user's that decide whether the network is reached; nothing that uv installs."""

_NETRC: Final = (".netrc", "_netrc")

_CERTIFICATES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a certificate file for pip but not for uv."""


_MEND: Final = (
    "mend it, or move it away; UV_NO_CONFIG=1 and PIP_CONFIG_FILE=/dev/null pass over files"
)


class IndexSettings(Struct, frozen=True, kw_only=True):
    """The places that packages come from.

    Attributes:
        index_url: The main index, or None for the installer's default.
        extra_index_urls: Further indexes.
        find_links: Addresses or absolute directories of wheels.
        no_index: Whether only `find_links` counts.
        certificates: A file of certificates to trust, where pip is told of one.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    certificates: str | None = None

    def __repr__(self) -> str:
        return "IndexSettings(…)"

    def conceal(self, text: str) -> str:
        """Takes user names, tokens and passwords of the addresses out of a text."""
        for address in (self.index_url or "", *self.extra_index_urls, *self.find_links):
            user, at, _ = urlsplit(address).netloc.rpartition("@")
            if at:
                for secret in sorted({user, *user.split(":")}, key=len, reverse=True):
                    text = text.replace(secret, "****") if secret else text
        return re.sub(r"(?<=//)[^/@\s]+@", "****@", text)


def load_index_settings(environ: Mapping[str, str]) -> IndexSettings:
    """Reads the user's configuration: uv's, or pip's where uv has none.

    Args:
        environ: The user's environment variables; its `HOME` and `XDG_*` say where files are.

    Raises:
        UsageError: A configuration file cannot be read or is malformed, or an address is.
    """
    try:
        settings = _from_uv(environ) or _from_pip(environ)
        for address in (*settings.extra_index_urls, *settings.find_links, settings.index_url or ""):
            urlsplit(address)
    except ValueError as error:
        # Not the address itself, which may hold a password.
        raise UsageError(
            f"an address of packages in the configuration of uv or pip is none: {error}",
            advice=_MEND,
        ) from None
    return settings


def uv_arguments(settings: IndexSettings) -> list[str]:
    """The arguments that make uv look where the user's installer looks.

    pip takes the best match of all indexes; so does uv with this strategy. Versions are exact and
    wheels are checked by digest, so a name on another index cannot slip in. Of a single index it is
    left out: with it, uv does not say that an index refuses access.
    """
    several = settings.extra_index_urls and not settings.no_index
    strategy = ["--index-strategy", "unsafe-best-match"] if several else []
    return strategy + (["--no-index"] if settings.no_index else [])


def uv_environment(environ: Mapping[str, str], settings: IndexSettings) -> dict[str, str]:
    """The whole environment for uv: the network's variables and the addresses, nothing else."""
    variables = {name: environ[name] for name in _PASSED_ON if name in environ}
    certificates = settings.certificates or next(
        (environ[name] for name in _CERTIFICATES if environ.get(name)), None
    )
    if certificates:
        variables.setdefault("SSL_CERT_FILE", certificates)
    if settings.index_url and not settings.no_index:
        variables["UV_DEFAULT_INDEX"] = _one_word(settings.index_url)
    if settings.extra_index_urls and not settings.no_index:
        variables["UV_INDEX"] = " ".join(_one_word(url) for url in settings.extra_index_urls)
    if settings.find_links:
        variables["UV_FIND_LINKS"] = ",".join(_one_word(place) for place in settings.find_links)
    variables["UV_NO_CONFIG"] = "1"
    return variables


def pip_environment(
    environ: Mapping[str, str], settings: IndexSettings, home: Path
) -> dict[str, str]:
    """The whole environment for pip: the network's variables, the addresses, the user's cache.

    Args:
        environ: The user's environment variables.
        settings: Where packages come from.
        home: A home directory of its own. To say who it is, pip starts programs (`rustc`,
            `lsb_release`), and some of those make directories in the home.
    """
    kept = (*_PASSED_ON, *_CERTIFICATES, "XDG_CACHE_HOME", "PIP_CACHE_DIR")
    variables = {
        name: environ[name] for name in kept if name in environ and not name.startswith("UV_")
    }
    if settings.certificates:
        variables["PIP_CERT"] = settings.certificates
    elif environ.get("SSL_CERT_FILE"):
        variables.setdefault("PIP_CERT", environ["SSL_CERT_FILE"])
    if settings.index_url:
        variables["PIP_INDEX_URL"] = _one_word(settings.index_url)
    for name, places in (
        ("PIP_EXTRA_INDEX_URL", settings.extra_index_urls),
        ("PIP_FIND_LINKS", settings.find_links),
    ):
        if places:
            variables[name] = " ".join(_one_word(place) for place in places)
    if settings.no_index:
        variables["PIP_NO_INDEX"] = "1"
    own = Path(environ.get("HOME") or os.path.expanduser("~"))
    if "PIP_CACHE_DIR" not in variables:
        cache = Path(environ.get("XDG_CACHE_HOME") or own / ".cache")
        variables["PIP_CACHE_DIR"] = str(cache.expanduser() / "pip")
    # As requests looks for it, on which pip is built.
    netrc = next((path for name in _NETRC if (path := own / name).is_file()), None)
    if netrc is not None:
        variables.setdefault("NETRC", str(netrc))
    return {
        **variables,
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_RETRIES": "2",
    }


def _one_word(place: str) -> str:
    """A place as one word: uv splits its variables at spaces and commas."""
    if os.path.isabs(place):
        return "file://" + quote(place, safe="/+") if re.search(r"[\s,%#?]", place) else place
    return place.replace(" ", "%20").replace(",", "%2C")


def _from_uv(environ: Mapping[str, str]) -> IndexSettings | None:
    """From variables, then the user's and the system's file; None where none names a place."""
    main = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or None
    extra = [
        _uv_index(word, environ)
        for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL")
        for word in environ.get(name, "").split()
    ]
    links = [link for link in environ.get("UV_FIND_LINKS", "").split(",") if link]
    no_index = False
    for path in _uv_files(environ):
        table = _toml(path)
        for section in (table, _table(table.get("pip"))):
            for index in section.get("index") or ():
                if not isinstance(index, dict) or index.get("explicit") or "url" not in index:
                    continue
                address = _with_credentials(str(index["url"]), str(index.get("name", "")), environ)
                if index.get("default"):
                    main = main or address
                else:
                    extra.append(address)
            main = main or section.get("index-url")
            extra += section.get("extra-index-url") or ()
            links += [
                os.path.join(path.parent, link) if "://" not in link else link
                for link in section.get("find-links") or ()
            ]
            no_index = no_index or section.get("no-index") is True
    if not (main or extra or links or no_index):
        return None
    return IndexSettings(
        index_url=_uv_index(main, environ) if main else None,
        extra_index_urls=tuple(dict.fromkeys(extra)),
        find_links=_places(links, environ),
        no_index=no_index,
    )


def _uv_files(environ: Mapping[str, str]) -> list[Path]:
    if environ.get("UV_NO_CONFIG"):
        return []
    if environ.get("UV_CONFIG_FILE"):
        return [Path(environ["UV_CONFIG_FILE"])]
    files = [_config_home(environ) / "uv" / "uv.toml"]
    files += [
        Path(folder) / "uv" / "uv.toml"
        for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
        if folder
    ]
    files.append(Path("/etc/uv/uv.toml"))
    return [file for file in files if file.is_file()]


def _uv_index(word: str, environ: Mapping[str, str]) -> str:
    """`NAME=URL`, `URL` or a path."""
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)=(.+)", word)
    return _with_credentials(match[2], match[1], environ) if match else word


def _with_credentials(address: str, name: str, environ: Mapping[str, str]) -> str:
    """Adds the user name and password that uv takes from variables named after an index."""
    prefix = "UV_INDEX_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    user = environ.get(f"{prefix}_USERNAME", "")
    password = environ.get(f"{prefix}_PASSWORD", "")
    parts = urlsplit(address)
    if not name or not (user or password) or "@" in parts.netloc:
        return address
    account = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
    return urlunsplit(parts._replace(netloc=account))


def _from_pip(environ: Mapping[str, str]) -> IndexSettings:
    """From files and variables; a later place overrides an earlier one, key by key."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in _pip_files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text("utf-8"), source=str(path))
        except (OSError, ValueError, configparser.Error) as error:
            raise UsageError(
                f"{path} cannot be read as pip's configuration", advice=_MEND
            ) from error
        for section, values in sections.items():
            if parser.has_section(section):
                values.update(
                    {key.replace("_", "-"): text for key, text in parser.items(section) if text}
                )
    variables = {
        key: environ[name]
        for key in ("index-url", "extra-index-url", "find-links", "no-index", "cert")
        if environ.get(name := "PIP_" + key.upper().replace("-", "_"))
    }
    merged = {**sections["global"], **sections["install"], **variables}
    return IndexSettings(
        index_url=merged.get("index-url") or None,
        extra_index_urls=tuple(dict.fromkeys(merged.get("extra-index-url", "").split())),
        find_links=_places(merged.get("find-links", "").split(), environ),
        no_index=merged.get("no-index", "").strip().lower() in ("1", "true", "yes", "on", "y", "t"),
        certificates=merged.get("cert") or None,
    )


def _pip_files(environ: Mapping[str, str]) -> list[Path]:
    """The documented places, least important first."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    files = [
        Path(folder) / "pip" / "pip.conf"
        for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
        if folder
    ]
    files.append(Path("/etc/pip.conf"))
    if not (named and os.path.exists(named)):
        files += [home / ".pip" / "pip.conf", _config_home(environ) / "pip" / "pip.conf"]
    if environ.get("VIRTUAL_ENV"):
        files.append(Path(environ["VIRTUAL_ENV"]) / "pip.conf")
    if named:
        files.append(Path(named))
    return [file for file in files if file.is_file()]


def _config_home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"))


def _places(links: Iterable[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Absolute directories and addresses; pip ignores what is missing, uv ends with an error."""
    places: dict[str, None] = {}
    home = environ.get("HOME", "")
    for link in links:
        if "://" in link:
            places[link] = None
            continue
        path = os.path.abspath(home + link[1:] if home and link.startswith("~/") else link)
        if os.path.exists(path):
            places[path] = None
    return tuple(places)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as uv's configuration", advice=_MEND) from error


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
