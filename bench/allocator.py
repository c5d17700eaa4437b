"""Keeping freed memory: on Linux, every large tensor costs page faults unless the C library keeps what others left."""

from __future__ import annotations

import ctypes
import platform

_TRIM, _MAPPED = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's `mallopt`."""


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for the next tensors instead of giving it back to the system each time.

    A pass on the CPU makes and frees tensors of megabytes for every layer. glibc gets each from the system anew, which
    clears every page of it: a third of the time of a pass. Nothing but time changes; the process holds on to its
    peak. It is for the whole process, so it is the application's decision: `python -m bench` calls it, importing segcam
    does not.

    Returns:
        Whether it could be done: with glibc, thus on most Linux systems.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_MAPPED, 2**30)) and bool(library.mallopt(_TRIM, 2**31 - 1))
