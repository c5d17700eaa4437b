"""`run timing` on small networks: numbers, figure and table, and what it says where a tool is absent."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from bench.output.store import Store
from bench.timing import memory, peers
from bench.timing import run as timing
from bench.timing.agreement import agreement
from bench.timing.cases import CASES, ready, small
from bench.timing.compare import Comparison, Ratio, Sides, Timed, ratio
from bench.timing.peers import PAIRS, SIDES, scaled
from tests.bench.harness import bench

CPU = torch.device("cpu")
FEW = [small(CASES[0]), small(CASES[2]), small(CASES[3])]
MEMORY = Comparison(
    "mine", "Mine", "a", "b", "bytes", lambda: Sides(lambda: 3.0, lambda: 2.0), quantity="memory", bar=1.25
)


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of timings of small networks, by the command line; look, do not touch."""
    folder = tmp_path_factory.mktemp("timed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "comparisons", lambda device: [*peers.comparisons(FEW, device), MEMORY])
        outcome = bench("run", "timing", "--out", folder, "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[-1].endswith(f" files in {folder}")
    return folder


def timed_again(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "comparisons", lambda device: [MEMORY])
        timing.run(Store(folder), CPU, Console(quiet=True))


def rows(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "timing.json").read_text())["rows"]


def test_every_pair_of_every_case_has_a_row(timed: Path) -> None:
    values = json.loads((timed / "timing.json").read_text())
    assert values["hardware"]["threads"] == torch.get_num_threads()
    assert values["hardware"]["device"] == "cpu"
    assert {"torch", "torchcam", "captum", "grad-cam"} <= values["versions"].keys()
    fast = [pair for pair in PAIRS if not SIDES[pair.theirs].slow]
    pairs = [(case.name, p.ours, p.theirs) for case in FEW for p in (PAIRS if case.slow_rounds else fast)]
    assert [(row["case"], row["ours"], row["theirs"]) for row in values["rows"]] == [*pairs, ("mine", "a", "b")]


def test_ratios_follow_from_the_rounds(timed: Path) -> None:
    measured = [row for row in rows(timed) if row["ratio"]]
    assert len(measured) > len(PAIRS)
    for row in measured:
        assert len(row["ours_values"]) == len(row["theirs_values"]) == row["ratio"]["rounds"] > 0
        assert min(*row["ours_values"], *row["theirs_values"]) > 0
        assert row["ratio"]["median"] == ratio(row["ours_values"], row["theirs_values"]).median
        assert row["met"] == (None if row["bar"] is None else row["ratio"]["median"] <= row["bar"])


def test_maps_of_all_tools_are_the_same(timed: Path) -> None:
    compared = [row for row in rows(timed) if row["agreement"] and "bf16" not in row["ours"]]
    assert {"torch-cam", "captum, a call a layer"} <= {row["theirs"] for row in compared}
    for row in compared:
        assert row["agreement"]["equal"], row
        assert row["agreement"]["blank"] == 0
        assert row["agreement"]["in_float64"] < 1e-9
    loose = [row["agreement"] for row in rows(timed) if "bf16" in row["ours"] and row["agreement"]]
    assert all(each["median"] > 1e-4 and each["pearson"] > 0.9 for each in loose)


def test_averaged_maps_are_not_compared(timed: Path) -> None:
    averaged = [row for row in rows(timed) if "averaged" in row["theirs"]]
    assert averaged
    assert all(not row["same"] and row["agreement"] is None and row["note"] for row in averaged)


def test_figure_and_table_are_drawn(timed: Path) -> None:
    with (timed / "tables" / "timing.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["ours"] for row in table] == [row["ours"] for row in rows(timed)]
    assert (timed / "figures" / "timing.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (timed / "figures" / "timing.svg").read_bytes()
    assert "**timing.**" in (timed / "captions.md").read_text()


def test_the_same_folder_is_timed_again(timed: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(timed, tmp_path / "again"))
    timed_again(again)
    assert [row["case"] for row in rows(again)] == ["mine"]
    assert "1.5" in (again / "tables" / "timing.csv").read_text()


def test_a_run_with_timings_draws_them(timed: Path, redrawn: Path) -> None:
    before = (redrawn / "captions.md").read_text()
    assert "timing" not in before
    (redrawn / "timing.json").write_bytes((timed / "timing.json").read_bytes())
    outcome = bench("run", "report", "--out", redrawn)
    assert outcome.code == 0, outcome.err
    assert (redrawn / "figures" / "timing.svg").is_file()
    assert "**timing.**" in (redrawn / "captions.md").read_text()


def test_a_runs_own_captions_are_left_alone(copied: Path) -> None:
    before = (copied / "captions.md").read_bytes()
    timed_again(copied)
    assert (copied / "captions.md").read_bytes() == before
    assert (copied / "figures" / "timing.png").is_file()


def test_absent_tools_are_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, side in SIDES.items():
        if side.package:
            monkeypatch.setitem(peers.SIDES, name, replace(side, package="no_such_package"))
    rows = [comparison.unmeasured() for comparison in peers.comparisons(FEW[:1], CPU)]
    assert len(rows) == len(PAIRS)
    for row in rows:
        assert row["note"] == "not installed: pip install .[peers]"
        assert row["ratio"] is row["met"] is row["agreement"] is None


def test_bf16_is_not_timed_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.timing.peers.precision", lambda *_: "fp32")
    assert "emulated" in SIDES["segcam, channels last, bf16"].unable(CPU)
    assert not SIDES["segcam, channels last"].unable(CPU)


@pytest.mark.parametrize(
    "more", [("--set", "train.seeds=[1]"), ("--profile", "pets"), ("--model", "unet"), ("--download",)]
)
def test_a_profile_means_nothing_to_it(more: tuple[str, ...], tmp_path: Path) -> None:
    outcome = bench("run", "timing", "--out", tmp_path / "out", *more)
    assert outcome.code == 2
    assert f"run timing does not use {more[0]}: leave it out" in outcome.error
    assert not (tmp_path / "out").exists()


def test_all_networks_are_right_for_all_tools() -> None:
    """Two of the tools read what an in-place module overwrote."""
    for case in FEW:
        prepared = ready(case, CPU)
        assert prepared.layers
        assert not any(getattr(module, "inplace", False) for module in prepared.model.modules())
        assert prepared.images.is_contiguous()
        assert not prepared.model.training
        assert all(parameter.requires_grad for parameter in prepared.model.parameters())
    weights = ready(FEW[0], CPU).channels_last.parameters()
    assert any(p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous() for p in weights)


def test_layers_without_a_grid_are_left_out() -> None:
    labels = [layer.label for layer in ready(FEW[1], CPU).layers]
    assert labels == [*(f"Mix-FFN dw-conv {s}_{b}" for s in (1, 2, 3, 4) for b in (1, 2)), "Decode head"]


def test_turns_are_taken_round_by_round() -> None:
    calls: list[str] = []
    ours, theirs = (Timed(lambda name=name: calls.append(name) or name, CPU) for name in ("ours", "theirs"))
    comparison = replace(MEMORY, prepare=lambda: Sides(ours, theirs), quantity="time")
    row = replace(comparison, rounds=3).measure(comparison.prepare())
    assert calls == ["theirs", "ours"] * 4  # the first of each is not counted
    assert len(row["ours_values"]) == len(row["theirs_values"]) == row["ratio"]["rounds"] == 3
    assert (ours.result, theirs.result) == ("ours", "theirs")
    calls.clear()
    replace(comparison, rounds=2).measure(comparison.prepare())
    assert calls == ["theirs", "ours"] * 2


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    assert ratio([1.0, 4.0, 3.0, 10.0, 5.0], [2.0, 2.0, 2.0, 2.0, 2.0]) == Ratio(2.0, 1.5, 2.5, 5)
    assert ratio([3.0], [2.0]) == Ratio(1.5, 1.5, 1.5, 1)
    with pytest.raises(ValueError, match="broadcast"):
        ratio([1.0, 1.0, 1.0], [1.0, 1.0])


def test_everything_is_compared_once() -> None:
    """And the allocator's bytes on a GPU alone."""
    names = [str(comparison) for comparison in timing.comparisons(CPU)]
    assert len(names) == len(set(names)) == 62
    more = memory.comparisons(memory.CASES, torch.device("cuda"))
    assert len(more) == 36
    assert sum(comparison.ours.endswith(", allocator") for comparison in more) == 18


def test_agreement_is_relative_to_each_maps_maximum() -> None:
    theirs = [torch.tensor([[[0.0, 10.0], [4.0, 2.0]], [[0.0, 0.1], [0.0, 0.0]]]), torch.zeros(2, 3, 3)]
    ours = [theirs[0].clone(), torch.zeros(2, 3, 3)]
    ours[0][0, 1, 0] += 1
    ours[0][1, 0, 1] += 1e-7
    found = agreement(ours, theirs)
    assert found.maps == 4
    assert found.blank == 0
    assert found.worst == pytest.approx(0.1, rel=1e-5)
    assert found.median == pytest.approx((0.1 + 1e-6) / 2, rel=0.1)
    assert found.close == 0.5
    assert not found.equal
    assert found.rank_worst == 1.0
    assert found.pearson_worst < 1


def test_blank_and_undefined_maps_are_no_match_for_others() -> None:
    one = torch.ones(1, 2, 2)
    for nothing in (torch.zeros(1, 2, 2), torch.full((1, 2, 2), math.nan)):
        assert agreement([nothing], [nothing]).blank == 0
        assert agreement([nothing], [one]).blank == agreement([one], [nothing]).blank == 1
        assert not agreement([nothing], [one]).equal
    assert agreement([one], [one]).equal


def test_rounding_of_their_own_is_allowed_for() -> None:
    one = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    one /= one.max()
    other = one.clone()
    other[0, 0, 0] += 1e-3
    assert not agreement([other], [one]).equal
    spread = [one.expand(3, 4, 4).clone()]
    spread[0][0, 0, 0] += 1e-3
    assert agreement(spread, [one.expand(3, 4, 4)], rounding=1e-3).equal
    assert not agreement(spread, [one.expand(3, 4, 4)], rounding=1e-4).equal


def test_scaled_maps_go_from_0_to_1_at_the_inputs_size() -> None:
    maps = torch.tensor([[[1.0, 3.0], [2.0, 5.0]]])
    found = scaled(maps, (6, 8))
    wanted = nn.functional.interpolate((maps[:, None] - 1) / 4, size=(6, 8), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert scaled(torch.zeros(1, 2, 2), (4, 4)).abs().max() == 0
