# SPDX-License-Identifier: Apache-2.0
"""`repropack run`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from repropack.cli.screen import tell
from repropack.cli.sizes import parse_size
from repropack.errors import UsageError

__all__ = ["command"]


@click.command(
    "run",
    # The first word that is no option of ours starts the command: `--` may be left out.
    context_settings={"allow_interspersed_args": False},
    epilog="The exit status is the command's. The last line on standard error is the run's id.",
)
@click.option("--name", metavar="NAME", help="A name for the run, to find it again.")
@click.option(
    "--data",
    metavar="NAME=DIR",
    multiple=True,
    help="A data set that the command reads: its name and its directory. Repeatable.",
)
@click.option(
    "--trace",
    type=click.Choice(["auto", "python", "strace"]),
    default="auto",
    show_default=True,
    help="How files that are read are seen: `python` by an agent in Python processes; `strace` by "
    "the kernel, whatever opens them; `auto` by strace for commands that are not Python.",
)
@click.option(
    "--keep-file",
    metavar="SIZE",
    envvar="REPROPACK_KEEP_FILE",
    help="Keep outputs up to this size, such as 500M; else 8G. Of larger ones only the digest.",
)
@click.option(
    "--keep-run",
    metavar="SIZE",
    envvar="REPROPACK_KEEP_RUN",
    help="Keep so much of all outputs of a run; else 32G.",
)
@click.option(
    "--no-keep",
    metavar="GLOB",
    multiple=True,
    envvar="REPROPACK_NO_KEEP",
    help="Do not keep outputs whose path below the project fits. Repeatable.",
)
@click.option(
    "--resume",
    metavar="ID",
    help="Go on with a recorded run: this execution becomes its next segment, with its own code.",
)
@click.argument("argv", nargs=-1, required=True, metavar="-- COMMAND…", type=click.UNPROCESSED)
def command(
    name: str | None,
    data: tuple[str, ...],
    trace: str,
    keep_file: str | None,
    keep_run: str | None,
    no_keep: tuple[str, ...],
    resume: str | None,
    argv: tuple[str, ...],
) -> int:
    """Run a command and record its code, inputs, outputs, environment and metrics.

    Nothing in the command has to change: `repropack run -- python train.py --lr 0.1`.
    """
    from repropack.agent import without_agent
    from repropack.capture.command import CommandNotStartedError, become
    from repropack.capture.launchers import assignments
    from repropack.capture.outputs import KEEP_FILE_LIMIT, KEEP_RUN_LIMIT, KeepLimits
    from repropack.capture.recorder import RunRequest, record
    from repropack.capture.relay import CommandNotWatchedError
    from repropack.capture.tracing import TraceMode
    from repropack.process import callers_environment

    directory = _working_directory()
    assigned, words = assignments(argv)
    request = RunRequest(
        argv=words,
        assigned=assigned,
        name=_checked_name(name),
        data=parse_data(data),
        resume=None if resume is None else _resumed(resume, name, directory),
        trace=TraceMode(trace),
        keep=KeepLimits(
            file=_size("--keep-file", keep_file, KEEP_FILE_LIMIT),
            run=_size("--keep-run", keep_run, KEEP_RUN_LIMIT),
            excluded=no_keep,
        ),
    )
    environment = {**callers_environment(), **assigned}
    try:
        try:
            recorded = record(
                request,
                directory=directory,
                environment=environment,
                warn=lambda text: tell(f"repropack: {text}"),
            )
        except CommandNotWatchedError as error:
            tell(f"repropack: this run is not recorded: {error}")
            become(words, without_agent(environment), directory)
    except CommandNotStartedError as error:
        tell(f"repropack: {error}")
        return error.status
    if recorded.run_id is not None:
        if recorded.segment > 1:
            tell(f"repropack: this is segment {recorded.segment} of the run")
        tell(f"repropack: recorded run {recorded.run_id}")
    if recorded.end.signal is not None:
        _die_by(recorded.end.signal)
    return recorded.end.status if recorded.end.status is not None else 1


def parse_data(pairs: tuple[str, ...]) -> dict[str, Path]:
    """Reads `NAME=DIR` options.

    Raises:
        UsageError: One has another form, names no directory, or a name stands twice.
    """
    found: dict[str, Path] = {}
    for pair in pairs:
        name, equals, directory = pair.partition("=")
        allowed = name and all(c.isascii() and (c.isalnum() or c in "_.-") for c in name)
        if not equals or not allowed:
            raise UsageError(
                f"--data {pair}: expected NAME=DIR with a name of letters, digits, `_`, `.`, `-`"
            )
        place = Path(directory).expanduser().absolute()
        if not place.is_dir():
            raise UsageError(f"--data {pair}: {place} is not a directory")
        if name in found:
            raise UsageError(f"--data {pair}: the name {name} stands twice")
        found[name] = Path(os.path.normpath(place))
    return found


def _size(option: str, text: str | None, otherwise: int) -> int:
    return otherwise if text is None else parse_size(option, text)


def _resumed(text: str, name: str | None, directory: Path) -> str:
    """The id of the run to go on with. What is wrong with it is said before anything starts."""
    from repropack.store import Store

    if name is not None:
        raise UsageError(
            f"--name {name}: a resumed run keeps its name", advice="leave out --name or --resume"
        )
    store = Store.find(directory)
    run = store.resolve(text)
    store.finished(run)
    if run.goes_on:
        raise UsageError(f"run {run.id} still goes on", advice="wait until it has ended")
    return run.id


def _checked_name(name: str | None) -> str | None:
    if name is not None and (not name.isprintable() or name in ("", "last") or len(name) > 100):
        raise UsageError(
            f"--name {name!r}: expected up to 100 printable characters, and not `last`"
        )
    return name


def _working_directory() -> Path:
    try:
        return Path(os.getcwd())
    except FileNotFoundError:
        raise UsageError(
            "the working directory does not exist any more", advice="change to another one"
        ) from None


def _die_by(number: int) -> None:
    """Ends as the command did, so that a caller sees the same signal."""
    import resource

    # The command may have left a core file; ours would only hide it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.flush()
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
