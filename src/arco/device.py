"""Where tensors live, and what makes the same run give the same bits."""

from __future__ import annotations

import ctypes
import platform

import torch

from arco.errors import ArcoError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes a GPU where there is one.

    Raises:
        ArcoError: `cuda` without a usable GPU.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ArcoError("runtime.device is cuda but no GPU is usable; set runtime.device to auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def make_deterministic(device: torch.device, threads: int) -> None:
    """Same seed, same machine type: same bits. On a GPU a few kernels have no such version."""
    torch.set_num_threads(threads)
    # Does what `use_deterministic_algorithms` does without importing the compiler (1.7 seconds).
    torch.set_deterministic_debug_mode("warn" if device.type == "cuda" else "error")
    # Only a debugging aid, and slow.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def reuse_memory() -> None:
    """Let the C library keep freed memory for the next tensors instead of giving it back.

    On a CPU, asking for new pages took up to a quarter of a training step at 256 x 256. Peak memory
    rises by about a tenth. Only glibc is told; elsewhere nothing changes.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
