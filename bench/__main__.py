"""The command line, `segcam` or `python -m bench`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import warnings
from pathlib import Path

from bench import endings

BROKEN_PIPE = 141
"""The exit code where the reader of what is printed has gone, as `| head` does; a shell's for SIGPIPE."""

LESS = (
    "lower train.batch_size where it trains, score.batch_size or score.max_memory where it scores, or data.size; what "
    "is finished is kept"
)
"""What to do where memory ran out."""

THREADS = 24 + (os.cpu_count() or 1)
"""Threads that the libraries may start; where they cannot, some of them wait for ever."""
FEW_THREADS = "the system lets this process start too few threads: raise the limit (ulimit -u, or the container's)"


def main() -> None:
    """Run the command line; errors that the reader can put right are one message, without a traceback."""
    endings.install()  # before all else is imported, which takes seconds
    _fill_streams()
    warnings.showwarning = _show_warning
    try:
        _run()
    except BaseException:  # a library may have made another error of the stop
        if (stop := endings.stopped()) is None:
            endings.close()
            raise
    else:
        stop = endings.stopped()
    endings.close()
    if stop is not None:
        endings.say(str(stop))
        sys.exit(stop.code)


def _run() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:  # torch would end the process
        endings.say("error: the folder in which this was started is gone: change to another one")
        sys.exit(1)
    try:
        from bench.cli.commands import app  # noqa: PLC0415  (so that an absent package is one message, too)
    except ModuleNotFoundError as error:
        sys.exit(f"error: the command line needs the package {error.name}: pip install 'segcam[bench]'")
    from bench.allocator import keep_freed_memory  # noqa: PLC0415

    keep_freed_memory()
    if (started := _threads()) < THREADS:
        endings.say(f"error: {FEW_THREADS} ({started} can be started, and {THREADS} are needed)")
        sys.exit(1)
    try:
        app()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer and rich make it an exit with 1
            sys.exit(BROKEN_PIPE)
        raise
    except Exception as error:
        from segcam.errors import first_line, out_of_memory  # noqa: PLC0415  (as all else)

        if out_of_memory(error):  # asked first: what is expected takes memory to import
            endings.say(f"error: there is not enough memory ({first_line(error)}): {LESS}")
            sys.exit(1)
        if "can't start new thread" in str(error):  # Python's words
            endings.say(f"error: {FEW_THREADS}; what is finished is kept")
            sys.exit(1)
        if not isinstance(error, _expected()):
            raise
        where = "" if endings.flush() else "what is printed cannot be written: "
        endings.say(f"error: {where}{error}")
        sys.exit(1 if isinstance(error, OSError) else getattr(error, "exit_code", 2))


def _threads() -> int:
    """Return how many of the threads that are needed can be started; they end at once."""
    done, started = threading.Event(), list[threading.Thread]()
    size = threading.stack_size(2**16)  # so that they take next to no memory
    try:
        for _ in range(THREADS):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        done.set()
        threading.stack_size(size)
        for thread in started:
            thread.join()
    return len(started)


def _expected() -> tuple[type[Exception], ...]:
    """Return the errors that say what to do; those of results where what raises them is imported."""
    from segcam.errors import SegcamError  # noqa: PLC0415

    reading = sys.modules.get("analyses.reading.files")
    return SegcamError, OSError, *((reading.ResultsError,) if reading else ())


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
) -> None:
    """Show a warning: what segcam says to its user without the line of code that it comes from."""
    own = category.__name__ == "SegcamWarning"  # by name: nothing of segcam is imported yet
    endings.say(f"note: {message}" if own else warnings.formatwarning(message, category, filename, lineno).rstrip())


def _fill_streams() -> None:
    """Open what the process was started without, so that no file of a run becomes its standard output.

    And let a stream write what its encoding lacks as an escape: a name with an accent is no reason to end.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
