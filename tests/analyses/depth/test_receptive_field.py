"""How far cells see before and after attention, from a made-up table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.depth import receptive_field
from analyses.paper.claims.claims import decide
from analyses.reading.results import Results
from tests.analyses.checks import assert_on_page, row, split

RUN = {"models": ("segformer",), "levels": (90,), "seeds": (0, 1, 2), "gallery": 0}
IMAGES = tuple(f"pet_{i}" for i in range(10))


def measured(results: Results, trained: float, untrained: float) -> Results:
    """Write widths that attention raises by so many pixels in the network, and in the same with new weights."""
    rng = np.random.default_rng(3)
    layers = [layer for layer in results.layers("segformer") if "attention" in layer.role]
    keys = [
        {"dataset": "d", "model": "segformer", "level": 90, "seed": s, "image": i, "layer": one.label, "cell": c}
        | {"after": one.role.startswith("after"), "training_data": "d"}
        for s in RUN["seeds"]
        for i in IMAGES
        for one in layers
        for c in range(2)
    ]
    frame = pd.DataFrame(keys)
    for column, gain in (("width", trained), ("width_untrained", untrained)):
        frame[column] = 30 + gain * frame["after"] + rng.normal(0, 0.5, len(frame))
    folder = results.folder / "scores" / "receptive_field"
    folder.mkdir(exist_ok=True)
    frame.drop(columns="after").to_parquet(folder / "segformer.parquet")
    return Results(results.folder)


def test_what_attention_adds_is_told_beside_the_network_without_training(make) -> None:
    table, (figure,) = split(receptive_field.analyse(measured(make(**RUN), 12.0, 5.0)))
    for network, after in (("trained", 42.0), ("untrained", 35.0)):
        found = row(table.frame, layer="After attention 1_1", network=network)
        assert found["estimate"] == pytest.approx(after, abs=0.5)
        assert found["low"] < found["estimate"] < found["high"]
        assert (found["n_images"], found["n_seeds"]) == (len(IMAGES), 3)
    assert receptive_field.gains(table.frame) == pytest.approx({"trained": 12.0, "untrained": 5.0}, abs=0.2)
    assert "by +12.0 px in SegFormer (untrained +5." in figure.caption.finding
    assert_on_page(figure)


def test_nothing_without_the_measurement(make) -> None:
    assert list(receptive_field.analyse(make(**RUN))) == []


@pytest.mark.parametrize(("untrained", "passing"), [(2.0, []), (12.0, ["untrained"])])
def test_claim_c5_counts_only_where_the_network_is_ahead_of_itself_untrained(make, untrained, passing) -> None:
    results = measured(make(**RUN), 12.0, untrained)
    (c5,) = [one for one in decide(results, "best_pixel:logit") if one.judged.claim.id == "C5"]
    assert [one.method for one in c5.controls] == ["untrained"]
    assert c5.passing == passing
    (control,) = c5.controls
    assert control.ahead is not None
    assert control.ahead.estimate == pytest.approx((12 - untrained) / 4, abs=0.1)
