"""Networks that are there already, in runs of profiles: beside trained ones, and of every kind."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import analyses
from bench.output.store import SCORES
from segcam.errors import SegcamWarning
from tests.bench.conftest import FEW
from tests.bench.explaining.material import NETS, photographs, weights
from tests.bench.harness import TINY, contents, manifest, run

pytestmark = pytest.mark.filterwarnings(f"ignore::{SegcamWarning.__module__}.SegcamWarning")
MINE = """
[networks.mine]
source = "{place}/nets.py:build"
weights = ["{place}/e05.pt", "{place}/e10.pt"]
levels = "epoch {{n}}"
classes = ["background", "cat", "dog"]
explained = ["cat", "dog"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `nets.py`, `photos`, `masks` and weights."""
    folder = photographs(tmp_path_factory.mktemp("given") / "place")
    (folder / "nets.py").write_text(NETS)
    weights(folder)
    return folder


def scores(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(file) for file in (folder / SCORES).glob("*.parquet") if "s0" in file.name])


def test_a_network_joins_a_finished_run(
    copied: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained stays as it is, byte for byte; both stand in one table and one family figure."""
    monkeypatch.setattr(analyses, "names", lambda: [*FEW, "family"])
    before = contents(copied, "checkpoints", "scores")
    (tmp_path / "tiny.toml").write_text(TINY + MINE.format(place=place))
    outcome = run("all", tmp_path / "tiny.toml", copied, "figures.dpi=50", "figures.kinds=['png']")
    assert outcome.code == 0, outcome.err
    after = contents(copied, "checkpoints", "scores")
    assert {name: after.get(name) for name in before} == before
    rows = scores(copied)
    assert set(rows["model"]) == {"unet", "mine"}
    assert set(rows[rows["model"] == "mine"]["level"]) == {1, 2}
    assert {entry["name"] for entry in manifest(copied)["checkpoints"] if entry["model"] == "mine"} == {
        "epoch 5",
        "epoch 10",
    }
    family = pd.read_csv(copied / "tables" / "family.csv")
    assert {"unet", "mine"} <= set(family.astype(str).to_numpy().ravel()) | set(family.columns)
    assert "epoch 10" in (copied / "report" / "index.html").read_text()


KINDS = """
[data]
dataset = "photographs"
size = 32
resize = "pad"
root = "{place}/photos"
masks = "{place}/masks"
classes = ["background", "cat", "dog"]
[networks.plain]
source = "{place}/nets.py:build"
[networks.half]
source = "{place}/nets.py:half"
[networks.norm]
source = "{place}/nets.py:build"
arguments = {{norm = true}}
[networks.one]
source = "{place}/nets.py:build"
arguments = {{classes = 1}}
classes = ["cat"]
explained = "cat"
[networks.nested]
source = "{place}/nets.py:Named"
element = "aux.0"
output = "logits"
[networks.opposite]
source = "{place}/nets.py:Named"
element = "aux.1"
[score]
targets = ["predicted:logit", "best_pixel:logit"]
methods = ["grad_cam", "hires_cam", "uniform"]
classes = ["cat"]
"""


@pytest.fixture(scope="module")
def scored(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scores of networks of every kind; look, do not touch."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "kinds.toml").write_text(KINDS.format(place=place))
    outcome = run("score", folder / "kinds.toml", folder / "out")
    assert outcome.code == 0, outcome.err
    return folder / "out"


def energies(scored: Path, network: str, method: str = "hires_cam") -> dict[tuple[str, str], float]:
    """Return how much of a network's maps lies in the mask, by layer and image."""
    rows = scores(scored)
    rows = rows[(rows["model"] == network) & (rows["method"] == method) & (rows["target"] == "best_pixel:logit")]
    rows = rows[~rows["blank"].astype(bool)].dropna(subset=["energy_inside"])
    names = [name.replace("net.", "").replace("net", "3") for name in rows["layer"].astype(str)]
    return dict(zip(zip(names, rows["image"], strict=True), rows["energy_inside"], strict=True))


def test_every_network_has_scores(scored: Path) -> None:
    assert set(scores(scored)["model"]) == {"plain", "half", "norm", "one", "nested", "opposite"}


def test_half_precision_has_the_scores_of_full(scored: Path) -> None:
    full, half = energies(scored, "plain"), energies(scored, "half")
    assert full
    assert half == pytest.approx(full, abs=2e-3)


def test_an_element_of_the_output_is_the_network(scored: Path) -> None:
    assert energies(scored, "nested")
    assert energies(scored, "nested") == pytest.approx(energies(scored, "plain"))
    assert energies(scored, "opposite") != pytest.approx(energies(scored, "plain"))


def test_one_logit_finds_the_red_square(scored: Path) -> None:
    found = energies(scored, "one")
    assert found
    assert {image for _, image in found} <= {"both", "red"}
    assert min(found.values()) > 0.5


def test_mean_gradients_before_an_instance_norm_cancel(scored: Path) -> None:
    """Told among what is skipped, rather than measured."""
    gaps = [gap for gap in manifest(scored)["skipped"] if gap["model"] == "norm" and gap["method"] == "grad_cam"]
    assert [gap for gap in gaps if gap["layer"] == "0" and "cancel" in gap["reason"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('explained = "cat"\n[networks.nested]', 'explained = "cow"\n[networks.nested]'),
    ],
)
def test_a_class_that_the_network_does_not_have(place: Path, tmp_path: Path, change: str, words: str) -> None:
    (tmp_path / "kinds.toml").write_text(KINDS.format(place=place).replace(change, words))
    told = run("score", tmp_path / "kinds.toml", tmp_path / "out").refusal
    assert "key 'networks.one.explained': unknown class 'cow'" in told


def test_a_network_of_other_classes_is_asked(place: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY + MINE.format(place=place).replace('explained = ["cat", "dog"]', ""))
    told = run("score", tmp_path / "tiny.toml", tmp_path / "out", more=("--model", "mine")).refusal
    assert "networks.mine: none of its 3 classes is called" in told
    assert "name those that are 'pet' with networks.mine.explained" in told
