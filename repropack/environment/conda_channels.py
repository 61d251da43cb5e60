# SPDX-License-Identifier: Apache-2.0
"""Archives of conda packages, fetched by digest from the reader's own channels.

A record has the names of channels and no address. Where a name leads is the reader's own
configuration of conda: `custom_channels` and `channel_alias` of `~/.condarc`, or
`CONDA_CHANNEL_ALIAS`; else what conda does without any. An archive counts only if it has the
recorded digest, wherever it came from.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import yaml
from msgspec import Struct

from repropack.address import parse_address, proxies_of
from repropack.digest import hash_file
from repropack.environment.cache import cache_directory, mark_used
from repropack.environment.conda import ARCHIVE
from repropack.errors import RepropackError, UsageError
from repropack.http import Client, HttpError
from repropack.model import CondaPackage

__all__ = ["CondaChannels", "fetch_archives", "load_conda_channels", "refusal"]

MAX_ARCHIVE: Final = 16 * 1024**3
"""Bytes of one archive: CUDA libraries have up to 2 GiB."""

_PIECE: Final = 1024 * 1024
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class CondaChannels(Struct, frozen=True, kw_only=True):
    """Where the names of channels lead.

    Attributes:
        alias: The address below which a channel lies that has none of its own; empty where the
            reader has set none, so that a channel is where it is for conda.
        custom: Channel name to the address below which it lies.
    """

    alias: str = ""
    custom: dict[str, str] = {}

    def address(self, package: CondaPackage) -> str:
        """Where an archive should be: an address, or a path of this machine."""
        below = self.custom.get(package.channel) or self.alias
        channel = (
            f"{below.rstrip('/')}/{package.channel}" if below else _usual_address(package.channel)
        )
        return f"{channel}/{package.platform}/{quote(package.file_name)}"


def _usual_address(channel: str) -> str:
    """Where a channel is for conda when nothing is configured, as its library knows."""
    from rattler import Channel

    return Channel(channel).base_url.rstrip("/")


def load_conda_channels(environ: Mapping[str, str]) -> CondaChannels:
    """Reads the reader's configuration of conda.

    Raises:
        UsageError: `~/.condarc` is no YAML mapping, or cannot be read.
    """
    place = Path(environ.get("CONDARC") or Path(environ.get("HOME", "/")) / ".condarc")
    told: Any = {}
    if place.is_file():
        try:
            told = yaml.safe_load(place.read_bytes()) or {}
        except (OSError, yaml.YAMLError) as error:
            raise UsageError(f"{place} cannot be read: {error}") from error
        if not isinstance(told, dict):
            raise UsageError(f"{place}: found {type(told).__name__}, expected settings of conda")
    custom = told.get("custom_channels") or {}
    alias = environ.get("CONDA_CHANNEL_ALIAS") or told.get("channel_alias") or ""
    return CondaChannels(
        alias=str(alias),
        custom={str(k): str(v) for k, v in custom.items()} if isinstance(custom, dict) else {},
    )


def refusal(package: CondaPackage, platform: str) -> str:
    """Why a recorded package cannot be fetched and checked at all; nothing where it can.

    Args:
        package: It comes from a bundle.
        platform: conda's name of this machine's platform.
    """
    if package.sha256 is None:
        return "it was recorded without a SHA-256"
    # These become parts of an address and of a path.
    if not ARCHIVE.fullmatch(package.file_name) or len(package.file_name) > 255:
        return "its archive was recorded without a name"
    if not _PLAIN.fullmatch(package.channel) or package.channel in (".", ".."):
        return "its channel was recorded without a name"
    if package.platform not in ("noarch", platform):
        return f"it is for {package.platform or 'no platform'}, and this machine is {platform}"
    return ""


def fetch_archives(
    packages: Sequence[CondaPackage],
    channels: CondaChannels,
    environ: Mapping[str, str],
    *,
    offline: bool,
    progress: Callable[[str], None],
) -> tuple[dict[str, Path], dict[str, str]]:
    """Fetches archives; those that were fetched before are taken from a folder of our own.

    Args:
        packages: Those for which `refusal` had nothing to say.
        channels: Where they come from.
        environ: The reader's environment variables: her network, her cache.
        offline: Whether only channels on this machine and earlier downloads count.
        progress: Told in words what is being done.

    Returns:
        The archive of each package by name, and for each that is not to be had the reason.

    Raises:
        OSError: The folder cannot be written.
        UsageError: An address of the reader's configuration has no form that we know.
    """
    store = cache_directory(environ) / "conda"
    found: dict[str, Path] = {}
    reasons: dict[str, str] = {}
    client = Client(proxies_of(environ))
    try:
        for number, package in enumerate(packages, 1):
            assert package.sha256 is not None
            place = store / package.sha256 / package.file_name
            if not place.is_file() or hash_file(place)[0] != package.sha256:
                address = channels.address(package)
                progress(f"fetching {package.file_name} ({number} of {len(packages)})")
                reason = _fetch(client, address, package.sha256, place, offline=offline)
                if reason:
                    reasons[package.name] = reason
                    continue
            mark_used(place)
            found[package.name] = place
    finally:
        client.close()
    return found, reasons


def _fetch(client: Client, address: str, sha256: str, place: Path, *, offline: bool) -> str:
    """Brings one archive to its place; else says why not."""
    split = urlsplit(address)
    local = split.scheme in ("", "file")
    if offline and not local:
        return "offline, and not downloaded before"
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as folder:
        fresh = Path(folder, "archive")
        try:
            if local:
                shutil.copyfile(unquote(split.path), fresh)
            else:
                _download(client, address, fresh)
        except FileNotFoundError:
            return f"{_shown(address)} is not there"
        except (OSError, HttpError, UsageError) as error:
            return _without_token(str(error))
        if hash_file(fresh)[0] != sha256:
            return f"{_shown(address)} has another digest"
        os.replace(fresh, place)
    return ""


def _download(client: Client, text: str, fresh: Path) -> None:
    address = parse_address(text)
    with client.get(address, {"Accept-Encoding": "identity"}) as answer, fresh.open("wb") as out:
        if answer.status != 200:
            raise HttpError(f"{address}: the server answered with status {answer.status}")
        view = memoryview(bytearray(_PIECE))
        size = 0
        while count := answer.read_into(view):
            size += count
            if size > MAX_ARCHIVE:
                raise HttpError(f"{address}: more than {MAX_ARCHIVE} bytes")
            out.write(view[:count])


def _shown(address: str) -> str:
    """An address without what may be secret in it."""
    try:
        return _without_token(str(parse_address(address)))
    except RepropackError:
        return unquote(urlsplit(address).path)


def _without_token(text: str) -> str:
    """Servers of conda packages take a token as a part of the path."""
    return re.sub(r"/t/[^/\s]+", "/t/…", text)
