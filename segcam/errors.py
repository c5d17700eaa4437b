"""The errors that segcam raises on purpose: each names the value, the choices and the cure."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable


class SegcamError(Exception):
    """Something went wrong that the reader of the message can put right; the command line exits with 1."""

    exit_code = 1


class InputError(SegcamError):
    """What was asked for cannot be done as asked: a wrong name, file or value; the command line exits with 2."""

    exit_code = 2


class DataError(InputError):
    """Photographs, masks or their folder are not as they must be."""


class ProbeError(InputError):
    """A layer or target cannot be probed as asked."""


class NotFiniteError(ProbeError):
    """A network answers with NaN or infinity."""


class NotApplicableError(ProbeError):
    """A method has no map for this layer or network; the message is the reason, which results state for the gap."""


class SegcamWarning(UserWarning):
    """What was found out and taken for granted, said once: an output's meaning, a prefix of weights."""


_said: set[str] = set()


def say_once(text: str) -> None:
    """Say as a `SegcamWarning` what was found out and taken for granted; the same text once in a process."""
    if text not in _said:
        _said.add(text)
        warnings.warn(text, SegcamWarning, stacklevel=3)


def unknown(kind: str, name: str, known: Iterable[str], where: str = "") -> InputError:
    """Build the error for an unknown name: it lists the known ones and the nearest.

    >>> str(unknown("metric", "edge", ["edge_alignment", "spread"]))
    "unknown metric 'edge': known are edge_alignment, spread; did you mean 'edge_alignment'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name[:100], names, n=1, cutoff=0.5) or [n for n in names if name and name in n][:1]
    hint = f"; did you mean '{near[0]}'?" if near else ""
    prefix = f"{where}: " if where else ""
    return InputError(f"{prefix}unknown {kind} {shown(name)}: known are {', '.join(names) or 'none'}{hint}")


def first_of(problems: list[str], heading: str, limit: int = 20) -> str:
    """Join a list of problems into one message: at most `limit` of them, and the total."""
    shown = "\n".join(f"  - {p}" for p in problems[:limit])
    more = f"\n  ... and {len(problems) - limit} more" if len(problems) > limit else ""
    return f"{heading} ({len(problems)} in all):\n{shown}{more}"


CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\S\n\r ]|[\x00-\x08\x0e-\x1f\x7f]")
"""What a terminal would act upon: colours, tabs, other control characters."""


def first_line(error: Exception, most: int = 160) -> str:
    """Return the first line of an error's message, cut at `most` characters, or the error's class."""
    line = (CONTROL.sub("", str(error)).strip().splitlines() or [""])[0] or type(error).__name__
    return line if len(line) <= most else line[:most] + "..."


def shown(value: object, most: int = 100) -> str:
    """Return a value of the user's as errors show it: on one line, cut at `most` characters.

    >>> shown("a" * 200, 10)
    "'aaaaaaaaa..."
    """
    try:
        text = re.sub(r"\n\s*", " ", repr(value))  # arrays and tensors take several lines
    except (ValueError, RecursionError):
        return "a value too long to show"  # Python writes no numbers of more than 4,300 digits
    return text if len(text) <= most else text[:most] + "..."


ONEDNN = ("could not create a primitive", "could not create a memory object", "could not execute a primitive")
"""What oneDNN, torch's convolutions on the CPU, says where it gets no memory; what it lacks is a 'descriptor'."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory could not be had: Python's, or torch's on the CPU or a GPU.

    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    (True, True)
    >>> out_of_memory(RuntimeError("could not create a primitive"))
    True
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}  # by name: torch is not imported for this
    if "MemoryError" in kinds or "OutOfMemoryError" in kinds:
        return True
    words = ("can't allocate memory", "Cannot allocate memory", "failed to map segment", *ONEDNN)  # the third: imports
    return any(part in str(error) for part in words)
