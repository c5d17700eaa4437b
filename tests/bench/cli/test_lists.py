"""Lists: whole to copy in any width, the same as JSON, and all of one by its name."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest

from bench.cli import lists
from tests.bench.harness import bench

KINDS = {
    "models": {"unet", "segformer", "timm_unet", "vit"},
    "methods": {"grad_cam", "uniform", "random", "sobel", "mask_oracle"},
    "metrics": {"energy_inside", "edge_alignment", "spread", "blank", "attention_distance"},
    "datasets": {"scenes", "oxford_pet", "folder"},
    "profiles": {"smoke", "quick", "pets", "paper"},
    "analyses": {"claims", "curves", "figure1"},
}


def rows(*arguments: str) -> list[dict[str, Any]]:
    listed = bench("list", *arguments, "--json")
    assert listed.code == 0, listed.err
    values: list[dict[str, Any]] = json.loads(listed.out)
    return values


def shown(columns: int | None, *arguments: str) -> list[str]:
    """The lines on a terminal of some columns, or None for a pipe."""
    with patch.object(lists, "columns", lambda _: columns):
        outcome = bench("list", *arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert "\x1b" not in outcome.out
    return outcome.out.splitlines()


@pytest.mark.parametrize("columns", [None, 80, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_each_has_a_line_and_a_whole_name(kind: str, columns: int | None) -> None:
    listed = rows(kind)
    assert len({tuple(row) for row in listed}) == 1, "all rows have the same keys"
    names = [row["name"] for row in listed]
    assert set(names) >= KINDS[kind]
    lines = shown(columns, kind)
    assert [line.split()[0] for line in lines if line and not line.startswith((" ", "All of one"))] == names
    assert max(map(len, lines)) <= (columns or 10_000)
    if columns is None:
        assert len(lines) == len(names), "a pipe gets the rows alone"
        key = "question" if kind == "analyses" else "summary"
        assert all(line.endswith(row[key]) for line, row in zip(lines, listed, strict=True)), "nothing is cut"
    else:
        assert lines[-1] == f"All of one: list {kind} NAME"


@pytest.mark.parametrize("columns", [None, 80, 40])
@pytest.mark.parametrize("network", ["unet", "segformer", "timm_unet:resnet18", "vit"])
def test_layers_are_listed_with_their_modules(network: str, columns: int | None) -> None:
    layers = rows("layers", network)
    assert layers == rows("layers", "--model", network)
    assert {row["name"] for row in layers} == {network}
    lines = shown(columns, "layers", network)
    for row in layers:
        assert [line for line in lines if line.startswith(row["label"])], row["label"]
        assert [line for line in lines if row["module"] in line.split()], "a path is copied, so it is whole"
    assert "…" not in "".join(lines)


def test_the_layers_of_unet_are_the_default() -> None:
    assert {"Encoder 1_1", "Decoder 1_2 ReLU"} <= {row["label"] for row in rows("layers")}
    (line,) = [line for line in shown(80, "layers") if line.startswith("Encoder 5_2  ")]
    assert "encoders.4.conv2" in line
    assert "stride 16" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("methods", "score_cam"), ("Score-CAM: ", "32 a layer", "channels = 32", "Wang et al.")),
        (("methods", "grad_cam"), ("gradient, cam", "layers", "1, shared", "Selvaraju et al., ICCV 2017")),
        (("methods", "captum_saliency"), ("the input's pixels",)),
        (("metrics", "edge_alignment"), ("Pearson correlation", "-1.0 to 1.0", "neither way", "scores")),
        (("metrics", "energy_gain"), ("fooled by", "one cell on the object 1", "on 32 px", "U-Net 90 % 0.63")),
        (("metrics", "attention_distance"), ("attention", "Mean distance from query to key")),
        (("models", "unet"), ('width = 64, norm = "batch"', "Ronneberger")),
        (("models", "segformer:b1"), ("segformer:SIZE",)),
        (("models", "unet@foreground-start"), ('width = 64, norm = "batch"', "Ronneberger")),
        (("datasets", "folder"), ("DIR/images/*", "needs --data-root  yes")),
        (("profiles", "smoke"), ("smoke.toml", "[models.unet]", "[score]")),
        (("analyses", "claims"), ("The paper's claims as tests",)),
    ],
)
def test_all_of_one(arguments: tuple[str, str], words: tuple[str, ...]) -> None:
    for columns in (None, 80, 40):
        lines = shown(columns, *arguments)
        text = " ".join(" ".join(lines).split())
        assert [word for word in words if " ".join(word.split()) not in text] == []
        assert "{" not in text.replace("{n}", ""), "no Python is shown"
        if columns and arguments[0] != "profiles":
            assert max(map(len, lines)) <= columns
    one = json.loads(bench("list", *arguments, "--json").out)
    assert one in rows(arguments[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("methods", "gradcam"), "unknown method 'gradcam': known are"),
        (("metrics", "energy_insid"), "did you mean 'energy_inside'?"),
        (("models", "unot"), "unknown model 'unot'"),
        (("models", "unet:b1"), "unknown model 'unet:b1'"),
        (("layers", "unot"), "unknown model 'unot'"),
        (("layers", ""), "unknown model ''"),
        (("layers", "--model", "unot"), "unknown model 'unot'"),
        (("layers", "unet", "--model", "vit"), "list layers unet does not use --model"),
        (("methods", "--model", "vit"), "list methods does not use --model"),
        (("datasets", "pets"), "unknown dataset 'pets'"),
        (("profiles", "quik"), "did you mean 'quick'?"),
        (("analyses", "claim"), "unknown analysis 'claim'"),
        (("colours",), "'colours' is not one of"),
        ((), "missing argument 'kind'"),
    ],
)
def test_what_is_not_there_is_refused(arguments: tuple[str, ...], words: str) -> None:
    assert words in bench("list", *arguments).refusal
