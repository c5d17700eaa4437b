"""The command line, `segcam` or `python -m bench`."""

from __future__ import annotations

import sys

from bench.allocator import keep_freed_memory


def main() -> None:
    """Run the command line; errors that the reader can put right are one message, without a traceback."""
    try:
        from bench.cli.commands import app  # noqa: PLC0415  (so that an absent package is one message, too)
    except ModuleNotFoundError as error:
        sys.exit(f"error: the command line needs the package {error.name}: pip install 'segcam[bench]'")
    keep_freed_memory()
    try:
        app()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != 130:  # typer makes Ctrl-C an exit with 130
            raise
        _say("stopped; the same command goes on from here")
        sys.exit(130)
    except _expected() as error:
        _say(f"error: {error}")
        sys.exit(1 if isinstance(error, OSError) else getattr(error, "exit_code", 2))


def _expected() -> tuple[type[Exception], ...]:
    """Return the errors that say what to do; imported when there is one, since `analyses` takes seconds."""
    from analyses import ResultsError  # noqa: PLC0415
    from segcam.errors import SegcamError  # noqa: PLC0415

    return SegcamError, ResultsError, OSError


def _say(text: str) -> None:
    from rich.console import Console  # noqa: PLC0415

    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


if __name__ == "__main__":
    main()
