# SPDX-License-Identifier: Apache-2.0
"""Every command there is, from the parser itself, so that a new one cannot be forgotten."""

from __future__ import annotations

import click

from repropack.cli import command_line

__all__ = ["every_command"]


def every_command() -> dict[str, click.Command]:
    """Name, such as `key new`, to command, of those that do something."""
    context = click.Context(command_line)
    found: dict[str, click.Command] = {}
    waiting = [(name, command_line.get_command(context, name)) for name in _names(context)]
    while waiting:
        name, command = waiting.pop()
        assert command is not None, name
        if isinstance(command, click.Group):
            waiting += [(f"{name} {each}", one) for each, one in command.commands.items()]
        else:
            found[name] = command
    return dict(sorted(found.items()))


def _names(context: click.Context) -> list[str]:
    return command_line.list_commands(context)
