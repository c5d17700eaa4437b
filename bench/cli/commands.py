"""The command line; each command imports what it needs, so that help takes no seconds and a report no torch."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import explain
from bench.cli.options import (
    Device,
    DeviceOption,
    DownloadOption,
    JsonOption,
    ModelOption,
    OutOption,
    ProfileOption,
    RootOption,
    SetOption,
    Several,
    WaitOption,
    YesOption,
    path_of,
)
from bench.planning.shipped import DEFAULT, profiles
from segcam.errors import InputError
from segcam.files import user_path

if TYPE_CHECKING:
    from bench.output.store import Store

app = typer.Typer(help="Train, probe, score and report.", no_args_is_help=True, pretty_exceptions_enable=False)
app.command(cls=Several)(explain.explain)


class Stage(StrEnum):
    """What of a profile is run."""

    ALL = "all"
    TRAIN = "train"
    SCORE = "score"
    REPORT = "report"
    TIMING = "timing"
    EVIDENCE = "evidence"


class Listing(StrEnum):
    """What can be listed."""

    MODELS = "models"
    LAYERS = "layers"
    METHODS = "methods"
    METRICS = "metrics"
    DATASETS = "datasets"
    PROFILES = "profiles"
    ANALYSES = "analyses"


def _given(context: typer.Context, option: str) -> bool:
    """Return whether the command line names an option, be it with its default."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _folder(context: typer.Context, profile: str, out: Path | None) -> Path:
    """Return the folder of a run that is there: the one that `--out` names, or its profile's own.

    Raises:
        InputError: `--profile` is given beside `--out`, and the folder holds no run of it.
    """
    from bench.output.store import MANIFEST, Store
    from bench.planning.profile import name_of

    if out is None or not _given(context, "profile"):
        return out or Path("runs") / name_of(profile)
    name, store = name_of(profile), Store(out)
    if not store.path(MANIFEST).exists():
        raise InputError(f"{out} holds no run of profile {name!r}: leave out --profile, or correct --out")
    if (other := store.manifest().profile.get("name")) != name:
        raise InputError(f"{out} holds a run of profile {other!r}, not of {name!r}: leave out --profile or --out")
    return out


def _existing(context: typer.Context, profile: str, out: Path | None) -> Store:
    from bench.output.store import MANIFEST, Store

    store = Store(_folder(context, profile, out))
    if not store.path(MANIFEST).exists():
        raise InputError(f"{store.out} holds no run: start one with run all, or name its folder with --out")
    return store


def _refuse(stage: Stage, **options: object) -> None:
    """Refuse options that a stage does not use."""
    if ignored := [f"--{name.rstrip('_').replace('_', '-')}" for name, value in options.items() if value]:
        raise InputError(f"run {stage} does not use {', '.join(ignored)}: leave it out")


@app.command()
def run(
    context: typer.Context,
    stage: Annotated[Stage, typer.Argument(help="all, train, score; report, which redraws; timing; or evidence.")],
    profile: ProfileOption = DEFAULT,
    data_root: RootOption = None,
    out: OutOption = None,
    device: DeviceOption = Device.AUTO,
    set_: SetOption = None,
    model: ModelOption = None,
    download: DownloadOption = False,
    yes: YesOption = False,
    wait: WaitOption = False,
) -> None:
    """Run a profile, whole or stage by stage; what is finished is not done again."""
    from bench.output import terminal
    from bench.output.store import Store

    out, data_root = path_of(out, "--out"), path_of(data_root, "--data-root")
    console = terminal.console()
    if stage is Stage.REPORT:
        _refuse(stage, data_root=data_root, model=model, download=download, yes=yes, device=device is not Device.AUTO)
        from bench.output import archive
        from bench.output.report import report

        if out is not None and archive.is_archive(out):
            out = archive.unpack(out)
            console.print(f"unpacked into {out}", markup=False, highlight=False)
        store = _existing(context, profile, out)
        outcome = terminal.Outcome(store, report(store, console, set_, wait=wait))
    else:
        from bench.cli import stages
        from bench.planning.profile import read

        if stage is Stage.TIMING:
            others = {"set_": set_, "model": model, "data_root": data_root, "download": download, "yes": yes}
            _refuse(stage, **others, profile=_given(context, "profile"))
            stages.time(Store(out or Path("runs/timing")), device, console, wait=wait)
            return
        options = stages.Options(data_root, out, device, download, yes, wait)
        if stage is Stage.EVIDENCE:
            _refuse(stage, data_root=data_root, model=model, download=download)
            stages.known_evidence(profile if _given(context, "profile") else None, set_ or [], options, console)
            return
        settings = read(profile, set_)
        settings = settings.of(model) if model else settings
        outcome = stages.profile(stage, settings, options)
    if not terminal.told(outcome):
        raise typer.Exit(1)


@app.command()
def publish(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option("--to", help="Folder for what people read, such as results/mine.")] = None,
    archive: Annotated[Path | None, typer.Option("--archive", help="Zip file for all but the networks.")] = None,
    profile: ProfileOption = DEFAULT,
    out: OutOption = None,
    yes: YesOption = False,
    wait: WaitOption = False,
) -> None:
    """Write a finished run small enough to lie beside code, and the whole of it as one file; or either."""
    from bench.output import terminal
    from bench.output.archive import is_archive
    from bench.output.publish import publish_archive, publish_folder
    from bench.output.store import Store

    to, archive, out = path_of(to, "--to"), path_of(archive, "--archive"), path_of(out, "--out")
    if to is None and archive is None:
        raise InputError("publish needs --to FOLDER, --archive FILE.zip, or both")
    if archive is not None and not is_archive(archive):
        raise InputError(f"--archive {archive}: name a .zip file")
    run, console = Store(_folder(context, profile, out)), terminal.console()
    if to is not None and to.exists() and to.absolute().resolve() == run.out.absolute().resolve():
        raise InputError(f"{to} holds the run itself: choose another folder with --to")
    tell = terminal.teller(console)
    with run.still(wait=wait, tell=tell):
        if to is not None:
            folder = Store(to, "--to")
            with folder.writing(wait=wait, tell=tell):
                result = publish_folder(run, folder, terminal.may_drop(yes=yes))
            size = sum(path.stat().st_size for path in result.written) / 1e6
            tell(f"published {len(result.written)} files, {size:.1f} MB, in {to}")
            for name in result.too_large:
                tell(f"{name} is too large for a folder: publish it with --archive")
        if archive is not None:
            size = publish_archive(run, archive).stat().st_size / 1e6
            tell(f"wrote {archive}, {size:.1f} MB")


@app.command()
def site(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of runs, evidence or timings, published or not; or one around them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the site.")] = Path("site"),
    docs: Annotated[str, typer.Option("--docs", help="Address of the documentation, which all pages lead to.")] = "",
) -> None:
    """Write one site over studies: methods side by side, claims by studies, and the page of each; no server needed."""
    from bench.output import terminal
    from bench.output.site import write

    to = path_of(out, "--out") or out
    named = [user_path(folder, "FOLDER") for folder in folders]
    console = terminal.console()
    *_, index = written = write(named, to, docs, console)
    terminal.tell_files(console, to, written)
    terminal.teller(console)(str(index))


@app.command("list")
def list_(
    kind: Annotated[Listing, typer.Argument(help="What to list.")],
    model: Annotated[
        str | None, typer.Option(help="The network whose layers are listed, such as segformer:b1; default unet.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what is there: models, layers, methods, metrics, datasets, profiles or analyses."""
    from rich.console import Console
    from rich.table import Table

    if model is not None and kind is not Listing.LAYERS:
        raise InputError(f"list {kind} does not use --model: leave it out")
    if kind is Listing.PROFILES:
        rows = shown = [{"name": name, "summary": summary} for name, summary in profiles().items()]
    elif kind is Listing.ANALYSES:
        from analyses import find, question

        rows = shown = [{"name": name, "question": question(name)} for name in find()]
    else:
        from bench.cli import listing

        rows = listing.LISTS[kind]("unet" if model is None else model)
        shown = [listing.method_columns(row) for row in rows] if kind is Listing.METHODS else rows
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table()
    for column in shown[0]:
        table.add_column(column, no_wrap=column == "name")
    for row in shown:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    Console(width=None if Console().is_terminal else 200).print(table, markup=False)


@app.command()
def status(
    context: typer.Context, profile: ProfileOption = DEFAULT, out: OutOption = None, as_json: JsonOption = False
) -> None:
    """Show how far a run is."""
    from rich.console import Console

    from bench.output import terminal
    from bench.output.store import of_profile

    store = of_profile(_existing(context, profile, path_of(out, "--out")))
    if as_json:
        typer.echo(json.dumps(terminal.progress(store), indent=1))
        return
    done = terminal.progress(store)
    console = Console(width=None if Console().is_terminal else terminal.WIDTH)
    cells = "scoring not begun" if done["to_score"] is None else f"{done['scored']} of {done['to_score']} scoring cells"
    trainings = f"{done['trained']} of {done['to_train']} trainings, " if done["to_train"] else ""
    console.print(
        f"{store.out}: {trainings}{cells}, {done['tables']} tables, {done['figures']} figures",
        markup=False,
    )
    for name, step in done["training_now"].items():
        console.print(f"{name}: saved at step {step}", markup=False)
    if table := terminal.summary(store):
        console.print(table)
