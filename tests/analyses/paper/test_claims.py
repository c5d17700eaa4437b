from __future__ import annotations

import io
import math
import re
import shutil
from dataclasses import replace
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analyses import Results
from analyses.paper.claims import claims, supplements
from analyses.paper.claims.decided import caveat
from analyses.paper.claims.evaluation import Control, evaluate, instead
from analyses.paper.claims.registration import Quantity, registered
from analyses.paper.claims.values import ClaimScores, NotMeasuredError
from analyses.paper.claims.verdicts import NOISE, REASONS, judge
from analyses.reading.choices import highest, model_of
from analyses.reading.states import NOT_DISCRIMINATING, NOT_MEASURED, STATES, UNDECIDED
from analyses.reading.variants import Variant
from analyses.statistics.combined import Combined
from bench.output.store import Store
from bench.output.terminal import verdicts
from tests.analyses.checks import assert_on_page, edit_manifest, rewrite, texts

SEEDS = registered().seeds[:3]
IMAGES = tuple(f"pet_{i:02d}" for i in range(16))
TARGET = "best_pixel:logit"
NAMED = {("Encoder 5_2", 50), ("Encoder 5_2", 70), ("Encoder 5_2", 90), ("Decoder 2_2", 50), ("Decoder 2_2", 70)}
MEASURES = ("fine_power", "partial_edge_alignment", "line_width")
RUN = {
    "models": ("unet", "segformer", "segformer_position"),
    "seeds": SEEDS,
    "images": IMAGES,
    "methods": ("grad_cam", "uniform", "random", "gaussian", "sobel", "mask_oracle"),
    "extra_metrics": MEASURES,
    "factors": (0.75, 1.0, 1.25, 1.5),
    "gallery": 0,
}
JUDGED = ("C1", "C2", "C3", "C4", "C6", "C7", "C8")
"""All but C5, whose measure is no column of the scores."""
BLIND = {"uniform": 0.5, "random": 0.5, "gaussian": 0.3, "sobel": 0.4, "mask_oracle": 0.1}
"""The background ratio of each control; everything else of theirs is the same at every layer."""


def maps_as_claimed(frame: pd.DataFrame, s: float, rng: np.random.Generator) -> pd.DataFrame:
    """Scores that follow the claims (s 1), the contrary (s -1) or nothing (s 0), with noise; controls know nothing."""
    layer, level = frame["layer"].astype(str), int(frame["level"].iloc[0])
    method = frame["method"].astype(str)
    own = method == "grad_cam"
    stage = layer.str.extract(r"(\d)_\d$")[0].astype(float).fillna(3.0)
    unet = (frame["model"].astype(str) == "unet").all()
    named = np.array([(name, level) in NAMED for name in layer])
    first_ffn = layer.str.startswith("Mix-FFN dw-conv 1_")
    falls = 0.15 * (3 - stage) * ((level - 60) / 30 if unet else 1)
    values = {
        "fine_power": 0.4 + s * 0.004 * (level - 60),
        "partial_edge_alignment": 0.1 + s * falls,
        "energy_gain": 0.5 + s * 0.12 * (stage - 3),
        "background_ratio": 0.5 + s * 0.2 * named,
        "line_width": 6 + s * 3 * first_ffn,
    }
    blind = {"energy_gain": (method == "mask_oracle") * 1.0, "background_ratio": method.map(BLIND).astype(float)}
    for name, value in values.items():
        noise = rng.normal(0, 0.02, len(frame)) + rng.normal(0, 0.002)
        spoken = value + noise * (10 if name == "line_width" else 1)
        frame[name] = np.where(own, spoken, blind.get(name, 0.2)).astype(np.float32)
    return frame


def write_claimed(results: Results, s: float) -> Results:
    rng = np.random.default_rng(7)
    for path in sorted((results.folder / "scores").glob("*.parquet")):
        maps_as_claimed(pd.read_parquet(path), s, rng).to_parquet(path, index=False)
    for path in sorted((results.folder / "scores" / "resolution").glob("*.parquet")):
        frame = pd.read_parquet(path)
        loser = {1: "segformer_position", -1: "segformer"}.get(int(np.sign(s)), "")
        wrong = np.where((frame["model"] == loser) & (frame["factor"] != 1), 100, 30) + rng.integers(0, 9, len(frame))
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
            results = edit_manifest(results, lambda m: m.update(registration=registered().sha256))
            decided = claims.decide(results, TARGET)
            by_claim = {one.judged.claim.id: one for one in decided}
            judged[key] = results, by_claim, claims.summarise(results, decided, TARGET)
        return judged[key]

    return build


@pytest.mark.parametrize(("s", "verdict"), [(1, "supported"), (-1, "opposite"), (0, "negligible")])
def test_what_was_put_in_comes_out(claimed, s, verdict):
    _, decided, frame = claimed(s)
    assert list(dict.fromkeys(frame["claim"])) == [claim.id for claim in registered().claims]
    few = {"C8"} if s == 0 else set()  # a point of mean IoU takes more than 16 images
    told = {name: decided[name].overall for name in JUDGED if name not in few}
    assert told == dict.fromkeys(told, verdict)
    assert decided["C5"].overall == NOT_MEASURED
    assert {decided[name].overall for name in ("H1", "H2", "D1")} == {NOT_MEASURED}  # the run has no faithfulness
    measured = frame[frame["claim"].isin(JUDGED)]
    assert (measured["n_seeds"] == 3).all()
    assert (measured["n_images"] == len(IMAGES)).all()
    assert set(measured["exploratory"]) == {""}
    words = {"supported": "replicated", "opposite": "not replicated", "negligible": "not replicated"}
    assert set(measured.loc[~measured["claim"].isin(few), "replicated"]) == {words[verdict]}


def test_estimates_are_those_of_plain_means(claimed):
    results, decided, frame = claimed(1)
    scores = results.scores({"method": ["grad_cam"]}).astype({"layer": str, "model": str})

    def mean(model, layers, metric, levels):
        rows = (scores["model"] == model) & scores["layer"].isin(layers) & scores["level"].isin(levels)
        return scores.loc[rows, metric].astype(float).mean()

    rows = {row["part"]: row for row in frame.to_dict("records")}
    line = [mean("unet", ["Encoder 1_2"], "fine_power", [level]) for level in (30, 50, 70, 90)]
    rises = 3 * np.polyfit(range(4), line, 1)[0]
    assert rows["fine structure in maps of Encoder 1_2 rises with the level"]["estimate"] == pytest.approx(
        rises, abs=2e-6
    )
    assert decided["C1"].judged.combined.estimate == pytest.approx(rises / 0.05, abs=1e-4)
    falls = [mean("unet", [f"Encoder {stage}_2"], "partial_edge_alignment", [90]) for stage in range(1, 6)]
    slope = 4 * np.polyfit(range(5), falls, 1)[0]
    row = rows["edges beyond mask and centre fall from Encoder 1_2 to 5_2"]
    assert row["estimate"] == pytest.approx(slope, abs=2e-6)
    assert row["standardised"] == pytest.approx(-slope / 0.05, abs=1e-4), "turned towards the claim"
    assert row["low"] < row["estimate"] < row["high"]
    above = mean("unet", ["Encoder 5_2"], "background_ratio", [70]) - BLIND["uniform"]
    assert rows["Encoder 5_2 at 70 % lies more on background than an even map"]["estimate"] == pytest.approx(
        above, abs=2e-6
    )
    of_parts = frame[(frame["claim"] == "C4")]["standardised"]
    assert of_parts.mean() == pytest.approx(decided["C4"].judged.combined.estimate, abs=1e-4)


def test_a_claim_that_maps_pass_which_know_nothing_is_not_discriminating(claimed, make):
    _, decided, _ = claimed(1)
    assert all(not one.passing for one in decided.values())
    assert {one.method for one in decided["C2"].controls} == {"random", "gaussian", "sobel", "mask_oracle"}
    assert {one.judged.verdict for one in decided["C2"].controls} == {"negligible"}
    rng = np.random.default_rng(3)
    copied = write_claimed(make(**RUN | {"models": ("unet",), "factors": (), "levels": (90,)}), 1)

    def random_rises(frame):
        stage = frame["layer"].astype(str).str.extract(r"(\d)_\d$")[0].astype(float).fillna(3.0)
        blind = frame["method"].astype(str) == "random"
        edges, gain = 0.2 - 0.1 * stage + rng.normal(0, 0.01, len(frame)), 0.1 * stage
        return frame.assign(
            partial_edge_alignment=np.where(blind, edges, frame["partial_edge_alignment"]),
            energy_gain=np.where(blind, gain, frame["energy_gain"]),
        )

    decided = {one.judged.claim.id: one for one in claims.decide(rewrite(copied, random_rises), TARGET)}
    assert decided["C2"].judged.verdict == "supported"
    assert (decided["C2"].overall, decided["C2"].passing) == (NOT_DISCRIMINATING, ["random"])
    rows = claims.summarise(copied, list(decided.values()), TARGET)
    assert set(rows.loc[rows["claim"] == "C2", "overall_reason"]) == {"random passes it, too"}


def test_scores_from_before_the_registration_are_exploratory(claimed, make):
    results, _, _ = claimed(1)
    for kept, words in (("", "from before the registration"), ("f" * 64, "begun under another registration")):
        other = edit_manifest(results, lambda m, kept=kept: m.update(registration=kept))
        assert words in claims.decide(other, TARGET)[0].exploratory
    edit_manifest(results, lambda m: m.update(registration=registered().sha256))


def test_runs_that_lack_a_measure_say_the_nearest_thing(make):
    results = write_claimed(make(**RUN | {"models": ("unet",), "factors": (), "extra_metrics": (), "levels": (90,)}), 0)
    claim = registered().claims[1]
    scores = ClaimScores(results, TARGET)
    judged, quantities = instead(scores, claim, registered())
    assert judged.verdict != NOT_MEASURED
    assert quantities["edges"].words == "edge_alignment \N{MINUS SIGN} mask_oracle"
    decided = claims.decide(results, TARGET)[1]
    assert "in the place of partial_edge_alignment" in decided.exploratory
    assert next(registered().alternatives(claim))["edges"].words == "partial_edge_alignment"


def test_what_is_missing_is_named(make):
    run = RUN | {"models": ("vit",), "levels": (90,), "seeds": (0,), "factors": ()}
    results = make(**run)
    frame = claims.summarise(results, claims.decide(results, TARGET), TARGET)
    assert set(frame["verdict"]) == set(frame["overall"]) == {NOT_MEASURED}
    told = dict(zip(frame["claim"], frame["reason"], strict=True))
    assert told["C1"] == "not measured (no unet in the run)"
    assert told["C5"] == "not measured (no segformer in the run)"
    assert told["C8"] == "not measured (no tests at other sizes)"
    assert frame["estimate"].isna().all()
    assert set(frame.loc[frame["method"] != "", "claim"]) == {"C1", "C2", "C3", "C4", "C6", "C7"}, "those about maps"
    assert set(frame.loc[frame["target"] == TARGET, "claim"]) == {"C1", "C2", "C3", "C4", "C6", "C7"}
    (table,) = claims.analyse(results)
    assert "not measured" in table.markdown()


def test_missing_levels_layers_sizes_and_seeds_are_named(make):
    unreached = frozenset({(0, 30), (1, 30), (2, 50), (1, 90)})
    run = RUN | {"models": ("unet", "segformer", "segformer_position"), "unreached": unreached, "stages": 4}
    results = make(**run | {"seeds": (0, 1), "factors": (0.75, 1.0, 1.5)})
    frame = claims.summarise(results, claims.decide(results, TARGET), TARGET)
    told = {row["claim"]: row["reason"] for _, row in frame.iterrows()}
    assert told["C1"] == "not measured (U-Net did not reach 30 %)"
    assert told["C2"] == "not measured (U-Net has no layer Encoder 5_2)"
    assert told["C8"] == "not measured (segformer was not tested at 1.25 times its size)"
    fewer = make(**RUN | {"models": ("unet",), "levels": (50, 90), "factors": ()})
    frame = claims.summarise(fewer, claims.decide(fewer, TARGET), TARGET)
    assert "was not trained to 30 %" in frame["reason"].iloc[0], (
        "a level that nobody asked for is not one that it missed"
    )
    part = registered().claims[3].parts[0]
    apart = part.model_copy(
        update={
            "compare": "difference",
            "groups": (part.groups[0], part.groups[0].model_copy(update={"levels": (30,)})),
        }
    )
    with pytest.raises(NotMeasuredError, match="no seed"):
        ClaimScores(make(**run | {"seeds": (0, 1, 2), "stages": 5}), TARGET).values(
            apart, Quantity(metric="energy_gain")
        )


def test_blank_maps_are_counted_and_change_no_others(make):
    results = write_claimed(make(**RUN | {"models": ("unet",), "factors": ()}), 1)
    claim = registered().claims[0]
    before = evaluate(ClaimScores(results, TARGET), claim, registered())

    def thin(frame):
        gone = (frame["layer"] == "Encoder 1_2") & frame["image"].isin(IMAGES[:4]) & (frame["seed"] == SEEDS[1])
        return frame.assign(fine_power=frame["fine_power"].mask(gone))

    found = evaluate(ClaimScores(rewrite(results, thin), TARGET), claim, registered())
    (part,) = found.parts
    assert (part.n_images, part.n_left_out) == (16, 0), "other trainings have maps of these images"
    assert part.defined == pytest.approx(1 - 4 / 48)
    assert part.estimate == pytest.approx(before.parts[0].estimate, abs=0.01)
    assert found.verdict == "supported"


def test_a_mean_over_layers_is_of_trainings_with_all_of_them(make):
    results = make(models=("unet",), levels=(90,), seeds=(0, 1), methods=("grad_cam",), images=IMAGES[:3], gallery=0)
    layers = ("Encoder 1_2", "Encoder 3_2")
    part = registered().claims[0].parts[0]
    group = part.ordered[0].model_copy(update={"layers": layers, "levels": (90,)})
    mean = part.model_copy(update={"compare": "value", "groups": (group,), "along": ""})
    quantity = Quantity(metric="energy_gain")
    assert list(ClaimScores(results, TARGET).values(mean, quantity).numbers.index) == [0, 1]
    thin = rewrite(results, lambda frame: frame[(frame["layer"] != layers[1]) | (frame["seed"] != 1)])
    numbers = ClaimScores(thin, TARGET).values(mean, quantity).numbers
    assert list(numbers.index) == [0]
    rows = results.scores().query("seed == 0 and target == @TARGET").astype({"layer": str, "image": str})
    plain = rows[rows["layer"].isin(layers)].groupby("image")["energy_gain"].mean()
    np.testing.assert_allclose(numbers.loc[0, plain.index], plain, rtol=1e-6)


def test_an_opposite_claim_says_which_controls_are_so_too(claimed):
    one, other = (claimed(sign)[1]["C1"] for sign in (-1, 1))
    assert (one.overall, other.overall) == ("opposite", "supported")
    named = [Control(name, one.judged, None) for name in ("gaussian", "mask_oracle")]
    assert "Gaussian and mask oracle are opposite, too." in caveat(replace(one, controls=named))
    assert "Gaussian is opposite, too." in caveat(
        replace(one, controls=[named[0], Control("sobel", other.judged, None)])
    )
    assert "opposite" not in caveat(replace(one, controls=[])) + caveat(replace(other, controls=named))


def test_few_images_and_few_trainings_decide_nothing(claimed, make):
    _, decided, _ = claimed(1, seeds=(0, 1))
    assert {decided[name].overall for name in JUDGED} == {"undecided"}
    assert "2 trainings, where a verdict takes 3" in decided["C1"].judged.reason
    assert decided["C1"].region == "supported", "the interval says so all the same"
    assert decided["C1"].exploratory == "seeds 0 and 1 are not registered"


def test_the_figure_says_what_a_verdict_lacks_and_names_noise(make):
    fields = {**RUN, "models": ("unet",), "seeds": (0, 1), "factors": (), "images": IMAGES[:8]}
    results = write_claimed(make(**fields), 1)
    table, *_, figure, _ = claims.analyse(results)
    written = texts(figure)
    assert written.count("undecided (2 of 3 trainings)") == 4
    assert "mean of its parts, in smallest effects" in written
    several = table.frame[table.frame["verdict"] != NOT_MEASURED].groupby("claim").size() > 1
    assert written.count("mean of its parts, in smallest effects") == several.sum() < len(several)
    undecided = table.frame["verdict"] == UNDECIDED
    assert set(table.frame.loc[undecided, "reason"]) <= {NOISE, REASONS["undecided"], "no interval"}
    assert (table.frame.loc[~undecided & (table.frame["verdict"] != NOT_MEASURED), "reason"] == "").all()


@pytest.mark.parametrize(
    ("ends", "state", "reason"),
    [((1.01, 3.0), "undecided", NOISE), ((0.5, 3.0), "undecided", REASONS["undecided"]), ((1.5, 3.0), "supported", "")],
)
def test_a_part_that_is_undecided_says_why(claimed, ends, state, reason):
    _, decided, _ = claimed(1)
    one = decided["C1"]
    (part, *_) = one.judged.parts
    smallest = registered().measures[part.part.measure].smallest
    moved = replace(part, estimate=2 * smallest, low=ends[0] * smallest, high=ends[1] * smallest)
    found = claims._row(one, moved)
    assert (found["verdict"], found["reason"]) == (state, reason)


def test_one_training_does_not_tell_how_many_would_decide(claimed):
    _, decided, frame = claimed(1, seeds=SEEDS[:1])
    assert {decided[name].overall for name in JUDGED} == {"undecided"}
    assert frame["seeds_needed"].isna().all()
    assert not frame["caveat"].str.contains("trainings to decide").any()
    assert frame.loc[frame["claim"] == "C1", "caveat"].item() == "The registration calls it underpowered."
    assert decided["C1"].exploratory == ""


COMBINED = Combined(0.0, 0.0, 0.0, None, np.zeros((3, 9)), 0.001)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.1, 3.0, "supported"),
        (-3.0, -1.1, "opposite"),
        (-0.9, 0.9, "negligible"),
        (0.2, 0.9, "negligible"),
        (0.5, 1.5, "undecided"),
        (-1.5, 0.2, "undecided"),
        (-3.0, 3.0, "undecided"),
        (1.001, 3.0, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_rule(low, high, verdict):
    rule = registered().rule
    assert judge(COMBINED._replace(low=low, high=high), rule, 50, 3)[0] == verdict
    turned = {"supported": "opposite", "opposite": "supported"}.get(verdict, verdict)
    assert judge(COMBINED._replace(low=-high, high=-low), rule, 50, 3)[0] == turned, "it is the same on either side"
    assert judge(COMBINED._replace(low=low, high=high), rule, 5, 3) == (
        "undecided",
        "too few images with a value (5; 6 are needed)",
    )


def test_specifications_are_every_choice_that_could_have_been_made(claimed):
    _, decided, frame = claimed(1)
    one = decided["C4"]
    assert sum(choice.registered for choice in one.specifications) == 1
    assert {choice.left_out for choice in one.specifications} == {None, *SEEDS}
    assert {choice.measures for choice in one.specifications} >= {
        "background_ratio \N{MINUS SIGN} gaussian",
        "less energy_gain \N{MINUS SIGN} uniform",
    }
    agree = np.mean([choice.verdict == "supported" for choice in one.specifications if not choice.registered])
    rows = frame[frame["claim"] == "C4"]
    assert rows["agreement"].iloc[0] == pytest.approx(agree)
    assert rows["specifications"].iloc[0] == len(one.specifications) - 1
    assert ("% of" in rows["caveat"].iloc[0]) == (agree < 0.8)


def test_variants_are_specifications_too(claimed, make_in, tmp_path):
    of_run, _, _ = claimed(1)
    folder = shutil.copytree(of_run.folder, tmp_path / "run")
    turned, _, _ = claimed(-1)  # what the same maps would say with the border counted
    rows = pd.concat(
        [
            turned.scores().assign(placement="stretched", border="pet"),
            of_run.scores().assign(placement="stretched", border="background"),  # as if no number depended on it
        ]
    )
    (folder / "scores" / "specifications").mkdir()
    rows.to_parquet(folder / "scores" / "specifications" / "all.parquet")
    results = Results(folder)
    (one,) = (one for one in claims.decide(results, TARGET) if one.judged.claim.id == "C4")
    (own,) = (choice for choice in one.specifications if choice.registered)
    (other,) = (x for x in one.specifications if (x.variant.border, x.measures) == ("pet", own.measures))
    assert (own.variant, own.verdict) == (Variant("stretched"), "supported")
    assert (other.variant, other.verdict) == (Variant("stretched", "pet"), "opposite")
    assert other.estimate < -1 < 1 < own.estimate
    frame = {table.name: table for table in supplements.tables([one], registered())}["claim_specifications"].frame
    assert set(frame["border"]) == {"ignore", "pet"}, "what changes no number is no other choice"
    (curves,) = supplements.figures(results, [one])
    assert "border counts as object" in texts(curves)
    assert "Maps stretched over the image alone" in curves.caption.details
    assert "border is left out of all scores" not in curves.caption.details


def test_of_maps_without_a_value_nothing_is_decided(make):
    undefined = ("energy_inside", "energy_gain", "background_ratio", "edge_alignment", "edge_alignment_full", "spread")
    (one,) = (x for x in claims.decide(make(gallery=0, undefined=undefined), TARGET) if x.judged.claim.id == "C4")
    assert one.overall == "undecided"
    assert one.by_training.size == 0


def test_models_are_found_by_family_and_at_the_highest_level_most_seeds_reached(make):
    results = make(
        models=("unet_he", "unet@other-start", "segformer:b1"),
        levels=(30, 90),
        seeds=(0, 1),
        unreached=frozenset({(0, 90)}),
        gallery=0,
    )
    assert model_of(results, "unet") is None
    assert model_of(results, "segformer") == "segformer:b1"
    assert highest(results, "segformer:b1") == 30


def test_the_figure_is_readable_and_not_by_colour_alone(make):
    results = write_claimed(make(**RUN | {"images": IMAGES[:8]}), 1)
    tables = list(claims.analyse(results))
    curves, figure = tables.pop(), tables.pop()
    assert (figure.name, curves.name) == ("claims", "claim_specifications")
    assert "Maps stretched over the image alone" in curves.caption.details
    assert [table.name for table in tables] == ["claims", "claim_controls", "claim_specifications"]
    assert "smallest effect" in str(figure.caption)
    assert figure.caption.finding.startswith("Supported: ")
    written = texts(figure)
    assert written.count("supported") >= 8
    assert "8 \N{MULTIPLICATION SIGN} 3" in written
    assert {line.get_marker() for line in figure.figure.axes[0].lines} >= {">"}
    assert set(tables[0].frame["overall"]) <= set(STATES)


def test_the_terminal_shows_a_verdict_for_each_claim(claimed, tmp_path):
    store = Store(tmp_path / "out")
    assert verdicts(store) is None
    results, _, frame = claimed(1)
    store.write("manifest.json", (results.folder / "manifest.json").read_bytes())
    store.write("tables/claims.csv", frame.to_csv(index=False).encode())
    for width in (140, 80, 40):
        console = Console(file=io.StringIO(), width=width)
        console.print(verdicts(store))
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        rows = [line.split()[:2] for line in lines if re.match(r"C\d", line)]
        assert [row[0] for row in rows] == sorted(JUDGED)
        assert {row[1] for row in rows} == {"supported"}
        words = " ".join(" ".join(lines).split())
        assert "not measured C5" in words
        assert "tables/claims.csv" in words


def test_the_figure_says_which_claims_hold_and_leaves_out_what_was_not_measured(make):
    results = write_claimed(make(**{**RUN, "models": ("unet",), "factors": (), "images": IMAGES[:8]}), 1)
    *tables, figure, curves = claims.analyse(results)
    assert figure.caption.finding == "Supported: C1, C2, C3 and C4; not measured: C5, C6, C7, C8, H1, H2 and D1."
    assert_on_page(figure)
    assert_on_page(curves)
    frame = tables[0].frame
    measured = frame[frame["verdict"] != NOT_MEASURED]
    assert [text for text in texts(figure) if text in set(frame["part"])] == list(measured["part"])
    assert f"Left out: {len(frame) - len(measured)} of {len(frame)} parts" in figure.caption.details


def test_the_figure_names_methods_in_print() -> None:
    results = mock.create_autospec(Results, instance=True)
    results.label.side_effect = lambda _, name: {"grad_cam_pp": "Grad-CAM++"}.get(name, name)
    assert (
        claims._in_print(results, "less than without grad_cam_pp's at 5_2") == "less than without Grad-CAM++'s at 5_2"
    )
    assert {found.args for found in results.label.call_args_list} == {("methods", "grad_cam_pp")}
