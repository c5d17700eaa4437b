"""What is published says one thing: the scores, the tables made of them, the page, and the numbers in the READMEs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses import Results, printing
from analyses.reading.states import NOT_MEASURED
from bench.output.drawing import Files, draw
from bench.output.store import Store
from tests.docs import study

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
RUNS = sorted(path.parent for path in RESULTS.glob("*/scores"))
TIMED = (
    ("segcam, channels last", "torch-cam", ".2f"),
    ("segcam, channels last, bf16", "torch-cam", ".2f"),
    ("segcam, channels last", "captum, a call a layer", ".2g"),
    ("segcam, channels last, upsampled", "pytorch-grad-cam, a call a layer", ".2g"),
)


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv", keep_default_na=True)


def scores(folder: Path, columns: list[str], methods: list[str]) -> pd.DataFrame:
    keys = ["model", "level", "seed", "image", "target", "layer", "method"]
    files = sorted((folder / "scores").glob("*.parquet"))
    where = [("method", "in", methods)]
    found = pd.concat([pd.read_parquet(file, filters=where) for file in files])
    found = found.reindex(columns=[*keys, *columns])  # a publication keeps what its claims are about
    return found.astype({key: str for key in keys if key not in ("level", "seed")})


def quoted() -> Iterator[str]:
    """Numbers in the prose of the study's README: Grad-CAM at layers, and methods with random weights."""
    values = study.table("heatmap").sort_values("level").groupby(["model", "layer", "metric"])["mean"].agg(list)
    unet = values["unet"]
    deepest, before, first = (
        f"{unet[layer, 'energy_gain'][-1]:.2f}" for layer in ("Encoder 5_2", "Encoder 5_1", "Encoder 1_2")
    )
    yield f"{deepest} at Encoder 5_2, {before} one convolution earlier and {first} at Encoder 1_2"
    for layer in ("Encoder 5_2", "Decoder 2_2"):
        yield f"{layer} has {listed(unet[layer, 'background_ratio'])}"
    yield f"Fine power of Encoder 1_2 is {listed(unet['Encoder 1_2', 'fine_power'])}"
    kept = study.kept_with_random_weights()
    for name, label in (("element_wise", "gradient x activation"), ("layer_cam", "LayerCAM"), ("grad_cam", "Grad-CAM")):
        yield f"{label} {kept[name]:.2f}"
    sanity = study.table("sanity_random")
    yield f"at most {sanity.loc[sanity['model'] == 'segformer', 'spearman'].max():.2f} is kept"
    failing = sanity[(sanity["model"] == "unet") & sanity["method"].isin(["element_wise", "layer_cam"])]
    reached = failing.set_index("method")["spearman_reached"]
    yield f"the first two keep {reached['element_wise']:.2f} and {reached['layer_cam']:.2f}"
    gains = study.energy_gains()
    gains = gains[(gains["model"] == "unet") & ~gains["method"].isin(Results(study.STUDY).controls)]
    most = set(gains.nlargest(6, "estimate")["method"])
    fail = set(sanity.loc[(sanity["model"] == "unet") & sanity["fails"], "method"])
    words = ("none", "one", "two", "three", "four", "five", "six")
    yield f"{words[len(most & fail)]} of the six methods with most energy on the animal fail the sanity check"
    claims = study.table("claims")
    choices = study.table("claim_specifications")
    of_first = choices[(choices["claim"] == "C1") & choices["left_out"].isna() & ~choices["registered"]]
    others = of_first[(of_first["placement"] == "stretched") & (of_first["border"] == "ignore")]
    agree = words[(others["verdict"] == "supported").sum()]
    yield f"Of {len(others)} other targets, methods and metrics {agree} agrees"
    agreement = claims.groupby("claim")["agreement"].first()
    yield f"{100 * agreement['C6']:.0f} % of the choices agree"
    yield from quoted_of_background()
    yield from quoted_of_segformer(claims)
    yield from quoted_of_pretrained()


def quoted_of_background() -> Iterator[str]:
    """Numbers in the prose of the study's README on the background: of trainings at 50 %, and less a control's."""
    young = scores(study.STUDY, ["background_ratio"], ["grad_cam"])
    young = young[(young["model"] == "unet") & (young["level"] == 50) & (young["layer"] == "Encoder 5_2")]
    yield f"Encoder 5_2: {listed(list(young.groupby('seed')['background_ratio'].mean()))}"
    controls = study.table("claim_controls").set_index(["claim", "control"]).sort_index()
    ahead = controls.loc[("C4", "gaussian"), ["ahead", "ahead_low", "ahead_high"]]
    yield "{} [{}, {}]: undecided".format(*(printing.fixed(one, 1) for one in ahead))
    assert set(controls.loc["C4"].loc[["gaussian", "sobel"], "verdict"]) == {"opposite"}


def quoted_of_segformer(claims: pd.DataFrame) -> Iterator[str]:
    """Numbers in the prose of the study's README on SegFormer, and on Score-CAM."""
    gains = study.energy_gains()
    gain = gains[gains["model"] == "segformer"].set_index("method")
    values = gain["estimate"]
    cells = study.table("heatmap").set_index(["model", "metric", "layer"])["mean"].sort_index()
    by_layer = cells["segformer", "energy_gain"]
    layers = ("Before attention 2_2", "Stage 3 output", "Decode head")
    first, second, third = (f"{printing.fixed(by_layer[name], 2)} at {name}" for name in layers)
    yield f"layers differ: {first}, {second} and {third}"
    assert (by_layer.idxmin(), by_layer.idxmax()) == (layers[0], layers[2])
    apart = [printing.fixed(gain.loc["grad_cam", f"minus_sobel{end}"], 2) for end in ("", "_low", "_high")]
    yield f"energy gain of {values['grad_cam']:.2f}, the Sobel image {values['sobel']:.2f} (they differ by"
    yield "{} [{}, {}]".format(*apart)
    yield f"in the middle {values['gaussian']:.2f}. Eigen-Grad-CAM has {values['eigen_grad_cam']:.2f}"
    parts = claims.groupby("claim")["estimate"].agg(list)
    yield f"what can be had rises by {parts['C6'][1]:.2f} over the four stages"
    view = study.table("receptive_field")
    view = view[view["model"] == "segformer"].groupby(["network", "role"])["estimate"].mean()
    trained, untrained = (
        view[one, "after attention"] - view[one, "before attention"] for one in ("trained", "untrained")
    )
    yield f"by {trained:.0f} px on average over blocks, and by {untrained:.0f} px in a network that never learned"
    sizes = study.table("resolution")
    lost = -100 * sizes[sizes["factor"].isin((0.75, 1.25, 1.5))].groupby("model")["change"].mean()
    yield (
        f"SegFormer loses {lost['segformer']:.1f} points of mean IoU on average, its pair with position codes "
        f"{lost['segformer_position']:.1f}"
    )
    first, second, third = claims.loc[claims["claim"] == "C8", "by_training"].iloc[0].split("; ")
    yield f"differ by {float(first):.1f}, {float(second):.1f} and {float(third):.1f} points"
    thicker, coarse = parts["C7"]
    yield f"has lines {thicker:.1f} px thicker than Encoder 1"
    yield f"has lines {-coarse:.1f} px thicker than Mix-FFN 1"
    areas = study.table("faithfulness")
    areas = areas[(areas["model"] == "unet") & (areas["layer"] == "Encoder 5_2") & (areas["measure"] == "deletion")]
    areas = areas[(areas["imputation"] == "blur") & (areas["outcome"] == "probability") & (areas["order"] == "map")]
    left = areas.set_index("method")["mean"]
    yield f"At Encoder 5_2 {left['score_cam']:.2f} is left, and {left['random']:.2f} without the pixels of noise"
    yield f"without its pixels {min(parts['H1']):.2f} to {max(parts['H1']):.2f} more of the score is left"


def quoted_of_pretrained() -> Iterator[str]:
    """Numbers in the prose of the study's README on the pretrained U-Net."""
    name = "timm_unet:tf_efficientnet_lite0"
    rows = study.table("heatmap")
    rows = rows[(rows["metric"] == "energy_gain") & (rows["level"] == rows.groupby("model")["level"].transform("max"))]
    gain = rows[rows["model"] == name].set_index(["role", "layer"])["mean"]
    fourth, fifth = (f"{gain['encoder', layer]:.2f}" for layer in ("Encoder 4", "Encoder 5"))
    decoder, deepest = gain["decoder"], rows.set_index(["model", "layer"])["mean"].loc[("unet", "Encoder 5_2")]
    yield (
        f"an energy gain of {fourth} and {fifth}, the decoder {decoder.min():.2f} to {decoder.max():.2f}; U-Net's "
        f"deepest layer alone has {deepest:.2f}"
    )
    over = study.energy_gains()
    over = over[over["model"] == name].set_index("method")["estimate"]
    yield f"Grad-CAM has {over['grad_cam']:.2f} there, the Gaussian {over['gaussian']:.2f}"
    sizes = study.table("resolution")
    lost = -100 * sizes[sizes["factor"] == 0.5].set_index("model")["change"]
    yield (f"loses {lost[name]:.1f} points of mean IoU, U-Net {lost['unet']:.1f} and SegFormer {lost['segformer']:.1f}")


def listed(values: list[float]) -> str:
    *first, last = (f"{value:.2f}" for value in values)
    return f"{', '.join(first)} and {last}"


def ratio(case: str, ours: str, theirs: str, quantity: str = "time") -> float:
    rows = table(RESULTS / "timing", "timing")
    own = rows[
        (rows["case"] == case) & (rows["ours"] == ours) & (rows["theirs"] == theirs) & (rows["quantity"] == quantity)
    ]
    return float(own["ratio"].item())


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_tables_are_means_of_the_scores(folder: Path) -> None:
    metrics = ["energy_gain", "edge_alignment", "background_ratio", "blank"]
    keys = ["model", "level", "layer"]
    by_image = scores(folder, metrics, ["grad_cam"]).groupby([*keys, "image"])[metrics].mean()
    means = by_image.groupby(keys).mean().stack(future_stack=True).rename_axis([*keys, "metric"]).rename("of_scores")
    both = table(folder, "heatmap").merge(means.dropna().reset_index(), on=[*keys, "metric"])
    assert len(both) > 20
    assert set(both["metric"]) >= {"energy_gain", "background_ratio", "blank"}
    np.testing.assert_allclose(both["mean"], both["of_scores"], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_mean_iou_is_that_of_the_counted_pixels(folder: Path) -> None:
    levels = table(folder, "levels")
    found = pd.concat([pd.read_parquet(file) for file in (folder / "scores" / "predictions").glob("*.parquet")])
    names = [name for name in found if re.fullmatch(r"n_\d_\d", name)]
    sums = found.astype({"model": str}).groupby(["model", "level", "seed"])[names].sum()
    classes = int(len(names) ** 0.5)
    for (model, level, seed), row in sums.iterrows():
        counts = row.to_numpy(dtype=float).reshape(classes, classes)
        miou = (counts.diagonal() / (counts.sum(0) + counts.sum(1) - counts.diagonal())).mean()
        told = levels[(levels["model"] == model) & (levels["level"] == level) & (levels["seed"] == seed)]
        assert told["test_miou"].item() == pytest.approx(miou, abs=1e-6)
    assert len(sums) == levels["reached"].sum()


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", ["levels", "claims", "skipped"])
def test_tables_are_made_again_from_the_scores(folder: Path, name: str) -> None:
    for item in draw(folder, name, Files(("png",), 50)).items:
        if hasattr(item, "frame"):
            held = table(folder, item.name)
            again = pd.read_csv(io.StringIO(item.csv()))
            pd.testing.assert_frame_equal(again, held, rtol=1e-5, atol=2e-6)
            for suffix, text in item.files().items():
                if suffix != "csv":
                    assert text == (folder / "tables" / f"{item.name}.{suffix}").read_text()


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in RESULTS.glob("*/drawn.json")), ids=lambda one: one.name
)
def test_the_list_of_what_was_drawn_is_whole(folder: Path) -> None:
    """Else a report in the folder would refuse to write over what it holds."""
    store = Store(folder.parent)
    assert [name for name, value in store.drawn().items() if not store.holds(name, value)] == []


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_every_file_of_scores_is_there_as_it_was_published(folder: Path) -> None:
    """A file that git leaves out is missed by whoever clones, and by nobody else."""
    Results(folder).check()


def test_photographs_are_published_of_drawn_scenes_alone() -> None:
    for folder in RUNS:
        shown = json.loads((folder / "manifest.json").read_text())["profile"]["figures"]["photographs"]
        assert not shown or folder.name == "quick"


def test_results_are_light() -> None:
    files = [path for path in RESULTS.glob("*/**/*") if path.is_file() and path.suffix != ".svg"]
    page = [path for path in files if "report" in path.parts]
    rest = [path for path in files if "report" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 20_000_000
    assert sum(path.stat().st_size for path in page) <= 6_000_000
    assert max(path.stat().st_size for path in rest) <= 1_000_000
    assert sum(path.stat().st_size for path in (study.STUDY / "scores").rglob("*.parquet")) <= 8_000_000
    assert {path.suffix for path in rest} == {".csv", ".json", ".md", ".npz", ".parquet", ".png", ".tex", ".webp"}


def test_the_findings_quote_the_tables() -> None:
    text = " ".join((study.STUDY / "README.md").read_text().split())
    for row in quoted():
        assert row in text, row


def test_the_front_page_counts_the_verdicts() -> None:
    words = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight")
    verdicts = pd.Series({claim: verdict for claim, verdict in study.decided().items() if claim.startswith("C")})
    measured = verdicts[verdicts != NOT_MEASURED]
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"Of the {words[len(measured)]} claims that they measure the rule calls " in text
    for name, number in measured.value_counts().items():
        assert f"{words[number]} {name}" in text


def test_the_questions_quote_the_tables() -> None:
    text = (ROOT / "docs" / "questions.md").read_text()
    quick = RESULTS / "quick"
    seen = re.search(r"maps of false alarms \((\S+)\), misses \((\S+)\)", (quick / "captions.md").read_text())
    assert seen is not None
    alarms, misses = seen.groups()
    assert f"correlate with those of hits by {alarms} at the encoder's end, and maps of misses by {misses}." in text
    cut = table(quick, "map_threshold")
    row = cut[(cut["level"] == 90) & (cut["method"] == "grad_cam")].nlargest(1, "choose_iou").iloc[0]
    assert row["layer"] == "Decoder 1_2"
    assert f"IoU {row.cut_iou:.2f}, cut at {row.threshold:.2f} of its maximum" in text
    assert f"Otsu cuts higher and has {row.otsu_iou:.2f}." in text


def test_costs_quote_the_timings() -> None:
    text = (ROOT / "docs" / "costs.md").read_text()
    cases = ("unet-w16-128px-b4-best_pixel", "unet-w32-256px-b4-best_pixel", "segformer-128px-b4-best_pixel")
    for ours, theirs, form in TIMED:
        numbers = [format(ratio(case, ours, theirs), form) for case in cases]
        assert re.search(r"\|[^|\n]*" + "".join(rf"\| {number} " for number in numbers) + r"\|", text), (ours, numbers)
    front = (ROOT / "README.md").read_text()
    for theirs, form in (("torch-cam", ".2f"), ("captum, a call a layer", ".2f")):
        ratios = [ratio(case, "segcam, channels last", theirs) for case in cases]
        assert f"{min(ratios):{form}} to {max(ratios):{form}} times" in front
