"""Runs tests in a process of its own, in which one file is imported as it was changed."""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutation.places import ROOT

PLUGINS = ("-p", "no:cacheprovider", "-p", "no:xdist")
NAMES = ("-o", "python_functions=test_*")  # not what a formula's own file calls `tested`
QUIET = ("-x", "-q", *PLUGINS, *NAMES, "--no-header", "--tb=no", "-m", "not slow and not real")
_KEPT: list[ModuleType] = []  # what a module holds outside of Python would vanish with it
EARLY = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # of what is loaded before pytest starts
MEMORY = 2**33
"""Bytes that a process may allocate: a changed formula may ask for any number."""
PACKAGES = ("segcam", "bench", "analyses")


class Changed(importlib.machinery.SourceFileLoader):
    """Imports a module from a changed tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree
        self.seen = False

    def get_code(self, fullname: str) -> CodeType:
        """Return the changed code, which is in no cache."""
        self.seen = True
        return compile(self._tree, self.path, "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the changed modules, before anything else does."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self.loaders = {_module(file): Changed(_module(file), str(ROOT / file), tree) for file, tree in trees.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find these alone."""
        loader = self.loaders.get(fullname)
        return None if loader is None else importlib.util.spec_from_file_location(fullname, loader.path, loader=loader)


class First:
    """A plugin of pytest: the finder goes before pytest's own, which imports what is named on its command line."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def pytest_collection(self) -> None:
        """Put it in front, behind all that pytest and its plugins have put there."""
        sys.meta_path.remove(self._finder)
        sys.meta_path.insert(0, self._finder)


def _module(file: str) -> str:
    parts = Path(file).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def share(tests: Sequence[str]) -> None:
    """Load what tests import of others, once before all forks."""
    from segcam._compat import mend_torchvision

    mend_torchvision()  # modules of the repository are forgotten again: each process is to load its own
    _KEPT.extend(sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in PACKAGES)
    for name in collected(tests):
        with suppress(Exception), warnings.catch_warnings(action="ignore"):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def collected(tests: Sequence[str]) -> list[str]:
    """Return the modules of others that are loaded once tests are collected, in their order."""
    context = multiprocessing.get_context("fork")
    answer, question = context.Pipe(duplex=False)
    process = context.Process(target=_collect, args=(tuple(tests), question))
    process.start()
    question.close()
    names: list[str] = answer.recv()
    process.join()
    return names


def _collect(tests: Sequence[str], answer: Connection) -> None:
    import pytest

    _enter()
    pytest.main(["--collect-only", *QUIET, *EARLY, *tests])
    ours = (*PACKAGES, "tests", "conftest", "__main__")
    answer.send([name for name in sys.modules if name.split(".")[0] not in ours])
    os._exit(0)


@dataclass
class Outcome:
    """What became of a run of tests.

    Attributes:
        status: 'passed', 'noticed' (a test failed), 'died', 'timed out', or 'not imported'.
        seconds: how long it took.
        unseen: the changed files that no test imported.
    """

    status: str
    seconds: float
    unseen: Sequence[str] = ()


class Running:
    """A process that runs tests."""

    def __init__(self, trees: Mapping[str, ast.Module], stages: Sequence[Sequence[str]], timeout: float) -> None:
        context = multiprocessing.get_context("fork")
        self._answer, answer = context.Pipe(duplex=False)
        self._process: ForkProcess = context.Process(target=_judge, args=(trees, stages, answer))
        self._start = time.monotonic()
        self._end = self._start + timeout
        self._process.start()
        answer.close()

    @property
    def sentinel(self) -> int:
        """What is ready once the process has ended."""
        return self._process.sentinel

    @property
    def left(self) -> float:
        """Seconds that it may go on."""
        return max(0.0, self._end - time.monotonic())

    def outcome(self) -> Outcome | None:
        """Return what became of it, and end it where it took too long; None while it runs."""
        self._process.join(0)
        if self._process.exitcode is None and self.left > 0:
            return None
        seconds = time.monotonic() - self._start
        if self._process.exitcode is None:
            self._kill()
            return Outcome("timed out", seconds)
        unseen: list[str] | None = None
        with suppress(EOFError):  # it ended without an answer
            unseen = self._answer.recv()
        self._kill()
        if unseen is None:
            return Outcome("died", seconds)
        if unseen:
            return Outcome("not imported", seconds, unseen)
        return Outcome("passed" if self._process.exitcode == 0 else "noticed", seconds)

    def stop(self) -> None:
        """End it before its time."""
        if self._process.exitcode is None:
            self._kill()

    def _kill(self) -> None:
        """End the process and those that its tests left behind; it leads a group of its own."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.join()
        self._answer.close()


def _enter() -> None:
    """Make a fork a process of its own, silent and bounded."""
    os.setsid()
    if loaded := [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        raise RuntimeError(f"{loaded[0]} was imported before the change, which would not be seen")
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most))
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(silent, stream)


def _judge(trees: Mapping[str, ast.Module], stages: Sequence[Sequence[str]], answer: Connection) -> None:
    import pytest
    from hypothesis import Phase, settings

    _enter()
    # As many examples, always the same ones; a failing one is not made smaller, nor kept for the next change.
    settings.register_profile("changed", database=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
    settings.load_profile("changed")
    finder = Finder(trees)
    sys.meta_path.insert(0, finder)
    passed = False
    for tests in stages:
        status = pytest.main([*QUIET, *EARLY, *tests], plugins=[First(finder)])
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            passed = False
            break
        passed |= status == pytest.ExitCode.OK
    # A change may end in an error before all files were imported: only where all passes must each have been.
    answer.send([name for name, loader in finder.loaders.items() if not loader.seen] if passed else [])
    answer.close()
    os._exit(0 if passed else 1)
