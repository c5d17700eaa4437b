"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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
