"""Functions of the user's own: found, called with what is given, and told of with their own message and line."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from segcam.errors import InputError
from segcam.networks import open_network

Write = Callable[[str], str]
pytestmark = pytest.mark.filterwarnings("ignore:network .* has random weights")

GOOD = """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class Options:
    width: int = 4

def build(classes, width=4):
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(width, classes, 1))

def build_two(*, depth: int):
    return nn.Conv2d(3, 2, 1)

class Net(nn.Conv2d):
    def __init__(self, classes=2):
        super().__init__(3, classes, 1)

    @classmethod
    def large(cls):
        return cls(5)

class Holder:
    class inner:
        build = Net

def loose(**settings):
    return nn.Conv2d(3, settings["classes"], 1)

def fails(classes=3):
    layers = [3, 4]
    return nn.Conv2d(3, layers[classes], 1)

def ends():
    raise SystemExit(3)

def several():
    return nn.Conv2d(3, 2, 1), 4

def nothing():
    nn.Conv2d(3, 2, 1)

def scripted():
    return torch.jit.script(nn.Conv2d(3, 2, 1))

def by_place(classes, /):
    return nn.Conv2d(3, classes, 1)

network = nn.Conv2d(3, 6, 1)
number = 3
"""
FAILS = GOOD.splitlines().index("    return nn.Conv2d(3, layers[classes], 1)") + 1


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "my_nets.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(
    ("function", "arguments", "classes"),
    [
        ("build", {"classes": 3}, 3),
        ("build", {"classes": 4, "width": 2}, 4),
        ("build_two", {"depth": 3}, 2),
        ("Net", {}, 2),
        ("Net", {"classes": 3}, 3),
        ("Net.large", {}, 5),
        ("Holder.inner.build", {}, 2),
        ("loose", {"classes": 7}, 7),
        ("network", {}, 6),
    ],
)
def test_functions_build(write: Write, function: str, arguments: dict[str, Any], classes: int) -> None:
    file = write(GOOD)
    own = open_network(f"{file}:{function}", arguments=arguments)
    assert len(own.classes) == classes
    assert own.name == f"my_nets.py:{function}"
    assert own.facts is not None
    assert own.facts["file_sha256"] == hashlib.sha256(Path(file).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("biuld", {}, "has no function 'biuld': it has .*did you mean 'build'"),
        ("Net.small", {}, "there is no 'Net.small'"),
        ("number", {}, "'number' of .* is an int: name a function"),
        ("", {}, "name the function that builds the network"),
        ("build", {}, "takes 'classes', and it was not given: say --arg classes=VALUE, in Python"),
        ("build", {"classes": 3, "widht": 2}, "unknown argument 'widht': known are classes, width; did you mean"),
        ("several", {"classes": 3}, "takes no argument 'classes'"),
        ("network", {"classes": 3}, "'network' of .* is a network already: leave out its arguments"),
        ("fails", {}, rf"fails raises IndexError: list index out of range \(my_nets.py, line {FAILS}\)"),
        ("ends", {}, "ends ends the program: .*__main__"),
        ("several", {}, "several returns a tuple of Conv2d, int: a torch.nn.Module is needed"),
        ("nothing", {}, "nothing returns None: a torch.nn.Module is needed"),
        ("by_place", {}, "takes 'classes' by its place alone"),
    ],
)
def test_what_is_wrong_is_one_error(write: Write, function: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_network(f"{write(GOOD)}:{function}", arguments=arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_scripted_says_what_to_do(write: Write) -> None:
    with pytest.raises(InputError, match=r"TorchScript.*network.load_state_dict"):
        open_network(f"{write(GOOD)}:scripted")


def test_a_file_alone_asks_for_the_function(write: Write) -> None:
    with pytest.raises(InputError, match=r"name the function that builds the network, .*my_nets\.py:make; it has make"):
        open_network(write("def make(): pass"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(:\n    pass", r"raises SyntaxError: .*\(my_nets.py, line 1\)"),
        ("\nimport no_such_module_at_all", r"ModuleNotFoundError: No module named .*\(my_nets.py, line 2\)"),
        ("1\n1 / 0", r"raises ZeroDivisionError: division by zero \(my_nets.py, line 2\)"),
        ("raise ValueError('first\\nsecond')", r"raises ValueError: first \(my_nets.py, line 1\)"),
        ("import sys\nsys.exit()", "ends the program: put what is to run as a script under if __name__"),
    ],
)
def test_files_that_fail_name_the_line(write: Write, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_network(f"{write(text)}:build")
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist: correct the path"):
        open_network(f"{tmp_path / 'absent.py'}:build")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        open_network(f"{tmp_path / 'folder.py'}:build")


def test_what_lies_beside_the_file_is_imported(write: Write, tmp_path: Path) -> None:
    write("from torch import nn\ndef head(): return nn.Conv2d(3, 2, 1)", "beside_my_nets.py")
    before = list(sys.path)
    text = "import beside_my_nets\ndef build():\n    import beside_my_nets as late\n    return late.head()"
    assert len(open_network(f"{write(text)}:build").classes) == 2
    assert sys.path == before
    del sys.modules["beside_my_nets"]


def test_each_file_has_the_modules_beside_it(tmp_path: Path) -> None:
    """Two networks whose files import modules of one name do not share them."""
    for folder, classes in (("a", 2), ("b", 5)):
        (tmp_path / folder / "parts_of_nets").mkdir(parents=True)
        (tmp_path / folder / "parts_of_nets" / "__init__.py").write_text("from .sizes import N")
        (tmp_path / folder / "parts_of_nets" / "sizes.py").write_text(f"N = {classes}")
        text = "from torch import nn\nfrom parts_of_nets import N\ndef build(): return nn.Conv2d(3, N, 1)"
        (tmp_path / folder / "net.py").write_text(text)
    for folder, classes in (("a", 2), ("b", 5), ("a", 2)):
        assert len(open_network(f"{tmp_path / folder / 'net.py'}:build").classes) == classes


def test_a_changed_file_is_read_again(write: Write) -> None:
    text = "from torch import nn\ndef build(): return nn.Conv2d(3, {}, 1)"
    assert len(open_network(f"{write(text.format(2))}:build").classes) == 2
    assert len(open_network(f"{write(text.format(13))}:build").classes) == 13


def test_functions_of_packages_build() -> None:
    own = open_network("torch.nn:Conv2d", arguments={"in_channels": 3, "out_channels": 2, "kernel_size": 1})
    assert isinstance(own.model, nn.Conv2d)
    with pytest.raises(InputError, match="there is no module 'no_such_package'"):
        open_network("no_such_package:build")
    with pytest.raises(InputError, match=r"there is no module 'torch\.no_such' "):
        open_network("torch.no_such:build")
    with pytest.raises(InputError, match=r"module torch\.nn has no function 'Conv9d'"):
        open_network("torch.nn:Conv9d")
