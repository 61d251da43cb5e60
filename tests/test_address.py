# SPDX-License-Identifier: Apache-2.0
"""Which addresses are public, which proxies are used, and where a connection goes."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.address import Proxies, is_public, parse_address, proxies_of
from repropack.errors import UsageError
from repropack.http import Client, HttpError, Limits
from tests.bundle.file_server import Request, serving


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
        "168.63.129.16", "172.16.0.1", "192.0.0.1", "192.0.0.192", "192.168.1.1",
        "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1",
        "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1",
        "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1", "2001:0:1::", "100::1",
    ],
)  # fmt: skip
def test_what_is_not_public(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:93.184.216.34",
     "64:ff9b::5db8:d822", "2002:5db8:d822::1"],
)  # fmt: skip
def test_what_is_public(text: str) -> None:
    assert is_public(text)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_like_what_it_means(address: ipaddress.IPv4Address) -> None:
    assert is_public(f"::ffff:{address}") == is_public(str(address))
    assert is_public(f"64:ff9b::{address}") == is_public(str(address))


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for prefix in ("https://", "http://example.org/", "https://example.org:", "https://u@"):
        try:
            address = parse_address(prefix + text)
        except UsageError:
            continue
        wire = address.authority + address.target
        assert wire.isascii()
        assert wire.isprintable()
        assert " " not in wire
        assert address.target.startswith("/")


def test_the_parts_of_an_address() -> None:
    address = parse_address(
        "https://me:p%40ss@Bücher.Example:8443/a b.rpk?x=1#top".replace(" ", "%20")
    )
    assert (address.host, address.port) == ("xn--bcher-kva.example", 8443)
    assert address.target == "/a%20b.rpk?x=1"
    assert address.name == "a b.rpk"
    assert address.credentials == "me:p@ss"
    assert str(address) == "https://xn--bcher-kva.example:8443/a%20b.rpk?…"
    assert parse_address("http://[::1]:80/x").authority == "[::1]"


def test_proxies_come_from_the_usual_variables() -> None:
    far, http = parse_address("https://far.example/x"), parse_address("http://far.example/x")
    assert proxies_of({}).of(far) is None
    both = proxies_of({"all_proxy": "p:3128"})
    assert [str(both.of(a)) for a in (far, http)] == ["http://p:3128/"] * 2
    assert proxies_of({"HTTPS_PROXY": "http://p"}).of(far) is not None
    assert proxies_of({"HTTP_PROXY": "http://p"}).of(http) is None  # a CGI visitor sets it
    for direct in ("far.example", ".example", "*", "a, *.example"):
        assert proxies_of({"https_proxy": "http://p", "no_proxy": direct}).of(far) is None
    for other in ("ar.example", "far.example.org", "b"):
        assert proxies_of({"https_proxy": "http://p", "no_proxy": other}).of(far) is not None
    for local in ("https://localhost/x", "https://127.0.0.1/x", "https://[::1]/x"):
        assert proxies_of({"https_proxy": "http://p"}).of(parse_address(local)) is None


class Names:
    """A name server that changes its mind, and remembers what it was asked."""

    def __init__(self, **answers: list[str]) -> None:
        self._answers = {name.replace("_", "."): list(a) for name, a in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[tuple[int, Any]]:
        self.asked.append(host)
        if host not in self._answers:
            return [(socket.AF_INET, (host, port))]
        answers = self._answers[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, (text, port)) for text in answer.split()]


def test_a_redirect_to_a_name_of_a_private_address_is_refused(tmp_path: Path) -> None:
    for answer in ("10.0.0.7", "93.184.216.34 127.0.0.1"):
        names = Names(inner_example=[answer])
        with serving(tmp_path) as server:

            def misbehave(request: Request) -> bool:
                request.brief(302, {"Location": "https://inner.example/x"})
                return True

            server.misbehave = misbehave
            client = Client(Proxies(), Limits(), names)
            with pytest.raises(HttpError, match="not a public address"):
                client.get(parse_address(server.address("x")), {})
            client.close()
        assert names.asked == ["127.0.0.1", "inner.example"]


def test_the_connection_goes_to_the_address_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is checked, and local a moment later."""
    names = Names(rebinding_example=["93.184.216.34", "127.0.0.1"])
    connected: list[Any] = []
    real = socket.socket.connect

    def connect(self: socket.socket, where: Any) -> None:
        connected.append(where)
        if where[0] == "93.184.216.34":
            raise OSError(101, "Network is unreachable")
        real(self, where)

    monkeypatch.setattr(
        "repropack.http.wire.socket.socket", type("S", (socket.socket,), {"connect": connect})
    )
    with serving(tmp_path) as server:
        port = server.server_address[1]

        def misbehave(request: Request) -> bool:
            request.brief(302, {"Location": f"https://rebinding.example:{port}/x"})
            return True

        server.misbehave = misbehave
        client = Client(Proxies(), Limits(), names)
        for _ in range(2):
            with pytest.raises(HttpError, match="cannot connect"):
                client.get(parse_address(server.address("x")), {})
        client.close()
    assert [where for where in connected if where[0] != "127.0.0.1"] == [
        ("93.184.216.34", port)
    ] * 2
    assert names.asked.count("rebinding.example") == 1


def test_through_a_proxy_a_redirect_is_checked_all_the_same(tmp_path: Path) -> None:
    names = Names(typed_example=["127.0.0.1"], inner_example=["10.0.0.7"])
    with serving(tmp_path) as server:

        def misbehave(request: Request) -> bool:
            assert request.path == "http://typed.example/x"
            request.brief(302, {"Location": "https://inner.example/x"})
            return True

        server.misbehave = misbehave
        client = Client(proxies_of({"all_proxy": server.address("")}), Limits(), names)
        with pytest.raises(HttpError, match="not a public address"):
            client.get(parse_address("http://typed.example/x"), {})
        client.close()
    assert len(server.requests) == 1
