"""The command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from bench import config, manifest, timings
from bench import report as reports
from bench.data import open_data
from bench.progress import working
from bench.run import Run
from bench.store import MANIFEST, Store
from segcam.datasets import DATASETS
from segcam.errors import InputError
from segcam.layers import POINTS
from segcam.methods import METHODS
from segcam.metrics import METRICS
from segcam.metrics.attention import ATTENTION_METRICS
from segcam.models import MODELS, architecture, create

app = typer.Typer(help="Train, probe, score and report.", no_args_is_help=True, pretty_exceptions_enable=False)


class Stage(StrEnum):
    """What of a profile is run."""

    ALL = "all"
    TRAIN = "train"
    SCORE = "score"
    REPORT = "report"
    TIMING = "timing"


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


def _device(wanted: Device) -> torch.device:
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no GPU here; use --device cpu or auto")
    torch.backends.cudnn.allow_tf32 = False  # what is called fp32 is to be fp32
    return torch.device("cuda" if wanted is not Device.CPU and torch.cuda.is_available() else "cpu")


def _folder(profile: str, out: Path | None) -> Path:
    return out or Path("runs") / config.read(profile).name


def _existing(profile: str, out: Path | None) -> Store:
    folder = _folder(profile, out)
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} holds no run: start one with run all, or name its folder with --out")
    return Store(folder)


def _start(read: config.Profile, root: Path | None, out: Path | None, device: Device, download: bool) -> Run:
    console = reports.console()
    chosen = _device(device)
    DATASETS.get(read.data.dataset)
    manifest.describe_profile(read, classes=2)  # wrong names are told before photographs are decoded
    store = Store(out or Path("runs") / read.name)
    console.print(
        f"{read.name}: {read.data.dataset} at {read.data.size} px, on {chosen.type}, into {store.out}", markup=False
    )
    with working(console, "opening data", 1) as task:

        def progress(done: int, total: int, what: str) -> None:
            task.resize(total)
            task.to(done, what)

        data = open_data(read, root=root, download=download, progress=progress)
    for line in manifest.data_lines(data):
        console.print(line, markup=False, highlight=False)
    run = Run(read, data, store, chosen, console)
    run.prepare()
    return run


@app.command()
def run(
    stage: Annotated[Stage, typer.Argument(help="all, train, score; report, which redraws from files; or timing.")],
    profile: ProfileOption = config.DEFAULT,
    data_root: RootOption = None,
    out: OutOption = None,
    device: DeviceOption = Device.AUTO,
    set_: SetOption = None,
    model: ModelOption = None,
    download: DownloadOption = False,
) -> None:
    """Run a profile, whole or stage by stage; what is finished is not done again."""
    console, written = reports.console(), []
    if stage is Stage.TIMING:
        if set_ or model or data_root or download or profile != config.DEFAULT:
            raise InputError("run timing has networks and images of its own: give it --out and --device alone")
        _time(Store(out or Path("runs/timing")), _device(device), console)
        return
    if stage is Stage.REPORT:
        store = _existing(profile, out)
        written = reports.report(store, console, set_)
        unreached: list[str] = []  # what the run could not do, it has said
    else:
        read = config.read(profile, set_)
        work = _start(read.of(model) if model else read, data_root, out, device, download)
        store = work.store
        if stage is not Stage.TRAIN:
            work.keep_others()  # before hours of training
        if stage is not Stage.SCORE:
            work.train()
        if stage is not Stage.TRAIN:
            work.score()
        if stage is Stage.ALL:
            written = reports.report(store, console)
        unreached = work.unreached()
    console.print(reports.summary(store))
    if gaps := reports.gaps(store):
        console.print(gaps, markup=False, highlight=False)
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False)
    if unreached:
        console.print("levels not reached: " + "; ".join(unreached), markup=False)
        raise typer.Exit(1)


def _time(store: Store, device: torch.device, console: Console) -> None:
    written = timings.run(store, device, console)
    console.print(timings.summary(store))
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False)


@app.command("list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    model: Annotated[str, typer.Option(help="The network whose layers are listed, such as segformer:b1.")] = "unet",
    as_json: JsonOption = False,
) -> None:
    """List what is there: models, layers, methods, metrics, datasets or profiles."""
    rows = _LISTS[kind](model)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    shown = [_method_columns(row) for row in rows] if kind is Kind.METHODS else rows
    table = Table()
    for column in shown[0]:
        table.add_column(column, no_wrap=column == "name")
    for row in shown:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    Console(width=None if Console().is_terminal else 200).print(table, markup=False)


@app.command()
def status(profile: ProfileOption = config.DEFAULT, out: OutOption = None, as_json: JsonOption = False) -> None:
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


def _models(_: str) -> list[dict[str, Any]]:
    return [
        {
            "name": m.name,
            "variants": f"{m.name}:{m.variant.upper()}" if m.variant else "",
            "summary": m.summary,
            "parameters": dict(m.defaults),
            "source": m.source,
        }
        for m in MODELS
    ]


def _layers(model: str) -> list[dict[str, Any]]:
    network = create(model, 2)
    points = [layer for point in POINTS for layer in architecture(model).layers(network, point)]
    columns = ("label", "stage", "depth", "role", "stride", "point", "form", "module")
    return [{"name": model, **{column: getattr(layer, column) for column in columns}} for layer in points]


def _method_columns(row: dict[str, Any]) -> dict[str, str]:
    """Put what is known of a method into columns that fit beside each other."""
    kind = row["kind"] if row["kind"] == row["family"] else f"{row['kind']}, {row['family']}"
    return {
        "name": row["name"],
        "kind": kind,
        "of": row["scope"],
        "passes": _passes(row),
        "signed": "yes" if row["signed"] else "",
        "gradients": "yes" if row["needs_gradients"] else "",
        "parameters": ", ".join(f"{name}={value!r}" for name, value in row["parameters"].items()),
        "label and summary": f"{row['label']}: {row['summary']}",
        "source": row["source"],
    }


def _passes(row: dict[str, Any]) -> str:
    """Say how many passes a method takes: '0', '1 shared', '16 a layer', '225'."""
    if not row["costly"]:
        return f"{row['passes']} shared" if row["passes"] else "0"
    return f"{row['passes']} a layer" if row["each"] == "layer" else str(row["passes"])


def _metrics(_: str) -> list[dict[str, Any]]:
    of_maps = [{"name": m.name, "table": "scores", **manifest.describe(m)} for m in METRICS]
    return of_maps + [{"name": m.name, "table": "attention", **manifest.describe(m)} for m in ATTENTION_METRICS]


def _datasets(_: str) -> list[dict[str, Any]]:
    return [{"name": d.name, "needs --data-root": d.needs_root, "summary": d.summary} for d in DATASETS]


def _profiles(_: str) -> list[dict[str, Any]]:
    return [{"name": name, "summary": summary} for name, summary in config.profiles().items()]


_LISTS: dict[Kind, Callable[[str], list[dict[str, Any]]]] = {
    Kind.MODELS: _models,
    Kind.LAYERS: _layers,
    Kind.METHODS: lambda _: [{"name": m.name, **manifest.describe_method(m)} for m in METHODS],
    Kind.METRICS: _metrics,
    Kind.DATASETS: _datasets,
    Kind.PROFILES: _profiles,
}
