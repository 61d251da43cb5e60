# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repropack.environment.index import (
    IndexSettings,
    load_index_settings,
    uv_arguments,
    uv_environment,
)
from repropack.errors import UsageError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def environ(home: Path, tmp_path: Path) -> dict[str, str]:
    """A user without any configuration, on a machine without any of its own below XDG."""
    return {"HOME": str(home), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_pip_variables_are_read(environ: dict[str, str], home: Path) -> None:
    (home / "wheels").mkdir()
    settings = load_index_settings(
        environ
        | {
            "PIP_INDEX_URL": "https://mirror.example/simple",
            "PIP_EXTRA_INDEX_URL": "https://a.example/x\nhttps://b.example/x https://a.example/x",
            "PIP_FIND_LINKS": f"{home}/wheels ~/wheels /nonexistent https://c.example/links",
            "PIP_NO_INDEX": "false",
            "PIP_CONSTRAINT": "/etc/constraints.txt",
        }
    )
    assert settings.index_url == "https://mirror.example/simple"
    assert settings.extra_index_urls == ("https://a.example/x", "https://b.example/x")
    assert settings.find_links == (f"{home}/wheels", "https://c.example/links")
    assert not settings.no_index


def test_pip_files_override_each_other_key_by_key(
    environ: dict[str, str], home: Path, tmp_path: Path
) -> None:
    write(
        tmp_path / "xdg/pip/pip.conf",
        "[global]\nindex-url = https://machine.example\ntimeout = 60\nno-index = yes\n"
        "extra_index_url =\n    https://one.example\n    https://two.example\n",
    )
    write(home / ".pip/pip.conf", "[global]\nindex-url = https://legacy.example\n")
    write(home / ".config/pip/pip.conf", "[install]\nindex-url = https://user.example\n")
    write(tmp_path / "venv/pip.conf", "[global]\nno-index = 0\n[freeze]\nindex-url = x\n")
    settings = load_index_settings(environ | {"VIRTUAL_ENV": str(tmp_path / "venv")})
    assert settings.index_url == "https://user.example"
    assert settings.extra_index_urls == ("https://one.example", "https://two.example")
    assert not settings.no_index
    variable = {"PIP_INDEX_URL": "https://variable.example"}
    assert load_index_settings(environ | variable).index_url == "https://variable.example"


def test_a_named_pip_file_replaces_the_users(
    environ: dict[str, str], home: Path, tmp_path: Path
) -> None:
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = https://user.example\n")
    write(tmp_path / "own.conf", "[global]\nextra-index-url = https://own.example\n")
    settings = load_index_settings(environ | {"PIP_CONFIG_FILE": str(tmp_path / "own.conf")})
    assert settings.index_url != "https://user.example"
    assert settings.extra_index_urls == ("https://own.example",)
    assert load_index_settings(environ | {"PIP_CONFIG_FILE": os.devnull}) == IndexSettings()


@pytest.mark.parametrize("percent", ["https://u:p%40ss@h.example/%7Ex", "%(here)s/x"])
def test_percent_signs_are_no_interpolation(
    environ: dict[str, str], home: Path, percent: str
) -> None:
    write(home / ".config/pip/pip.conf", f"[global]\nindex-url = {percent}\n")
    assert load_index_settings(environ).index_url == percent


def test_our_reading_of_pip_files_is_pips_own(
    environ: dict[str, str], home: Path, tmp_path: Path
) -> None:
    # pip is the oracle: `pip config list` prints what it has merged, section by section.
    write(tmp_path / "xdg/pip/pip.conf", "[global]\nindex-url = https://a.example\n")
    write(home / ".pip/pip.conf", "[global]\nfind_links = /usr\n[install]\nno-index = true\n")
    write(
        home / ".config/pip/pip.conf",
        "[global]\nextra-index-url = https://b.example\n\n[install]\nindex-url=https://c.example\n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    pip = dict(line.split("=", 1) for line in done.stdout.splitlines())
    settings = load_index_settings(environ)
    assert settings.index_url == pip["install.index-url"].strip("'")
    assert settings.extra_index_urls == (pip["global.extra-index-url"].strip("'"),)
    assert settings.find_links == (pip["global.find-links"].strip("'"),)
    assert settings.no_index is (pip["install.no-index"] == "'true'")


def test_uv_settings_win_over_pips(environ: dict[str, str], tmp_path: Path) -> None:
    environ["PIP_INDEX_URL"] = "https://pip.example"
    assert load_index_settings(environ).index_url == "https://pip.example"
    settings = load_index_settings(
        environ
        | {
            "UV_DEFAULT_INDEX": "https://uv.example/simple",
            "UV_INDEX": "inner=https://inner.example/simple https://other.example",
            "UV_INDEX_INNER_USERNAME": "zoe",
            "UV_INDEX_INNER_PASSWORD": "p@ss",
            "UV_EXTRA_INDEX_URL": "https://third.example",
            "UV_FIND_LINKS": f"{tmp_path},https://links.example",
        }
    )
    assert settings.index_url == "https://uv.example/simple"
    assert settings.extra_index_urls == (
        "https://zoe:p%40ss@inner.example/simple",
        "https://other.example",
        "https://third.example",
    )
    assert settings.find_links == (str(tmp_path), "https://links.example")


def test_uv_files_are_read(environ: dict[str, str], home: Path, tmp_path: Path) -> None:
    (home / ".config/uv/wheels").mkdir(parents=True)
    write(
        home / ".config/uv/uv.toml",
        'no-build = true\nfind-links = ["wheels"]\n'
        '[[index]]\nname = "main"\nurl = "https://main.example"\ndefault = true\n'
        '[[index]]\nurl = "https://extra.example"\n'
        '[[index]]\nname = "torch"\nurl = "https://torch.example"\nexplicit = true\n',
    )
    write(
        tmp_path / "xdg/uv/uv.toml",
        'index-url = "https://machine.example"\n[pip]\nextra-index-url = ["https://p.example"]\n',
    )
    settings = load_index_settings(environ)
    assert settings.index_url == "https://main.example"
    assert settings.extra_index_urls == ("https://extra.example", "https://p.example")
    assert settings.find_links == (str(home / ".config/uv/wheels"),)
    none = {"UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull}
    assert load_index_settings(environ | none) == IndexSettings()


@pytest.mark.parametrize("name", [".config/uv/uv.toml", ".config/pip/pip.conf"])
def test_a_malformed_file_is_named(environ: dict[str, str], home: Path, name: str) -> None:
    write(home / name, "[global\nindex-url")
    with pytest.raises(UsageError, match=name) as caught:
        load_index_settings(environ)
    assert "UV_NO_CONFIG=1" in caught.value.advice
    passed_over = {**environ, "UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull}
    assert load_index_settings(passed_over) == IndexSettings()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("UV_DEFAULT_INDEX", "{}"),
        ("UV_INDEX", "own={}"),
        ("UV_INDEX", "https://mirror.example/simple {}"),
        ("PIP_FIND_LINKS", "{}"),
    ],
)
def test_a_malformed_address_is_refused_without_being_shown(
    environ: dict[str, str], name: str, form: str
) -> None:
    address = form.format("http://zoe:hunter2@[mirror/simple")
    with pytest.raises(UsageError, match="address") as caught:
        load_index_settings({**environ, name: address})
    assert "hunter2" not in caught.value.message + caught.value.advice


SECRET = IndexSettings(
    index_url="https://zoe:hunter2@mirror.example/simple",
    extra_index_urls=("https://tok3n@other.example/simple",),
)


def test_passwords_do_not_show() -> None:
    message = "Failed to fetch https://zoe:hunter2@mirror.example/simple/six with tok3n and hunter2"
    shown = SECRET.conceal(message)
    for secret in ("zoe", "hunter2", "tok3n"):
        assert secret not in shown
        assert secret not in repr(SECRET)
        assert secret not in " ".join(uv_arguments(SECRET))
    assert "mirror.example" in shown
    assert "x" not in IndexSettings().conceal("https://x:y@h/").replace("https", "")


def test_uv_gets_the_network_and_the_addresses_and_nothing_else() -> None:
    environ = {
        "HOME": "/home/zoe",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "REQUESTS_CA_BUNDLE": "/etc/ca.pem",
        "UV_CONSTRAINT": "/x",
        "UV_CACHE_DIR": "/shared/cache",
        "UV_CONFIG_FILE": "/x",
        "UV_INDEX": "https://ambient.example",
        "PIP_CONSTRAINT": "/x",
        "PYTHONPATH": "/x",
        "VIRTUAL_ENV": "/x",
        "AWS_SECRET": "x",
    }
    settings = IndexSettings(
        index_url="https://m.example", find_links=("/a b,c", "https://l.example/x,y")
    )
    assert uv_environment(environ, settings) == {
        "HOME": "/home/zoe",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "UV_DEFAULT_INDEX": "https://m.example",
        "UV_FIND_LINKS": "file:///a%20b%2Cc,https://l.example/x%2Cy",
        "UV_NO_CONFIG": "1",
    }


def test_the_users_own_certificates_stay(environ: dict[str, str], home: Path) -> None:
    write(home / ".config/pip/pip.conf", "[global]\ncert = /etc/corporate.pem\n")
    settings = load_index_settings(environ)
    assert uv_environment(environ, settings)["SSL_CERT_FILE"] == "/etc/corporate.pem"
    chosen = environ | {"SSL_CERT_FILE": "/chosen.pem"}
    assert uv_environment(chosen, settings)["SSL_CERT_FILE"] == "/chosen.pem"


def test_without_an_index_no_address_is_handed_over() -> None:
    settings = IndexSettings(index_url="https://m.example", extra_index_urls=("x",), no_index=True)
    assert "--no-index" in uv_arguments(settings)
    assert uv_environment({}, settings) == {"UV_NO_CONFIG": "1"}
