"""The dry run: what it says, and its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench.explaining.checking import draw
from segcam.samples import Sample
from tests.bench.explaining.material import explain


def told(place: Path, folder: Path, *more: object, source: str = "build", images: object = None) -> dict[str, str]:
    """Return what a dry run says, by the first word of each line."""
    outcome = explain(place, folder / "out", "--check", *more, source=source, images=images)
    assert outcome.code == 0, outcome.err
    assert [path.name for path in folder.iterdir()] == ["out-check.png"], "beside the run's folder, and nothing else"
    lines = [line for line in outcome.out.splitlines() if ": " in line]
    return {line.partition(": ")[0].strip(): line.partition(": ")[2] for line in lines}


def size_of(folder: Path) -> tuple[int, int]:
    """Return the width and height of the one picture in a folder."""
    (file,) = folder.iterdir()
    with Image.open(file) as picture:
        return picture.size


def test_what_is_said(place: Path, tmp_path: Path) -> None:
    more = ["--weights", place / "e10.pt", "--masks", place / "masks", "--names", "background,cat,dog"]
    said = told(place, tmp_path, *more)
    assert "96 parameters, weights sha256" in said["nets-build"]
    assert said["input"].startswith("3 photographs, brought to 32 x 32 (pad); RGB, mean 0.485, 0.456, 0.406")
    assert said["input"].endswith("(ImageNet's: the network does not say)")
    assert said["output"] == "3 x 16 x 16 (classes, rows, columns), read as logits"
    assert "1 cat" in said["classes"]
    assert "2 dog" in said["classes"]
    assert said["layers"] == "3 are probed"
    assert "1 cat" in said["masks"]
    assert said["explained"] == "cat, in 2 of 3 masks"
    assert size_of(tmp_path) == (1350, 510), "photograph, prediction and mask"


def test_a_class_in_no_mask_is_told(place: Path, tmp_path: Path) -> None:
    more = ["--arg", "classes=4", "--masks", place / "masks", "--names", "background,cat,dog,horse"]
    said = told(place, tmp_path, *more, "--classes", "horse")
    assert said["explained"] == "horse, in 0 of 3 masks"


def test_strides_and_places_of_layers(place: Path, tmp_path: Path) -> None:
    outcome = explain(place, tmp_path / "out", "--check")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "0 stride 2 encoder offset -0.5, -0.5 px" in lines
    assert "1 hand on what another gave" in lines


def test_strides_are_those_of_padded_images(place: Path, tmp_path: Path) -> None:
    outcome = explain(place, tmp_path / "out", "--check", "--preprocess", "multiple=60")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert [line for line in lines if line.startswith("0 stride 2 encoder offset +13.5")], outcome.out


def test_without_masks(place: Path, tmp_path: Path) -> None:
    said = told(place, tmp_path, images=place / "photos" / "both.png")
    assert said["masks"] == "none; what the network predicts stands for them"
    assert said["input"].startswith("1 photograph, ")
    assert size_of(tmp_path) == (900, 510), "no mask is drawn"


def test_wishes_of_the_user(place: Path, tmp_path: Path) -> None:
    wishes = ["--preprocess", "mean=[0.5,0.5,0.5]", "std=[0.25,0.25,0.25]", "order=bgr", "multiple=20"]
    said = told(place, tmp_path, *wishes)
    assert said["input"] == (
        "3 photographs, brought to 32 x 32 (pad), padded to multiples of 20; BGR, mean 0.5, 0.5, 0.5, "
        "std 0.25, 0.25, 0.25"
    )


def test_classes_that_overlap_are_all_looked_at(place: Path, tmp_path: Path) -> None:
    """Each stands against its own 0, whichever is asked about; the background's is above 0 everywhere."""
    said = told(place, tmp_path, "--names", "background,cat,dog", "--output", "multilabel", "--classes", "dog")
    shares = said["classes"].removeprefix("3; predicted in 3 photographs: ")
    assert shares.startswith("0 background 100.0 %, ")
    assert "1 cat " in shares
    assert "2 dog " in shares
    assert said["explained"] == "dog, in 1 of 3 predictions"


def test_one_class_everywhere_is_doubted(place: Path, tmp_path: Path) -> None:
    said = told(place, tmp_path, images=place / "photos" / "plain.png")
    assert said["classes"].endswith("0 class 0 100.0 %")
    outcome = explain(place, tmp_path / "out", "--check", images=place / "photos" / "plain.png")
    assert "one class is predicted everywhere: are these the right weights, mean and std?" in outcome.out


def test_one_logit(place: Path, tmp_path: Path) -> None:
    said = told(place, tmp_path, "--arg", "classes=1", "--names", "tumour")
    assert said["output"].startswith("1 x 16 x 16")
    assert "1 tumour" in said["classes"]


def test_half_precision_and_instance_norm(place: Path, tmp_path: Path) -> None:
    one, other = (explain(place, tmp_path / name, "--check", source=name).out for name in ("build", "half"))
    assert [line for line in one.splitlines() if line.startswith("classes")] == [
        line for line in other.splitlines() if line.startswith("classes")
    ]
    assert explain(place, tmp_path / "norm", "--check", "--arg", "norm=true").code == 0


def test_an_element_of_the_output(place: Path, tmp_path: Path) -> None:
    """By --output or --element, as the refusal says; the second one is the first one's negative."""
    first = told(place, tmp_path, "--output", "aux.0", source="Named")
    assert first == told(place, tmp_path, "--element", "aux.0", "--output", "logits", source="Named")
    assert first["classes"] != told(place, tmp_path, "--element", "aux.1", source="Named")["classes"]


def test_a_network_of_one_size(place: Path, tmp_path: Path) -> None:
    assert told(place, tmp_path, "--size", 40, source="fixed")["input"].startswith("3 photographs, brought to 40 x 40")


def test_colours_are_of_the_classes_that_are_there() -> None:
    sample = Sample("a", np.full((16, 16, 3), 90, np.uint8), np.zeros((16, 16), np.uint8))
    predicted = np.zeros((16, 16), np.uint8)
    predicted[4:8, 4:8] = 2
    figure = draw(sample, predicted, ["background", "cat", "dog"], masked=False)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["background", "dog"]
    photograph, prediction = (axes.images[0].get_array() for axes in figure.axes)
    assert (np.asarray(photograph) == 90).all()
    assert (np.asarray(prediction)[5, 5] != np.asarray(prediction)[0, 0]).any()
