"""The faithfulness scores that Quantus has as well: ours over theirs, on the same network, images and maps."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bench.timing.cases import Case, ready, scenes
from bench.timing.compare import Comparison, Sides, Timed
from bench.timing.peers import INSTALL, load
from segcam.checks.faithfulness import Subjects, curves, order
from segcam.probe.targets import Target
from segcam.samples import Batch
from segcam.scoring.reference import Scenery

STEPS = 8
"""Points of each curve: an eighth of the pixels goes at each."""
NEAREST: dict[str, tuple[Literal["deletion", "insertion"], str, str]] = {
    "deletion": ("deletion", "mean", "PixelFlipping"),
    "insertion": ("insertion", "mean", "PixelFlipping"),
    "ROAD": ("deletion", "noisy_linear", "ROAD"),
}
"""For each score our curve, what pixels become, and Quantus' metric; it has none in which pixels come back."""
BAR = 0.1


class Grey(nn.Module):
    """A network of colour images for those of one channel: Quantus' ROAD fails on three.

    Args:
        network: takes `(b, 3, h, w)`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b classes h w"]:
        """Return the network's answer to the same in all channels."""
        answer: Tensor = self.network(images.expand(-1, 3, -1, -1))
        return answer


class Classifier(nn.Module):
    """A segmentation network as a classifier: each class's mean probability over the pixels predicted at first.

    Args:
        network: gives logits, `(b, classes, h, w)`.
        chosen: the pixels of each image; the batch is always the same images.
    """

    def __init__(self, network: nn.Module, chosen: Bool[Tensor, "b h w"]) -> None:
        super().__init__()
        self.network = network
        self.chosen = chosen[:, None]

    def forward(self, images: Float[Tensor, "b ch h w"]) -> Float[Tensor, "b classes"]:
        """Return the mean probabilities."""
        inside: Tensor = self.network(images).softmax(1) * self.chosen
        return inside.sum((2, 3)) / self.chosen.sum((2, 3)).clamp(min=1)


@dataclass(frozen=True, eq=False)
class Faded:
    """Images of which pixels go along the order of a map each.

    Attributes:
        subjects: network, images and the pixels predicted.
        maps: noise at the images' resolution, `(b, 1, h, w)`.
        orders: all pixels of each image by its map.
    """

    subjects: Subjects
    maps: Float[Tensor, "b 1 h w"]
    orders: Int[Tensor, "b 1 n"]

    @classmethod
    def of(cls, case: Case, device: torch.device) -> Faded:
        """Take a case's network and images."""
        images = scenes(case.size, case.images)
        batch = Batch.of([images[i] for i in range(case.images)], device)
        scenery = Scenery.of(batch, 1)
        model, sides = Grey(ready(case, device).channels_last).eval(), (scenery.foreground, scenery.background)
        subjects = Subjects.of(
            model, batch.inputs().mean(1, keepdim=True), 1, sides, batch.ids, Target(output="logits")
        )
        maps = torch.rand((case.images, 1, case.size, case.size), generator=torch.Generator().manual_seed(0)).to(device)
        return cls(subjects, maps, order(maps, batch.ids, (case.size, case.size)))

    def ours(self, name: str) -> Tensor:
        """Measure with segcam."""
        kind, imputation, _ = NEAREST[name]
        return curves(self.subjects, self.orders, kind, steps=STEPS, imputation=imputation).area()

    @torch.no_grad()
    def bare(self) -> None:
        """Run the forward passes that any of the curves takes, and nothing else."""
        for _ in range(STEPS):
            self.subjects.model(self.subjects.images)

    def theirs(self, name: str) -> Any:
        """Measure with Quantus."""
        quantus: Any = load("quantus")
        images = self.subjects.images.float().cpu().numpy()
        if NEAREST[name][2] == "ROAD":
            shares = [100 * step / STEPS for step in range(1, STEPS)] + [99]  # where all are gone there is no neighbour
            metric = quantus.ROAD(percentages=shares, disable_warnings=True, display_progressbar=False)
        else:
            metric = quantus.PixelFlipping(
                features_in_step=images[0].size // STEPS,
                perturb_baseline="mean",
                disable_warnings=True,
                display_progressbar=False,
            )
        classifier = Classifier(self.subjects.model, self.subjects.chosen).eval()
        labels = torch.ones(len(images), dtype=torch.int64).numpy()
        return metric(
            model=classifier,
            x_batch=images,
            y_batch=labels,
            a_batch=self.maps.cpu().numpy(),
            softmax=False,
            channel_first=True,
            device=str(self.maps.device),
            batch_size=len(images),
        )


def comparisons(case: Case, device: torch.device) -> list[Comparison]:
    """Compare the scores that have something near, and with it the forward passes that neither can do without."""
    return [_comparison(case, device, name, bare=bare) for name in NEAREST for bare in (False, True)]


def _comparison(case: Case, device: torch.device, name: str, *, bare: bool) -> Comparison:
    def prepare() -> Sides:
        faded = Faded.of(case, device)
        load("quantus")  # which takes seconds
        ours = faded.bare if bare else lambda: faded.ours(name)
        return Sides(Timed(ours, device), Timed(lambda: faded.theirs(name), device))

    return Comparison(
        case=f"{case.name}-{name.lower()}",
        label=f"Faithfulness: {case.images} maps of {case.size} px, {case.network}",
        ours="bare forward passes" if bare else f"segcam, {name}",
        theirs=f"Quantus, {NEAREST[name][2]}",
        scope=f"curves of {STEPS} steps of {case.images} images, the network as a classifier",
        prepare=prepare,
        rounds=3,
        bar=None if bare else BAR,
        same=False,
        note="" if bare else "three outcomes (probability, Dice, IoU) against one",
        unable="" if importlib.util.find_spec("quantus") else f"not installed: {INSTALL}",
    )
