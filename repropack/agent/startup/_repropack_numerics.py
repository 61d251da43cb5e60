# SPDX-License-Identifier: Apache-2.0
"""The second part of the recording agent: settings that change numbers.

It is asked when a process ends, and only about libraries that the program has loaded itself. Like
`sitecustomize.py` it runs in any CPython from 3.8 on and imports nothing that could start anything.
"""

import sys


def settings(members, loaders, mapped, seeds):
    """By library, its settings by name.

    Args:
        members: What a module holds, without waking one that loads itself on the first access.
        loaders: The settings of data loaders that were seen when their workers began.
        mapped: Paths of the files that are mapped into this process.
        seeds: By name, the seeds that Python's own generators were given, as far as was seen.
    """
    warnings = sys.modules.get("warnings")
    if warnings is None:
        # No library is there that could warn.
        return _ask(members, loaders, mapped, seeds)
    with warnings.catch_warnings():
        # Reading a deprecated setting is our doing, not the program's.
        warnings.simplefilter("ignore")
        return _ask(members, loaders, mapped, seeds)


def _flat(text):
    """Lines as one, without words that could be paths of whoever built the library."""
    words = (" ".join(w for w in line.split() if "/" not in w) for line in text.splitlines())
    return "; ".join(line for line in words if line)


def _global_generator(_numpy):
    """Whether `numpy.random.seed` was called; None where the global generator was not used.

    The seed itself is nowhere kept; what a bit generator was made of is.
    """
    module = sys.modules.get("numpy.random.mtrand")
    if module is None:
        return None
    generator = module._rand._bit_generator
    state = generator.state["state"]
    if generator._seed_seq is None:
        return "seeded"
    # As it was made, before the first number was drawn.
    return None if state.get("pos") == 623 else "used without a seed"


def _named(dependency):
    return "%s %s" % (dependency.get("name"), dependency.get("version"))


# ------------------------------------------------------------------ data loaders of torch

_LOADERS = "torch.utils.data.dataloader"

_MOST_LOADERS = 8
"""Data loaders that are told apart: a search over settings makes hundreds."""

_DEEP = 15
"""Calls between the fork of a worker and the data loader that it is for."""


def note_loaders(candidates, found):
    """Adds the settings of data loaders among some values to those that were found before."""
    kind = getattr(sys.modules.get(_LOADERS), "DataLoader", None)
    for value in candidates:
        if kind is not None and issubclass(type(value), kind):
            told = {}
            for name, getter in _LOADER.items():
                try:
                    setting = getter(value)
                    if setting is not None:
                        told[name] = str(setting)
                except Exception:
                    continue
            if told not in found and len(found) < _MOST_LOADERS:
                found.append(told)


def loaders_of(frame, found):
    """Adds the data loader whose worker is about to be forked. Reads what is there, and no more."""
    if _LOADERS not in sys.modules:
        return
    for _ in range(_DEEP):
        if frame is None:
            return
        if frame.f_globals.get("__name__") == _LOADERS:
            note_loaders(list(frame.f_locals.values()), found)
        frame = frame.f_back


def _class_of(value):
    """The name of a class of torch; those of the program are its own business."""
    kind = type(value)
    return kind.__name__ if kind.__module__.startswith("torch.") else "of the program"


def _seed_of(generator):
    return None if generator is None else generator.initial_seed()


_LOADER = {
    "batch_size": lambda m: m.batch_size,
    "num_workers": lambda m: m.num_workers,
    "drop_last": lambda m: m.drop_last,
    "prefetch_factor": lambda m: m.prefetch_factor,
    "persistent_workers": lambda m: m.persistent_workers,
    # `shuffle=True` is a RandomSampler. It and a sampler of ranks may have seeds of their own.
    "sampler": lambda m: _class_of(m.sampler),
    "batch_sampler": lambda m: _class_of(m.batch_sampler),
    "sampler_seed": lambda m: (
        m.sampler.__dict__["seed"]
        if "seed" in m.sampler.__dict__
        else _seed_of(m.sampler.__dict__.get("generator"))
    ),
    "generator_seed": lambda m: _seed_of(m.generator),
    "worker_init_fn": lambda m: "none" if m.worker_init_fn is None else "given",
    "start_method": lambda m: (
        None if m.multiprocessing_context is None else m.multiprocessing_context.get_start_method()
    ),
}


# ------------------------------------------------------------------ libraries, each by its file

_NUMERIC = (
    "libopenblas", "libscipy_openblas", "libmkl_rt", "libmkl_core", "libblis", "libflexiblas",
    "libgomp", "libiomp", "libomp", "libtbb", "libstdc++", "libcublas", "libcudart", "libcudnn",
    "libnccl", "libdnnl",
)  # fmt: skip
_OPENMP = ("libgomp", "libiomp", "libomp")


def _numeric_libraries(mapped):
    """Files of loaded libraries that compute or that have threads, each copy once."""
    return sorted(path for path in mapped if path.rpartition("/")[2].startswith(_NUMERIC))


def _public(path):
    """A library's file name; with its folder only where that is one of an installation."""
    folder, _, name = path.rpartition("/")
    folder = folder.rpartition("/")[2]
    usual = folder in ("lib", "lib64") or folder.endswith((".libs", "-linux-gnu"))
    return folder + "/" + name if usual else name


def _call(path, names, kind, *arguments):
    """What the first of these functions of a loaded library returns; None where it has none.

    Only in programs that have loaded `ctypes` themselves, as numpy does. Nothing is loaded.
    """
    import os

    ctypes = sys.modules.get("ctypes")
    if ctypes is None or not hasattr(os, "RTLD_NOLOAD"):
        return None
    library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    for name in names:
        for prefix in ("", "scipy_"):
            for suffix in ("", "64_", "_64"):
                function = getattr(library, prefix + name + suffix, None)
                if function is not None:
                    function.restype = ctypes.c_char_p if kind is str else ctypes.c_int
                    value = function(*arguments)
                    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return None


def _base(path):
    return path.rpartition("/")[2]


def _mkl_version(path):
    ctypes = sys.modules.get("ctypes")
    if ctypes is None or not _base(path).startswith("libmkl_rt"):
        return None
    text = ctypes.create_string_buffer(200)
    _call(path, ("mkl_get_version_string", "MKL_Get_Version_String"), int, text, 200)
    return text.value.decode("ascii", "replace").strip() or None


_LIBRARY = {
    # The file by which the dynamic linker would find it, should the name be a link.
    "file": _base,
    "version": lambda path: (
        _call(path, ("openblas_get_config", "bli_info_get_version_str"), str) or _mkl_version(path)
    ),
    "architecture": lambda path: _call(
        path, ("openblas_get_corename", "bli_arch_string"), str
    ) if "openblas" in path else None,
    "threading": lambda path: (
        {0: "none", 1: "pthreads", 2: "openmp"}.get(_call(path, ("openblas_get_parallel",), int))
    ),
    "num_threads": lambda path: (
        _call(path, ("omp_get_max_threads",), int)
        if _base(path).startswith(_OPENMP)
        else _call(
            path,
            ("openblas_get_num_threads", "MKL_Get_Max_Threads", "bli_thread_get_num_threads"),
            int,
        )
    ),
}  # fmt: skip


def _ask(members, loaders, mapped, seeds):
    """Settings that change numbers, of libraries that the program has imported itself."""
    told = {}

    def imported(name):
        module = sys.modules.get(name)
        return module if "__version__" in members(module) else None

    def tell(library, module, getters):
        if module is None:
            return
        values = told.setdefault(library, {})
        for name, getter in getters.items():
            try:
                value = getter(module)
            except Exception:
                continue
            if value is not None:
                values[name] = str(value)

    tell(
        "python",
        sys,
        {
            "sys_version": lambda m: m.version,
            "filesystem_encoding": lambda m: m.getfilesystemencoding(),
            "gil": lambda m: m._is_gil_enabled(),
            "start_method": lambda m: m.modules["multiprocessing"].get_start_method(True),
        },
    )
    for name, found in seeds.items():
        words = ", ".join(word for word in found if word)
        told["python"][name] = words if "" not in found else words + " and more"
    version = {"version": lambda m: m.__version__}
    tell(
        "numpy",
        imported("numpy"),
        {
            "version": lambda m: m.__version__,
            # What a local build says of its paths stays out.
            "blas": lambda m: _named(m.show_config(mode="dicts")["Build Dependencies"]["blas"]),
            "lapack": lambda m: _named(m.show_config(mode="dicts")["Build Dependencies"]["lapack"]),
            "global_generator": _global_generator,
            "simd": lambda m: " ".join(
                m.show_config(mode="dicts")["SIMD Extensions"].get("found", ())
            ),
        },
    )
    tell("triton", imported("triton"), version)
    tell("scipy", imported("scipy"), version)
    tell("sklearn", imported("sklearn"), version)
    tell(
        "torch",
        imported("torch"),
        {
            "version": lambda m: m.__version__,
            "num_threads": lambda m: m.get_num_threads(),
            "num_interop_threads": lambda m: m.get_num_interop_threads(),
            "deterministic_algorithms": lambda m: m.are_deterministic_algorithms_enabled(),
            "deterministic_warn_only": lambda m: m.is_deterministic_algorithms_warn_only_enabled(),
            "float32_matmul_precision": lambda m: m.get_float32_matmul_precision(),
            "default_dtype": lambda m: m.get_default_dtype(),
            "cpu_capability": lambda m: m.backends.cpu.get_cpu_capability(),
            "cudnn_enabled": lambda m: m.backends.cudnn.enabled,
            "cudnn_benchmark": lambda m: m.backends.cudnn.benchmark,
            "cudnn_deterministic": lambda m: m.backends.cudnn.deterministic,
            "cudnn_allow_tf32": lambda m: m.backends.cudnn.allow_tf32,
            "cuda_matmul_allow_tf32": lambda m: m.backends.cuda.matmul.allow_tf32,
            "cuda": lambda m: m.version.cuda,
            "hip": lambda m: m.version.hip,
            "config": lambda m: _flat(m.__config__.show()),
            "parallel": lambda m: _flat(m.__config__.parallel_info()),
            "initial_seed": lambda m: m.initial_seed(),
            "fill_uninitialized_memory": lambda m: m.utils.deterministic.fill_uninitialized_memory,
            "mkldnn": lambda m: m.backends.mkldnn.enabled,
            "flash_attention": lambda m: m.backends.cuda.flash_sdp_enabled(),
            "memory_efficient_attention": lambda m: m.backends.cuda.mem_efficient_sdp_enabled(),
            "math_attention": lambda m: m.backends.cuda.math_sdp_enabled(),
            "cudnn_attention": lambda m: m.backends.cuda.cudnn_sdp_enabled(),
            "autocast_cpu_dtype": lambda m: m.get_autocast_dtype("cpu"),
            "autocast_cuda_dtype": lambda m: m.get_autocast_dtype("cuda"),
            "compiled": lambda m: m.__name__ + "._inductor.graph" in sys.modules or None,
            "world_size": lambda m: (
                m.distributed.get_world_size() if m.distributed.is_initialized() else None
            ),
            "distributed_backend": lambda m: (
                m.distributed.get_backend() if m.distributed.is_initialized() else None
            ),
            # These would start CUDA in a program that did not.
            "cudnn": lambda m: m.backends.cudnn.version() if m.cuda.is_initialized() else None,
            "cuda_device": lambda m: m.cuda.get_device_name() if m.cuda.is_initialized() else None,
            "nccl": lambda m: m.cuda.nccl.version() if m.cuda.is_initialized() else None,
            "cuda_devices": lambda m: m.cuda.device_count() if m.cuda.is_initialized() else None,
        },
    )
    tell(
        "jax",
        imported("jax"),
        {
            "version": lambda m: m.__version__,
            "enable_x64": lambda m: m.config.jax_enable_x64,
            "default_matmul_precision": lambda m: m.config.jax_default_matmul_precision,
            "default_prng_impl": lambda m: m.config.jax_default_prng_impl,
            "threefry_partitionable": lambda m: m.config.jax_threefry_partitionable,
            # Asking for devices would start a backend in a program that did not.
            "devices": lambda m: (
                " ".join(d.device_kind for d in m.devices())
                if m._src.xla_bridge.backends_are_initialized()
                else None
            ),
            "process_count": lambda m: (
                m.process_count() if m._src.xla_bridge.backends_are_initialized() else None
            ),
        },
    )
    tell("jaxlib", imported("jaxlib"), version)
    tell(
        "tensorflow",
        imported("tensorflow"),
        {
            "version": lambda m: m.__version__,
            "intra_op_threads": lambda m: m.config.threading.get_intra_op_parallelism_threads(),
            "inter_op_threads": lambda m: m.config.threading.get_inter_op_parallelism_threads(),
            "tf32": lambda m: m.config.experimental.tensor_float_32_execution_enabled(),
            "deterministic_ops": lambda m: m.config.experimental.is_op_determinism_enabled(),
            "global_seed": lambda m: (
                m.__name__ and sys.modules["tensorflow.python.eager.context"].global_seed()
            ),
            "cuda": lambda m: m.sysconfig.get_build_info().get("cuda_version"),
            "cudnn": lambda m: m.sysconfig.get_build_info().get("cudnn_version"),
        },
    )
    for path in _numeric_libraries(mapped):
        tell("library " + _public(path), path, _LIBRARY)
    _tell_pools(imported("threadpoolctl"), tell)
    # Those of a script are still there; those of a function that has returned are not.
    note_loaders(list(members(sys.modules.get("__main__")).values()), loaders)
    for number, found in enumerate(loaders, 1):
        told["torch.utils.data.DataLoader" + (" %d" % number if number > 1 else "")] = found
    return told


def _tell_pools(module, tell):
    """Thread pools as threadpoolctl knows them, where the program has imported it."""
    if module is None:
        return
    try:
        # Each wheel may bring its own copy, and the order of the list is that of no two runs.
        pools = sorted(module.threadpool_info(), key=lambda p: str(p.get("filepath")))
    except Exception:
        return
    for pool in pools:
        folder = str(pool.get("filepath")).rpartition("/")[0].rpartition("/")[2]
        owner = " of " + folder[:-5] if folder.endswith(".libs") else ""
        tell(
            "threadpool " + str(pool.get("prefix")) + owner,
            pool,
            {
                key: lambda p, key=key: p.get(key)
                for key in ("internal_api", "version", "num_threads", "architecture")
            },
        )
