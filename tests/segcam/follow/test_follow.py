"""What is written of a training: the same scores as by hand, whole files, and one warning where something fails."""

from __future__ import annotations

import csv
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Batch, Probe, Sample, Target, grad_cam
from segcam.errors import InputError, ProbeError, SegcamWarning
from segcam.follow import Follow
from segcam.metrics import METRICS, measure
from segcam.scoring import Scenery
from tests.segcam.follow.trainings import IMAGES, MASKS, network


def samples(count: int = 3, masked: bool = True) -> list[Sample]:
    rng = np.random.default_rng(0)
    mask = np.full((16, 24), 255, np.uint8)
    if masked:
        mask[:], mask[4:12, 6:18], mask[0] = 0, 1, 255
    return [Sample(f"photo, {n}", rng.integers(0, 256, (16, 24, 3), dtype=np.uint8), mask) for n in range(count)]


def table(out: Path) -> list[dict[str, str]]:
    with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str) -> float:
    return float(text)


def test_the_scores_are_those_by_hand(tmp_path: Path) -> None:
    given, model = samples(), network().eval()
    follow = Follow(model, given, out=tmp_path, strict=True, layers=["stem", "body"], target="predicted:margin")
    follow(3)
    rows = table(tmp_path)
    assert len(rows) == 3 * 2 * 3
    batch = Batch.of(given)
    with torch.random.fork_rng():
        capture = Probe(model, "body")(batch.inputs(), Target(1, "predicted", "margin"))
    again = {row["image"]: row for row in rows if (row["layer"], row["method"]) == ("body", "grad_cam")}
    assert list(again) == list(batch.ids)
    uniform = {row["image"]: row for row in rows if (row["layer"], row["method"]) == ("body", "uniform")}
    reference = Scenery.of(batch).on((8, 12))
    wanted = measure(torch.ones(3, 1, 8, 12), reference, list(METRICS))
    for n, name in enumerate(batch.ids):
        assert number(uniform[name]["energy_inside"]) == pytest.approx(float(wanted["energy_inside"][n, 0]), rel=1e-4)
        assert number(again[name]["area"]) == pytest.approx(8 * 12 / (15 * 24), rel=1e-4)
        assert again[name]["region"] == "mask"
        assert again[name]["target"] == "predicted:margin"
        assert set(METRICS.names()) <= set(again[name])
    assert capture.layers[0].label == "body"


class Plain(nn.Sequential):
    """A network without noise of its own."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, classes, 1))


def plain(classes: int = 2) -> Plain:
    torch.manual_seed(0)
    return Plain(classes)


def test_maps_are_measured_against_the_mask_image_by_image(tmp_path: Path) -> None:
    """More images than go through at once; each as alone."""
    given, model = samples(6), plain()
    follow = Follow(model, given, out=tmp_path, strict=True, layers=["2"], methods="grad_cam")
    follow(0)
    for row, sample in zip(follow.rows, given, strict=True):
        batch = Batch.of([sample])
        maps = Probe(model, "2")(batch.inputs(), Target(1)).maps(grad_cam)
        wanted = measure(maps[:, None], Scenery.of(batch).on((8, 12)), ["energy_gain", "edge_alignment", "gini"])
        for name, values in wanted.items():
            assert row[name] == pytest.approx(float(values), rel=1e-4, nan_ok=True)


@pytest.mark.parametrize("masked", ["samples", "none"])
def test_without_masks_the_prediction_stands_for_them(tmp_path: Path, masked: str) -> None:
    model = plain()
    images = samples(2, masked=False) if masked == "samples" else Batch.of(samples(2)).inputs()
    follow = Follow(model, images, out=tmp_path, strict=True, layers="2", methods=["grad_cam", "uniform"])  # type: ignore[arg-type]
    follow(0)
    predicted = nn.functional.interpolate(
        model.eval()(Batch.of(samples(2)).inputs()), (16, 24), mode="bilinear", align_corners=False
    ).argmax(1)
    shares = predicted.float().mean((1, 2))
    for row, share in zip((row for row in follow.rows if row["method"] == "uniform"), shares, strict=True):
        assert row["region"] == "predicted"
        assert row["area"] == pytest.approx(float(share), abs=1e-6)
        assert row["predicted_share"] == pytest.approx(float(share), abs=1e-6)
        assert math.isnan(row["class_iou"])
    with torch.no_grad():
        model[3].bias.copy_(torch.tensor([-50.0, 50.0]))  # type: ignore[union-attr,operator]
    follow(1)
    assert {row["area"] for row in follow.rows} == {1.0}


def test_the_prediction_against_the_mask(tmp_path: Path) -> None:
    model = plain()
    with torch.no_grad():
        model[3].bias.copy_(torch.tensor([-50.0, 50.0]))  # type: ignore[union-attr,operator]
    follow = Follow(model, IMAGES[:2], masks=MASKS[:2], out=tmp_path, strict=True)
    follow(0)
    shares = [float((mask == 1).float().mean()) for mask in MASKS[:2]]
    assert sorted({row["class_iou"] for row in follow.rows}) == pytest.approx(sorted(shares))


def test_steps_go_on_and_are_replaced(tmp_path: Path) -> None:
    model = plain()

    def follow() -> Follow:
        return Follow(model, IMAGES[:2], masks=MASKS[:2], out=tmp_path, strict=True, every=2)

    first = follow()
    for step in range(5):
        first(step)
    before = table(tmp_path)
    assert [row["step"] for row in before] == [s for s in ("0", "2", "4") for _ in range(len(before) // 3)]
    with torch.no_grad():
        model[3].weight.neg_()  # type: ignore[union-attr,operator]
    again = follow()
    assert again.layers == first.layers
    with pytest.warns(SegcamWarning, match="stay until they are written again"):
        again(2)
    after = table(tmp_path)
    assert [row["step"] for row in after] == [row["step"] for row in before]
    changed = {one["step"] for one, other in zip(before, after, strict=True) if one != other}
    assert changed == {"2"}
    assert sorted(path.name for path in (tmp_path / "overlays").iterdir()) == [f"{n:06d}.png" for n in (0, 2, 4)]
    assert not list(tmp_path.rglob("*.tmp"))
    with pytest.raises(InputError, match="another Follow has begun to write"):
        first(4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["gini"]}, "follows other metrics"),
        ({"class_id": 0}, "follows other"),
        ({"layers": ["0"]}, "follows other layers"),
        ({"masks": None}, "follows other pixels"),
        ({"masks": 1 - MASKS[:2]}, "follows other pixels"),
        ({"names": ["a", "b"]}, "follows other images"),
    ],
)
def test_a_folder_of_something_else(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    given = {"masks": MASKS[:2], "out": tmp_path, "strict": True}
    Follow(plain(), IMAGES[:2], **given)(0)
    with pytest.raises(InputError, match=message):
        Follow(plain(), IMAGES[:2], **{**given, **options})
    with pytest.raises(InputError, match="follows other pixels"):
        Follow(plain(), IMAGES[2:4], **given)


def test_files_of_others_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(InputError, match=r"index\.html that segcam\.follow did not write"):
        Follow(plain(), IMAGES[:2], out=tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_failure_is_said_once_and_training_goes_on(tmp_path: Path) -> None:
    model = plain()
    follow = Follow(model, IMAGES[:2], masks=MASKS[:2], out=tmp_path)
    follow(0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))  # type: ignore[union-attr,operator]
    model.train()
    with pytest.warns(SegcamWarning, match="step 1 is not followed.*not finite"):
        follow(1)
    follow(2)  # warnings are errors here
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        model[0] = nn.Conv2d(4, 6, 1)  # another failure, where every warning is an error
        follow(3)
    assert all(module.training for module in model.modules() if module is not model[0])
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    follow.strict = True
    with pytest.raises(ProbeError):
        follow(4)


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow = Follow(plain(), IMAGES[:2], masks=MASKS[:2], out=tmp_path)
    follow(0)
    before = table(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(SegcamWarning, match="No space left on device"):
        follow(1)
    assert table(tmp_path) == before
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    follow(1)
    assert {row["step"] for row in table(tmp_path)} == {"0", "1"}


def test_memory_that_does_not_do_for_all_at_once(tmp_path: Path) -> None:
    class Greedy(Plain):
        most = 8

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    torch.manual_seed(0)
    model = Greedy()
    follow = Follow(model, IMAGES[:4], masks=MASKS[:4], out=tmp_path, strict=True, layers="2")
    follow(0)
    all_at_once = follow.rows
    model.most = 1
    follow(0)
    for row, other in zip(follow.rows, all_at_once, strict=True):
        words = {name for name, value in row.items() if isinstance(value, str)}
        assert all(row[name] == other[name] for name in words)
        numbers = {name: other[name] for name in other.keys() - words}
        assert {name: row[name] for name in numbers} == pytest.approx(numbers, rel=1e-4, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_id": 5}, "class 5 does not exist"),
        ({"class_id": "cat"}, "'cat' is a name"),
        ({"layers": "nowhere"}, "no module 'nowhere'"),
        ({"methods": "score_cam"}, "takes passes of its own"),
        ({"methods": ["uniform"]}, "no method looks at the network"),
        ({"methods": ["grad_cam", "grad_cam"]}, "name each once"),
        ({"metrics": "nothing"}, "unknown metric 'nothing'"),
        ({"masks": MASKS[:1]}, r"masks are \(1, 16, 24\)"),
        ({"masks": MASKS[:2] + 300}, "masks hold 300 to 301"),
        ({"masks": 0 * MASKS[:2]}, "no mask holds class 1.*they hold 0"),
        ({"photographs": np.zeros((1, 16, 24, 3), np.uint8)}, "1 photographs are given for 2 images"),
        ({"photographs": np.zeros((2, 8, 24, 3), np.uint8)}, "as the network sees it"),
        ({"names": ["a", "a"]}, "a name of its own"),
        ({"every": 0}, "every is 0"),
        ({"pictures": 0}, "pictures is 0"),
        ({"target": "everything"}, "everything"),
        ({"target": Target(1), "class_id": 1}, "beside a Target"),
        ({"target": "truth:logit", "masks": None}, "looks at the true classes"),
        ({"writer": 3}, "the writer is 3"),
        ({"out": ""}, "name a path"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said_before_training(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        Follow(plain(), IMAGES[:2], **{"masks": MASKS[:2], "out": tmp_path / "new", **options})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("images", [IMAGES[0], IMAGES.byte(), [IMAGES[0], IMAGES[1]], "photos", IMAGES[:0]])
def test_images_of_no_kind(images: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="images are"):
        Follow(plain(), images, out=tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [-1, 1.5, "one", None, True])
def test_a_step_is_a_whole_number(step: Any, tmp_path: Path) -> None:
    follow = Follow(plain(), IMAGES[:2], masks=MASKS[:2], out=tmp_path / "run")
    with pytest.warns(SegcamWarning, match="the step"):
        follow(step)
    follow.strict = True
    with pytest.raises(InputError, match="the step"):
        follow(step)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("step", [3, 3.0, np.int64(3), torch.tensor(3)])
def test_steps_of_any_whole_kind(step: Any, tmp_path: Path) -> None:
    follow = Follow(plain(), IMAGES[:2], masks=MASKS[:2], out=tmp_path, strict=True)
    follow(step)
    assert follow.folder.steps() == [3]


def test_only_the_first_process_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow = Follow(plain(), IMAGES[:2], masks=MASKS[:2], out=tmp_path / "run", strict=True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    follow(0)
    assert not (tmp_path / "run").exists()


def test_a_class_by_name_and_one_logit(tmp_path: Path) -> None:
    model = plain(1)
    follow = Follow(
        model, IMAGES[:2], masks=MASKS[:2], classes=["no", "cat"], class_id="cat", out=tmp_path, strict=True
    )
    follow(0)
    areas = sorted({row["area"] for row in follow.rows})
    assert areas == pytest.approx(sorted(float(mask.float().mean()) for mask in MASKS[:2]))
    assert json.loads((tmp_path / "follow.json").read_text())["followed"]["class"] == "cat"


class Nested(Plain):
    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:  # type: ignore[override]
        return {"heads": [super().forward(x), x]}


def test_a_set_of_classes_and_an_element_of_the_output(tmp_path: Path) -> None:
    torch.manual_seed(0)
    masks = MASKS[:2].clone()
    masks[:, :4], masks[:, 4:6] = 2, 255
    follow = Follow(Nested(4), IMAGES[:2], masks=masks, class_id={1, 2}, output="heads.0", out=tmp_path, strict=True)
    follow(0)
    counted = (masks != 255).sum((1, 2))
    assert follow.followed["class"] == "1+2"
    areas = ((masks == 1) | (masks == 2)).sum((1, 2)) / counted
    assert sorted({row["area"] for row in follow.rows}) == pytest.approx(sorted(areas.tolist()))


def test_a_class_for_each_image(tmp_path: Path) -> None:
    follow = Follow(plain(), IMAGES[:6], masks=MASKS[:6], class_id=[0, 1, 0, 1, 0, 1], out=tmp_path, strict=True)
    follow(0)
    for n in range(6):
        area = float((MASKS[n] == n % 2).float().mean())
        found = {row["area"] for row in follow.rows if row["image"] == f"image {n + 1}"}
        assert list(found) == pytest.approx([area])


def test_padding_and_the_receptive_field(tmp_path: Path) -> None:
    """Where the picture is, maps are measured, on the whole canvas they are drawn."""
    valid = np.zeros((16, 24), bool)
    valid[:12] = True
    padded = [Sample(one.id, one.image, one.mask, valid=valid) for one in samples(2)]
    follow = Follow(plain(), padded, out=tmp_path, strict=True, placement="receptive_field")
    follow(0)
    assert {row["placement"] for row in follow.rows} == {"receptive_field"}
    assert list({row["area"] for row in follow.rows}) == pytest.approx([8 * 12 / (11 * 24)])


def test_layers_that_a_pattern_matches_without_a_map(tmp_path: Path) -> None:
    model = nn.Sequential(plain(), nn.ModuleDict({"idle": nn.Conv2d(2, 2, 1)}))
    model.forward = model[0].forward  # type: ignore[method-assign]
    follow = Follow(model, IMAGES[:2], masks=MASKS[:2], layers=["0.*", "1.*"], out=tmp_path, strict=True)
    assert follow.layers == ("0.0", "0.1", "0.2", "0.3")
    follow(0)
    assert {row["layer"] for row in follow.rows} == set(follow.layers)
