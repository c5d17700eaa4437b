"""What `explain` cannot do is one clear error, and nothing is half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.bench.explaining.material import explain


@pytest.fixture
def refused(place: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Call `explain` and return its refusal; the folder of the results must not be there."""

    def call(*more: object, source: str = "build", images: object = None) -> str:
        out = tmp_path / "results" / "out"
        options = [part.format(place=place, tmp=tmp_path) if isinstance(part, str) else part for part in more]
        refusal = explain(place, out, *options, source=source, images=images).refusal
        assert not out.exists(), "nothing is half-written"
        return refusal

    return call


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("buidl", "has no function 'buidl': it has Named, build, half, needs, fixed, nothing, broken; did you mean"),
        ("needs", "takes 'width', and it was not given: say --arg width=VALUE"),
        ("nothing", "returns an int: a torch.nn.Module is needed"),
        ("broken", "raises KeyError: 'lost' (nets.py, line "),
        ("no.py:build", "no.py does not exist"),
        ("fixed", "fails on images of 3 channels and 32 x 32, 64 x 64"),
        ("torchvision:deeplab", "unknown segmentation network of torchvision 'deeplab': known are"),
        ("Named", "its elements are 'aux.0' (1, 3, "),
    ],
)
def test_networks(refused, source: str, words: str) -> None:  # type: ignore[no-untyped-def]
    assert words in refused(source=source)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arg", "clases=3"], "unknown argument 'clases': known are classes, norm; did you mean 'classes'?"),
        (["--arg", "classes"], "write it as name=value"),
        (["--arg", "classes=5", "--weights", "{place}/e05.pt"], "do not fit Sequential: 2 of another shape"),
        (["--weights", "{place}/e99.pt"], "e99.pt does not exist"),
        (["--weights", "{place}/e05.pt", "{place}/e99.pt"], "networks.nets-build: the file of pretrained weights"),
        (["--weights", "{place}/nets.py"], "nets.py cannot be read"),
        (["--names", "background,cat,dog,cow"], "4 classes are named (background, cat, dog, ...), and the output of"),
        (
            ["--names", "background,cat,dog", "--classes", "catt"],
            "unknown class 'catt': known are background, cat, dog",
        ),
        (["--classes", "a,b,c,d"], "the network has 3 classes whose names are not known: name all of them"),
        (["--classes", "7"], "unknown class '7'"),
        (["--classes", "1,1"], "names class 1 twice"),
        (["--classes", "1,{{0, 1, 2}}", "--check"], "the set 'class 0+class 1+class 2' holds all its 3 classes"),
        (["--classes", "{{1, 2"], "write a set that counts as one class as '{cat, dog}'"),
        (["--metric", "energy_inside"], "--metric energy_inside measures against masks: add --masks FOLDER"),
        (["--metric", "energy"], "unknown metric 'energy': known are"),
        (["--masks", "{tmp}/nowhere"], "nowhere does not exist: name it with --masks"),
        (["--masks", "{place}/photos/red.png"], "is no folder: name it with --masks"),
        (["--weights", "{place}/e05.pt", "{place}/e10.pt", "--level", "one"], "1 names for 2 files of weights"),
        (["--weights", "{place}/e05.pt", "{place}/e10.pt", "--level", "a", "a"], "each may be named once"),
        (["--weights", "{place}/e05.pt", "{place}/e05.pt"], "each may be named once"),
        (["--level", "a", "b"], "2 names for 0 files of weights"),
        (["--level", "epoch {{n}}"], "there are no weights: name files of weights"),
        (["--layers", "9"], "the network has no module '9'"),
        (["--layers", "zz*"], "no module matches 'zz*'"),
        (["--most-layers", "few"], "--most-layers 'few': a number of layers is needed, or 'all'"),
        (["--output", "logit"], "no element 'logit'"),
        (["--output", "probabilities"], "its values lie from "),
        (
            ["--output", "logit", "--element", "aux"],
            "--output 'logit' means nothing: with --element it is one of logits",
        ),
        (["--preprocess", "mean=1"], "mean is given without std"),
        (["--preprocess", "meen=[1,1,1]"], "unknown key 'meen'"),
        (["--preprocess", "{tmp}/no.json"], "no.json does not exist"),
        (["--size", "3"], "key 'data.size' is 3"),
        (["--size", "0"], "size (0, 0) of a network's inputs"),
        (["--out", "{place}/nets.py/out", "--check"], "nets.py: File exists; choose another folder with --out"),
        (["--resize", "crop"], "'crop'"),
        (["--name", "two\nlines"], "give it in one line"),
        (["--set", "score.x=1"], "unknown key of section [score] 'x'"),
    ],
)
def test_options(refused, options: list[str], words: str) -> None:  # type: ignore[no-untyped-def]
    assert words in refused(*options)


def test_a_level_without_a_number(place: Path, refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shutil.copy(place / "e05.pt", tmp_path / "best.pt")
    told = refused("--weights", tmp_path / "best.pt", "--level", "epoch {{n}}")
    assert f"it asks for the number in a file's name, and '{tmp_path / 'best.pt'}' has none" in told


def test_weights_of_nan(place: Path, refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    weights = torch.load(place / "e05.pt")
    weights["0.weight"] *= float("nan")
    torch.save(weights, tmp_path / "nan.pt")
    assert "tensor '0.weight' holds NaN or infinity" in refused("--weights", tmp_path / "nan.pt")


@pytest.mark.parametrize(
    ("value", "words"),
    [(3, "holds 3: not declared"), (255, "where that is the class 'class 1', say so in classes.toml")],
)
def test_masks_of_other_values(place: Path, refused, tmp_path: Path, value: int, words: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "masks").mkdir()
    for file in (place / "masks").iterdir():
        mask = np.array(Image.open(file))
        mask[mask > 0] = value
        Image.fromarray(mask).save(tmp_path / "masks" / file.name)
    assert words in refused("--masks", tmp_path / "masks")


def test_folders_of_no_use(place: Path, refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    assert "holds no photograph" in refused(images=tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_text("x")
    assert "a.png is damaged" in refused(images=tmp_path / "empty")
    assert "nowhere does not exist: name it with --images" in refused(images=tmp_path / "nowhere")
    assert "plain.png" in refused("--masks", tmp_path / "empty")


def test_a_folder_that_holds_other_files(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert "holds files but no run (mine.txt)" in explain(place, tmp_path).refusal
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert "choose another folder with --out" in explain(place, tmp_path / "mine.txt").error
