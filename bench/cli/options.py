"""Options that several commands have."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from bench.words import columns
from segcam.errors import InputError
from segcam.files import user_path


class Where(StrEnum):
    """What does a run's cells."""

    LOCAL = "local"
    RAY = "ray"


class Device(StrEnum):
    """Where networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


ProfileOption = Annotated[
    str, typer.Option("--profile", "-p", metavar="NAME", help="Name of a profile, or a TOML file.")
]
RootOption = Annotated[
    Path | None,
    typer.Option("--data-root", metavar="DIR", help="Folder of the data; for oxford_pet the one that holds its own."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder of the results; default runs/NAME.")
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where networks run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the profile. May be repeated."),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME", help="Run this model of the profile alone. May be repeated."),
]
DownloadOption = Annotated[bool, typer.Option("--download", help="Fetch the data set where it is missing.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Drop what is finished under other settings, without asking.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for another process that writes to the folder.")]
ExecutorOption = Annotated[
    Where, typer.Option("--executor", help="Processes of this machine, or tasks of a Ray cluster.")
]
AddressOption = Annotated[
    str, typer.Option("--address", metavar="ADDR", help="Of the Ray cluster: auto, or HOST:PORT.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, envvar="SEGCAM_WORKERS", help="Local processes; by default the cores."),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads of a process or task.")]
GpuOption = Annotated[
    float | None,
    typer.Option("--gpu-share", min=0.0, help="GPUs of a Ray task, such as 0.5; 1 with --device cuda."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def path_of(path: Path | None, option: str) -> Path | None:
    """Return the path that an option names, if any.

    Raises:
        InputError: it is no path.
    """
    return None if path is None else user_path(path, option)


class Commands(TyperGroup):
    """The commands; what the command line itself refuses is an error like any other: `error: `, and what helps."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command, and end the process with its exit code, unless it is called from within another program.

        Raises:
            UsageError: the command line is wrong.
        """
        if not standalone_mode:
            return super().main(*args, **{**extra, "standalone_mode": False})
        width = columns(sys.stdout)
        narrow = {} if width is None else {"terminal_width": min(width, 80)}  # by itself help is never below 50
        try:
            code = super().main(*args, **{**extra, **narrow, "standalone_mode": False})
        except typer.Abort:  # a question was not answered
            raise UsageError("not answered: nothing is done") from None
        except Exception as error:
            if not hasattr(error, "format_message"):  # typer's own kinds of error have no public name
                raise
            context, message = getattr(error, "ctx", None), error.format_message()
            if context is not None and message == context.get_help():  # nothing was asked for
                typer.echo(message)
                sys.exit(2)
            help_ = f"; see {context.command_path} --help" if context else ""
            said = " ".join(message.split()).replace("Value error, ", "").removesuffix(".")
            raise UsageError(f"{said[:1].lower()}{said[1:]}{help_}") from None
        sys.exit(code if isinstance(code, int) else 0)


class UsageError(InputError):
    """The command line is wrong."""


class Several(TyperCommand):
    """A command of one argument whose repeatable options take several words, too: `--weights a.pt b.pt`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Name the option anew before each further word that it takes, as the parser wants it."""
        valued = {
            name: getattr(option, "multiple", False)
            for option in self.params
            for name in option.opts
            if name.startswith("-") and not getattr(option, "is_flag", False)
        }
        return super().parse_args(ctx, repeated(args, valued))


def repeated(args: Sequence[str], valued: Mapping[str, bool]) -> list[str]:
    """Return a command line that names a repeatable option before each of its words; one other word is the argument.

    Args:
        args: the command line.
        valued: the options that take a value, and whether they are repeatable.

    >>> options = {"--weights": True, "--out": False}
    >>> repeated(["net.py:build", "--weights", "a.pt", "b.pt", "--check"], options)
    ['net.py:build', '--weights', 'a.pt', '--weights', 'b.pt', '--check']
    >>> repeated(["--weights", "a.pt", "b.pt", "net.py:build"], options)
    ['--weights', 'a.pt', '--weights', 'b.pt', 'net.py:build']
    """
    end = args.index("--") if "--" in args else len(args)
    read: list[tuple[str, str | None]] = []  # each with the option that it may be one more word of; '' for none
    option, value = "", False
    for word in args[:end]:
        if value:
            read.append((word, None))
            value = False
        elif word.startswith("-") and len(word) > 1:
            read.append((word, None))
            option = word if valued.get(word, False) else ""
            value = word in valued
        else:
            read.append((word, option))
    further = [i for i, (_, option) in enumerate(read) if option]
    if further and end == len(args) and all(option != "" for _, option in read):
        further.pop()  # the argument stands last
    spelled = [[option or "", word] if i in further else [word] for i, (word, option) in enumerate(read)]
    return [*(part for parts in spelled for part in parts), *args[end:]]
