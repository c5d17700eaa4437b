"""What the stages of `bench run` do that run networks; the command line imports this when one is asked for."""

from __future__ import annotations

from pathlib import Path

import torch
import typer
from rich.console import Console

from bench import campaign
from bench.output import report as reports
from bench.output import terminal
from bench.output.store import MANIFEST, Store, of_profile
from bench.planning import manifest
from bench.planning import profile as profiles
from bench.planning.data import lines, open_data
from bench.progress import working
from bench.run import Run
from bench.timing import run as timing
from segcam.datasets import DATASETS
from segcam.errors import InputError


def device_of(name: str) -> torch.device:
    """Return the device meant by 'auto', 'cpu' or 'cuda'.

    Raises:
        InputError: there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no GPU here; use --device cpu or auto")
    torch.backends.cudnn.allow_tf32 = False  # what is called fp32 is to be fp32
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def start(read: profiles.Profile, root: Path | None, out: Path | None, device: str, download: bool) -> Run:
    """Open a profile's data and prepare its run."""
    console = terminal.console()
    torch_device = device_of(device)
    DATASETS.get(read.data.dataset)
    manifest.of_profile(read, classes=2)  # wrong names are told before photographs are decoded
    store = of_profile(Store(out or Path("runs") / read.name))
    if store.has(MANIFEST) and store.read_json(MANIFEST).get("published"):
        raise InputError(f"{store.out} holds a published run, without its networks: choose another folder with --out")
    console.print(
        f"{read.name}: {read.data.dataset} at {read.data.size} px, on {torch_device.type}, into {store.out}",
        markup=False,
    )
    with working(console, "opening data", 1) as task:

        def progress(done: int, total: int, what: str) -> None:
            task.resize(total)
            task.to(done, what)

        data = open_data(read, root=root, download=download, progress=progress)
    for line in lines(data):
        console.print(line, markup=False, highlight=False)
    run = Run(read, data, store, torch_device, console)
    run.prepare()
    return run


def profile(
    stage: str,
    read: profiles.Profile,
    root: Path | None,
    out: Path | None,
    device: str,
    download: bool,
) -> tuple[Store, list[Path], list[str]]:
    """Train, score and report what the stage says: 'all', 'train' or 'score'.

    Returns:
        The folder, the tables and figures written, and the levels that were not reached.
    """
    work = start(read, root, out, device, download)
    if stage != "train":
        work.keep_others()  # before hours of training
    if stage != "score":
        work.train()
    if stage != "train":
        work.score()
    written = reports.report(work.store, work.console) if stage == "all" else []
    return work.store, written, work.unreached()


def time(store: Store, device: str, console: Console) -> None:
    """Time segcam against other tools."""
    written = timing.run(store, device_of(device), console)
    console.print(timing.summary(store))
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False)


def known_evidence(
    out: Path | None, profile: str, settings: list[str], device: str, console: Console, *, allowed: bool
) -> None:
    """Train on scenes whose evidence is known, measure which maps find it, and say where the networks do not use it."""
    if not allowed:
        raise InputError(
            "run evidence draws its own data sets and runs all networks of the profile: leave out --model, --data-root "
            "and --download"
        )
    profile = campaign.PROFILE if profile == profiles.DEFAULT else profile

    def begin(read: profiles.Profile, folder: Path) -> Run:
        return start(read, None, folder, device, download=False)

    store, written = campaign.run(out, profile, settings, begin)
    console.print(campaign.summary(store))
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False)
    if untold := campaign.untold(store):
        console.print(f"not told apart, so that their maps tell nothing: {'; '.join(untold)}", markup=False)
    if not campaign.learned(store):
        raise typer.Exit(1)
