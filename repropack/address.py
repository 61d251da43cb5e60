# SPDX-License-Identifier: Apache-2.0
"""The one door for addresses on the network: their form, and whether they are public.

Nothing here opens a socket; that is `repropack.http`.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from repropack.errors import UsageError

__all__ = ["Address", "Proxies", "is_public", "parse_address", "proxies_of"]

MAX_ADDRESS: Final = 8192
"""Characters of an address: what servers accept (RFC 9110, section 4.1), and room for a token."""

_HOST: Final = re.compile(
    r"[A-Za-z0-9_-][A-Za-z0-9._-]*|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?", re.ASCII
)
"""A name as the DNS has it, or an IPv6 address. What IDNA makes of a text may be neither."""

_PORTS: Final = {"http": 80, "https": 443}
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
_PROTOCOL_ASSIGNMENTS: Final = ipaddress.ip_network("192.0.0.0/24")
"""Not global (RFC 6890, section 2.1). Python before 3.12.4 says so of a few of them only, while one
is the address of a cloud's own service."""
_AZURE_HOST: Final = ipaddress.ip_network("168.63.129.16/32")
"""Looks public, and is the host of a virtual machine, with its secrets, wherever Azure runs it."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Address(Struct, frozen=True, kw_only=True):
    """An `http` or `https` address, in parts.

    Attributes:
        host: In the form that goes over the wire: ASCII, without brackets.
        target: Path and query, percent-encoded.
        credentials: `user:password`, or None. Never shown, and sent to this host only.
    """

    scheme: str
    host: str
    port: int
    target: str
    credentials: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def name(self) -> str:
        """The last part of the path, decoded; the host if there is none."""
        return urllib.parse.unquote(self.path.rpartition("/")[2]) or self.host

    @property
    def authority(self) -> str:
        """Host and port as the Host field has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def with_path(self, path: str) -> Address:
        """The address with another path and the same query."""
        _, mark, query = self.target.partition("?")
        return msgspec.structs.replace(self, target=path + mark + query)

    def __str__(self) -> str:
        """The address as it may be shown: a query may hold a token."""
        query = "?…" if "?" in self.target else ""
        return f"{self.scheme}://{self.authority}{self.path}{query}"


def parse_address(text: str) -> Address:
    """Reads an address.

    Raises:
        UsageError: It is no `http` or `https` address, or has a form that is not allowed.
    """
    shown = re.sub(r"//[^/@]*@", "//", text[:200])
    if len(text) > MAX_ADDRESS:
        raise UsageError(f"{shown}…: an address has at most {MAX_ADDRESS} characters")
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise UsageError(f"{shown}: the address holds a space, a backslash or a control character")
    try:
        split = urllib.parse.urlsplit(text)
        port = split.port
        host = split.hostname or ""
        if host and ":" not in host:
            host = host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError) as error:
        raise UsageError(f"{shown}: not an address: {error}") from error
    scheme = split.scheme.lower()
    if scheme not in _PORTS:
        raise UsageError(f"{shown}: only https and http addresses can be read")
    if not _HOST.fullmatch(host) or port == 0:
        raise UsageError(f"{shown}: the address names no host, or an impossible port")
    credentials = None
    if split.username is not None:
        credentials = urllib.parse.unquote(f"{split.username}:{split.password or ''}")
    target = urllib.parse.quote(split.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if split.query:
        target += "?" + urllib.parse.quote(split.query, safe="/%:@!$&'()*+,;=~-._?[]")
    return Address(
        scheme=scheme,
        host=host,
        port=port or _PORTS[scheme],
        target=target,
        credentials=credentials,
    )


class Proxies(Struct, frozen=True, kw_only=True):
    """The proxies that the user configured.

    Attributes:
        by_scheme: The proxy for `http` and `https` addresses, where there is one.
        direct: Hosts and domains that are reached without it; `*` for all.
    """

    by_scheme: Mapping[str, Address] = {}
    direct: tuple[str, ...] = ()

    def of(self, address: Address) -> Address | None:
        """The proxy for an address. This machine is never reached through one."""
        host = address.host.rstrip(".")
        if host == "localhost" or _is_loopback(host):
            return None
        for entry in self.direct:
            if entry in ("*", host) or host.endswith("." + entry):
                return None
        return self.by_scheme.get(address.scheme)


def proxies_of(variables: Mapping[str, str]) -> Proxies:
    """Reads `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, as curl does.

    Raises:
        UsageError: One of them is no address of an HTTP proxy.
    """

    def value(name: str) -> str:
        # HTTP_PROXY is left out: in a CGI program a visitor sets it.
        upper = "" if name == "http_proxy" else variables.get(name.upper(), "")
        return variables.get(name, "") or upper

    advice = "unset it, or name the host of the bundle in no_proxy"
    by_scheme = {}
    for scheme in _PORTS:
        text = value(f"{scheme}_proxy") or value("all_proxy")
        if text:
            try:
                proxy = parse_address(text if "://" in text else f"http://{text}")
            except UsageError as error:
                raise UsageError(f"{scheme}_proxy: {error.message}", advice=advice) from error
            if proxy.scheme != "http":
                raise UsageError(f"{scheme}_proxy: {proxy} is not an http proxy", advice=advice)
            by_scheme[scheme] = proxy
    entries = re.split(r"[,\s]+", value("no_proxy").lower())
    direct = tuple(entry.lstrip("*").lstrip(".") or "*" for entry in entries if entry)
    return Proxies(by_scheme=by_scheme, direct=direct)


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet, not to this machine or its network."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        if address in _PROTOCOL_ASSIGNMENTS or address in _AZURE_HOST:
            return False
        return address.is_global and not (address.is_multicast or address.is_reserved)
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return is_public(str(inner))
    return address in _GLOBAL_UNICAST and address.is_global


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
