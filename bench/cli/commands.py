"""The command line; each command imports what it needs, so that help takes no seconds and a report no torch."""

from __future__ import annotations

import json
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import explain, lists
from bench.cli.options import (
    AddressOption,
    Commands,
    Device,
    DeviceOption,
    DownloadOption,
    ExecutorOption,
    GpuOption,
    JsonOption,
    ModelOption,
    OutOption,
    ProfileOption,
    RootOption,
    SetOption,
    Several,
    ThreadsOption,
    WaitOption,
    Where,
    WorkersOption,
    YesOption,
    path_of,
)
from bench.planning.shipped import DEFAULT
from segcam.errors import InputError
from segcam.files import user_path

if TYPE_CHECKING:
    from bench.output.store import Store

HELP = """What segmentation networks look at: maps of every layer, scored, compared and drawn.

Start here, with two minutes or with a network of your own:

\b
  python -m bench run all -p smoke
  python -m bench explain net.py:build \\
      --images photos/

Then see what there is, how far a run is, and give it to others:

\b
  python -m bench list methods
  python -m bench list methods grad_cam
  python -m bench status -p smoke
  python -m bench publish -p smoke \\
      --archive run.zip
"""
STAGES = """Run a profile, whole or stage by stage; what is finished is not done again.

Stages:

\b
  all       train, score and report
  train     train until the levels are reached
  score     score maps of what is trained
  report    draw again, from the scores alone
  timing    time segcam against others
  evidence  score maps where it is known
            what decides

Examples:

\b
  python -m bench run all
  python -m bench run all -p pets \\
      --data-root DIR --model unet
  python -m bench run report \\
      --set figures.dpi=300
"""

app = typer.Typer(
    help=HELP,
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # plain text: nothing that one would copy is boxed or cut, and no second is lost
)
app.command(cls=Several, short_help="explain your own network")(explain.explain)
app.command("list", short_help="names, and all of one")(lists.list_)


class Stage(StrEnum):
    """What of a profile is run."""

    ALL = "all"
    TRAIN = "train"
    SCORE = "score"
    REPORT = "report"
    TIMING = "timing"
    EVIDENCE = "evidence"


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


@app.command(help=STAGES, short_help="train, score and report")
def run(
    context: typer.Context,
    stage: Annotated[Stage, typer.Argument(help="What of it is run.")],
    profile: ProfileOption = DEFAULT,
    data_root: RootOption = None,
    out: OutOption = None,
    device: DeviceOption = Device.AUTO,
    set_: SetOption = None,
    model: ModelOption = None,
    download: DownloadOption = False,
    yes: YesOption = False,
    wait: WaitOption = False,
    executor: ExecutorOption = Where.LOCAL,
    address: AddressOption = "",
    workers: WorkersOption = None,
    threads: ThreadsOption = 1,
    gpu_share: GpuOption = None,
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
        from bench.progress import say

        if out is not None and archive.is_archive(out):
            out = archive.unpack(out)
            say(console, f"unpacked into {out}")
        store = _existing(context, profile, out)
        outcome = terminal.Outcome(store, report(store, console, set_, wait=wait))
    else:
        from bench.planning.profile import read

        settings = read(profile, set_) if stage not in (Stage.TIMING, Stage.EVIDENCE) else None
        from bench.cli import stages  # behind the profile: torch takes seconds, and a wrong name is told at once

        if stage is Stage.TIMING:
            others = {"set_": set_, "model": model, "data_root": data_root, "download": download, "yes": yes}
            _refuse(stage, **others, profile=_given(context, "profile"))
            stages.time(Store(out or Path("runs/timing")), device, console, wait=wait)
            return
        choice = stages.choice_of(executor, address, workers, threads, gpu_share)
        options = stages.Options(data_root, out, device, download, yes, wait, choice)
        if settings is None:
            _refuse(stage, data_root=data_root, model=model, download=download)
            stages.known_evidence(profile if _given(context, "profile") else None, set_ or [], options, console)
            return
        settings = settings.of(model) if model else settings
        outcome = stages.profile(stage, settings, options)
    if not terminal.told(outcome):
        raise typer.Exit(1)


@app.command(short_help="give a run to others")
def publish(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option("--to", help="Folder for what people read, such as results/mine.")] = None,
    archive: Annotated[Path | None, typer.Option("--archive", help="Zip file for all but the networks.")] = None,
    page: Annotated[bool, typer.Option(help="Put the page in the folder, too; run report can make it there.")] = True,
    maps: Annotated[bool, typer.Option(help="Put kept maps of free photographs in the folder, too.")] = True,
    analyses: Annotated[
        list[str] | None, typer.Option(help="Tables and figures in the folder of this analysis alone; repeatable.")
    ] = None,
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
                may_drop, only = terminal.may_drop(yes=yes), analyses or ()
                result = publish_folder(run, folder, may_drop, with_page=page, with_maps=maps, only=only)
            size = sum(path.stat().st_size for path in result.written) / 1e6
            tell(f"published {len(result.written)} files, {size:.1f} MB, in {to}")
            for name in result.too_large:
                tell(f"{name} is too large for a folder: publish it with --archive")
        if archive is not None:
            size = publish_archive(run, archive).stat().st_size / 1e6
            tell(f"wrote {archive}, {size:.1f} MB")


@app.command(short_help="join runs of several machines")
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of finished runs of one profile, or publications.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the merged run.")],
    wait: WaitOption = False,
) -> None:
    """Join runs of machines that share no disk, or their publications: of one definition, with own models or seeds."""
    from bench.output import terminal
    from bench.output.merging import merge as merged
    from bench.output.store import Store

    to = Store(path_of(out, "--out") or out)
    runs = [Store(user_path(folder, "FOLDER")) for folder in folders]
    if any(run.out.absolute().resolve() == to.out.absolute().resolve() for run in runs):
        raise InputError(f"{to.out} is one of the runs: choose an empty folder with --out")
    tell = terminal.teller(terminal.console())
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(run.still(wait=wait, tell=tell))
        stack.enter_context(to.writing(wait=wait, tell=tell))
        notes = merged(runs, to)
    for note in notes:
        tell(f"note: {note}")
    tell(f"merged {len(runs)} runs into {to.out}; run report --out {to.out} draws it")


@app.command(short_help="one site over studies")
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
    terminal.tell_files(console, to, write(named, to, docs, console))


@app.command(short_help="show how far a run is")
def status(
    context: typer.Context, profile: ProfileOption = DEFAULT, out: OutOption = None, as_json: JsonOption = False
) -> None:
    """Show how far a run is."""
    from rich.console import Console

    from bench.output import terminal
    from bench.output.store import of_profile
    from bench.progress import say

    store = of_profile(_existing(context, profile, path_of(out, "--out")))
    if as_json:
        typer.echo(json.dumps(terminal.progress(store), indent=1))
        return
    done = terminal.progress(store)
    console = Console(width=None if Console().is_terminal else terminal.WIDTH)
    cells = "scoring not begun" if done["to_score"] is None else f"{done['scored']} of {done['to_score']} scoring cells"
    trainings = f"{done['trained']} of {done['to_train']} trainings, " if done["to_train"] else ""
    say(console, f"{store.out}: {trainings}{cells}, {done['tables']} tables, {done['figures']} figures")
    for name, step in done["training_now"].items():
        say(console, f"{name}: saved at step {step}")
    if table := terminal.summary(store, console.width):
        console.print(table)
