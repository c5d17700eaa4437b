"""What is true of all figures and tables of a run: data, images, seeds, training masks, what helped, border."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analyses.reading.manifest import BEST

if TYPE_CHECKING:
    from analyses.reading.results import Results

_BORDER = {
    "ignore": "border pixels are left out of every score",
    "pet": "border pixels count as pet in mean IoU and are left out of every other score",
    "background": "border pixels count as background in mean IoU and are left out of every other score",
}


def note(results: Results) -> str:
    """Return what a page says once: data, images, seeds, training masks and border, teachers, and what levels mean."""
    manifest = results.manifest
    data = manifest.dataset
    facts = [
        f"Data set {data.name}{_share(data.facts)}, {manifest.scored_images} scored images",
        _seeds(results),
    ]
    if not results.trained:
        facts.append("networks that were there already")
    elif data.training_data:
        foreign = ": masks predicted by another network" if data.self_trained else ""
        facts.append(f"trained on {data.training_data}{foreign}")
    facts += _help(results)
    if results.targets:
        facts.append(f"class explained: {results.class_name(results.targets[0])}")
    if data.masked:
        facts.append(_BORDER.get(manifest.border, f"border pixels: {manifest.border}"))
    else:
        facts.append("no masks: what each network predicts stands for them, so scores say nothing of its mistakes")
    if results.placement == "receptive_field":
        facts.append("maps are laid where their cells look, not stretched over the image")
    if any(checkpoint.level == BEST for checkpoint in results.checkpoints):
        facts.append(f"best: the checkpoint of the highest validation mean IoU, level {BEST} in tables")
    sentences = ["; ".join(facts) + ".", of_teachers(results, results.models), of_levels(results)]
    return " ".join(sentence for sentence in sentences if sentence)


def of_teachers(results: Results, models: Sequence[str]) -> str:
    """Return the sentence on networks whose stages were taught by another's; empty where there is none of them."""
    taught = [name for name in models if results.manifest.models[name].teacher]
    if not taught:
        return ""
    teachers = _named(results, list(dict.fromkeys(results.manifest.models[name].teacher for name in taught)))
    return (
        f"The stages of {_named(results, taught)} were trained to resemble those of {teachers} as well: what their "
        "order shows, from edges to objects, and how they bear other sizes, is in part the teacher's."
    )


def of_levels(results: Results) -> str:
    """Return the sentence on what low levels mean: the mean IoU of no answer, and how many images have one.

    Empty for runs of one level a model.
    """
    reached = [point for point in results.checkpoints if point.reached and len(results.levels(point.model)) > 1]
    baselines = sorted({f"{point.baseline_miou:.2f}" for point in reached})
    if not reached or any(math.isnan(point.baseline_miou + point.predicted_share) for point in reached):
        return ""
    shares = []
    for model, level in dict.fromkeys((point.model, point.level) for point in reached):
        of_level = [point.predicted_share for point in results.reached(model, level)]
        share = sum(of_level) / len(of_level)
        shares.append(
            f"{results.label('models', model)} {results.level(model, level, measured=False)}: {100 * share:.0f} %"
        )
    return (
        f"Answering '{results.classes[0]}' everywhere has a mean IoU of {' or '.join(baselines)} on the validation "
        f"images; share of these in which any pixel is predicted as the class: {', '.join(shares)}."
    )


def _seeds(results: Results) -> str:
    all_seeds = results.seeds()
    fewer = [model for model in results.models if results.seeds(model) and results.seeds(model) != all_seeds]
    text = f"seed{'s' if len(all_seeds) != 1 else ''} {', '.join(map(str, all_seeds)) or 'none'}"
    of_model = (f"{results.label('models', name)} {', '.join(map(str, results.seeds(name)))}" for name in fewer)
    return text + (f" (of {'; '.join(of_model)} alone)" if fewer else "")


def _help(results: Results) -> list[str]:
    """Say which networks did not learn from the training images alone."""
    models = results.manifest.models
    sentences = []
    begun = [name for name in models if models[name].pretrained != "none"]
    if begun:
        sentences.append(f"{_named(results, begun)} began from pretrained weights")
    for teacher in dict.fromkeys(models[name].teacher for name in models):
        if teacher:
            taught = [name for name in models if models[name].teacher == teacher]
            sentences.append(f"{_named(results, taught)} learned with hints from {results.label('models', teacher)}")
    return sentences


def _named(results: Results, models: Sequence[str]) -> str:
    return ", ".join(results.label("models", name) for name in models)


def _share(facts: Mapping[str, Any]) -> str:
    """Say where the images are not the whole release of a known data set."""
    release, images, official = (facts.get(key) for key in ("release", "images_found", "images_official"))
    if not isinstance(release, str) or "subset" not in release:
        return ""
    if not isinstance(images, dict) or not isinstance(official, dict):
        return f" ({release})"
    return f" ({release}: {', '.join(f'{images[k]} of {official[k]} {k}' for k in images if k in official)} images)"
