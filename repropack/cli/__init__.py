# SPDX-License-Identifier: Apache-2.0
"""The command line: one file a command, imported when it is called.

Only this package prints, prompts, reads environment variables and exits. Rules of the screen:
results on standard output, everything else on standard error; the last line is the outcome and,
where it helps, the next command to type; foreign text goes through `escaping.show`.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

from repropack import __version__

__all__ = ["TABLE", "command_line"]

TABLE: Final = {
    "run": ("repropack.cli.run", "Run a command and record it."),
    "list": ("repropack.cli.list_runs", "List the recorded runs."),
    "show": ("repropack.cli.show_run", "Show what is recorded of a run."),
    "diff": ("repropack.cli.diff_runs", "Show how two runs differ."),
    "repeat": ("repropack.cli.repeat", "Repeat a recorded run here, and compare."),
    "data": ("repropack.cli.data", "Compare the data of runs, and with published lists."),
    "restore": ("repropack.cli.restore", "Write outputs of a run back to the disk."),
    "gc": ("repropack.cli.gc", "Remove what no run needs, or old runs."),
    "init": ("repropack.cli.init_project", "Write a commented repropack.yaml."),
    "export": ("repropack.cli.export", "Build one signed file from recorded runs."),
    "verify": ("repropack.cli.verify", "Check a bundle and repeat its runs."),
    "calibrate": ("repropack.cli.calibrate", "Measure how much a bundle's numbers vary."),
    "inspect": ("repropack.cli.inspect_bundle", "Show what is in a bundle; execute nothing."),
    "checklist": ("repropack.cli.checklist", "Fill a venue's checklist from the record."),
    "scan": ("repropack.cli.scan", "Search files for secrets and for your own names."),
    "extract": ("repropack.cli.extract_bundle", "Write files of a bundle; execute nothing."),
    "sign": ("repropack.cli.sign", "Add your signature to a bundle."),
    "timestamp": ("repropack.cli.timestamp", "Let an authority state when a bundle was signed."),
    "receipt": ("repropack.cli.receipt", "Check what others have signed who checked a bundle."),
    "reveal": ("repropack.cli.reveal", "Prove later what a release kept private."),
    "key": ("repropack.cli.key", "Make, show and trust signing keys."),
    "doctor": ("repropack.cli.doctor", "Say what is missing on this machine."),
}
"""Command to module and help; a module has one click command called `command`."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in TABLE:
            return None
        loaded: click.Command = importlib.import_module(TABLE[cmd_name][0]).command
        _lay_out(loaded)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in TABLE.items()])


class _Filled(click.types.StringParamType):
    """A text that is not empty: `--key "$KEY"` without such a variable names no key at all, and
    must not be taken for an option that was left out.
    """

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        if value == "":
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


def _lay_out(command: click.Command) -> None:
    r"""Keeps lists in help texts as they stand, and refuses empty values of options.

    click's mark for lists is a backspace; in a raw docstring it is the two characters `\b`.
    """
    if command.help is not None:
        command.help = command.help.replace("\\b\n", "\b\n")
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.type is click.STRING:
            parameter.type = _Filled()
    if isinstance(command, click.Group):
        for one in command.commands.values():
            _lay_out(one)


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True
)
@click.version_option(__version__, prog_name="repropack", message="%(prog)s %(version)s")
def command_line() -> None:
    """One signed file that lets a stranger get your paper's numbers."""
