"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from segcam.files import user_path


class Device(StrEnum):
    """Where networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="Name of a profile, or a TOML file.")]
RootOption = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of the data; for oxford_pet the parent of oxford-iiit-pet/.")
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the results; default runs/PROFILE.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where networks run.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key of the profile: section.key=value. May be repeated.")
]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", help="Run this model of the profile alone. May be repeated.")
]
DownloadOption = Annotated[bool, typer.Option("--download", help="Fetch the data set where it is missing.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Drop what is finished under other settings, without asking.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for another process that writes to the folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def path_of(path: Path | None, option: str) -> Path | None:
    """Return the path that an option names, if any.

    Raises:
        InputError: it is no path.
    """
    return None if path is None else user_path(path, option)


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
