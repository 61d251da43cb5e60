# SPDX-License-Identifier: Apache-2.0
"""A real browser, driven over the DevTools protocol.

Chromium takes commands from file descriptor 3 and answers on 4, JSON texts that end with a zero
byte (`--remote-debugging-pipe`): no port, no driver, no library. What is evaluated comes from
outside the page, so the page's own Content-Security-Policy stays in force while it is looked at.
"""

from __future__ import annotations

import base64
import fcntl
import importlib.resources
import json
import os
import select
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

SECONDS: Final = 60.0
"""For one answer; a loaded machine is slow."""

AXE: Final = "axe_playwright_python"
"""The package that carries axe-core; only its file is used, not its driver."""


def require_browser() -> str:
    """The browser, or a skipped test."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs chromium, which is not installed")
    return found


def axe_source() -> str:
    """axe-core, the accessibility checks of Deque Systems (MPL-2.0)."""
    try:
        return importlib.resources.files(AXE).joinpath("axe.min.js").read_text("utf-8")
    except ModuleNotFoundError:
        pytest.skip("needs axe-core, which `make test` installs")


class Tab:
    """One page in the browser.

    Attributes:
        requests: Addresses that were asked for since the page was opened.
        complaints: What the browser logged: violations of the policy, errors, dialogs.
    """

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send = send
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def open(self, path: Path, *, width: int, media: str = "screen", scheme: str = "light") -> None:
        """Loads a file and waits until it is shown."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=False,
        )
        self._send(
            "Emulation.setEmulatedMedia",
            media=media,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.requests.clear()
        self.complaints.clear()
        done = self._send("Page.navigate", until="Page.loadEventFired", url=path.as_uri())
        assert "errorText" not in done, done

    def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression, awaited where it is a promise."""
        done = self._send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def picture(self) -> bytes:
        """All of the page as PNG."""
        done = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(done["data"])

    def paper(self) -> bytes:
        """The page as it is printed, on A4, as PDF."""
        done = self._send(
            "Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69
        )
        return base64.b64decode(done["data"])

    def heard(self, event: dict[str, Any]) -> None:
        """Takes note of what the browser tells by itself."""
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(event["params"]["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(event["params"]["entry"]["text"])
            case "Runtime.exceptionThrown" | "Page.javascriptDialogOpening":
                self.complaints.append(json.dumps(event["params"]))
            case "Audits.issueAdded":
                issue = event["params"]["issue"]
                if issue["code"] == "ContentSecurityPolicyIssue":
                    self.complaints.append(json.dumps(issue["details"]))


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """Starts the browser and opens a tab; both are gone afterwards."""
    program = require_browser()
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    # Out of the way of 3 and 4, where the browser expects them.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_browser, from_browser)]
    arguments = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
    ]
    started = os.posix_spawn(
        program,
        arguments,
        os.environ,
        file_actions=[
            *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)),
            (os.POSIX_SPAWN_DUP2, ends[0], 3),
            (os.POSIX_SPAWN_DUP2, ends[1], 4),
        ],
    )
    for end in (to_browser, from_browser, *ends):
        os.close(end)
    messages = _messages(answers)
    number = 0
    session: dict[str, str] = {}

    def send(method: str, *, until: str = "", **parameters: Any) -> Any:
        """Sends a command; returns its answer, and not before the event `until` has come."""
        nonlocal number
        number += 1
        command = {"id": number, "method": method, "params": parameters, **session}
        os.write(commands, json.dumps(command).encode() + b"\0")
        answer = None
        for message in messages:
            tab.heard(message)
            if message.get("id") == number:
                assert "result" in message, message
                answer = message["result"]
            if message.get("method") == until:
                until = ""
            if answer is not None and not until:
                return answer
        raise AssertionError("the browser ended")

    tab = Tab(send)
    try:
        target = send("Target.createTarget", url="about:blank")["targetId"]
        attached = send("Target.attachToTarget", targetId=target, flatten=True)
        session["sessionId"] = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            send(f"{domain}.enable")
        yield tab
    finally:
        os.close(commands)
        os.kill(started, signal.SIGTERM)
        os.waitpid(started, 0)
        os.close(answers)


def _messages(answers: int) -> Iterator[dict[str, Any]]:
    """What the browser writes, one JSON text after another."""
    rest = b""
    while True:
        ready, _, _ = select.select([answers], [], [], SECONDS)
        assert ready, "the browser does not answer"
        read = os.read(answers, 1 << 20)
        if not read:
            return
        *whole, rest = (rest + read).split(b"\0")
        for text in whole:
            yield json.loads(text)
