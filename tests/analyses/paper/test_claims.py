from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analyses import Results
from analyses.paper.claims import claims
from analyses.paper.claims.contrasts import ClaimScores, NotMeasuredError
from analyses.paper.claims.size_contrasts import change
from analyses.paper.claims.statements import CLAIMS, HIGHEST, UNET, Claim, Contrast, Group, Selection
from analyses.paper.claims.verdicts import ONE_SEED, Finding, judge, overall
from analyses.reading.choices import highest, model_of
from analyses.statistics.paired import holm
from bench.output.store import Store
from bench.output.terminal import verdicts
from tests.analyses.checks import assert_on_page, rewrite, split, texts

IMAGES = tuple(f"pet_{i:02d}" for i in range(16))
NAMED = {("Encoder 5_2", 50), ("Encoder 5_2", 70), ("Encoder 5_2", 90), ("Decoder 2_2", 50), ("Decoder 2_2", 70)}
RUN = {
    "models": ("unet", "segformer", "vit"),
    "seeds": (0, 1, 2),
    "images": IMAGES,
    "methods": ("grad_cam", "random"),
    "extra_metrics": ("edge_thickness",),
    "factors": (0.5, 1.0, 2.0),
    "gallery": 0,
}


def row_of(frame: pd.DataFrame, part: str) -> pd.Series:
    rows = frame[frame["part"].str.contains(part, regex=False)]
    assert len(rows) == 1
    return rows.iloc[0]


def maps_as_claimed(frame: pd.DataFrame, s: float, rng: np.random.Generator) -> pd.DataFrame:
    """Scores that follow the claims (s 1), the contrary (s -1) or nothing (s 0), with noise."""
    layer, level = frame["layer"].astype(str), int(frame["level"].iloc[0])
    stage = layer.str.extract(r"(\d)_\d$")[0].astype(float).fillna(3.0)
    unet = frame["model"].astype(str) == "unet"
    named = np.array([(name, level) in NAMED for name in layer])
    first_ffn = layer.str.startswith("Mix-FFN dw-conv 1_")
    falls = 0.1 * (3 - stage) * ((level - 60) / 30 if unet.all() else 1)
    values = {
        "edge_alignment": 0.3 + s * falls,
        "energy_gain": 0.2 + s * 0.1 * stage,
        "background_ratio": 0.5 + s * 0.2 * named,
        "spread": 0.5 + s * 0.1 * layer.str.startswith("After attention"),
        "edge_thickness": 6 + s * 2 * first_ffn,
    }
    for name, value in values.items():
        noise = rng.normal(0, 0.02, len(frame)) + rng.normal(0, 0.002)
        frame[name] = (value + noise * (10 if name == "edge_thickness" else 1)).astype(np.float32)
    return frame


def write_claimed(results: Results, s: float) -> Results:
    rng = np.random.default_rng(7)
    for path in sorted((results.folder / "scores").glob("*.parquet")):
        maps_as_claimed(pd.read_parquet(path), s, rng).to_parquet(path, index=False)
    for path in sorted((results.folder / "scores" / "resolution").glob("*.parquet")):
        frame = pd.read_parquet(path)
        loses = (frame["model"] == "vit") if s > 0 else (frame["model"] == "segformer") if s < 0 else False
        wrong = np.where(loses & (frame["factor"] != 1), 100, 30) + rng.integers(0, 9, len(frame))
        frame["n_0_1"], frame["n_0_0"] = wrong, 700 - wrong
        frame["n_1_0"], frame["n_1_1"] = wrong, 300 - wrong
        frame.to_parquet(path, index=False)
    return Results(results.folder)


@pytest.fixture(scope="module")
def claimed(make_in, tmp_path_factory):
    """Return a function that makes up a run that is as claimed, or not, and judges it; the same one once."""
    judged = {}

    def build(s, **fields):
        key = f"{s} {fields}"
        if key not in judged:
            results = write_claimed(make_in(tmp_path_factory.mktemp("claimed") / "run", **RUN | fields), s)
            judged[key] = results, claims.summarise(results, "best_pixel:logit")
        return judged[key]

    return build


@pytest.mark.parametrize(("s", "verdict"), [(1, "supported"), (-1, "contradicted"), (0, "undecided")])
def test_what_was_put_in_comes_out(claimed, s, verdict):
    _, frame = claimed(s)
    assert list(dict.fromkeys(frame["claim"])) == [f"C{i}" for i in range(1, 9)]
    wrong = frame[(frame["verdict"] != verdict) & frame["counts"]]
    if s == 0:
        kept = wrong["part"].str.contains("no more than 2 points")  # nothing is lost, as claimed
        assert wrong.loc[kept, "verdict"].tolist() == ["supported"]
        wrong = wrong[~kept]
        assert frame["reason"].str.contains("the interval holds").sum() > 15
    assert wrong.empty, wrong[["part", "verdict", "reason"]].to_string()
    assert set(frame["overall"]) == {verdict}
    assert (frame["n_seeds"] == 3).all()
    assert (frame["n_images"] == len(IMAGES)).all()
    measured = frame[frame["metric"] != "miou"]
    np.testing.assert_allclose(measured["mixed_estimate"], measured["estimate"], atol=2e-6)  # balanced: no gaps
    assert (measured["mixed_high"] > measured["mixed_low"]).all()


@pytest.mark.parametrize(("seeds", "words"), [((0,), "here one seed"), ((0, 1), "here 2 seeds")])
def test_a_claim_about_levels_takes_three_seeds(claimed, seeds, words):
    _, frame = claimed(1, seeds=seeds)
    about_levels = frame["claim"].isin(["C1", "C3", "C4"])
    by_rule, others = frame[about_levels], frame[~about_levels]
    assert set(by_rule["verdict"]) == set(by_rule["overall"]) == {"undecided"}
    assert by_rule["reason"].str.endswith(f"takes 3 seeds, {words}").all()
    assert by_rule["estimate"].notna().all()
    assert set(others["overall"]) <= {"supported"} | ({"undecided"} if len(seeds) == 2 else set())  # t of df 1
    alone = others.loc[others["verdict"] == "supported", "reason"].str.contains("one seed: of these").all()
    assert alone == (len(seeds) == 1)


def test_estimates_are_those_of_plain_means(claimed):
    results, frame = claimed(1)
    scores = results.scores({"method": ["grad_cam"]}).astype({"layer": str, "model": str})

    def mean(model, layers, metric, levels):
        rows = (scores["model"] == model) & scores["layer"].isin(layers) & scores["level"].isin(levels)
        return scores.loc[rows, metric].astype(float).mean()

    spread = [mean("segformer", [f"{when} attention 2_1"], "spread", [90]) for when in ("After", "Before")]
    assert row_of(frame, "block 2_1")["estimate"] == pytest.approx(spread[0] - spread[1], abs=2e-6)
    line = [mean("unet", ["Encoder 1_2"], "edge_alignment", [level]) for level in (30, 50, 70, 90)]
    slope = np.polyfit(range(4), line, 1)[0]
    assert row_of(frame, "rises with the level")["estimate"] == pytest.approx(3 * slope, abs=2e-6)
    cell = scores[(scores["model"] == "unet")]
    named = np.array([(layer, level) in NAMED for layer, level in zip(cell["layer"], cell["level"], strict=True)])
    ratio = cell["background_ratio"].astype(float)
    assert row_of(frame, "the other cells")["estimate"] == pytest.approx(
        ratio[named].mean() - ratio[~named].mean(), abs=2e-6
    )
    assert row_of(frame, "Encoder 5_2 at 70")["estimate"] == pytest.approx(
        mean("unet", ["Encoder 5_2"], "background_ratio", [70]), abs=2e-6
    )


def test_p_is_corrected_within_each_claim(claimed):
    _, frame = claimed(0)
    expected = holm(frame["p"].tolist(), frame["claim"].tolist())
    np.testing.assert_allclose(frame["p_adjusted"], expected, rtol=2e-2)
    blocks = frame[frame["claim"] == "C5"]
    assert blocks["p_adjusted"].min() == pytest.approx(min(1, 8 * blocks["p"].min()), rel=0.02)


def test_what_is_missing_is_named(make):
    run = RUN | {"models": ("vit",), "levels": (90,), "seeds": (0,), "factors": ()}
    frame = claims.summarise(make(**run), "best_pixel:logit")
    assert set(frame["verdict"]) == {"undecided"}
    told = dict(zip(frame["claim"], frame["reason"], strict=True))
    assert told["C1"] == "not measured (no unet in the run)"
    assert told["C5"] == "not measured (no segformer in the run)"
    assert told["C8"] == "not measured (no tests at other sizes)"
    assert frame["estimate"].isna().all()
    (table,) = claims.analyse(make(**run))
    assert "not measured" in table.markdown()


def test_missing_levels_layers_metrics_and_seeds_are_named(make):
    unreached = frozenset({(0, 30), (1, 30), (2, 50), (1, 90)})
    run = RUN | {"models": ("unet",), "unreached": unreached, "stages": 4, "extra_metrics": (), "factors": ()}
    frame = claims.summarise(make(**run | {"seeds": (0, 1)}), "best_pixel:logit")
    told = {row["part"]: row["reason"] for _, row in frame.iterrows()}
    assert told["edge alignment of Encoder 1_2 rises with the level"] == "not measured (U-Net did not reach 30 %)"
    assert told["energy gain rises from Encoder 1_2 to 5_2"] == "not measured (U-Net has no layer Encoder 5_2)"
    assert told["lines of Mix-FFN 1 are thicker than those of Encoder 1"] == "not measured (metric edge_thickness)"
    results = make(**run | {"seeds": (0, 1, 2)})
    seeds = row_of(claims.summarise(results, "best_pixel:logit"), "Decoder 2_2 at 50 %")
    assert (seeds["n_seeds"], seeds["verdict"]) == (2, "undecided")
    apart = Contrast("x", "spread", tuple(_at(level) for level in (30, 50)), "wilcoxon", 1)
    with pytest.raises(NotMeasuredError, match="no seed with all cells"):
        ClaimScores(results, "best_pixel:logit").values(apart)


def _at(level):
    return Group(str(level), (Selection(UNET, ("Encoder 1_2",), (level,)),))


def test_undefined_maps_are_left_out_and_counted(make):
    results = write_claimed(make(**RUN | {"seeds": (0,), "models": ("segformer",), "levels": (90,), "factors": ()}), 1)

    def thin(frame):
        gone = (frame["layer"] == "After attention 1_1") & frame["image"].isin(IMAGES[:12])
        return frame.assign(spread=frame["spread"].mask(gone))

    found = claims.summarise(rewrite(results, thin), "best_pixel:logit")
    few, other = row_of(found, "block 1_1"), row_of(found, "block 1_2")
    assert (few["n_images"], few["n_left_out"], few["verdict"]) == (4, 12, "undecided")
    assert few["reason"] == "too few images with a value (4; 6 are needed)"
    assert (other["n_images"], other["n_left_out"], other["verdict"]) == (16, 0, "supported")


def test_a_seed_without_some_level_shifts_no_other_level(make):
    """Each seed's values fall with the level; one is higher throughout and lacks the first: no rise comes of that."""
    rng = np.random.default_rng(3)

    def fall(frame):
        value = 0.3 + 0.5 * (frame["seed"] == 1) - 0.002 * frame["level"] + rng.normal(0, 0.002, len(frame))
        return frame.assign(edge_alignment=value.mask((frame["seed"] == 1) & (frame["level"] == 30)))

    results = rewrite(make(**RUN | {"models": ("unet",), "factors": ()}), fall)
    found = row_of(claims.summarise(results, "best_pixel:logit"), "rises with the level")
    assert found["estimate"] < -0.1
    assert found["effect"] == -1  # of images that fall throughout
    assert (found["n_images"], found["n_seeds"]) == (len(IMAGES), 2)


PAIR = Contrast("x", "spread", (), "wilcoxon", 1, smallest=0.1)
CLAIM = Claim("C0", "sentence", (PAIR,))
FALLS = Contrast("x", "spread", (), "wilcoxon", -1, null=0.5, smallest=0.1)


@pytest.mark.parametrize(
    ("contrast", "numbers", "effect", "p", "verdict", "words"),
    [
        (PAIR, (0.3, 0.2, 0.4), 0.8, 0.01, "supported", "wholly on the claimed side"),
        (PAIR, (-0.3, -0.4, -0.2), -0.8, 0.01, "contradicted", "wholly on the other side"),
        (PAIR, (0.3, -0.1, 0.7), 0.8, 0.01, "undecided", "the interval holds 0"),
        (PAIR, (0.01, -0.02, 0.04), 0.1, 0.9, "undecided", "holds 0 and nothing as far from it as 0.1"),
        (PAIR, (0.05, 0.04, 0.06), 0.8, 0.01, "undecided", "smaller than the smallest effect of interest, 0.1"),
        (PAIR, (0.3, 0.2, 0.4), -0.1, 0.01, "undecided", "the ranks are not"),
        (PAIR, (0.3, 0.2, 0.4), 0.8, 0.06, "undecided", "p after Holm is 0.06"),
        (PAIR, (0.3, float("nan"), float("nan")), 0.8, 0.01, "undecided", "no interval"),
        (FALLS, (0.3, 0.2, 0.4), -0.8, 0.01, "supported", "wholly on the claimed side"),
        (FALLS, (0.7, 0.65, 0.8), 0.8, 0.01, "contradicted", "wholly on the other side"),
        (PAIR, (0.3, 0.2, 0.4), float("nan"), 0.01, "supported", "wholly on the claimed side"),
    ],
)
def test_the_rule(contrast, numbers, effect, p, verdict, words):
    found = Finding(CLAIM, contrast, *numbers, effect=effect, p=p, n_images=50, n_seeds=3)
    assert judge(found, p)[0] == verdict
    assert words in judge(found, p)[1]


def test_a_claim_is_supported_where_all_its_contrasts_are_and_controls_do_not_count():
    control = Contrast("x", "spread", (), "wilcoxon", 1, counts=False)
    yes, no, open_ = (PAIR, "supported", "a"), (PAIR, "contradicted", "b"), (PAIR, "undecided", "c")
    assert overall([yes, yes, (control, "contradicted", "d")])[0] == "supported"
    assert overall([yes, open_]) == ("undecided", "1 of 2 contrasts supported, 0 contradicted; c")
    assert overall([yes, no, open_])[0] == "contradicted"
    assert overall([open_, open_]) == ("undecided", "c")
    assert overall([yes, (control, "undecided", "d")]) == ("supported", "a")
    alone = (PAIR, "supported", f"a; {ONE_SEED}")
    assert overall([alone, alone]) == ("supported", f"2 of 2 contrasts supported, 0 contradicted; {ONE_SEED}")


def test_the_claims_are_declared_whole():
    assert [claim.id for claim in CLAIMS] == [f"C{i}" for i in range(1, 9)]
    assert {claim.id for claim in CLAIMS if claim.about_levels} == {"C1", "C3", "C4"}
    parts = [contrast.part for claim in CLAIMS for contrast in claim.contrasts]
    assert len(set(parts)) == len(parts)
    for contrast in (contrast for claim in CLAIMS for contrast in claim.contrasts):
        assert (len(contrast.groups) > 2) == (contrast.test == "page")
        assert contrast.smallest > 0 or contrast.null != 0
    assert HIGHEST not in {30, 50, 70, 90, 100}


def test_the_change_with_size_agrees_with_the_table_of_resolution(make):
    results = make(**RUN | {"seeds": (0, 1), "levels": (90,)})
    contrast = CLAIMS[-1].contrasts[1]
    found = change(results, contrast, np.random.default_rng(0), 400)
    from analyses.paper import resolution

    pairs = resolution.contrasts(results, results.resolution())
    pairs = pairs[(pairs["model"] == "segformer") & (pairs["other"] == "vit")]
    assert found.estimate == pytest.approx(pairs["contrast"].mean(), abs=1e-6)
    assert found.values.shape == (2, len(IMAGES))
    assert found.values.mean() == pytest.approx(found.estimate, abs=1e-3)
    spread = found.values.mean(axis=0).std(ddof=1) / np.sqrt(len(IMAGES))
    assert found.resampled.std() == pytest.approx(spread, rel=0.5)


def test_models_are_found_by_family_and_at_the_highest_level_most_seeds_reached(make):
    results = make(
        models=("unet_he", "segformer:b1"), levels=(30, 90), seeds=(0, 1), unreached=frozenset({(0, 90)}), gallery=0
    )
    assert model_of(results, "unet") is None
    assert model_of(results, "segformer") == "segformer:b1"
    assert highest(results, "segformer:b1") == 30


def test_the_figure_is_readable_and_not_by_colour_alone(make):
    table, (figure,) = split(claims.analyse(write_claimed(make(**RUN | {"images": IMAGES[:8]}), 1)))
    assert "Holm's p" in table.caption
    written = texts(figure)
    assert written.count("supported") >= 8
    assert "8 \N{MULTIPLICATION SIGN} 3" in written
    assert {line.get_marker() for line in figure.figure.axes[0].lines} >= {">"}
    overall_ = table.frame.groupby("claim")["overall"].first()
    assert overall_["C5"] == "undecided"  # eight blocks of eight images: Holm's least p is 8 * 2 / 2**8
    assert overall_.drop("C5").eq("supported").all()


def test_the_terminal_shows_a_verdict_for_each_claim(claimed, tmp_path):
    store = Store(tmp_path / "out")
    assert verdicts(store) is None
    results, frame = claimed(1, seeds=(0,))
    store.write("manifest.json", (results.folder / "manifest.json").read_bytes())
    store.write("tables/claims.csv", frame.to_csv(index=False).encode())
    for width in (140, 80, 40):
        console = Console(file=io.StringIO(), width=width)
        console.print(verdicts(store))
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        rows = [line.split()[:2] for line in lines if re.match(r"C\d", line)]
        assert [row[0] for row in rows] == [f"C{i}" for i in range(1, 9)]
        assert [row[1] for row in rows][:3] == ["undecided", "supported", "undecided"]
        words = " ".join(" ".join(lines).split())
        assert "a claim about levels takes 3 seeds, here one seed" in words.replace("By rule: ", "") or width == 40
        assert "tables/claims.csv" in words


def test_the_figure_says_which_claims_hold_and_leaves_out_what_was_not_measured(make):
    results = write_claimed(make(**{**RUN, "models": ("unet",), "images": IMAGES[:8]}), 1)
    table, (figure,) = split(claims.analyse(results))
    assert figure.caption.finding == "Supported: C1, C2, C3 and C4; not measured: C5, C6, C7 and C8."
    assert_on_page(figure)
    measured = table.frame[~table.frame["reason"].str.startswith("not measured")]
    parts = [text for text in texts(figure) if text in set(table.frame["part"])]
    assert parts == list(measured["part"])
    assert f"Left out: {len(table.frame) - len(measured)} contrasts that were not measured" in figure.caption.details
