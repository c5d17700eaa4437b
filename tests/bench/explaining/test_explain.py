"""From the command line to the page, with masks and without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

import bench.measuring
from analyses import Results
from tests.bench.explaining.material import NETS, RED, explain, light, photograph
from tests.bench.harness import bench as command
from tests.bench.harness import contents, manifest

SET = "cat+dog"


def csv(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv")


class TestWithoutMasks:
    def test_metrics_are_against_the_predicted_region(self, unmasked: Path) -> None:
        captions, page = (unmasked / "captions.md").read_text(), (unmasked / "report" / "index.html").read_text()
        assert "predicted region" in captions
        assert "predicted region" in page

    def test_there_is_no_table_of_predictions(self, unmasked: Path) -> None:
        """The network would be compared with itself."""
        names = {Path(name).stem for name in contents(unmasked, "tables")}
        assert {"methods", "sanity", "faithfulness", "diagnosis"} <= names
        assert not [name for name in names if "prediction" in name]

    def test_the_class_of_the_most_pixels_is_explained(self, unmasked: Path) -> None:
        assert "explained: class 1, the class of the most pixels" in (unmasked.parent / "unmasked.txt").read_text()

    def test_another_class_is_told_and_its_photographs_are_drawn(self, place: Path, tmp_path: Path) -> None:
        """Of one class that is named, too, the manifest says which, and of which photographs maps are kept."""
        more = ["--classes", "2", *light("sanity.images=0", "faithfulness.images=0", "score.methods=['grad_cam']")]
        assert explain(place, tmp_path / "out", *more).code == 0
        values = manifest(tmp_path / "out")
        assert {target["class"] for target in values["targets"].values()} == {2}
        assert len(values["gallery"]["ids"]) == 1
        assert (tmp_path / "out" / "figures" / "figure1-nets-build.png").is_file()
        assert "class 2" in (tmp_path / "out" / "captions.md").read_text()

    def test_a_map_on_the_red_square_has_its_energy_there(self, unmasked: Path) -> None:
        """The network answers by the colour alone, so its maps lie where the predicted region is."""
        rows = Results(unmasked).scores()
        maps = rows[(rows["method"] == "grad_cam") & (rows["target"] == "predicted:logit") & (rows["layer"] == "0")]
        known = maps.dropna(subset=["energy_inside"])
        assert set(known["image"]) == {"both", "red"}
        assert (known["energy_inside"] > 0.8).all()

    def test_the_end_is_short(self, unmasked: Path) -> None:
        lines = (unmasked.parent / "unmasked.txt").read_text().splitlines()
        assert lines[-1] == (unmasked / "report" / "index.html").as_uri()
        assert lines[-2].endswith(f" files in {unmasked}")
        assert not any(line.startswith("wrote") for line in lines)

    def test_a_second_run_does_nothing(self, place: Path, unmasked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bench.measuring, "MeasureJob", None)
        before = contents(unmasked)
        assert explain(place, unmasked, *light()).code == 0
        assert contents(unmasked) == before


class TestWithMasks:
    def test_levels_have_the_names_that_were_given(self, masked: Path) -> None:
        assert [entry["name"] for entry in manifest(masked)["checkpoints"]] == ["epoch 5", "epoch 10"]
        levels = csv(masked, "levels")
        assert {"epoch 5", "epoch 10"} <= set(levels.astype(str).to_numpy().ravel())
        assert "epoch 10" in (masked / "report" / "index.html").read_text()
        assert "epoch 10" in (masked / "captions.md").read_text() + (masked / "tables" / "levels.md").read_text()

    def test_each_class_has_a_folder_and_a_page(self, masked: Path) -> None:
        (folder,) = (masked / "classes").iterdir()
        for place in (masked, folder):
            assert {"captions.md", "figures", "report", "tables"} <= {path.name for path in place.iterdir()}
        first, other = ((place / "report" / "index.html").read_text() for place in (masked, folder))
        assert f'href="../classes/{folder.name}/report/index.html"' in first
        assert 'href="../../../report/index.html"' in other
        assert SET in other

    def test_a_set_counts_as_one_class(self, masked: Path) -> None:
        """Both squares are one region, so the one photograph's is larger, and scores are of other maps."""
        one, both = (Results(masked, label).scores() for label in ("cat", SET))
        assert len(one) == len(both) > 0
        assert set(one["level"]) == {1, 2}
        shares = [
            rows[(rows["method"] == "uniform") & (rows["image"] == "both")]["energy_inside"].mean()
            for rows in (one, both)
        ]
        assert shares[1] == pytest.approx(2 * shares[0], rel=0.05)

    def test_trends_over_the_levels_are_tested(self, masked: Path) -> None:
        assert "curves" in {Path(name).stem for name in contents(masked, "tables")}
        assert set(csv(masked, "curves")["level"].astype(str)) & {"epoch 5", "1"}

    def test_changed_weights_are_asked(self, place: Path, masked: Path, tmp_path: Path) -> None:
        """Scores of other weights are not kept beside new ones, and not dropped unasked."""
        folder = shutil.copytree(masked, tmp_path / "masked")
        changed = torch.load(place / "e10.pt")
        changed["3.bias"] = changed["3.bias"] + 0.05
        torch.save(changed, tmp_path / "e10.pt")
        chosen = ["--masks", place / "masks", "--names", "background,cat,dog", "--classes", "cat,{cat, dog}"]
        files = ["--weights", place / "e05.pt", tmp_path / "e10.pt", "--level", "epoch {n}"]
        before = contents(folder)
        told = explain(place, folder, *files, *chosen, *light("sanity.images=0")).refusal
        assert "finished cells of other settings" in told
        assert "add --yes to drop them" in told
        assert contents(folder) == before

    def test_what_differs_is_told(self, place: Path, masked: Path) -> None:
        before = contents(masked)
        chosen = ["--weights", place / "e05.pt", place / "e10.pt", "--level", "epoch {n}", *light("sanity.images=0")]
        told = explain(place, masked, *chosen, "--names", "background,cat,dog").refusal
        assert "holds another run: images and masks, or how they are brought to size (" in told
        told = explain(place, masked, *chosen, "--masks", place / "masks", "--name", "other").refusal
        assert "choose another folder with --out" in told
        assert "--model" not in told, "an option that `explain` does not have"
        assert contents(masked) == before

    def test_how_far_it_is(self, masked: Path) -> None:
        outcome = command("status", "--out", masked)
        assert outcome.out.startswith(f"{masked}: 12 of 12 scoring cells, ")
        assert "None" not in outcome.out


def test_what_was_stopped_goes_on(place: Path, unmasked: Path, tmp_path: Path) -> None:
    """Of a run that lost some of its cells the rest is measured, to the same bytes."""
    folder = Path(shutil.copytree(unmasked, tmp_path / "unmasked"))
    before = contents(folder, "scores", "tables", "figures", "report")
    (record,) = folder.glob("cells/scores-*.json")
    record.unlink()
    shutil.rmtree(folder / "tables")
    assert explain(place, folder, *light()).code == 0
    assert contents(folder, "scores", "tables", "figures", "report") == before


def test_names_and_folders_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces, Chinese, quotes and HTML; paths from where the user is."""
    here = tmp_path / "pl ace 中"
    (here / "photos").mkdir(parents=True)
    (here / "nets.py").write_text(NETS)
    for name in ("with space", "中文", 'it\'s "q"', "<b>x&y"):
        Image.fromarray(photograph({RED: (2, 2)})).save(here / "photos" / f"{name}.png")
    Image.fromarray(photograph({RED: (0, 0)}, (13, 300))).save(here / "photos" / "wide.png")
    monkeypatch.chdir(here)
    names = ["--names", '<u>,ca\'t "中",dog/..', "--name", "My <i>net</i> & 'x'"]
    more = light("sanity.images=0", "faithfulness.images=0", "score.methods=['grad_cam', 'uniform']")
    outcome = explain(here, Path("../out 1"), *names, *more, source="nets.py:build", images="photos")
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[-1] == (tmp_path / "out 1" / "report" / "index.html").as_uri()
    page = (tmp_path / "out 1" / "report" / "index.html").read_text()
    assert "<b>x" not in page
    assert "<i>net" not in page
    assert "My &lt;i&gt;net&lt;/i&gt;" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out 1", "pl ace 中"]
