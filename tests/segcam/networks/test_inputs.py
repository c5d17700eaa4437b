"""How networks want their images: in users' words, in files of libraries, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segcam.channels import MEAN, STD
from segcam.errors import InputError
from segcam.networks import NetworkInputs, read_inputs

IMAGENET: dict[str, Any] = {"mean": list(MEAN), "std": list(STD)}


def test_a_table_says_it_all() -> None:
    inputs = read_inputs({**IMAGENET, "size": [480, 640], "resize": "pad", "multiple": 32, "order": "BGR"})
    assert inputs.channels is not None
    assert (inputs.channels.mean, inputs.channels.std) == (MEAN, STD)
    assert (inputs.size, inputs.resize, inputs.multiple, inputs.bgr) == ((480, 640), "pad", 32, True)
    assert read_inputs(inputs) is inputs
    assert read_inputs({}) == NetworkInputs()
    assert read_inputs({"size": 96}).size == (96, 96)


@pytest.mark.parametrize(
    ("table", "mean", "std"),
    [
        ({"mean": [102, 204], "std": [51, 25.5], "range": [0, 255]}, (0.4, 0.8), (0.2, 0.1)),
        ({"mean": [0, 0.5], "std": [1, 0.5], "range": [-1, 1]}, (0.5, 0.75), (0.5, 0.25)),
        ({"mean": [0], "std": [1], "range": [0, 255]}, (0.0,), (1 / 255,)),
    ],
)
def test_mean_and_deviation_count_in_units_of_the_range(
    table: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    channels = read_inputs(table).channels
    assert channels is not None
    assert channels.mean == pytest.approx(mean)
    assert channels.std == pytest.approx(std)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"means": [0.5]}, "unknown key 'means'.*did you mean 'mean'"),
        ({"mean": [0.5]}, "mean is given without std"),
        ({"std": [0.5]}, "std is given without mean"),
        ({"range": [0, 255]}, "mean and std are needed beside range"),
        ({"order": "bgr"}, "mean and std are needed beside range or order"),
        ({"mean": 0.5, "std": 0.5}, "mean is 0.5: give a list of numbers"),
        ({"mean": [0.5, "a"], "std": [1, 1]}, "mean is .*give a list of numbers"),
        ({"mean": [0.5, float("nan")], "std": [1, 1]}, "mean is .*give a list of numbers"),
        ({"mean": [0.5, 0.5], "std": [0.2]}, "2 means and 1 deviations"),
        ({"mean": [0.5], "std": [0]}, "must be greater than 0"),
        ({"mean": [123.7] * 3, "std": [58.4] * 3}, r"lie outside 0 to 1: say range = \[0, 255\]"),
        ({**IMAGENET, "range": [0, 255]}, "are shares, and range says 0 to 255.*leave range out"),
        ({**IMAGENET, "range": [255, 0]}, r"range is \[255, 0\]: give the lowest and the highest"),
        ({**IMAGENET, "range": [255]}, r"range is \[255\]"),
        ({**IMAGENET, "order": "rbg"}, "unknown order of channels 'rbg': known are bgr, rgb"),
        ({"mean": [0.5] * 4, "std": [0.5] * 4, "order": "bgr"}, "order 'bgr' is of three channels, and the mean has 4"),
        ({"size": "big"}, "size is 'big': give one whole number"),
        ({"size": [1, 2, 3]}, r"size is \[1, 2, 3\]"),
        ({"size": 0}, "two whole numbers from 1"),
        ({"size": True}, "size is True"),
        ({"resize": "crop"}, "unknown way to resize 'crop': known are none, pad, squash"),
        ({"multiple": 0}, "multiple 0 of a network's inputs: a whole number from 1"),
        ({"multiple": 32.0}, "multiple 32.0"),
    ],
)
def test_what_cannot_be_is_one_error(table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_inputs(table)
    assert str(caught.value).startswith("inputs: ")
    assert "\n" not in str(caught.value)


def test_what_a_table_does_not_say_is_as_before() -> None:
    base = read_inputs({**IMAGENET, "order": "bgr", "size": 96, "resize": "pad", "multiple": 16})
    assert read_inputs({}, base) == base
    changed = read_inputs({"size": [64, 32], "multiple": 8}, base)
    assert (changed.size, changed.multiple) == ((64, 32), 8)
    assert (changed.channels, changed.bgr, changed.resize) == (base.channels, True, "pad")
    half = read_inputs({"mean": [0.5] * 3, "std": [0.5] * 3, "order": "rgb"}, base)
    assert half.channels == read_inputs({"mean": [0.5] * 3, "std": [0.5] * 3}).channels
    assert (half.bgr, half.size) == (False, (96, 96))


def test_other_values_are_refused() -> None:
    with pytest.raises(InputError, match="inputs are a list: give a table"):
        read_inputs([1, 2])  # type: ignore[arg-type]


@pytest.mark.parametrize("under", ["", "[inputs]\n"])
def test_toml_is_read(tmp_path: Path, under: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"{under}mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\nmultiple = 16\n")
    assert read_inputs(file) == read_inputs({"mean": [0.5] * 3, "std": [0.5] * 3, "multiple": 16})
    file.write_text("mean = [")
    with pytest.raises(InputError, match=r"mine\.toml cannot be read"):
        read_inputs(file)
    file.write_text("colour = 1")
    with pytest.raises(InputError, match=r"mine\.toml: unknown key 'colour'"):
        read_inputs(file)


PROCESSORS: dict[str, tuple[dict[str, Any], NetworkInputs]] = {
    "segformer": (
        {"do_normalize": True, "image_mean": MEAN, "image_std": STD, "size": {"height": 512, "width": 640}},
        NetworkInputs((512, 640), "squash", channels=read_inputs(IMAGENET).channels),
    ),
    "of its first years": (
        {"do_normalize": True, "image_mean": MEAN, "image_std": STD, "size": 512, "do_resize": True},
        NetworkInputs((512, 512), "squash", channels=read_inputs(IMAGENET).channels),
    ),
    "not resized": (
        {"do_normalize": True, "image_mean": MEAN, "image_std": STD, "size": 512, "do_resize": False},
        NetworkInputs(channels=read_inputs(IMAGENET).channels),
    ),
    "mask2former": (
        {
            "image_processor_type": "Mask2FormerImageProcessor",
            "image_mean": MEAN,
            "image_std": STD,
            "size": {"shortest_edge": 800, "longest_edge": 1333},
            "size_divisor": 32,
        },
        NetworkInputs((800, 800), "pad", 32, read_inputs(IMAGENET).channels),
    ),
    "mobilevit, which flips and does not normalise": (
        {"do_flip_channel_order": True, "do_center_crop": True, "crop_size": 256, "size": {"shortest_edge": 288}},
        NetworkInputs((256, 256), "squash", 1, read_inputs({"mean": [0] * 3, "std": [1] * 3}).channels, bgr=True),
    ),
    "dpt": (
        {
            "do_normalize": True,
            "image_mean": 0.5,
            "image_std": 0.5,
            "size": {"height": 384, "width": 384},
            "keep_aspect_ratio": True,
            "ensure_multiple_of": 32,
        },
        NetworkInputs((384, 384), "pad", 32, read_inputs({"mean": [0.5] * 3, "std": [0.5] * 3}).channels),
    ),
    "bytes": (
        {"do_rescale": False, "do_normalize": False, "do_resize": False},
        NetworkInputs(channels=read_inputs({"mean": [0] * 3, "std": [1] * 3, "range": [0, 255]}).channels),
    ),
    "another scale": (
        {"do_normalize": True, "rescale_factor": 1 / 127.5, "image_mean": [1] * 3, "image_std": [1] * 3},
        NetworkInputs(channels=read_inputs({"mean": [0.5] * 3, "std": [0.5] * 3}).channels),
    ),
    "timm": (
        {"architecture": "x", "pretrained_cfg": {"input_size": [3, 224, 256], "mean": MEAN, "std": STD}},
        NetworkInputs((224, 256), "squash", channels=read_inputs(IMAGENET).channels),
    ),
    "bgr of bytes": (
        {"mean": [104, 117, 123], "std": [1, 1, 1], "input_range": [0, 255], "input_space": "BGR"},
        read_inputs({"mean": [104, 117, 123], "std": [1, 1, 1], "range": [0, 255], "order": "bgr"}),
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_files_of_libraries_are_read(name: str, tmp_path: Path) -> None:
    config, wanted = PROCESSORS[name]
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps(config))
    for given in (file, str(file), tmp_path):
        found = read_inputs(given)
        assert (found.size, found.resize, found.multiple, found.bgr) == (
            wanted.size,
            wanted.resize,
            wanted.multiple,
            wanted.bgr,
        )
        assert found.channels is not None
        assert wanted.channels is not None
        assert found.channels.mean == pytest.approx(wanted.channels.mean)
        assert found.channels.std == pytest.approx(wanted.channels.std)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "names with values are needed"),
        ("{", "cannot be read"),
        ('{"model_type": "x"}', "says nothing of a network's inputs"),
        ('{"do_normalize": true}', "names no image_mean"),
        ('{"do_normalize": false, "rescale_factor": 0}', "rescale_factor is 0"),
    ],
)
def test_files_that_say_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "preprocessor_config.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_inputs(file)
    with pytest.raises(InputError, match="does not exist"):
        read_inputs(tmp_path / "absent.json")
    with pytest.raises(InputError, match=r"holds no preprocessor_config\.json"):
        read_inputs(tmp_path.parent)
