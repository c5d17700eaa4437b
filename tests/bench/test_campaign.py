"""The stage `evidence`: what it measures where the answer is known beforehand; a run of seconds, gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from bench import campaign
from bench.measurements.evidence import ORACLE, REGIONS, EvidenceScorer, SceneBatch, right_share
from bench.planning import profile as profiles
from bench.planning.profile import Score
from bench.planning.request import Request
from segcam import Probe, Target, grad_cam
from segcam.datasets import DatasetOptions
from segcam.datasets.drawn.cues import CUES
from segcam.datasets.scenes_cues import CueSplit, open_cues
from segcam.methods import METHODS
from segcam.models import create
from segcam.models.weights.checkpoints import load
from segcam.probe.layers import Layer
from tests.bench.harness import Outcome, bench, contents, manifest
from tests.reference.metrics import TWINS, Scene

TINY = """
summary = "for tests"

[data]
dataset = "scenes_shape"
size = 32
train = 16
val = 4
test = 6

[models.unet_he]
width = 2

[train]
levels = ["best"]
initial_answer = "random"
steps = 4
batch_size = 4
learning_rate = 0.01
save_every = 0
precision = "fp32"

[score]
targets = ["truth:contrast", "predicted:logit"]
methods = ["grad_cam", "layer_cam", "uniform", "sobel", "mask_oracle", "activation", "captum_saliency", "score_cam"]
own_pass_images = 2
own_pass_targets = ["truth:contrast"]
batch_size = 4

[score.parameters.score_cam]
channels = 2

[figures]
dpi = 50
"""
TABLES = ("known_evidence", "known_evidence_networks", "known_evidence_summary")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("profile") / "tiny_evidence.toml"
    file.write_text(TINY)
    return file


def start(profile: Path, folder: Path, *settings: str) -> Outcome:
    changes = [part for setting in settings for part in ("--set", setting)]
    return bench("run", "evidence", "-p", profile, "--out", folder, "--device", "cpu", *changes)


@pytest.fixture(scope="module")
def run(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, of networks that learnt nothing; look, do not touch."""
    folder = tmp_path_factory.mktemp("evidence") / "out"
    outcome = start(profile, folder)
    assert outcome.code == 1, "a run whose networks tell nothing apart does not pass for a good one"
    assert "not told apart, so that their maps tell nothing: shape, unet_he, seed 0" in outcome.err
    return folder


@pytest.fixture(scope="module")
def rows(run: Path) -> pd.DataFrame:
    return pd.concat(
        [pd.read_parquet(file) for file in sorted((run / "scores" / "evidence").iterdir())], ignore_index=True
    )


def opened(cue: str, count: int, size: int) -> CueSplit:
    split = open_cues(cue, DatasetOptions(size=size, counts=(2, 2, count))).splits["test"]
    assert isinstance(split, CueSplit)
    return split


class BallNetwork(nn.Module):
    """A network that is known to look at the ball: it calls every pixel after the ball's colour, wherever that lies.

    Its one layer holds how pink (channel 0) and how green (1) each place is, beyond what animals and grounds are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Conv2d(3, 2, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225])
        with torch.no_grad():
            weights = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 0.5, 0.5]]) * deviation
            self.colour.weight.copy_(weights[:, :, None, None])
            self.colour.bias.copy_(torch.tensor([0.485 - 0.456, 0.5 * (0.456 + 0.406) - 0.485]) - 0.25)

    def forward(self, images: Tensor) -> Tensor:
        found = self.colour(images).relu().sum((2, 3), keepdim=True).expand(-1, -1, *images.shape[2:])
        return torch.cat([torch.zeros_like(found[:, :1]), found], 1)


@pytest.fixture(scope="module")
def known() -> dict[str, pd.DataFrame]:
    """What is measured of a network that uses the ball: its maps, and its answers."""
    model = BallNetwork()
    settings = Score(targets=("truth:contrast",), methods=("grad_cam", "mask_oracle"), batch_size=8)
    tools = Request(
        targets=(Target.parse("truth:contrast"),),
        layers=(Layer(module="colour", label="Colour", stride=1),),
        methods=tuple(METHODS.get(name) for name in ("grad_cam", "uniform", "mask_oracle")),
        metrics=(),
    )
    scorer = EvidenceScorer(model, tools, settings, "ignore")
    tables = scorer.score(opened("context", 16, 64), range(16), lambda _images, _step: None, lambda _gap: None)
    return {name: pd.DataFrame(table) for name, table in tables.items()}


def test_a_network_that_uses_the_ball_is_found_to(known: dict[str, pd.DataFrame]) -> None:
    answers = known["answers"]
    assert answers["told"].mean() == 1
    assert answers["changed_by_context"].mean() == 1
    assert not answers[["changed_by_shape", "changed_by_texture"]].to_numpy().any()


def test_its_maps_are_found_on_the_ball(known: dict[str, pd.DataFrame]) -> None:
    mean = known["evidence"].groupby("method", observed=True).mean(numeric_only=True)
    assert mean.loc["grad_cam", "gain_context"] > 0.9
    assert mean.loc["grad_cam", ["gain_shape", "gain_texture", "gain_animal"]].max() < 0.1
    assert mean.loc["uniform", "gain_context"] == pytest.approx(0, abs=1e-5)
    assert mean.loc["mask_oracle", "gain_animal"] > 0.95
    assert mean.loc["mask_oracle", "gain_context"] < 0.05
    oracle = known["evidence"].query("method == @ORACLE")
    np.testing.assert_allclose(oracle["inside_context"], 1, atol=1e-5)


def test_the_share_told_of_an_animal() -> None:
    rng = np.random.default_rng(0)
    logits, masks = rng.normal(size=(3, 3, 4, 4)), rng.choice([0, 2, 255], (3, 4, 4)).astype(np.uint8)
    masks[0][masks[0] == 2] = 1
    found = right_share(torch.tensor(logits), (4, 4), torch.tensor(masks))
    for i in range(3):
        right = [
            logits[i, masks[i, y, x], y, x] > logits[i, 3 - masks[i, y, x], y, x]
            for y in range(4)
            for x in range(4)
            if masks[i, y, x] in (1, 2)
        ]
        assert found[i] == pytest.approx(np.mean(right), abs=1e-6)


def test_a_run_leaves_what_it_says(run: Path) -> None:
    assert {file.stem for file in (run / "tables").iterdir()} == set(TABLES)
    names = {file.name for file in (run / "figures").iterdir()}
    assert len(names) == (2 * 2 + 1) * 2, "two figures a target and one scene, as PNG and SVG"
    assert set(manifest(run)["variants"]) == set(CUES)
    for cue, variant in manifest(run)["variants"].items():
        assert variant["dataset"] == f"scenes_{cue}"
        assert variant["classes"] == ["background", *CUES[cue]]
        assert (variant["scored_images"], variant["costly_images"]) == (6, 2)
        assert [found["told_apart"] for found in variant["answers"]] == [False]
    captions = (run / "captions.md").read_text()
    for name in (*TABLES, *(Path(name).stem for name in names)):
        assert f"**{name}.**" in captions
    assert "Not told apart, and so no evidence of anything: shape, texture, context." in captions


def test_every_map_is_measured_on_every_region(rows: pd.DataFrame) -> None:
    assert not rows.duplicated(["cue", "scene", "target", "layer", "method"]).any()
    whole = rows[(rows["layer"] != "Input") & (rows["method"] != "score_cam")]
    assert len(whole) == 3 * 6 * 2 * 18 * 7, "cues, scenes, targets, layers, methods and the oracle"
    few = rows[(rows["layer"] == "Input") | (rows["method"] == "score_cam")]
    assert set(few["scene"]) == {0, 1}
    assert set(few["target"]) == {"truth:contrast"}
    assert {"captum_saliency", "score_cam", ORACLE, "sobel"} < set(few["method"])
    for region in REGIONS:
        defined = rows[f"inside_{region}"].notna()
        assert defined.mean() > 0.5
        area, inside = rows[f"area_{region}"], rows[f"inside_{region}"]
        wanted = (inside - area) / (1 - area)
        np.testing.assert_allclose(rows[f"gain_{region}"][defined], wanted[defined], atol=1e-4)
    areas = rows.groupby("scene", observed=True)[[f"area_{region}" for region in REGIONS]].nunique()
    assert (areas == 1).all(axis=None), "the same scenes, and the same evidence in them, whichever cue decides"


@pytest.mark.parametrize("cue", CUES)
def test_the_evidence_oracle_scores_best(rows: pd.DataFrame, cue: str) -> None:
    own = rows[(rows["cue"] == cue) & (rows["layer"] != "Input")]
    mean = own.groupby("method", observed=True)[f"inside_{cue}"].mean()
    assert mean.idxmax() == ORACLE
    fine = own[(own["method"] == ORACLE) & own["layer"].isin(["Encoder 1_1", "Encoder 1_2", "Decoder 1_2"])]
    np.testing.assert_allclose(fine[f"inside_{cue}"], 1, atol=1e-5)
    elsewhere = own[own["method"] == ORACLE][[f"gain_{other}" for other in CUES if other != cue]]
    assert elsewhere.mean().max() < 0.3, "evidence of one cue is none of another"


def test_numbers_are_those_of_the_slow_twins(rows: pd.DataFrame, run: Path) -> None:
    cue, i, label, compared = "texture", 3, "Encoder 2_1", 0
    (file,) = (run / cue / "checkpoints").iterdir()
    model = load(file)[0]
    tools = Request.of(profiles.read("evidence").score, "unet_he", model)
    case = SceneBatch.of(opened(cue, 6, 32), [i], torch.device("cpu"))
    target = Target.parse("truth:contrast", case.classes)
    capture = Probe(model, tools.layers)(case.batch.inputs(), target, masks=case.batch.masks)
    maps = capture.maps(grad_cam, label)[0].double().numpy()
    (row,) = rows[
        (rows["cue"] == cue)
        & (rows["scene"] == i)
        & (rows["layer"] == label)
        & (rows["method"] == "grad_cam")
        & (rows["target"] == "truth:contrast")
    ].to_dict("records")
    sides = {name: known.evidence for name, known in opened(cue, 6, 32).known(i).items()}
    for name, there in sides.items():
        scene = Scene(case.batch.luminance()[0].double().numpy(), there, ~there)
        wanted = TWINS["energy_inside"](maps, scene)
        assert row[f"inside_{name}"] == pytest.approx(wanted, abs=1e-3, nan_ok=True)
        compared += not np.isnan(wanted)
    assert compared == 3


def test_what_is_finished_is_not_done_again(run: Path, profile: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "out"))
    lost = folder / "scores" / "evidence" / "context-unet_he-s0-l100.parquet"
    lost.unlink()
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.suffix in (".parquet", ".safetensors")}
    before = {p: at for p, at in before.items() if p.name != "training.parquet" and "context" not in p.name}
    assert start(profile, folder).code == 1
    assert {p: p.stat().st_mtime_ns for p in before} == before
    parts = ("scores", "tables", "figures")
    assert contents(folder, *parts) == contents(run, *parts), "byte for byte"


def test_other_score_settings_leave_nothing_behind(run: Path, profile: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "out"))
    change = "score.methods=['grad_cam', 'uniform', 'sobel', 'mask_oracle']", "score.targets=['truth:contrast']"
    change += ("score.parameters={}",)
    assert start(profile, folder, *change).code == 1
    found = pd.concat([pd.read_parquet(file) for file in (folder / "scores" / "evidence").iterdir()])
    assert set(found["method"]) == {"grad_cam", "uniform", "sobel", "mask_oracle", ORACLE}
    assert not [name for name in contents(folder) if "costly" in name or "predicted-logit" in name]
    assert len(list((folder / "cells").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "data.dataset=scenes"), "runs its own data sets, scenes_shape, scenes_texture, scenes_context"),
        (("--set", "score.methods=['grad_cam']"), "lacks 'mask_oracle'"),
        (("--set", "score.methods=['grad_camm', 'mask_oracle']"), "grad_camm"),
        (("--set", "data.size=16"), "too small for stripes and spots"),
        (("--model", "unet_he"), "leave out --model"),
        (("--data-root", "."), "leave out --model, --data-root"),
        (("--set", "train.levels=[99]"), "'best'"),
    ],
    ids=lambda value: str(value[-1]) if isinstance(value, tuple) else "",
)
def test_wrong_settings(profile: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = bench("run", "evidence", "-p", profile, "--out", tmp_path / "out", "--device", "cpu", *arguments)
    assert outcome.code != 0
    assert message in outcome.error


def test_folders_are_not_mixed(run: Path, profile: Path, tmp_path: Path) -> None:
    before = contents(run)
    other = start(profile, run, "train.learning_rate=0.5")
    assert "holds another run: train.unet_he.learning_rate (0.01 there, 0.5 now)" in other.error
    for arguments in (("run", "report"), ("run", "all"), ("status",)):
        outcome = bench(*arguments, "-p", profile, "--out", run)
        assert "holds a run of the stage evidence: run evidence --out" in outcome.error
    (tmp_path / "manifest.json").write_text('{"schema": 1}')
    assert "holds a run of another kind" in start(profile, tmp_path).error
    assert contents(run) == before


def test_the_profile_is_taken_where_none_is_named() -> None:
    profile = profiles.read(campaign.PROFILE)
    assert profile.data.dataset.startswith("scenes_")
    assert "mask_oracle" in profile.score.methods


def test_upsampling_begins_as_strong_as_the_rest() -> None:
    """A signal in the deepest level alone arrives at the head stronger than with torch's own first weights."""
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    reach = {}
    for name in ("unet", "unet_he"):
        model = create(name, 3, {"width": 8}).eval()
        capture = Probe(model, "*", kind=nn.Conv2d)(images, Target(pixels="image"))
        deep = capture.layers[9].label
        reach[name] = float(capture.gradients[deep].norm())
        ups = [module.weight for module in model.modules() if isinstance(module, nn.ConvTranspose2d)]
        spread = [float(up.detach().std() * (up.shape[0] / 2) ** 0.5) for up in ups]
        assert all(0.9 < one < 1.1 for one in spread) == (name == "unet_he")
    assert reach["unet_he"] > 3 * reach["unet"]
