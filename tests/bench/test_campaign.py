"""The stage `evidence`: what it measures where the answer is known beforehand; a run of seconds, gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from analyses.reading.sealed import sealed
from bench import campaign
from bench.measurements.evidence import EvidenceScorer, right_share
from bench.measurements.evidence_faithfulness import AREAS
from bench.measurements.material.scene_batch import ORACLE, REGIONS, SceneBatch
from bench.output.publish import MOST_OF_TABLE
from bench.planning import profile as profiles
from bench.planning.measurement import quiet
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
from tests.bench.harness import bench, contents, manifest, run, tables
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
methods = [
  "grad_cam", "layer_cam", "hires_cam", "xgrad_cam", "element_wise",
  "uniform", "sobel", "mask_oracle", "activation", "captum_saliency", "score_cam",
]
metrics = ["energy_inside", "energy_gain", "spread"]
own_pass_images = 2
own_pass_targets = ["truth:contrast"]
batch_size = 4

[score.parameters.score_cam]
channels = 2

[evidence_faithfulness]
images = 2
layers = ["Encoder 1_2"]
steps = 2
samples = 3

[figures]
dpi = 50
"""
GRADIENT = ("grad_cam", "layer_cam", "hires_cam", "xgrad_cam", "element_wise")
TABLES = (
    *("known_evidence", "known_evidence_networks", "known_evidence_summary"),
    *("meta_evaluation", "meta_evaluation_layers", "meta_evaluation_planted"),
)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("profile") / "tiny_evidence.toml"
    file.write_text(TINY)
    return file


@pytest.fixture(scope="module")
def ran(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, of networks that learnt nothing; look, do not touch."""
    folder = tmp_path_factory.mktemp("evidence") / "out"
    outcome = run("evidence", profile, folder)
    assert outcome.code == 1, "a run whose networks tell nothing apart does not pass for a good one"
    assert "not told apart, so that their maps tell nothing: shape, unet_he, seed 0" in outcome.err
    assert "0 of 3 networks use their cue" in " ".join(outcome.err.split())
    return folder


@pytest.fixture(scope="module")
def rows(ran: Path) -> pd.DataFrame:
    return tables(ran, "evidence/*")


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
        logits = self.colour(images).relu().sum((2, 3), keepdim=True).expand(-1, -1, *images.shape[2:])
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)


@pytest.fixture(scope="module")
def ball() -> dict[str, pd.DataFrame]:
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
    tables = scorer.score(opened("context", 16, 64), range(16), quiet, quiet)
    return {name: pd.DataFrame(table) for name, table in tables.items()}


def test_a_network_that_uses_the_ball_is_found_to(ball: dict[str, pd.DataFrame]) -> None:
    answers = ball["answers"]
    assert answers[["told", "changed_by_context"]].all(axis=None)
    assert not answers[["changed_by_shape", "changed_by_texture"]].any(axis=None)


def test_its_maps_are_found_on_the_ball(ball: dict[str, pd.DataFrame]) -> None:
    mean = ball["evidence"].groupby("method", observed=True).mean(numeric_only=True)
    assert mean.loc["grad_cam", "gain_context"] > 0.9
    assert mean.loc["grad_cam", ["gain_shape", "gain_texture", "gain_animal"]].max() < 0.1
    assert mean.loc["uniform", "gain_context"] == pytest.approx(0, abs=1e-5)
    assert mean.loc["mask_oracle", "gain_animal"] > 0.95
    assert mean.loc["mask_oracle", "gain_context"] < 0.05
    np.testing.assert_allclose(ball["evidence"].query("method == @ORACLE")["inside_context"], 1, atol=1e-5)


def test_the_share_of_an_animal_that_is_right() -> None:
    rng = np.random.default_rng(0)
    logits, masks = rng.normal(size=(3, 3, 4, 4)), rng.choice([0, 2, 255], (3, 4, 4)).astype(np.uint8)
    masks[0][masks[0] == 2] = 1
    shares = right_share(torch.tensor(logits), (4, 4), torch.tensor(masks))
    for i, mask in enumerate(masks):
        animal = [(mask[at], *at) for at in np.ndindex(4, 4) if mask[at] in (1, 2)]
        right = [logits[i, true, y, x] > logits[i, 3 - true, y, x] for true, y, x in animal]
        assert shares[i] == pytest.approx(np.mean(right), abs=1e-6)


def test_a_run_leaves_what_it_says(ran: Path) -> None:
    assert {file.stem for file in (ran / "tables").iterdir()} == set(TABLES)
    names = {file.name for file in (ran / "figures").iterdir()}
    assert len(names) == (1 + 1 + 1) * 2, "the layers, one scene and the meta-evaluation, as PNG and SVG"
    assert set(manifest(ran)["variants"]) == set(CUES)
    for cue, variant in manifest(ran)["variants"].items():
        assert variant["dataset"] == f"scenes_{cue}"
        assert variant["classes"] == ["background", *CUES[cue]]
        assert (variant["scored_images"], variant["own_pass_images"]) == (6, 2)
        assert [found["told_apart"] for found in variant["answers"]] == [False]
    captions = (ran / "captions.md").read_text()
    for name in (*TABLES, *(Path(name).stem for name in names)):
        assert f"**{name}.**" in captions or f"({name}).**" in captions
    assert "Not told apart, and so no evidence of anything: shape, texture, context." in captions


def test_every_map_is_measured_on_every_region(rows: pd.DataFrame) -> None:
    assert not rows.duplicated(["cue", "scene", "target", "layer", "method"]).any()
    own_pass = (rows["layer"] == "Input") | (rows["method"] == "score_cam")
    assert (~own_pass).sum() == 3 * 6 * 2 * 18 * 10, "cues, scenes, targets, layers, methods and the oracle"
    assert set(rows[own_pass]["scene"]) == {0, 1}
    assert set(rows[own_pass]["target"]) == {"truth:contrast"}
    assert {"captum_saliency", "score_cam", ORACLE, "sobel"} < set(rows[own_pass]["method"])
    for region in REGIONS:
        area, inside, gain = (rows[f"{name}_{region}"] for name in ("area", "inside", "gain"))
        defined = inside.notna()
        assert defined.mean() > 0.5
        np.testing.assert_allclose(gain[defined], ((inside - area) / (1 - area))[defined], atol=1e-4)
    areas = rows.groupby("scene", observed=True)[[f"area_{region}" for region in REGIONS]].nunique()
    assert (areas == 1).all(axis=None), "the same scenes, and the same evidence in them, whichever cue decides"


def test_all_metrics_see_the_animal_alone(rows: pd.DataFrame, ran: Path) -> None:
    """Where no evidence is known a mask is all there is: what metrics make of it is compared with the evidence."""
    assert {"spread", "gain_animal"} < set(rows)
    assert "energy_gain" not in rows
    alike = rows[(rows["method"] == "mask_oracle") & (rows["layer"] == "Encoder 1_1")]
    assert alike["inside_animal"].min() > 0.95
    assert set(manifest(ran)["metrics"]) == {"energy_inside", "energy_gain", "spread"}


def test_faithfulness_is_of_each_images_own_class(ran: Path) -> None:
    table = tables(ran, "evidence_faithfulness/*")
    assert set(table["scene"]) == {0, 1}
    assert set(table["measure"]) == {*AREAS, "infidelity", "sensitivity_n"}
    assert set(table["method"]) == set(GRADIENT)
    assert set(table["layer"]) == {"Encoder 1_2"}
    assert not table.duplicated(["cue", "scene", "layer", "method", "measure"]).any()


def test_planted_maps_are_of_each_grid_and_no_network(ran: Path) -> None:
    table = tables(ran, "planted/*")
    assert sorted(set(table["cell"])) == [1, 2, 4, 8, 16]
    assert len(table) == 3 * 6 * 5 * 5 * 11, "cues, scenes, grids, plants and steps"
    fine = table[table["cell"] == 1]
    np.testing.assert_allclose(fine["energy_inside"], fine["share"], atol=1e-4)


@pytest.mark.parametrize("cue", CUES)
def test_the_evidence_oracle_scores_best(rows: pd.DataFrame, cue: str) -> None:
    of_layers = rows[(rows["cue"] == cue) & (rows["layer"] != "Input")]
    assert of_layers.groupby("method", observed=True)[f"inside_{cue}"].mean().idxmax() == ORACLE
    oracle = of_layers[of_layers["method"] == ORACLE]
    fine = oracle[oracle["layer"].isin(["Encoder 1_1", "Encoder 1_2", "Decoder 1_2"])]
    np.testing.assert_allclose(fine[f"inside_{cue}"], 1, atol=1e-5)
    others = oracle[[f"gain_{other}" for other in CUES if other != cue]]
    assert others.mean().max() < 0.3, "evidence of one cue is none of another"


def test_numbers_are_those_of_the_slow_twins(rows: pd.DataFrame, ran: Path) -> None:
    cue, i, label, compared = "texture", 3, "Encoder 2_1", 0
    (file,) = (ran / cue / "checkpoints").iterdir()
    model = load(file)[0]
    layers = Request.of(profiles.read("evidence").score, "unet_he", model).layers
    scenes = SceneBatch.of(opened(cue, 6, 32), [i], torch.device("cpu"))
    target = Target.parse("truth:contrast", scenes.classes)
    capture = Probe(model, layers)(scenes.batch.inputs(), target, masks=scenes.batch.masks)
    maps = capture.maps(grad_cam, label)[0].double().numpy()
    keys = {"cue": cue, "scene": i, "layer": label, "method": "grad_cam", "target": "truth:contrast"}
    (row,) = rows[(rows[list(keys)] == pd.Series(keys)).all(axis=1)].to_dict("records")
    for name, known in opened(cue, 6, 32).known(i).items():
        scene = Scene(scenes.batch.luminance()[0].double().numpy(), known.evidence, ~known.evidence)
        value = TWINS["energy_inside"](maps, scene)
        assert row[f"inside_{name}"] == pytest.approx(value, abs=1e-3, nan_ok=True)
        compared += not np.isnan(value)
    assert compared == 3


def test_it_is_published_with_an_archive_that_draws_it_again(ran: Path, tmp_path: Path) -> None:
    to, file = tmp_path / "light", tmp_path / "run.zip"
    assert bench("publish", "--out", ran, "--to", to, "--archive", file).code == 0
    small = {name: data for name, data in contents(ran, "tables").items() if len(data) <= MOST_OF_TABLE}
    assert contents(to, "tables") == small
    assert "tables/known_evidence_summary.csv" in small
    assert not (to / "scores").exists()
    assert "was published without the scores" in bench("run", "report", "--out", to).refusal
    assert contents(to, "tables") == small
    outcome = bench("run", "report", "--out", file)
    assert outcome.code == 0, outcome.err
    for folder in ("tables", "figures"):
        assert contents(tmp_path / "run", folder) == contents(ran, folder)


def test_what_is_finished_is_not_done_again(ran: Path, profile: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ran, tmp_path / "out"))
    (folder / "scores" / "evidence" / "context-unet_he-s0-l100.parquet").unlink()
    files = [p for p in folder.rglob("*") if p.suffix in (".parquet", ".safetensors") and "context" not in p.name]
    before = {p: p.stat().st_mtime_ns for p in files if p.name != "training.parquet"}
    assert run("evidence", profile, folder).code == 1
    assert {p: p.stat().st_mtime_ns for p in before} == before
    results = ("scores", "tables", "figures")
    assert contents(folder, *results) == contents(ran, *results)


def test_other_score_settings_leave_nothing_behind(ran: Path, profile: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ran, tmp_path / "out"))
    methods = ["grad_cam", "refine_cam", "uniform", "sobel", "mask_oracle"]
    changes = (f"score.methods={methods}", "score.targets=['truth:contrast']", "score.parameters={}")
    assert "finished cells of other settings" in run("evidence", profile, folder, *changes).refusal
    assert run("evidence", profile, folder, *changes, more=["--yes"]).code == 1
    rows = tables(folder, "evidence/*")
    assert set(rows["method"]) == {*methods, ORACLE}
    assert set(rows[rows["layer"] == "Input"]["method"]) == {*methods[1:], ORACLE}, "a map of the input, and controls"
    assert not [name for name in contents(folder) if "own-pass" in name or "predicted-logit" in name]
    assert len(list((folder / "cells").iterdir())) == 3 * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "data.dataset=scenes"), "runs its own data sets, scenes_shape, scenes_texture, scenes_context"),
        (("--set", "score.parameters={}", "--set", "score.methods=['grad_cam']"), "lacks 'mask_oracle'"),
        (("--set", "score.methods=['grad_camm', 'mask_oracle']"), "grad_camm"),
        (("--set", "data.size=16"), "too small for stripes and spots"),
        (("--model", "unet_he"), "does not use --model"),
        (("--data-root", "."), "does not use --data-root"),
    ],
    ids=lambda value: str(value[-1]) if isinstance(value, tuple) else "",
)
def test_wrong_settings(profile: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = bench("run", "evidence", "-p", profile, "--out", tmp_path / "out", *arguments)
    assert outcome.code != 0
    assert message in outcome.error


def test_folders_are_not_mixed(ran: Path, profile: Path, tmp_path: Path) -> None:
    before = contents(ran)
    other = run("evidence", profile, ran, "train.learning_rate=0.5")
    assert "holds another run: train.unet_he.learning_rate (0.01 there, 0.5 now)" in other.error
    for arguments in (("run", "all"), ("status",)):
        outcome = bench(*arguments, "-p", profile, "--out", ran)
        assert "holds a run of the stage evidence: run evidence --out" in outcome.error
    values = manifest(ran) | {"kind": "another"}
    (tmp_path / "manifest.json").write_bytes(sealed(values))
    assert "holds a run of another kind" in run("evidence", profile, tmp_path).error
    assert contents(ran) == before


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
