"""Right and wrong pixels, and thresholds, of a network of one's own: several classes, padding, images without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analyses import Results
from analyses.questions import map_threshold, when_wrong
from analyses.reading.error_maps import PIXELS, SETS
from analyses.reading.image_facts import image_facts
from segcam.checks.mistakes import KINDS
from tests.bench.explaining.material import NETS, explain, light, photographs
from tests.bench.harness import tables

CLASSES = {"cat": {1}, "cat+dog": {1, 2}}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose masks lie three pixels beside the squares, and the plain photograph's has the other class."""
    place = photographs(tmp_path_factory.mktemp("questions") / "place")
    (place / "nets.py").write_text(NETS)
    for path in (place / "masks").glob("*.png"):
        mask = np.roll(np.asarray(Image.open(path)), 3, axis=1)
        Image.fromarray(mask).save(path)
    out = place.parent / "out"
    chosen = ["--masks", place / "masks", "--names", "background,cat,dog", "--classes", "cat,{cat, dog}"]
    questions = ("errors.images=3", "errors.least=1", "thresholds.images=3", "thresholds.targets=['predicted:logit']")
    nothing = ("sanity.images=0", "faithfulness.images=0")
    outcome = explain(place, out, *chosen, *light(*questions, *nothing))
    assert outcome.code == 0, outcome.err
    return out


@pytest.mark.parametrize("label", CLASSES)
def test_sets_are_of_the_class_or_of_the_set_and_padding_is_in_none(asked: Path, label: str) -> None:
    results = Results(asked, explained=label)
    (point,) = results.checkpoints
    (gallery,) = results.error_maps(point.model, point.seed, point.level)
    ids = list(CLASSES[label])
    for i in range(len(gallery.ids)):
        sets, mask, predicted = gallery.arrays[SETS][i], gallery.masks[i], gallery.arrays["predicted"][i]
        true, said = np.isin(mask, ids), np.isin(predicted, ids)
        assert ((sets == 1) == (true & said)).all()
        assert ((sets == 2) == (said & ~true & (mask != 255))).all()
        assert ((sets == 3) == (true & ~said)).all()
        assert gallery.arrays[PIXELS][i].tolist() == [(sets == n).sum() for n in (1, 2, 3)]
        assert not sets[mask == 255].any()
    assert "red" in gallery.ids  # it is padded
    frame = results.table("errors")
    assert frame is not None
    assert set(frame["target"].astype(str)) == {f"{kind}:logit" for kind in KINDS}
    of_map = frame[(frame["method"] == "grad_cam") & (frame["layer"] == "0")]
    assert of_map["own_gain"].notna().all()
    table = next(iter(when_wrong.analyse(results)))
    assert {"hits", "false alarms", "misses"} <= set(table.frame["errors"])  # type: ignore[union-attr]


@pytest.mark.parametrize("label", CLASSES)
def test_a_threshold_is_chosen_on_every_second_image(asked: Path, label: str) -> None:
    results = Results(asked, explained=label)
    frame = results.table("thresholds")
    assert frame is not None
    images = frame.groupby("split", observed=True)["image"].unique()
    assert {name: len(of_split) for name, of_split in images.items()} == {"choose": 1, "test": 2}
    assert set(frame["target"].astype(str)) == {"predicted:logit"}
    found = list(map_threshold.analyse(results))
    for item in found[:1]:
        at = item.frame  # type: ignore[union-attr]
        assert ((at["cut_iou"] >= 0) & (at["cut_iou"] <= 1)).all()


def test_how_sure_the_network_is_stands_beside_the_counts(asked: Path) -> None:
    frame = tables(asked, "predictions/*.parquet")
    assert {"confidence", "entropy"} <= set(frame)
    results = Results(asked, explained="cat")
    (point,) = results.checkpoints
    facts = image_facts(results, point.model, point.level).set_index("image")
    assert np.isnan(facts.loc["plain", "confidence"])
    assert 0.5 < facts.loc["red", "confidence"] <= 1
    assert facts["entropy"].between(0, np.log(3)).all()
    both = image_facts(Results(asked, explained="cat+dog"), point.model, point.level).set_index("image")
    assert both.loc["both", "area"] > facts.loc["both", "area"]
    assert both["entropy"].tolist() == pytest.approx(facts["entropy"].tolist(), abs=1e-6)
