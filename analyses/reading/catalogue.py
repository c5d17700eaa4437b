"""The methods of a run by family, in the order in which figures show them."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.reading.results import Results

SHOWN = ("energy_gain", "edge_alignment", "background_ratio")


BLIND = ("sobel", "gaussian", "random")
"""Controls that know neither the network nor the mask: what a map of the network has to be better than."""


AGAINST = (*BLIND, "activation", "mask_oracle")
"""Controls that methods are compared with, pair by pair; the last one is the ceiling."""


FAMILIES = {
    "cam": "CAM family",
    "perturbation": "Perturbation",
    "captum": "Captum",
    "attention": "Attention",
    "control": "Controls",
}


FEWEST = 6
"""Images of which an interval is called apart from zero: with five, no two-sided test at 5 % could say so."""


@dataclass(frozen=True)
class Entry:
    """A method as tables and figures group it: `scope` tells maps of layers ('layer') from maps of the input."""

    name: str
    label: str
    family: str
    scope: str

    @property
    def control(self) -> bool:
        """Whether it is there to compare the others with."""
        return self.family == "control"


def entries(results: Results) -> tuple[Entry, ...]:
    """Return the methods by family, in each those of layers first, else in the manifest's order."""
    methods = results.manifest.methods.items()
    in_manifest = [Entry(name, method.label, method.family, method.scope) for name, method in methods]
    order = list(FAMILIES)
    order = order[:-1] + [entry.family for entry in in_manifest if entry.family not in order] + order[-1:]
    return tuple(sorted(in_manifest, key=lambda entry: (order.index(entry.family), entry.scope != "layer")))
