"""The networks of known evidence: what each one tells, and whether it uses its cue and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.artifacts import tidy
from analyses.reading.results import Results

KIND = "evidence"
"""What the manifest of such a run calls itself."""
FLIPS, STAYS = 0.95, 0.02
"""Shares of the images whose answer must change with a network's own cue, and may change with any other."""


def counting(frame: pd.DataFrame, networks: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which maps count: those of networks that are used, of the images that these told right."""
    used = frame[["cue", "model", "seed"]].astype({"cue": str, "model": str}).merge(networks, how="left")["used"]
    counts: NDArray[np.bool_] = frame["told"].to_numpy(bool) & used.to_numpy(bool)
    return counts


def uses_cue(cue: str, changed_by: Mapping[str, float]) -> bool:
    """Return whether a network's answer follows a cue and no other.

    Args:
        cue: the one that decides the class.
        changed_by: for each cue the share of the images whose answer changes where it alone is the other way.

    >>> uses_cue("shape", {"shape": 0.97, "texture": 0.01}), uses_cue("shape", {"shape": 0.97, "texture": 0.03})
    (True, False)
    """
    return changed_by[cue] >= FLIPS and all(share <= STAYS for other, share in changed_by.items() if other != cue)


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row a network: how well it tells the two animals apart, and which cues its answer follows.

    Those that do not use their own are used where no other of the model does.
    """
    rows = []
    for cue, variant in results.manifest.variants.items():
        for answer in variant.answers:
            row: dict[str, Any] = {"cue": cue, "classes": " / ".join(variant.classes[1:])}
            row |= {name: answer[name] for name in ("model", "seed", "level", "images_told", "pixels_told", "miou")}
            row |= {f"changed_by_{other}": share for other, share in answer["changed_by"].items()}
            row |= {"told_apart": bool(answer["told_apart"]), "uses_cue": uses_cue(cue, answer["changed_by"])}
            rows.append(row | {"training_data": variant.training_data})
    networks = tidy(pd.DataFrame(rows), ["model"])
    good = networks["told_apart"] & networks["uses_cue"]
    some = good.groupby([networks["model"], networks["cue"]]).transform("any")
    return networks.assign(used=good | ~some)


ABOUT = (
    "The networks, by the cue that decides the class. images_told: share of the test images in which most of the "
    "animal's pixels have a higher logit of its class than of the other animal's; pixels_told: the mean share of such "
    "pixels; miou: on the test images, the background among the classes; changed_by_: share of the images in which the "
    "answer changes where that cue alone is drawn the other way; told_apart: whether at least nine in ten images were "
    "told: else a network does not use the cue, and its maps say nothing of who finds it; uses_cue: whether at least "
    f"{100 * FLIPS:.0f} % of the answers change with the network's own cue and at most {100 * STAYS:.0f} % with any "
    "other; used: whether it counts in the other tables."
)
