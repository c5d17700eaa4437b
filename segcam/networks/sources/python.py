"""A function of the user's own, in a file or in a package, that builds the network."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from segcam.errors import InputError, first_line, out_of_memory, unknown
from segcam.files import plain_file, user_path
from segcam.networks.sources import SOURCES, Built, Request, Source

SUFFIX = ".py"
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
EXAMPLE = "my_nets.py:build"
_imported: set[str] = set()
"""Names of the modules that were imported from beside a network's file."""


def split(text: str) -> tuple[str, str]:
    """Return the file or module, and the function, of a source.

    >>> split("nets/mine.py:build"), split("mine.nets:build"), split("mine.py")
    (('nets/mine.py', 'build'), ('mine.nets', 'build'), ('mine.py', ''))
    """
    if text.endswith(SUFFIX):
        return text, ""
    place, _, function = text.rpartition(":")
    return place, function


def _takes(text: str) -> bool:
    place, function = split(text)
    return place.endswith(SUFFIX) or bool(DOTTED.fullmatch(place) and DOTTED.fullmatch(function))


def _build(request: Request) -> Built:
    place, function = split(request.name)
    if place.endswith(SUFFIX):
        path = user_path(place, "the file of the network")
        with _importable(path.parent), _beside(path.parent):
            return _called(_of_file(path), str(path), function, request)
    with _importable(Path.cwd()):
        return _called(_of_package(place), f"module {place}", function, request)


def _called(module: ModuleType, where: str, name: str, request: Request) -> Built:
    """Return what the function gives."""
    made = _found(module, where, name)
    if isinstance(made, nn.Module):
        if request.arguments:
            raise InputError(f"'{name}' of {where} is a network already: leave out its arguments, or name a function")
    else:
        _check_arguments(made, f"{where}:{name}", request.arguments)
        try:
            made = made(**request.arguments)
        except (Exception, SystemExit) as error:
            raise _raised(error, f"{where}:{name}", module) from error
    if not isinstance(made, nn.Module):
        raise InputError(
            f"{where}:{name} returns {_kind(made)}: a torch.nn.Module is needed; let the function return the network "
            "alone"
        )
    facts = {"function": name}
    if module.__file__:
        file = Path(module.__file__)
        facts |= {"file": str(file), "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    return Built(made, facts=facts)


def _kind(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(type(one).__name__ for one in value) or 'nothing'}"
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules that lie in a folder be imported, as if Python had been started there."""
    text = str(folder.resolve())
    sys.path.insert(0, text)
    try:
        yield
    finally:
        if text in sys.path:
            sys.path.remove(text)


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Import modules that lie in a folder anew, although another network's file has one of the same name beside it."""
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    for name in [name for name in _imported if name.partition(".")[0] in names]:
        sys.modules.pop(name, None)
        _imported.discard(name)
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in sys.modules.keys() - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).resolve().is_relative_to(folder.resolve()):
                _imported.add(name)


def _of_file(path: Path) -> ModuleType:
    plain_file(path, "the file of the network")
    path = path.resolve()
    name = f"segcam_network_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # as the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # what the file defines looks for its module there: dataclasses, pickle
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _raised(error, f"{path}", module) from error
    return module


def _of_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            near = difflib.get_close_matches(name, SOURCES.names(), n=1)
            cure = (
                f"did you mean '{near[0]}:'?"
                if near
                else f"correct its name, install its package, or name a file, {EXAMPLE}"
            )
            raise InputError(f"there is no module '{name}' ('{error.name}' is not found): {cure}") from error
        raise _raised(error, f"module {name}", None) from error
    except (Exception, SystemExit) as error:
        raise _raised(error, f"module {name}", None) from error


def _raised(error: BaseException, where: str, module: ModuleType | None) -> InputError:
    """Return the error for the user's own code that failed: its message, and the line.

    Raises:
        MemoryError: or whatever says that memory could not be had.
    """
    if out_of_memory(error):
        raise error
    lines = list(traceback.extract_tb(error.__traceback__))
    own = module.__file__ if module is not None else None
    frame = next((f for f in reversed(lines) if own and f.filename == own), None)
    last = next((f for f in reversed(lines) if "importlib" not in f.filename), None)
    if isinstance(error, SyntaxError) and error.filename:
        at = f" ({Path(error.filename).name}, line {error.lineno})"
    else:
        shown = frame or (last if last and last.filename != __file__ else None)
        at = f" ({Path(shown.filename).name}, line {shown.lineno})" if shown else ""
    if isinstance(error, SystemExit):
        said = "ends the program: put what is to run as a script under if __name__ == '__main__'"
        return InputError(f"{where} {said}{at}")
    message = error.msg if isinstance(error, SyntaxError) else first_line(error)  # type: ignore[arg-type]
    return InputError(f"{where} raises {type(error).__name__}: {message}{at}")


def _found(module: ModuleType, where: str, name: str) -> Any:
    """Return what a name stands for in a module.

    Raises:
        InputError: nothing that can be called; names the nearest that can.
    """
    value: Any = module
    own = [
        key
        for key, one in vars(module).items()
        if not key.startswith("_") and callable(one) and getattr(one, "__module__", None) == module.__name__
    ]
    if not name:
        near = f"{where}:{own[0]}" if len(own) == 1 else EXAMPLE
        raise InputError(f"{where}: name the function that builds the network, {near}; it has {_listed(own)}")
    for part in name.split("."):
        if not hasattr(value, part):
            if value is not module:
                raise InputError(f"{where}: there is no '{name}': correct the name behind the colon")
            raise _no_function(where, name, own)
        value = getattr(value, part)
    if not callable(value):
        raise InputError(f"'{name}' of {where} is {_kind(value)}: name a function that builds the network")
    return value


def _listed(names: list[str], most: int = 8) -> str:
    return (", ".join(names[:most]) + (", ..." if names[most:] else "")) or "none"


def _no_function(where: str, name: str, own: list[str]) -> InputError:
    near = difflib.get_close_matches(name, own, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return InputError(f"{where} has no function '{name}': it has {_listed(own)}{hint}")


def _check_arguments(function: Any, where: str, arguments: Any) -> None:
    """See that a function takes the arguments that are given, and needs no others.

    Raises:
        InputError: it does not; names them.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return  # some written in C do not say
    kinds = inspect.Parameter
    named = {n: p for n, p in parameters.items() if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    takes_any = any(p.kind is kinds.VAR_KEYWORD for p in parameters.values())
    for name in arguments:
        if name not in named and not takes_any:
            raise InputError(
                f"{where}: {unknown('argument', name, named)}" if named else f"{where} takes no argument '{name}'"
            )
    unnamed = [p.name for p in parameters.values() if p.kind is kinds.POSITIONAL_ONLY and p.default is kinds.empty]
    if unnamed:
        raise InputError(f"{where} takes '{unnamed[0]}' by its place alone: let it take it by name")
    lacking = [n for n, p in named.items() if p.default is kinds.empty and n not in arguments]
    if lacking:
        given = " ".join(f"--arg {name}=VALUE" for name in lacking)
        table = ", ".join(f"{name!r}: ..." for name in lacking)
        raise InputError(
            f"{where} takes {', '.join(map(repr, lacking))}, and {'it was' if len(lacking) == 1 else 'they were'} not "
            f"given: say {given}, in Python arguments={{{table}}}"
        )


SOURCES.add(
    Source(
        name="python",
        form="FILE.py:FUNCTION | package.module:FUNCTION",
        summary="a function that returns the network; called with the arguments by name",
        build=_build,
        takes=_takes,
    )
)
