"""The tables of the study's README: how good its networks are, the verdicts, and methods against controls."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analyses import printing
from analyses.reading.manifest import level_name
from analyses.reading.states import NOT_REPLICATED, SUPPORTED

STUDY = Path(__file__).parents[2] / "results" / "pets"
"""What is published of the registered study."""
NETWORKS = {
    "unet": "U-Net",
    "unet@foreground-start": "U-Net, started at 'pet everywhere'",
    "timm_unet:tf_efficientnet_lite0": "U-Net on EfficientNet-Lite0, pretrained",
    "segformer": "SegFormer (MiT-B0)",
    "segformer@with-hints": "SegFormer, hints",
    "segformer_position": "SegFormer, position code",
    "vit": "ViT (ViT-Tiny/16)",
}
BLANK = 0.2
"""Share of blank maps from which on a mean over the others needs it beside it."""


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(STUDY / "tables" / f"{name}.csv")


def decided() -> dict[str, str]:
    """Return the verdict on each claim."""
    return dict(table("claims").groupby("claim")["overall"].first())


def energy_gains() -> pd.DataFrame:
    """Return the mean energy gain of methods over a network's layers, of the paper's target and all test images."""
    found = table("methods_summary")
    found = found[(found["target"] == "best_pixel:logit") & (found["metric"] == "energy_gain")]
    return found[(found["scope"] == "layer") & (found["n_images"] > 300)]


def kept_with_random_weights() -> pd.Series:
    """Return by method the rank correlation of a trained U-Net's maps with those after all weights were random."""
    found = table("sanity_random")
    return found[found["model"] == "unet"].set_index("method")["spearman"]


def levels(_: str) -> Iterator[str]:
    """A row a network and level, trainings side by side."""
    found = table("levels")
    yield "| network | level | validation mean IoU | test mean IoU | steps |"
    yield "|---|---|---|---|---|"
    for model, name in NETWORKS.items():
        own = found[(found["model"] == model) & found["reached"]].sort_values(["level", "seed"])
        for level, part in own.groupby("level"):
            cells = [name, level_name(int(level)).strip()]
            for column, form in (("val_miou", "{:.3f}"), ("test_miou", "{:.3f}"), ("step", "{:,}")):
                cells.append(", ".join(form.format(value) for value in part[column]))
            yield _row(cells)


def verdicts(_: str) -> Iterator[str]:
    """A row a claim: its number, in how many trainings, what other choices say, and what it lacks."""
    yield "| claim | it is said | verdict | number [95 %] | trainings | choices that agree | why, and caveats |"
    yield "|---|---|---|---|---|---|---|"
    found = table("claims")
    numbers = dict(zip(found["claim"], printing.cells(found)["statistic"], strict=True))
    for claim, parts in found.groupby("claim", sort=False):
        one = parts.iloc[0].fillna({"caveat": ""})
        clear = one["overall"] in (SUPPORTED, *NOT_REPLICATED)  # the verdict is its own reason
        yield _row(
            [
                str(claim),
                one["sentence"],
                f"**{one['overall']}**",
                numbers[claim],
                str(parts[parts["counts"]]["n_seeds"].min() or ""),
                _share(one["agreement"]) + f" of {one['specifications']}" if one["specifications"] else "",
                f"{'' if clear else _sentence(one['overall_reason'])} {one['caveat']}".strip(),
            ]
        )


def gains(_: str) -> Iterator[str]:
    """Mean energy gain over a network's layers, a row a method; the share of blank maps where it is large."""
    found = energy_gains()
    found = found[found["family"].isin(["cam", "control"])]
    highest = found[found["level"] == found.groupby("model")["level"].transform("max")]
    wide = highest.pivot_table(index="method", columns="model", values="estimate").sort_values("unet", ascending=False)
    blank = highest.pivot_table(index="method", columns="model", values="blank_share")
    control = set(highest[highest["family"] == "control"]["method"])
    manifest = json.loads((STUDY / "manifest.json").read_text())
    labels = {name: entry["label"] for name, entry in manifest["methods"].items()}
    networks = [model for model in NETWORKS if model in wide]
    yield _row(["", *(NETWORKS[model] for model in networks)])
    yield "|---|" + "---|" * len(networks)
    for method in sorted(wide.index, key=lambda name: (name in control, -wide.loc[name, "unet"])):
        if method in ("uniform", "random", "mask_oracle"):
            continue
        name = f"*{labels[method]}*" if method in control else labels[method]
        cells = [_gain(wide.loc[method, model], blank.loc[method, model]) for model in networks]
        yield _row([name, *cells]).replace("-0.00", "0.00")


def _gain(value: float, blank: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.2f}" + (f" ({_share(blank)} blank)" if blank >= BLANK else "")


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}." if reason else ""


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
