"""The command line; what runs networks is imported where it is asked for, so that a report needs no torch."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.output import publish as publishing
from bench.output import report as reports
from bench.output.store import MANIFEST, Store, of_profile
from bench.planning import profile as profiles
from segcam.errors import InputError

app = typer.Typer(help="Train, probe, score and report.", no_args_is_help=True, pretty_exceptions_enable=False)


class Stage(StrEnum):
    """What of a profile is run."""

    ALL = "all"
    TRAIN = "train"
    SCORE = "score"
    REPORT = "report"
    TIMING = "timing"
    EVIDENCE = "evidence"


class Device(StrEnum):
    """Where networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    LAYERS = "layers"
    METHODS = "methods"
    METRICS = "metrics"
    DATASETS = "datasets"
    PROFILES = "profiles"


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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _folder(profile: str, out: Path | None) -> Path:
    return out or Path("runs") / profiles.read(profile).name


def _existing(profile: str, out: Path | None) -> Store:
    folder = _folder(profile, out)
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} holds no run: start one with run all, or name its folder with --out")
    return of_profile(Store(folder))


@app.command()
def run(
    stage: Annotated[Stage, typer.Argument(help="all, train, score; report, which redraws; timing; or evidence.")],
    profile: ProfileOption = profiles.DEFAULT,
    data_root: RootOption = None,
    out: OutOption = None,
    device: DeviceOption = Device.AUTO,
    set_: SetOption = None,
    model: ModelOption = None,
    download: DownloadOption = False,
) -> None:
    """Run a profile, whole or stage by stage; what is finished is not done again."""
    console, written = reports.console(), []
    if stage is Stage.REPORT:
        store = _existing(profile, out)
        written = reports.report(store, console, set_)
        unreached: list[str] = []  # what the run could not do, it has said
    else:
        from bench.cli import stages  # noqa: PLC0415

        if stage is Stage.TIMING:
            if set_ or model or data_root or download or profile != profiles.DEFAULT:
                raise InputError("run timing has networks and images of its own: give it --out and --device alone")
            stages.time(Store(out or Path("runs/timing")), device, console)
            return
        if stage is Stage.EVIDENCE:
            others = [data_root, *(model or ()), download or None]
            stages.known_evidence(out, profile, set_ or [], device, console, allowed=not any(others))
            return
        read = profiles.read(profile, set_)
        read = read.of(model) if model else read
        store, written, unreached = stages.profile(stage, read, data_root, out, device, download)
    console.print(reports.summary(store))
    if gaps := reports.gaps(store):
        console.print(gaps, markup=False, highlight=False)
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False)
    if written and (claims := reports.verdicts(store)):
        console.print(claims)
    if unreached:
        console.print("levels not reached: " + "; ".join(unreached), markup=False)
        raise typer.Exit(1)


@app.command()
def publish(
    to: Annotated[Path, typer.Option("--to", help="Folder to publish in, such as results/mine.")],
    profile: ProfileOption = profiles.DEFAULT,
    out: OutOption = None,
    set_: SetOption = None,
) -> None:
    """Write a finished run's rounded scores, kept maps, tables, figures and page to where they can lie beside code."""
    console = reports.console()
    written = publishing.publish(_existing(profile, out), Store(to), console, set_)
    size = sum(path.stat().st_size for path in written) / 1e6
    console.print(f"published {len(written)} files, {size:.1f} MB, in {to}", markup=False, highlight=False)


@app.command("list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    model: Annotated[str, typer.Option(help="The network whose layers are listed, such as segformer:b1.")] = "unet",
    as_json: JsonOption = False,
) -> None:
    """List what is there: models, layers, methods, metrics, datasets or profiles."""
    from bench.cli import listing  # noqa: PLC0415

    rows = listing.LISTS[kind](model)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    shown = [listing.method_columns(row) for row in rows] if kind is Kind.METHODS else rows
    table = Table()
    for column in shown[0]:
        table.add_column(column, no_wrap=column == "name")
    for row in shown:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    Console(width=None if Console().is_terminal else 200).print(table, markup=False)


@app.command()
def status(profile: ProfileOption = profiles.DEFAULT, out: OutOption = None, as_json: JsonOption = False) -> None:
    """Show how far a run is."""
    store = _existing(profile, out)
    if as_json:
        typer.echo(json.dumps(reports.progress(store), indent=1))
        return
    done = reports.progress(store)
    console = Console(width=None if Console().is_terminal else reports.WIDTH)
    cells = "scoring not begun" if done["to_score"] is None else f"{done['scored']} of {done['to_score']} scoring cells"
    console.print(
        f"{store.out}: {done['trained']} of {done['to_train']} trainings, {cells}, {done['tables']} tables, "
        f"{done['figures']} figures",
        markup=False,
    )
    for name, step in done["training_now"].items():
        console.print(f"{name}: saved at step {step}", markup=False)
    console.print(reports.summary(store))
