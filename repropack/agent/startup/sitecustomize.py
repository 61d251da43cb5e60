# SPDX-License-Identifier: Apache-2.0
"""The recording agent: notes what a Python process reads, lists and starts.

`repropack run` puts this folder first on PYTHONPATH and names a directory in REPROPACK_AGENT; the
`site` module of each Python process then imports this file. It runs inside the user's program, in
any CPython from 3.8 on, so it imports only small modules of the standard library, prints nothing
and lets no failure of its own out. Older ones must be able to parse it, back to 2.7, or they print
that they could not; there it does nothing. Beside it is only `_repropack_numerics.py`, which is
loaded by its path: the folder can shadow no package.

Each process writes a file of its own, read by `repropack.agent.log`. A line is a CRC-32 in
hexadecimal, a kind and percent-escaped fields, written by one `write` when it happens, so a killed
process loses at most its last line.
"""

import sys

_VARIABLE = "REPROPACK_AGENT"
_FOLDER = __file__.rpartition("/")[0]

_SLOTS = (1 << 14, 1 << 22)
"""Sizes of the tables of what was noted: the second, 32 MiB of address space of which only what is
touched takes memory, for what finds no place in the first. To touch a page for the first time takes
as long as to look at a file. ImageNet has 1.3 million files."""

_PROBES = 8

_OVERWRITTEN_LIMIT = 256 << 20
"""Bytes of a file that is hashed before the program replaces it: about 0.15 s, once."""

_OLD_LIMIT = 256 << 20
"""Bytes that a process hashes in all of files that it replaces without having read them, because
another process of the run may have done so: about 0.15 s."""

_BEGAN = "began"
"""The file beside the logs that is as old as the run. Where it is not empty, other programs than
Python are observed too."""

_SEEDS = 8
"""Seeds of each kind that are told: who sets one for each step sets thousands."""

_TOOL, _TOOL_PLACE = "repropack", 4
"""Our name and place among the tools of `sys.monitoring`. Debuggers, coverage, profilers and
optimisers have places of their own, and who looks for a free one takes the lowest."""

_SEED_DIGITS = 40
"""Of a seed: those of 128 bits are told whole, a key of thousands is not."""

_WORDS = 1000
"""Of a command line: what is longer is a list of files."""

_LOWEST_DESCRIPTOR = 200
"""Ours is out of the way of programs that count on getting the lowest free one."""

_MARK = 1957240637
"""The position in our open file, far beyond its end, by which we know it again: what is appended by
`pwrite` does not move it (pwrite(2), BUGS). To ask for it costs a tenth of what `fstat` does: where
a time of a file was looked at, Linux has the next write note a finer one."""


def _escape(text):
    if (
        text.isascii()
        and text.isprintable()
        and not (" " in text or "%" in text or '"' in text or "\\" in text)
    ):
        return text
    data = text.encode(sys.getfilesystemencoding(), "surrogateescape")
    return "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte not in b'%"\\' else "%%%02x" % byte
        for byte in data
    )


def _json(value):
    """JSON without spaces whose strings are escaped like fields.

    Such strings need no further escapes. A user's own `json.py` would shadow the module.
    """
    if isinstance(value, dict):
        return "{%s}" % ",".join(_json(k) + ":" + _json(v) for k, v in value.items())
    if isinstance(value, list):
        return "[%s]" % ",".join(_json(item) for item in value)
    return str(value) if isinstance(value, int) else '"%s"' % _escape(value)


def _is_ours(error):
    """Whether an exception arose in this file: a signal handler may raise through it as well."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename == _is_ours.__code__.co_filename


def _start():
    import atexit
    import binascii
    import fcntl
    import mmap
    import os
    import posix
    import time

    # Bound now: the program under test may replace the attributes of `os`.
    close, fstat, getcwd, getpid, lseek, lstat, open_, pwrite, stat = (
        posix.close, posix.fstat, posix.getcwd, posix.getpid, posix.lseek, posix.lstat, posix.open,
        posix.pwrite, posix.stat,
    )  # fmt: skip
    crc32, normpath, frame = binascii.crc32, os.path.normpath, sys._getframe
    variables = os.environ
    directory = os.path.abspath(variables[_VARIABLE])
    try:
        started_in = getcwd()
    except OSError:
        started_in = ""

    # ------------------------------------------------------------------ the log of this process

    class Log:
        descriptor = -1
        path = ""
        pid = 0
        lost = 0

    def start_line():
        flags = {}
        for name in dir(sys.flags):
            value = getattr(sys.flags, name)
            if isinstance(value, int) and value and not name.startswith(("_", "n_")):
                flags[name] = int(value)
        fields = (
            "start",
            str(time.time_ns()),
            str(getpid()),
            str(posix.getppid()),
            _escape(sys.executable or ""),
            _escape(sys.prefix),
            _escape(sys.base_prefix),
            "%d.%d.%d" % sys.version_info[:3],
            _escape(sys.implementation.cache_tag or ""),
            _json(flags),
            _json(command_line()),
        )
        return " ".join(fields)

    def command_line():
        told = getattr(sys, "orig_argv", None)
        if told is None:
            # Before 3.10 only the system knows which options Python itself was given.
            with open("/proc/self/cmdline", "rb") as file:
                told = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
        return [word for word in told if isinstance(word, str)][:_WORDS]

    def send(descriptor, text):
        body = text.encode("ascii")
        line = b"%08x %s\n" % (crc32(body), body)
        if pwrite(descriptor, line, 0) != len(line):
            raise OSError("short write")

    def is_open():
        """Whether our descriptor is still our file: programs close all they did not open."""
        if Log.descriptor < 0:
            return False
        try:
            return lseek(Log.descriptor, 0, 1) == _MARK
        except OSError as error:
            if not _is_ours(error):
                raise
            return False

    def open_log():
        fresh = Log.pid != getpid()
        if fresh:
            Log.path = "%s/%d-%s.log" % (directory, getpid(), posix.urandom(6).hex())
            Log.pid = getpid()
            Log.lost = 0
        Log.descriptor = -1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        low = open_(Log.path, flags | os.O_CREAT | (os.O_EXCL if fresh else 0), 0o600)
        try:
            descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)
        except OSError as error:
            if not _is_ours(error):
                raise
            # A limit on open files that is lower than that.
            descriptor = low
        else:
            close(low)
        try:
            lseek(descriptor, _MARK, 0)
            if fstat(descriptor).st_size == 0:
                send(descriptor, start_line())
        except OSError:
            close(descriptor)
            raise
        Log.descriptor = descriptor

    def note(text=""):
        """Writes a line: a kind and escaped fields. Without one, only the first of this process."""
        try:
            if not is_open():
                open_log()
            if text:
                send(Log.descriptor, text)
        except Exception as error:
            if not _is_ours(error):
                raise
            Log.lost += 1
            return False
        return True

    # ------------------------------------------------------------------ what was noted already

    # Shared with forked children: the workers of a data loader, forked anew for each epoch, would
    # otherwise each write the whole data set again. Slots hold hashes; a race costs a second line.
    first_mask, second_mask = (slots - 1 for slots in _SLOTS)
    second = _SLOTS[0] + _PROBES
    try:
        seen = memoryview(mmap.mmap(-1, 8 * (second + _SLOTS[1] + _PROBES))).cast("Q")
        tables = ((0, first_mask), (second, second_mask))
    except (OSError, ValueError):
        seen = memoryview(bytearray(8 * second)).cast("Q")
        tables = ((0, first_mask),)

    def key(kind, field):
        return hash((kind, field)) & 0xFFFFFFFFFFFFFFFF or 1

    def place_of(value):
        """Where a value is in the tables, or is to be put."""
        for start, mask in tables:
            home = start + (value & mask)
            for slot in range(home, home + _PROBES):
                held = seen[slot]
                if held == value or not held:
                    return slot
        return home

    def note_once(kind, field, describe=None):
        """Notes a path, unless that was done before; `describe` gives more fields, or None."""
        value = key(kind, field)
        slot = place_of(value)
        if seen[slot] != value:
            more = () if describe is None else describe(field)
            if more is not None and note(" ".join((kind, _escape(field)) + more)):  # noqa: RUF005 - Python 2
                seen[slot] = value

    def was_noted(kind, field):
        value = key(kind, field)
        return seen[place_of(value)] == value

    class Own(str):
        """The name of a file that is opened here: the program does not read it."""

    # O_DSYNC says something about writing, so that nobody else reads with it: by it whoever
    # follows the calls of the process (capture/trace_log.py) knows our look from the program's.
    own_flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_DSYNC

    def content(path, limit=_OVERWRITTEN_LIMIT):
        """What a file holds; None where it is too large, or is being written just now."""
        try:
            descriptor = open_(Own(path), own_flags)
        except (OSError, ValueError) as error:
            if not _is_ours(error):
                raise
            return None
        try:
            status = fstat(descriptor)
            if status.st_mode & 0o170000 != 0o100000 or status.st_size > limit:
                return None
            running = _sha256()
            while True:
                data = posix.read(descriptor, 1 << 20)
                if not data:
                    break
                running.update(data)
            after = fstat(descriptor)
        finally:
            close(descriptor)
        if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            return None
        return str(status.st_size), str(status.st_mtime_ns), running.hexdigest()

    class Others:
        """What other processes of the run may have read before this one replaces it."""

        began = None
        looked = None
        seen = False
        left = _OLD_LIMIT

    def may_have_been_read(path):
        """Whether it is a file of before the run, and a process that is not of ours was there.

        A program of one process pays a look at a file for this, and hashes nothing.
        """
        try:
            status = stat(path)
            if Others.began is None:
                mark = stat(directory + "/" + _BEGAN)
                Others.began, Others.seen = mark.st_mtime_ns, mark.st_size > 0
            if not max(status.st_mtime_ns, status.st_ctime_ns) < Others.began:
                return False
            if not Others.seen:
                changed = stat(directory).st_mtime_ns
                if changed != Others.looked:
                    logs = [name for name in posix.listdir(directory) if name.endswith(".log")]
                    Others.looked, Others.seen = changed, len(logs) > 1
            return Others.seen
        except (OSError, ValueError) as error:
            if not _is_ours(error):
                raise
            return False

    def old_content(path):
        found = content(path, Others.left)
        if found is not None:
            Others.left -= int(found[0])
        return found

    def note_content(path, reads=False):
        """Notes what a file holds that the run reads and the program is about to replace or remove.

        A checkpoint that a training resumes from and then overwrites: the event comes before the
        call, so the content is still there. What it has written itself is no input.
        """
        if was_noted("write", path) or was_noted("create", path):
            return
        if reads or was_noted("read", path):
            note_once("was", path, content)
        elif may_have_been_read(path):
            note_once("old", path, old_content)

    def note_written(path):
        # What was read, or was of before the run, and then removed is none of the run's own files,
        # although it makes it anew.
        is_old = exists(path) or was_noted("read", path) or was_noted("old", path)
        note_once("write" if is_old else "create", path)

    # ------------------------------------------------------------------ events

    libraries = {os.path.dirname(os.__file__)}
    for entry in sys.path:
        if entry.endswith(("/site-packages", "/dist-packages")):
            libraries.add(entry)
    python = "/lib/python%d.%d" % sys.version_info[:2]
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix):
        libraries.add(prefix + python)
    libraries |= {"/proc", "/sys", "/dev", directory}
    skipped = tuple(sorted(library + "/" for library in libraries))
    skipped_directories = skipped + tuple(entry[:-1] for entry in skipped)

    def absolute(path):
        if path[:1] != "/":
            path = getcwd() + "/" + path
        if "/." in path or "//" in path or path[-1] == "/":
            path = normpath(path)
        return path

    def text(path):
        if type(path) is bytes:
            return path.decode(sys.getfilesystemencoding(), "surrogateescape")
        return path if isinstance(path, str) else None

    def is_file(path):
        try:
            return stat(path).st_mode & 0o170000 == 0o100000
        except (OSError, ValueError) as error:
            if not _is_ours(error):
                raise
            return False

    def note_read(path):
        """Notes a file that is there, and which one it is.

        In one piece: a program that opens thousands of files waits for nothing else of ours.
        """
        value = key("read", path)
        slot = value & first_mask
        held = seen[slot]
        if held and held != value:
            slot = place_of(value)
            held = seen[slot]
        if held == value:
            return
        try:
            status = stat(path)
        except (OSError, ValueError) as error:
            if not _is_ours(error):
                raise
            return
        # A pipe or a directory is no input.
        if status.st_mode & 0o170000 == 0o100000 and note(
            "read %s %d %d %d" % (_escape(path), status.st_size, status.st_mtime_ns, status.st_ino)
        ):
            seen[slot] = value

    def exists(path):
        try:
            lstat(path)
        except (OSError, ValueError) as error:
            if not _is_ours(error):
                raise
            return False
        return True

    packages, spread = set(), set()

    def on_installed(path):
        """Notes of which packages modules are loaded, should the process not tell it at its end."""
        directory, found, rest = path.partition("-packages/")
        if not found:
            return
        first, _, rest = rest.partition("/")
        package = directory + found + first
        if package in spread or first == "__pycache__":
            package += "/" + rest.partition("/")[0]
        if package not in packages:
            packages.add(package)
            note_once("package", path)
            if first != "__pycache__" and rest and not exists(package + "/__init__.py"):
                spread.add(package)

    def on_open(arguments):
        told, mode, flags = arguments
        if type(told) is not str:
            if type(told) is Own:
                return
            told = text(told)
        if not told:
            if frame(2).f_globals.get("__name__", "").startswith("multiprocessing.popen_"):
                # What a worker that is not forked is to do goes to it through a descriptor.
                loaders_of(frame(2), loaders)
            return
        if told.startswith(skipped) and "/.." not in told:
            if told.endswith((".pyc", ".py")):
                on_installed(told)
            return
        path = absolute(told)
        if path is not told and path.startswith(skipped):
            return
        if "/__pycache__/" in path:
            # The bytecode of a module: a process that is killed does not tell its modules.
            folder, _, name = path.rpartition("/__pycache__/")
            note_read(folder + "/" + name.partition(".")[0] + ".py")
            return
        # fopen inside the interpreter has a mode and no flags.
        access = flags & os.O_ACCMODE
        writes = access != os.O_RDONLY or (mode is not None and mode[:1] in "wax")
        reads = access != os.O_WRONLY and not flags & os.O_TRUNC and not (writes and not access)
        if writes and not flags & os.O_DIRECTORY:
            note_content(path, reads)
            note_written(path)
        # What this file opens itself, to take a digest, is no read of the program's. The frames:
        # this, the hook, the caller.
        if reads and (mode is not None or frame(2).f_code is not content.__code__):
            # The event comes before the open, which may fail.
            note_read(path)

    def place(path, directory=-1):
        """The absolute path of an argument that is one; None where it is not for us."""
        path = text(os.fspath(path) if isinstance(path, os.PathLike) else path)
        if not path or directory != -1:
            return None
        path = absolute(path)
        return None if path.startswith(skipped) else path

    def on_rename(arguments):
        # A checkpoint that makes room for the next one.
        path = place(arguments[0], arguments[2])
        if path:
            note_content(path)
        # A file that is written under another name first, so that nobody sees half of it.
        path = place(arguments[1], arguments[3])
        if path:
            note_content(path)
            note_written(path)

    def on_remove(arguments):
        path = place(*arguments)
        if path:
            note_content(path)

    def on_truncate(arguments):
        path = place(arguments[0])
        if path and is_file(path):
            note_content(path, True)
            note_written(path)

    def unquoted(path):
        parts = path.split("%")
        encoding = sys.getfilesystemencoding()
        data = [parts[0].encode(encoding, "surrogateescape")]
        for part in parts[1:]:
            data.append(bytes([int(part[:2], 16)]) + part[2:].encode(encoding, "surrogateescape"))
        return b"".join(data).decode(encoding, "surrogateescape")

    def on_database(arguments):
        path = arguments[0]
        path = text(os.fspath(path) if isinstance(path, os.PathLike) else path) or ""
        if path[:5] == "file:":
            # https://www.sqlite.org/uri.html
            path = unquoted(path[5:].partition("?")[0].partition("#")[0])
            path = path[2:] if path[:3] == "///" else path
        path = place(path)
        if path:
            note_read(path)

    def on_list(arguments):
        path = arguments[0]
        path = "." if path is None else text(path)
        # An import lists every directory that it searches. The frames: this, the hook, the caller.
        if frame(2).f_code.co_filename.startswith("<frozen importlib"):
            return
        if path and ("/.." in path or not path.startswith(skipped)):
            path = absolute(path)
            if not path.startswith(skipped_directories) and "/__pycache__" not in path:
                note_once("list", path)

    def is_observed(environment):
        if environment is None:
            environment = variables
        elif type(environment) is not dict:
            environment = dict(environment)
        found = []
        for name in (_VARIABLE, "PYTHONPATH"):
            value = environment.get(name)
            if value is None and environment is not variables:
                value = environment.get(name.encode())
            found.append(text(value) or "")
        return bool(found[0]) and _FOLDER in found[1].split(":")

    def ignores_environment(program, command):
        """Whether it is a Python that is told to ignore PYTHONPATH or to load no `site`."""
        if "python" not in program.rpartition("/")[2] or not isinstance(command, (list, tuple)):
            return False
        for argument in command[1:]:
            option = text(argument)
            if not option or option[0] != "-" or option[1:2] in ("", "c", "m"):
                return False
            if option[1] not in "-WX" and set(option) & set("IES"):
                return True
        return False

    def on_program(program, command, environment):
        program = text(program)
        # `os.execvp` tries one directory of PATH after the other.
        if not program or (program[0] == "/" and not is_file(program)):
            return
        if ignores_environment(program, command) or not is_observed(environment):
            # Each counts, so each has its line.
            note("blind " + _escape(program))
        else:
            note_once("program", program)

    def on_popen(arguments):
        program, command, _working_directory, environment = arguments
        on_program(program, command, environment)

    # ------------------------------------------------------------------ calls that are reported

    # Where the interpreter itself can report the calls of one function (3.12), nothing of the
    # program is replaced, and other functions run as before.
    monitoring = getattr(sys, "monitoring", None)
    seeds = {}

    def on_seed(given):
        seed = given.get("a")
        if seed is not None:
            is_global = given.get("self") is _members(sys.modules["random"]).get("_inst")
            found = seeds.setdefault("random_seed" if is_global else "random_generator_seed", [])
            # Other values may be texts of any meaning.
            known = type(seed) in (int, float)
            word = str(seed)[:_SEED_DIGITS] if known else "a " + type(seed).__name__
            if word not in found and len(found) <= _SEEDS:
                found.append(word if len(found) < _SEEDS else "")

    loaders = []

    def on_iteration(given):
        note_loaders((given.get("self"),), loaders)

    reported = {"seed": on_seed, "__iter__": on_iteration}

    def on_call(code, _offset):
        try:
            # The caller is the function that starts.
            reported[code.co_name](frame(1).f_locals)
        except Exception as error:
            if not _is_ours(error):
                raise

    def watch(function):
        """Has calls of a function reported, unless another tool is in that place."""
        number, started = _TOOL_PLACE, monitoring.events.PY_START
        if monitoring.get_tool(number) is None:
            monitoring.use_tool_id(number, _TOOL)
            monitoring.register_callback(number, started, on_call)
        if monitoring.get_tool(number) == _TOOL:
            monitoring.set_local_events(number, function, started)

    watched = {
        os.path.dirname(os.__file__) + "/random.py": ("Random", "seed"),
        "dataloader.py": ("DataLoader", "__iter__"),
    }

    def on_exec(arguments):
        """A module is about to be executed: its functions will have the code that is in it."""
        module = arguments[0]
        path = getattr(module, "co_filename", "")
        if path.endswith("/torch/utils/data/dataloader.py"):
            path = "dataloader.py"
        if path in watched:
            watch(_code_within(module, watched.pop(path)))

    def on_fork(_arguments):
        # The frames: this, the hook, the caller.
        loaders_of(frame(2), loaders)

    events = {
        "open": on_open,
        "os.fork": on_fork,
        "os.rename": on_rename,
        "os.remove": on_remove,
        "os.truncate": on_truncate,
        "sqlite3.connect": on_database,
        "os.listdir": on_list,
        "os.scandir": on_list,
        "subprocess.Popen": on_popen,
        "os.exec": lambda arguments: on_program(*arguments),
        "os.posix_spawn": lambda arguments: on_program(*arguments),
        "os.system": lambda _: on_program("/bin/sh", (), None),
    }
    if monitoring is not None:
        events["exec"] = on_exec
        if "random" in sys.modules:
            watch(sys.modules["random"].Random.seed.__code__)
    get = events.get

    def hook(event, arguments):
        handle = get(event)
        if handle is not None:
            try:
                handle(arguments)
            except Exception as error:
                if not _is_ours(error):
                    raise

    # ------------------------------------------------------------------ the end

    def finish(numerics=True):
        events.clear()
        try:
            mapped = _mapped()
            told = {
                "modules": _modules(os.path.dirname(os.__file__) + "/", started_in, normpath),
                "sys_path": [entry for entry in sys.path if isinstance(entry, str)],
                "numerics": settings(_members, loaders, mapped, seeds) if numerics else {},
                "mapped": [
                    path
                    for path in _still_open(mapped, posix, fcntl)
                    if not path.startswith(skipped) and path != Log.path and is_file(path)
                ],
                "lost": Log.lost,
            }
            line = _json(told)
        except Exception:
            return
        note("end " + line)

    def after_fork():
        if is_open():
            # The copy of our parent's.
            close(Log.descriptor)
        Log.descriptor = -1
        note()
        # A forked worker of multiprocessing leaves by os._exit, after its finalizers.
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            try:
                util.register_after_fork(
                    hook, lambda _: util.Finalize(None, finish, (False,), exitpriority=-1000)
                )
            except Exception:
                return

    # Now, for at the end the program may be in another root, or another user.
    numerical = _loaded("_repropack_numerics")
    settings, loaders_of = numerical["settings"], numerical["loaders_of"]
    note_loaders = numerical["note_loaders"]
    note()
    sys.addaudithook(hook)
    os.register_at_fork(after_in_child=after_fork)
    atexit.register(finish)


def _sha256():
    """A running SHA-256: that of OpenSSL, or where Python has none its own (3.12 renamed it)."""
    try:
        from _hashlib import openssl_sha256

        return (
            openssl_sha256(usedforsecurity=False)
            if sys.version_info >= (3, 9)
            else openssl_sha256()
        )
    except ImportError:
        module = __import__("_sha2" if sys.version_info >= (3, 12) else "_sha256")
        return module.sha256()


def _members(module):
    """What a module holds, without waking one that loads itself on the first access."""
    try:
        return object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}


def _code_within(module, names):
    """The code of a function in the code of a module, by the names of what it stands in."""
    for name in names:
        module = next(c for c in module.co_consts if getattr(c, "co_name", None) == name)
    return module


def _modules(standard, started_in, normpath):
    """Files of the modules: of installed packages only the top-level ones, of others all.

    Of a namespace package, which has no file, the direct members stand for it.
    """
    found = {}
    spread = set()
    for name, module in list(sys.modules.items()):
        top, dot, rest = name.partition(".")
        members = _members(module)
        file = members.get("__file__")
        if file is None and name == "__main__" and str(sys.argv[:1]).endswith(".py']"):
            # Python forgets the file of a script before it runs exit handlers.
            file = sys.argv[0]
        if not isinstance(file, str):
            if not dot and members.get("__path__") is not None:
                spread.add(name)
            continue
        if file[:1] != "/":
            file = started_in + "/" + file
        if "/." in file:
            file = normpath(file)
        if "-packages/" in file:
            if not dot or (top in spread and "." not in rest):
                found[name] = file
        elif not file.startswith(standard):
            found[name] = file
    return found


def _mapped():
    """Files that are mapped, and whether only as data; none where there is no /proc."""
    found = {}
    try:
        with open("/proc/self/maps", "rb") as maps:
            for line in maps:
                fields = line.rstrip(b"\n").split(None, 5)
                if len(fields) == 6 and fields[5][:1] == b"/":
                    path = fields[5].replace(b"\\012", b"\n").decode("utf-8", "surrogateescape")
                    found[path] = found.get(path, True) and b"x" not in fields[1]
    except OSError:
        # This evidence is missing, the rest stands.
        return {}
    return found


def _still_open(mapped, posix, fcntl):
    """Files that are mapped as data or open for reading: native readers leave no other trace."""
    found = {path for path, is_data in mapped.items() if is_data}
    try:
        for number in posix.listdir("/proc/self/fd"):
            try:
                if fcntl.fcntl(int(number), fcntl.F_GETFL) & 3 != 1:
                    path = posix.readlink("/proc/self/fd/" + number)
                    if path[:1] == "/" and path not in mapped:
                        found.add(path)
            except OSError:
                # The descriptor of the listing itself is closed by now.
                continue
    except OSError:
        return []
    return sorted(found)


def _loaded(name):
    """What a module beside this file defines; nobody's path leads to it, and its code is cached."""
    found = {"__name__": name}
    exec(type(__spec__.loader)(name, "%s/%s.py" % (_FOLDER, name)).get_code(name), found)
    return found


# Children still get this folder through PYTHONPATH.
sys.path[:] = [entry for entry in sys.path if entry != _FOLDER]
try:
    import posix

    # `addaudithook` is of 3.8.
    if posix.environ.get(_VARIABLE.encode()) and sys.version_info >= (3, 8):
        _start()
except Exception:
    # A recorder that cannot start: the program runs as if it had never been there.
    posix = None
if sys.version_info < (3,):
    # It writes bytecode beside the source, and has done so before it comes here.
    try:
        posix.unlink(_FOLDER + "/sitecustomize.pyc")
    except Exception:
        pass
# The `sitecustomize` that Python would have loaded without us, with its errors; where there is none
# `site` expects this ImportError. Python 2 empties a module that nobody holds.
_this = sys.modules.pop(__name__, None)
import sitecustomize  # noqa: E402, F401
