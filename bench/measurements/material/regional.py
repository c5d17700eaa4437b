"""What measurements of regions ask of maps: targets, methods, layers, and what takes a removed region's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bench.measurements.material.selection import layers_like, methods_called, of_first_point, targets_called
from bench.planning.data import Data
from bench.planning.measurement import CellPlan, Checkpoint, MeasureJob, numbered
from bench.planning.profile import Profile
from bench.planning.request import methods_of as scored_methods
from bench.planning.sections import FewImages, distinct
from segcam.errors import InputError
from segcam.methods import Method
from segcam.probe.layers import Layer
from segcam.probe.targets import Target

PREDICTED = "predicted:margin"
UNIFORM = "uniform"


class Regional(FewImages):
    """What is measured region by region: the keys that `leakage` and `distance` have in common."""

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = (PREDICTED,)
    methods: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    imputation: Literal["mean", "blur", "noisy_linear"] = "mean"

    _distinct = field_validator("targets", "methods", "layers")(distinct)


def cells(
    name: str, default: Sequence[str], profile: Profile, data: Data, checkpoint: Checkpoint
) -> Sequence[CellPlan]:
    """Plan a few images of a checkpoint for the measurement of this name, whose methods by default are these.

    Raises:
        InputError: a method or target is unknown, or cannot be measured so.
    """
    section: Regional = profile.section(name)
    methods = methods_of(name, section, default, scored_methods(profile.score)) if section.images else ()
    for target in section.targets:
        Target.parse(target)
    if not checkpoint.among(section.levels, section.training_seeds):
        return ()
    settings = section.model_dump(mode="json", exclude=set(FewImages.model_fields))
    score = profile.score.model_dump(mode="json", include={"class_id", "points", "parameters", "placement"})
    rows, _ = data.choose(section.images)
    return numbered(rows, section.batch_size, [settings, score, [method.name for method in methods]])


def methods_of(name: str, section: Regional, default: Sequence[str], scored: Sequence[Method]) -> tuple[Method, ...]:
    """Return the methods measured: those that the section names, else those of the default ones that are scored.

    Without a gradient method among these all that are scored are taken; a uniform map is measured in any case.

    Args:
        name: of the section.
        section: the section.
        default: names of methods.
        scored: methods of the section score, with their parameters.

    Raises:
        InputError: one is unknown, or takes passes of its own, attention or all layers.
    """
    methods = methods_called(section.methods or _default(default, scored), scored)
    for method in methods:
        if method.gradient is None and method.control is None:
            raise InputError(
                f"{name}.methods names {method.name}, which is no gradient method and no control: leave it out"
            )
    return tuple(methods)


def _default(names: Sequence[str], scored: Sequence[Method]) -> list[str]:
    known = [method.name for method in scored if method.name in names]
    gradient = [method.name for method in scored if method.kind == "gradient" and method.gradient is not None]
    lacking = [] if set(known) & set(gradient) else gradient
    return list(dict.fromkeys([*lacking, *known, UNIFORM]))


def layers_of(section: Regional, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers measured, by depth: those that the section names, else all of the first one's probe point."""
    named = layers_like(section.layers, layers)
    return tuple(named) or of_first_point(layers)


def targets_of(section: Regional, job: MeasureJob) -> tuple[Target, ...]:
    """Return what is explained, of the class that the run explains."""
    return targets_called(section.targets, job.request.targets[0])
