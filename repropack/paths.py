# SPDX-License-Identifier: Apache-2.0
"""The one door for paths that come from outside: member names and files below a directory.

A *logical path* is the name of a member: relative, `/` between components, in a form that every
file system of today stores under exactly that name (docs/spec/rpk-v1.md, section 5.2).
Writing and reading below an untrusted directory goes component by component through descriptors,
so that a symbolic link planted there is refused instead of followed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = [
    "PathRefusedError",
    "check_logical_path",
    "check_logical_paths",
    "collision_key",
    "create_beneath",
    "descend_beneath",
    "open_beneath",
    "read_beneath",
    "to_logical_path",
]

MAX_PATH: Final = 1024
"""Bytes of a logical path: below PATH_MAX (4096) and macOS's 1024 with room for a root."""
MAX_COMPONENT: Final = 255
"""Bytes of a component: NAME_MAX of ext4, XFS, APFS."""
MAX_COMPONENTS: Final = 64
"""Depth: no project nests deeper, and every extraction walks it."""

_FORBIDDEN: Final = frozenset('\\:*?"<>|{}')
"""What Windows forbids, and braces: a shell recipe that splits JSON at them must not be fooled."""
_DEVICE: Final = re.compile(
    r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?"
)
_SHORT_GIT: Final = re.compile(r"git~[0-9]+")
_BAD_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class PathRefusedError(ValueError):
    """A path is not allowed. The text says why."""


def check_logical_path(path: str) -> str:
    """Returns `path` if it is a logical path.

    Raises:
        PathRefusedError: It is absolute, empty, too long or too deep; has an empty, `.`, `..` or
            `.git`-like component, a control or invisible character, a character or name that
            Windows reserves; or is not in Unicode normal form C.
    """
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PathRefusedError("it is not valid Unicode") from error
    if not path or len(encoded) > MAX_PATH:
        raise PathRefusedError(f"it has {len(encoded)} bytes; 1 to {MAX_PATH} are allowed")
    if path.startswith("/"):
        raise PathRefusedError("it is absolute")
    components = path.split("/")
    if len(components) > MAX_COMPONENTS:
        raise PathRefusedError(f"it has more than {MAX_COMPONENTS} components")
    ascii_only = path.isascii()
    if not ascii_only and unicodedata.normalize("NFC", path) != path:
        raise PathRefusedError("it is not in Unicode normal form C")
    for component in components:
        reason = _component_defect(component, ascii_only)
        if reason:
            raise PathRefusedError(reason)
    return path


def check_logical_paths(paths: Iterable[str]) -> None:
    """Checks that paths are logical and can stand beside each other on any file system.

    Raises:
        PathRefusedError: One is no logical path, two are the same after case folding and Unicode
            compatibility normalisation, or one is a directory of another.
    """
    files: dict[str, str] = {}
    directories: set[str] = set()
    for path in paths:
        check_logical_path(path)
        key = collision_key(path)
        if key in files:
            raise PathRefusedError(f"{path!r} is the same file as {files[key]!r} on some systems")
        files[key] = path
        parent = key.rpartition("/")[0]
        while parent and parent not in directories:
            directories.add(parent)
            parent = parent.rpartition("/")[0]
    for key, path in files.items():
        if key in directories:
            raise PathRefusedError(f"{path!r} is a file and a directory")


def to_logical_path(path: str) -> str:
    """Turns any relative path of the author's machine into a logical path, without collisions.

    Every character that a logical path may not have, and `%`, becomes `%XX` for each of its UTF-8
    bytes; the record that names the member keeps the path as it was.

    Raises:
        PathRefusedError: Even so it is too long or too deep, or it is absolute or climbs with `..`.
    """
    components = []
    for component in path.split("/"):
        if component in ("", ".", ".."):
            raise PathRefusedError(f"{path!r} is not a plain relative path")
        text = component.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if unicodedata.normalize("NFC", text) != text or text != component:
            text = _percent(component, keep_unicode=False)
        else:
            text = _percent(component, keep_unicode=True)
        while _component_defect(text, text.isascii()) and len(text) <= MAX_COMPONENT:
            # A reserved name, a trailing dot: an encoded character makes it an ordinary name.
            spot = len(text) - 1 if text[-1] in ". " else 0
            text = text[:spot] + f"%{ord(text[spot]):02X}" + text[spot + 1 :]
        components.append(text)
    return check_logical_path("/".join(components))


def create_beneath(root: int, path: str, *, executable: bool) -> int:
    """Creates a new file below a directory without following any link, and opens it for writing.

    Args:
        root: A descriptor of the directory.
        path: A logical path; its directories are made as needed.
        executable: Whether it gets mode 0755 instead of 0644.

    Returns:
        A file descriptor that the caller closes.

    Raises:
        PathRefusedError: Not a logical path.
        OSError: A component is a link or no directory, or the file exists.
    """
    components = check_logical_path(path).split("/")
    directory = descend_beneath(root, components[:-1], create=True)
    try:
        return os.open(
            components[-1],
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o755 if executable else 0o644,
            dir_fd=directory,
        )
    finally:
        os.close(directory)


def open_beneath(root: Path | int, path: str) -> int:
    """Opens a regular file below a directory for reading, following no link on the way.

    Args:
        root: The directory, or a descriptor of it; what is below may be hostile.
        path: A relative path with `/`. Not necessarily logical: programs name files as they like.

    Raises:
        OSError: It is missing, a link, a fifo or a device, or the path climbs out.
    """
    components = path.split("/")
    if any(c in ("", ".", "..") for c in components):
        raise OSError(errno.EINVAL, f"{path!r} is not a plain relative path")
    if isinstance(root, int):
        directory = descend_beneath(root, components[:-1], create=False)
    else:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            directory = descend_beneath(top, components[:-1], create=False)
        finally:
            os.close(top)
    try:
        descriptor = os.open(
            components[-1],
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
            dir_fd=directory,
        )
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{path!r} is not a regular file")
    return descriptor


def read_beneath(root: Path | int, path: str, *, limit: int) -> bytes:
    """Reads a small regular file below a directory, following no link on the way.

    Raises:
        OSError: As `open_beneath`, or it is larger than `limit` bytes.
    """
    descriptor = open_beneath(root, path)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"{path!r} is larger than {limit} bytes")
    return data


def descend_beneath(root: int, components: list[str], *, create: bool) -> int:
    """Opens a directory below a directory, following no link on the way.

    Args:
        root: A descriptor of the directory to start from.
        components: Names of directories, each inside the one before; none is `.` or `..`.
        create: Whether directories that are missing are made.

    Returns:
        A descriptor that the caller closes.

    Raises:
        OSError: A component is missing, a link or no directory.
    """
    current = os.dup(root)
    for component in components:
        try:
            if create:
                # An existing directory is fine; the open below refuses a link.
                with contextlib.suppress(FileExistsError):
                    os.mkdir(component, 0o755, dir_fd=current)
            following = os.open(
                component,
                os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=current,
            )
        finally:
            os.close(current)
        current = following
    return current


@functools.lru_cache(maxsize=1024)  # the same directories stand in many paths
def _component_defect(component: str, ascii_only: bool) -> str:
    if component in ("", ".", ".."):
        return f"it has a component {component!r}"
    if len(component.encode("utf-8")) > MAX_COMPONENT:
        return f"a component has more than {MAX_COMPONENT} bytes"
    if component[-1] in ". ":
        return "a component ends with a dot or a space"
    if not (component.isprintable() and _FORBIDDEN.isdisjoint(component)) or not ascii_only:
        for character in component:
            if character in _FORBIDDEN or unicodedata.category(character) in _BAD_CATEGORIES:
                return f"it holds the character U+{ord(character):04X}"
    if _DEVICE.fullmatch(component):
        return f"Windows reserves the name {component!r}"
    if ascii_only:
        folded = component.lower()
    else:
        folded = unicodedata.normalize("NFKC", component).casefold().rstrip(". ")
    if folded == ".git" or _SHORT_GIT.fullmatch(folded):
        return f"the name {component!r} means a git directory"
    return ""


def collision_key(path: str) -> str:
    """What two paths have in common that are one file on some system (case, Unicode form)."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _percent(component: str, *, keep_unicode: bool) -> str:
    pieces = []
    for character in component:
        plain = (character.isascii() and character.isprintable()) or (
            not character.isascii()
            and keep_unicode
            and unicodedata.category(character) not in _BAD_CATEGORIES
        )
        if plain and character not in _FORBIDDEN and character != "%":
            pieces.append(character)
        else:
            pieces += [f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape")]
    return "".join(pieces)
