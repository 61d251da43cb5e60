# SPDX-License-Identifier: Apache-2.0
"""The program: turns every outcome into one line and an exit status."""

from __future__ import annotations

import codecs
import contextlib
import gc
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

__all__ = ["main"]


def main() -> None:
    """Runs the command line; never shows a traceback unless `REPROPACK_DEBUG` is set."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        # Nothing is begun before all is loaded, so that nothing has to be put in order.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Records of a hundred thousand files are as many objects, and hardly one is part of a cycle;
    # nor is what an import makes.
    gc.set_threshold(100_000, 50, 1000)
    _keep_apart()
    _open_standard_files()
    import click

    from repropack.cli import command_line
    from repropack.cli.screen import complain
    from repropack.errors import RepropackError
    from repropack.process import learn_ends

    learn_ends()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _check_working_directory()
        status = _call(command_line)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.UsageError as error:
        hint = f"see `{error.ctx.command_path} --help`" if error.ctx else ""
        # Choices come one a line.
        complain(" ".join(error.format_message().split()).rstrip("."), hint)
        sys.exit(2)
    except click.ClickException as error:
        complain(error.format_message())
        sys.exit(2)
    except (click.Abort, EOFError, KeyboardInterrupt):
        complain("stopped; nothing was left half-written")
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except RepropackError as error:
        if os.environ.get("REPROPACK_DEBUG"):
            raise
        complain(error.message, error.advice)
        sys.exit(error.exit_status)
    except OSError as error:
        if os.environ.get("REPROPACK_DEBUG"):
            raise
        place = f"{error.filename}: " if error.filename else ""
        complain(f"{place}{error.strerror or error}")
        sys.exit(3)
    except Exception as error:
        if os.environ.get("REPROPACK_DEBUG"):
            raise
        if isinstance(error, RuntimeError) and "home directory" in str(error):
            # From `Path.expanduser`: every command takes paths, and has places below the home.
            complain("no home directory is known", "set HOME, or name the place without `~`")
            sys.exit(2)
        complain(
            f"this is a defect of repropack: {type(error).__name__}: {error}",
            "set REPROPACK_DEBUG=1 to see where, and please report it",
        )
        sys.exit(3)
    finally:
        # Python would look for cycles among all that is loaded before it ends: some 8 ms.
        gc.freeze()


def _check_working_directory() -> None:
    """Refuses to work in a directory that is gone: each command would stumble somewhere else."""
    from repropack.errors import UsageError

    try:
        os.getcwd()
    except OSError as error:
        raise UsageError(
            f"the working directory cannot be used: {error.strerror}",
            advice="change to one that is there",
        ) from error


def _call(command_line: click.Group) -> object:
    """Runs the command; as `main` of click, which ends with 1 where our reader has gone.

    1 would say that something was checked and does not hold.
    """
    asked = os.environ.get("_REPROPACK_COMPLETE")
    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(command_line, {}, "repropack", "_REPROPACK_COMPLETE", asked)
    with command_line.make_context("repropack", sys.argv[1:]) as context:
        return command_line.invoke(context)


def _keep_apart() -> None:
    """Takes the user's own modules off our search path: a `click.py` of hers is for her command."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    hers = {_absolute(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p}
    with contextlib.suppress(OSError):
        # `python -m repropack` puts the working directory first.
        hers.add(os.getcwd())
    sys.path[:] = [p for p in sys.path if _absolute(p) not in hers - {ours}]


def _absolute(path: str) -> str:
    """As `abspath`; where the working directory is gone, what is relative leads nowhere."""
    try:
        return os.path.abspath(path or ".")
    except OSError:
        return path


def _open_standard_files() -> None:
    """Opens what was closed, so that no file of ours is taken for standard output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for our lifetime
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for our lifetime
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("repropack", _escape)
        sys.stdout.reconfigure(errors="repropack")


def _escape(error: UnicodeError) -> tuple[str, int]:
    """What a locale cannot say, as JSON says it: also right inside a JSON document."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)), error.end


def _end(number: int, frame: object) -> None:
    """Ends like Ctrl-C does, so that work directories and children go as well."""
    del frame
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
