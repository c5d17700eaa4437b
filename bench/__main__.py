"""`python -m bench`."""

from __future__ import annotations

import sys

from rich.console import Console

from analyses import ResultsError
from bench.allocator import keep_freed_memory
from bench.cli.commands import app
from segcam.errors import SegcamError


def main() -> None:
    """Run the command line; errors that the reader can put right are one message, without a traceback."""
    keep_freed_memory()
    try:
        app()
    except (SegcamError, ResultsError, OSError) as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
        sys.exit(1 if isinstance(error, OSError) else getattr(error, "exit_code", 2))
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != 130:  # typer makes Ctrl-C an exit with 130
            raise
        Console(stderr=True).print("stopped; the same command goes on from here", markup=False)
        sys.exit(130)


if __name__ == "__main__":
    main()
