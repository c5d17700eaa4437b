"""What the stages of `bench run` do that run networks; the command line imports this when one is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import typer
from rich.console import Console

from bench.cli.options import Where
from bench.executing.start import Choice, executing
from bench.explaining.asked import Asked, profile_of
from bench.output import report as reports
from bench.output import terminal
from bench.output.store import MANIFEST, Store, of_profile
from bench.planning import manifest
from bench.planning import profile as profiles
from bench.planning.data import lines, open_data
from bench.progress import Whole, expecting, say, working
from bench.run import Run
from bench.words import columns, wrapped
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


ONE = Choice(workers=1)
"""All in this process."""


@dataclass(frozen=True)
class Options:
    """What the command line says beside the profile.

    Attributes:
        root: folder of the data.
        out: folder of the results.
        device: 'auto', 'cpu' or 'cuda'.
        download: whether the data set may be fetched.
        yes: whether finished scores of other settings may be dropped.
        wait: whether to wait for another process that writes to the folder.
        choice: what does the cells.
    """

    root: Path | None
    out: Path | None
    device: str
    download: bool
    yes: bool
    wait: bool
    choice: Choice = ONE


@contextmanager
def start(read: profiles.Profile, options: Options) -> Iterator[Run]:
    """Open a profile's data and prepare its run, whose folder is nobody else's while the block runs."""
    console = terminal.console()
    torch_device = device_of(options.device)
    DATASETS.get(read.data.dataset)
    manifest.of_profile(read, classes=2)  # wrong names are told before photographs are decoded
    store = Store(options.out or Path("runs") / read.name)
    with store.writing(wait=options.wait, tell=terminal.teller(console)):
        if store.path(MANIFEST).exists() and of_profile(store).manifest().published:
            raise InputError(
                f"{store.out} holds a published run, without its networks: choose another folder with --out"
            )
        say(
            console,
            f"{read.name}: {read.data.dataset} at {read.data.size} px, on {torch_device.type}, into {store.out}",
        )
        with working(console, "opening data", 1) as task:

            def progress(done: int, total: int, what: str) -> None:
                if not done:  # nothing is done yet: another process is waited for
                    say(console, what)
                task.resize(total)
                task.to(done, what)

            data = open_data(read, root=options.root, download=options.download, progress=progress)
        for line in lines(data):
            say(console, line)
        run = Run(read, data, store, torch_device, console, terminal.may_drop(yes=options.yes))
        run.prepare()
        yield run


def choice_of(executor: Where, address: str, workers: int | None, threads: int, gpu_share: float | None) -> Choice:
    """Return what the command line says of who does the cells.

    Raises:
        InputError: an option goes with another executor.
    """
    if executor is Where.LOCAL and (address or gpu_share is not None):
        raise InputError(f"{'--address' if address else '--gpu-share'}: that is for --executor ray")
    return Choice(executor is Where.RAY, address, workers, threads, gpu_share)


def profile(stage: str, read: profiles.Profile, options: Options) -> terminal.Outcome:
    """Train, score and report what the stage says: 'all', 'train' or 'score'."""
    with start(read, options) as work, executing(work, options.choice, options.root, stage) as performing:
        drawing = [reports.piece(work.views)] if stage == "all" else []
        with expecting(Whole([*work.pieces(stage), *drawing])):
            if stage != "score" and read.models:
                work.train()
            if stage != "train":
                work.score()
            if performing is not None:
                performing.close()  # drawing has processes of its own
            written = reports.report(work.store, work.console, anew=False) if stage == "all" else []
        return terminal.Outcome(
            work.store, written, work.unreached(), *(work.blank() if stage != "train" else ([], False))
        )


def explain(asked: Asked, options: Options) -> terminal.Outcome:
    """Explain a network of the user's: from its photographs to scores, tables, figures and a page."""
    read, said = profile_of(asked)
    for line in said:
        say(terminal.console(), f"note: {line}")
    return profile("all", read, options)


def check(asked: Asked, options: Options) -> None:
    """Say how a network of the user's and its photographs are read, and draw one photograph."""
    from bench.explaining import checking  # noqa: PLC0415  (what draws takes seconds to import)

    read, said = profile_of(asked)
    for line in (*said, *checking.lines(read, options.out, device_of(options.device))):
        typer.echo(wrapped(line, columns(sys.stdout), "  "))


def time(store: Store, device: str, console: Console, *, wait: bool) -> None:
    """Time segcam against other tools."""
    from bench.timing import run as timing  # noqa: PLC0415  (as above)

    with store.writing(wait=wait, tell=terminal.teller(console)):
        if store.path(MANIFEST).exists():
            store.manifest()  # a damaged one is told before minutes of timing
        written = timing.run(store, device_of(device), console)
    console.print(timing.summary(store))
    terminal.tell_files(console, store.out, written)


@contextmanager
def _begun(read: profiles.Profile, options: Options) -> Iterator[Run]:
    """Prepare a run whose cells are done as the command line says."""
    with start(read, options) as work, executing(work, options.choice, options.root, "all"):
        yield work


def known_evidence(profile: str | None, settings: list[str], options: Options, console: Console) -> None:
    """Train on scenes whose evidence is known, measure which maps find it, and say where the networks do not use it."""
    from bench import campaign  # noqa: PLC0415  (as above)

    read = campaign.profiles_of(profile or campaign.PROFILE, settings)
    store = Store(options.out or Path("runs") / next(iter(read.values())).name)
    with store.writing(wait=options.wait, tell=terminal.teller(console)):
        written = campaign.run(store, read, lambda one, folder: _begun(one, replace(options, out=folder)))
    console.print(campaign.summary(store))
    terminal.tell_files(console, store.out, written)
    if untold := campaign.untold(store):
        say(console, f"not told apart, so that their maps tell nothing: {'; '.join(untold)}")
    if not campaign.learned(store):
        raise typer.Exit(1)
