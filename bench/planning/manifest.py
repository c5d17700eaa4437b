"""Builds the manifest: everything that the analyses need beside the tables, so that they import nothing of ours."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from typing import Any, Protocol

import torch

from analyses.reading import manifest
from analyses.reading.manifest import Manifest
from bench.planning import environment, plan, sizes
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS
from bench.planning.profile import Profile
from bench.planning.request import check_target, family_of, layers_of, methods_of
from bench.planning.sections import Explained
from segcam.classes import IGNORE
from segcam.datasets.free import FREE
from segcam.errors import InputError, unknown
from segcam.methods import METHODS, Method
from segcam.metrics import METRICS
from segcam.metrics.attention import ATTENTION_METRICS
from segcam.models import architecture, create, label
from segcam.models.weights.pretrained import NONE
from segcam.probe.attention import AttentionPlace
from segcam.probe.layers import INPUT, Layer
from segcam.probe.targets import Target
from segcam.probe.targets.names import split

PREDICTED = "predicted region"
"""What stands in the place of masks where there are none."""


def of_profile(profile: Profile, classes: int) -> Manifest:
    """Return what follows from the profile alone: models, layers, targets, methods, metrics, attention.

    Raises:
        InputError: a name is unknown, all methods take passes of their own, or something does not fit into memory.
    """
    methods = methods_of(profile.score)
    if all(method.own_passes for method in methods):
        raise InputError(
            "score.methods names none but methods with passes of their own, which see a few images alone: add one that "
            "sees all, such as grad_cam or uniform"
        )
    of_input = _of_input(profile)
    models, layers, blocks = {}, {}, {}
    for name, settings in profile.models.items():
        parameters = plan.parameters(profile, name)
        plugin = architecture(name)
        network = create(name, classes, parameters, pretrained=False)
        sizes.fits(profile, name, classes, network)
        models[name] = manifest.Model(
            label=label(name),
            source=plugin.source,
            settings=dict(settings),
            pretrained=str(parameters.get("pretrained", NONE)),
            teacher=profile.recipe(name).teacher,
            parameters=sum(p.numel() for p in network.parameters()),
        )
        probed = (*((INPUT,) if of_input else ()), *layers_of(plugin, network, profile.score.points))
        layers[name] = tuple(map(manifest.Layer.model_validate, probed))
        if profile.score.attention:
            blocks[name] = tuple(map(manifest.Block.model_validate, plugin.attentions(network)))
    if not profile.networks:
        _named(profile, {layer.label for found in layers.values() for layer in found})
    targets = [Target.parse(name, profile.score.explained) for name in profile.score.targets]
    attention_metrics = ATTENTION_METRICS if profile.score.attention else ()
    return Manifest(
        profile=profile.portable(),
        versions=environment.versions(),
        models=models,
        layers=layers,
        targets={target.name: of_target(target, profile.score.explained) for target in targets},
        methods={method.name: of_method(method) for method in methods},
        metrics={name: manifest.Metric.model_validate(METRICS.get(name)) for name in profile.score.metrics},
        attention=manifest.Attention(
            blocks=blocks, metrics={m.name: manifest.Metric.model_validate(m) for m in attention_metrics}
        ),
    )


def _of_input(profile: Profile) -> bool:
    """Return whether some method explains the input's pixels."""
    asked = [method for method in methods_of(profile.score) if method.scope == "input"]
    return any(method.fuses or profile.score.own_pass_images for method in asked)


def _named(profile: Profile, labels: Collection[str]) -> None:
    """See that what measurements' sections name is there: targets, methods, and layers or patterns of some model's.

    Raises:
        InputError: something is not.
    """
    for measurement in MEASUREMENTS:
        keys = set(measurement.settings.model_fields) if measurement.settings else set()
        section: Any = profile.section(measurement.name) if keys else None
        for target in section.targets if "targets" in keys else ():
            Target.parse(target, profile.score.explained)
        for method in section.methods if "methods" in keys else ():
            METHODS.get(method)
        for pattern in section.layers if "layers" in keys else ():
            if not any(fnmatch.fnmatchcase(label, pattern) for label in labels):
                raise unknown("layer", pattern, labels, f"key '{measurement.name}.layers'")


def _fit(profile: Profile, classes: int) -> None:
    """See that the targets fit the images, and where networks are trained for these classes, those.

    Raises:
        InputError: one does not.
    """
    sections: list[Any] = [profile.section(m.name) for m in MEASUREMENTS if m.settings]
    named = [*profile.score.targets, *profile.score.own_pass_targets]
    named += [name for section in sections for name in getattr(section, "targets", ())]
    known = bool(profile.models) and not profile.score.classes
    for name in dict.fromkeys(named):
        target = Target.parse(name, profile.score.explained if known else IGNORE)  # no class is told apart from it
        check_target(target, classes if known else IGNORE + 1, profile.data.size)


class Described(Protocol):
    """What tells of the networks of a run that are there already."""

    def described(self, name: str) -> tuple[manifest.Model, tuple[Layer, ...], tuple[AttentionPlace, ...]]:
        """Return what the manifest says of a network, its layers, and the blocks whose attention can be read."""
        ...


def of_run(profile: Profile, data: Data, device: torch.device, given: Described) -> Manifest:
    """Return what is known before anything is run.

    Args:
        profile: what is done.
        data: the images.
        device: where networks run.
        given: tells of the networks that are there already.

    Raises:
        InputError: a name is unknown, all methods take passes of their own, or something does not fit into memory.
    """
    info = data.opened.info
    if profile.models:
        sizes.validation_fits(profile, len(data.val))
    _fit(profile, len(info.classes))
    dataset = manifest.Dataset(
        name=info.name,
        classes=info.classes,
        splits={name: len(images) for name, images in data.opened.splits.items()},
        size=int(data.test[0].image.shape[0]),
        training_data=info.training_data,
        self_trained=info.self_trained,
        facts=info.facts,
        source=info.source,
        digest=data.digest,
        masked=info.masked,
    )
    sections = {
        "definition": plan.definition(profile, data.digest),
        "hardware": environment.hardware(device),
        "dataset": dataset,
        "border": profile.data.border,
        "scored_images": len(data.test),
        "gallery": gallery(data),
        "own_passes": own_passes(profile, data),
    }
    known = of_profile(profile, len(info.classes))
    input_layer = (INPUT,) if _of_input(profile) else ()
    for name in profile.networks:
        model, layers, places = given.described(name)
        if profile.score.attention:
            known.attention.blocks[name] = tuple(map(manifest.Block.model_validate, places))
        known.models[name] = model
        known.layers[name] = tuple(map(manifest.Layer.model_validate, (*input_layer, *layers)))
    _named(profile, {layer.label for layers in known.layers.values() for layer in layers})
    if not info.masked:
        sections["metrics"] = {name: _of_prediction(metric) for name, metric in known.metrics.items()}
    return known.model_copy(update=sections)


def _of_prediction(metric: manifest.Metric) -> manifest.Metric:
    """Return a metric of images without masks: what it would say of these, it says of what is predicted."""
    return metric.model_copy(update={"label": f"{metric.label} ({PREDICTED})"}) if metric.masks else metric


def gallery(data: Data) -> manifest.Gallery:
    """Return the images that figures show, and how they were chosen."""
    free = {sample.id: FREE[sample.id].credit for sample in data.free}
    ids = tuple(data.test[i].id for i in data.gallery)
    if not free:  # manifests of other data are as they were without them
        return manifest.Gallery(rule=data.rule, ids=ids)
    return manifest.Gallery(rule=data.rule, ids=ids, free=free)


def of_method(method: Method) -> manifest.Method:
    """Return what tables, figures and lists know of a method, with the parameters that it runs with."""
    return manifest.Method(
        kind=method.kind,
        family=family_of(method),
        label=method.label,
        summary=method.summary,
        source=method.source,
        scope=method.scope,
        signed=method.signed,
        needs_gradients=method.needs_gradients and method.control is None,
        own_passes=method.own_passes,
        passes=method.cost,
        each=method.each,
        parameters=dict(method.parameters),
    )


def of_target(target: Target, explained: Explained) -> manifest.Target:
    """Return what tables and figures know of a target."""
    pixels, score, _ = split(target.name)
    name = f"{pixels.replace('_', ' ')}, {score}"
    values = {
        "label": name,
        "class": explained if isinstance(explained, int) else tuple(sorted(explained)),
        "pixels": pixels,
        "score": score,
        "resolution": target.at,
    }
    return manifest.Target.model_validate(values)


def own_passes(profile: Profile, data: Data) -> manifest.OwnPasses:
    """Return the images and targets of methods that take passes of their own; none where there is no such method."""
    score = profile.score
    asked = any(method.own_passes for method in methods_of(score))
    rows, rule = data.choose(score.own_pass_images if asked else 0)
    return manifest.OwnPasses(
        rule=rule,
        ids=tuple(data.test[i].id for i in rows),
        targets=tuple(score.own_targets() if rows else ()),
        levels=score.own_pass_levels if asked else "",
        seeds=score.own_pass_seeds if asked else "",
    )
