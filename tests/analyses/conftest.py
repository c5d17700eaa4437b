"""A small results folder of made-up numbers and drawn shapes, for tests alone."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyses.reading import files
from analyses.reading.manifest import Manifest
from analyses.reading.results import Results
from analyses.reading.small_maps import FOLDER as SMALL_MAPS
from analyses.reading.small_maps import SmallMap, arrays_of

CONTROLS = ("uniform", "random", "sobel", "mask_oracle")
METRICS: dict[str, dict[str, Any]] = {
    "energy_inside": {"label": "Energy inside", "unit": "", "direction": "higher", "chance": "area"},
    "energy_gain": {"label": "Energy gain", "unit": "", "direction": "higher", "chance": 0.0},
    "background_ratio": {"label": "Background ratio", "unit": "", "direction": "lower", "chance": 0.5},
    "edge_alignment": {"label": "Edge alignment", "unit": "", "direction": "higher", "chance": 0.0},
    "edge_alignment_full": {"label": "Edge alignment, full size", "unit": "", "direction": "higher", "chance": 0.0},
    "spread": {"label": "Spread", "unit": "", "direction": None, "chance": None},
    "blank": {"label": "Blank maps", "unit": "share", "direction": "lower", "chance": None},
}
THICKNESS = {"label": "Edge thickness", "unit": "px", "direction": "none", "chance": None}
LABELS = {"unet": "U-Net", "segformer": "SegFormer", "vit": "ViT"}
STEPS = (1, 3, 6, 12, 25, 50, 100, 200)


@dataclass(frozen=True)
class Plan:
    """What the made-up run holds."""

    models: Sequence[str] = ("unet",)
    seeds: Sequence[int] = (0, 1)
    levels: Sequence[int] = (30, 50, 70, 90)
    unreached: frozenset[tuple[int, int]] = frozenset()  # (seed, level)
    targets: Sequence[str] = ("best_pixel:logit",)
    methods: Sequence[str] = ("grad_cam", *CONTROLS)
    images: Sequence[str] = ("cat_1", "dog_2", "cat_3")
    gallery: int = 1
    free: Sequence[str] = ()  # photographs that anyone may show: maps of them are kept beside the gallery's
    small: int = 0  # images of which small maps are kept
    classes: Sequence[str] = ("background", "pet")
    stages: int = 5
    points: Sequence[str] = ("conv",)
    photographs: bool = True
    photo_colour: tuple[int, int, int] | None = None
    self_trained: int = 0
    size: int = 48
    undefined: Sequence[str] = ()  # metrics that are NaN for every map
    extra_metrics: Sequence[str] = ()
    factors: Sequence[float] = ()  # of the tests at other sizes
    input_methods: Sequence[str] = ()  # with passes of their own, of the input's pixels, for the first image alone
    agreement: bool = False
    film: Sequence[int] = ()  # steps


def layer_names(plan: Plan, model: str) -> list[tuple[str, str, int]]:
    """Role, label and stage of each layer: of a SegFormer, a ViT, or else of a U-Net."""
    around = ("before attention", "after attention")
    if model == "segformer":
        names = []
        for s in (1, 2, 3, 4):
            for b in (1, 2):
                names += [(role, f"{role.capitalize()} {s}_{b}", s) for role in around]
                names.append(("mix-ffn", f"Mix-FFN dw-conv {s}_{b}", s))
            names.append(("encoder", f"Stage {s} output", s))
        return [*names, ("decoder", "Decode head", 1)]
    if model == "vit":
        names = [(role, f"{role.capitalize()} {b}", 4) for b in range(1, 13) for role in (*around, "mlp")]
        return [*names, ("decoder", "Decoder 2", 2), ("decoder", "Decoder 1", 1)]
    names = [("encoder", f"Encoder {s}_{k}", s) for s in range(1, plan.stages + 1) for k in (1, 2)]
    return names + [("decoder", f"Decoder {s}_{k}", s) for s in range(plan.stages - 1, 0, -1) for k in (1, 2)]


def layer_entries(plan: Plan, model: str) -> list[dict[str, Any]]:
    entries = []
    for point in plan.points:
        for depth, (role, plain, stage) in enumerate(names := layer_names(plan, model)):
            if point == "head" and depth < len(names) - 1:
                continue
            label = plain if point == "conv" else f"{plain} ReLU"
            entries.append(
                {"layer": label, "label": label, "module": f"m.{depth}", "stage": stage, "depth": depth}
                | {"role": role, "stride": 2 ** (stage - 1 + {"segformer": 2, "vit": 1}.get(model, 0))}
                | {"point": "relu" if point == "head" else point}
            )
    return entries


INPUT = {"layer": "Input", "label": "Input", "stage": 0, "depth": -1, "role": "input", "stride": 1, "point": ""}


def method_entry(plan: Plan, name: str) -> dict[str, Any]:
    kind = "control" if name in CONTROLS else "run" if name in plan.input_methods else "gradient"
    family = {"run": "perturbation", "gradient": "cam"}.get(kind, kind)
    label = "Grad-CAM" if name == "grad_cam" else name.replace("_", " ").capitalize()
    scope = "input" if kind == "run" else "layer"
    return {"label": label, "kind": kind, "family": family, "own_passes": kind == "run", "scope": scope}


def checkpoint_entries(plan: Plan) -> list[dict[str, Any]]:
    entries = []
    for model, seed, level in itertools.product(plan.models, plan.seeds, plan.levels):
        reached = (seed, level) not in plan.unreached
        miou = (level if level < 100 else 93) / 100 + 0.001 + (level == 100) * seed / 1000
        step = int(2 ** (level / 12))
        entry = {"model": model, "seed": seed, "level": level, "reached": reached, "tolerance": 0.02}
        entry |= {"best_miou": 0.84, "nearest_miou": 0.84, "baseline_miou": 0.34}
        if reached:
            entry |= {"miou": miou, "step": step, "images_seen": 16 * step}
            entry |= {"predicted_share": 0.97 if level > 30 else 0.4}
            entry |= {"iou": dict.fromkeys(plan.classes, level / 100)}
        entries.append(entry)
    return entries


def write_manifest(folder: Path, plan: Plan) -> None:
    real = {"training_data": f"577 real + {plan.self_trained} self-trained masks" if plan.self_trained else "577 real"}
    extra = {name: {"label": f"Extra {name}", "unit": "px", "direction": None} for name in plan.extra_metrics}
    extra |= {"edge_thickness": THICKNESS} if "edge_thickness" in extra else {}
    manifest = {
        "schema": 1,
        "profile": {"name": "test", "figures": {"photographs": plan.photographs}},
        "dataset": {"name": "shapes", "classes": list(plan.classes), "size": plan.size, "splits": {"test": 3}}
        | {"self_trained": plan.self_trained, "facts": {}, "source": "drawn"}
        | real,
        "scored_images": len(plan.images),
        "border": "ignore",
        "layers": {model: [INPUT] * bool(plan.input_methods) + layer_entries(plan, model) for model in plan.models},
        "metrics": METRICS | extra,
        "methods": {name: method_entry(plan, name) for name in (*plan.methods, *plan.input_methods)},
        "targets": {name: {"label": name.replace("_", " ").replace(":", ", ")} for name in plan.targets},
        "models": {name: {"label": LABELS.get(name, name), "parameters": 10} for name in plan.models},
        "checkpoints": checkpoint_entries(plan),
        "gallery": {"rule": "The first images by name.", "ids": list(plan.images[: plan.gallery])}
        | ({"free": {name: f"{name.capitalize()} by Nobody, CC0" for name in plan.free}} if plan.free else {}),
    }
    (folder / "manifest.json").write_text(json.dumps(Manifest.model_validate(manifest).values()), encoding="utf-8")


def training_frame(plan: Plan) -> pd.DataFrame:
    frame = pd.DataFrame(itertools.product(plan.models, plan.seeds, STEPS), columns=["model", "seed", "step"])
    miou = 0.3 + 0.6 * (1 - np.exp(-frame["step"] / (20 + 5 * frame["seed"])))
    frame = frame.assign(images_seen=16 * frame["step"], loss=1 - miou, learning_rate=1e-3, miou=miou)
    return frame.assign(predicted_share=0.9, training_data="577 real")


def score_frame(plan: Plan, model: str, level: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([level, seed])
    layers = layer_entries(plan, model)
    keys = [
        (i, t, x["layer"], m, x["depth"])
        for t in plan.targets
        for m in plan.methods
        for x in layers
        for i in plan.images
    ]
    beside = (*plan.input_methods, *(name for name in plan.methods if name in CONTROLS and plan.input_methods))
    keys += [(plan.images[0], plan.targets[0], "Input", name, 0) for name in beside]
    frame = pd.DataFrame(keys, columns=["image", "target", "layer", "method", "depth"])
    depth = frame.pop("depth") / max(1, len(layers) - 1)
    frame = frame.assign(
        dataset="shapes", model=model, level=np.int32(level), seed=np.int32(seed), area=np.float32(0.25)
    )
    frame = frame.assign(target_predicted=True, target_pixels=1, training_data="577 real")
    noise = rng.normal(0, 0.08, len(frame))
    base = {"uniform": 0.0, "random": 0.02, "sobel": 0.25, "mask_oracle": 1.0}
    centre = np.array([base.get(m, np.nan) for m in frame["method"]])
    for k, name in enumerate([*METRICS, *plan.extra_metrics]):
        curve = 0.2 + 0.6 * (level / 90) * np.sin(2 * depth + k) + noise
        values = np.where(np.isnan(centre), curve, centre + noise / 20)
        values = 40 * np.abs(values) if name == "edge_thickness" else values
        frame[name] = np.where(rng.random(len(frame)) < 0.05, np.nan, values).astype(np.float32)
    frame["blank"] = (rng.random(len(frame)) < 0.1).astype(np.float32)
    for name in plan.undefined:
        frame[name] = np.float32(np.nan)
    names = ["dataset", "model", "image", "target", "layer", "method", "training_data"]
    return frame.astype(dict.fromkeys(names, "category"))


def agreement_frame(plan: Plan, model: str, level: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([level, seed, 1])
    layers = [entry["layer"] for entry in layer_entries(plan, model)]
    rows = itertools.product(plan.images, layers, itertools.combinations(plan.targets, 2))
    frame = pd.DataFrame([(*keys, *pair) for *keys, pair in rows], columns=["image", "layer", "target", "other"])
    frame = frame.assign(dataset="shapes", model=model, level=level, seed=seed, method="grad_cam")
    frame[["correlation", "difference"]] = rng.uniform(0, 1, (len(frame), 2)).astype(np.float32)
    return frame.assign(training_data="577 real")


def prediction_frame(plan: Plan, model: str, level: int, seed: int) -> pd.DataFrame:
    rows = []
    for k, image in enumerate(plan.images):
        row: dict[str, Any] = {"dataset": "shapes", "model": model, "level": level, "seed": seed, "image": image}
        for i in range(len(plan.classes)):
            for j in range(len(plan.classes)):
                row[f"n_{i}_{j}"] = (level + k if i == j else 100 - level) * (3 if i == 0 else 1)
        sure = {"confidence": 0.99 - 0.05 * k, "entropy": 0.2 + 0.1 * k}
        rows.append(row | sure | {"training_data": "577 real", "predicted": k % 2 == 0})
    return pd.DataFrame(rows)


def resolution_frame(plan: Plan, model: str, level: int, seed: int, factor: float) -> pd.DataFrame:
    """Counts of 1000 pixels an image, of which the more are wrong the further the size is from the training's."""
    rng = np.random.default_rng([plan.models.index(model), seed])
    loss = {"vit": 0.4}.get(model, 0.1) * abs(np.log2(factor))
    rows = []
    for image in plan.images:
        wrong = [int(n * (0.05 + loss) * rng.uniform(0.8, 1.2)) for n in (700, 300)]
        row: dict[str, Any] = {"dataset": "shapes", "model": model, "level": level, "seed": seed, "factor": factor}
        row |= {"size": round(plan.size * factor), "image": image, "training_data": "577 real"}
        row |= {f"n_{i}_{j}": 0 for i in range(len(plan.classes)) for j in range(len(plan.classes))}
        rows.append(row | {"n_0_0": 700 - wrong[0], "n_0_1": wrong[0], "n_1_0": wrong[1], "n_1_1": 300 - wrong[1]})
    return pd.DataFrame(rows)


def drawn_image(plan: Plan, number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    y, x = np.mgrid[: plan.size, : plan.size] / plan.size
    body = ((x - 0.5) / 0.28) ** 2 + ((y - 0.6) / 0.25) ** 2
    head = ((x - 0.62) / 0.16) ** 2 + ((y - 0.3) / 0.14) ** 2
    inside, near = (body < 1) | (head < 1), (body < 1.25) | (head < 1.3)
    mask = np.where(inside, 1, np.where(near, 255, 0)).astype(np.uint8)
    colour = 90 + 80 * inside + 40 * np.sin(18 * y) * ~inside + rng.normal(0, 8, mask.shape)
    photo = np.stack([colour, colour * 0.9, colour * 0.7], axis=-1).clip(0, 255).astype(np.uint8)
    if plan.photo_colour:
        photo[:] = plan.photo_colour
    return photo, mask


def made_map(plan: Plan, entry: dict[str, Any], level: int) -> np.ndarray:
    n = max(2, plan.size // entry["stride"])
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    wave = np.sin((3 + entry["depth"]) * x) * np.sin(9 * y)
    blob = np.exp(-(((x - 0.5) / 0.3) ** 2) - ((y - 0.5) / 0.3) ** 2)
    one = np.maximum(blob * level / 90 + 0.4 * wave * (1 - level / 100), 0).astype(np.float32)
    one = one * 0 if (entry["depth"], level) == (3, 50) else one
    return one * np.nan if (entry["depth"], level) == (12, 30) else one


def write_gallery(path: Path, plan: Plan, model: str, level: int) -> None:
    ids = [*plan.images[: plan.gallery], *plan.free]
    photos, masks = zip(*(drawn_image(plan, n) for n in range(len(ids))), strict=True)
    arrays: dict[str, Any] = {"ids": np.array(ids)}
    arrays |= {"images": np.stack(photos), "masks": np.stack(masks), "predicted": np.roll(np.stack(masks), 2, axis=2)}
    arrays["masks"][plan.gallery :] = 255
    negative = [f"{ids[0]}|{plan.targets[0]}|grad_cam|{entry['layer']}" for entry in layer_entries(plan, model)[3:4]]
    arrays["negative"] = np.array(negative)
    for target in plan.targets:
        arrays[f"pixels:{target}"] = np.full((len(ids), 2), plan.size // 3)
        for method in plan.methods:
            for entry in layer_entries(plan, model):
                one = made_map(plan, entry, level) * (1 if method == plan.methods[0] else 1000)  # they share no unit
                arrays[f"{target}|{method}|{entry['layer']}"] = np.stack([one] * len(ids))
    np.savez_compressed(path, **arrays)


def write_film(path: Path, plan: Plan, model: str) -> None:
    """Maps of the images of the gallery that grow brighter, as bytes with their maximum; the last layer is blank."""
    photos, masks = zip(*(drawn_image(plan, n) for n in range(plan.gallery)), strict=True)
    frames, layers = len(plan.film), layer_entries(plan, model)
    arrays: dict[str, Any] = {"id": np.array("made"), files.STEPS: np.array(plan.film)}
    arrays |= {"ids": np.array(plan.images[: plan.gallery]), "images": np.stack(photos), "masks": np.stack(masks)}
    arrays[files.PREDICTED] = np.stack([np.roll(np.stack(masks), frames - n, axis=2) for n in range(frames)])
    for entry in (layers[0], layers[-1]):
        name = f"{plan.targets[0]}|{plan.methods[0]}|{entry['layer']}"
        rows = max(2, plan.size // entry["stride"])
        ramp = np.linspace(0, 255, rows * rows).reshape(rows, rows).astype(np.uint8)
        blank = entry is layers[-1]
        arrays[name] = np.broadcast_to(ramp * (not blank), (frames, plan.gallery, rows, rows))
        tops = np.arange(1, frames + 1, dtype=np.float32)[:, None].repeat(plan.gallery, 1)
        arrays[files.TOP + name] = tops * (not blank)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)


def write_small_maps(path: Path, plan: Plan, model: str, level: int) -> None:
    photos, masks = zip(*(drawn_image(plan, n) for n in range(plan.small)), strict=True)
    names = {f"{plan.targets[0]}|{plan.methods[0]}|{x['layer']}": x for x in layer_entries(plan, model)}
    maps = {name: [SmallMap.of(made_map(plan, entry, level))] * plan.small for name, entry in names.items()}
    arrays: dict[str, Any] = {"ids": np.array(plan.images[: plan.small]), "masks": np.stack(masks)}
    arrays |= {"predicted": np.roll(np.stack(masks), 2, axis=2)} | arrays_of(maps, photos)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)


def write(folder: Path, plan: Plan) -> Path:
    def put(frame: pd.DataFrame, path: str) -> None:
        (folder / "scores" / path).parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(folder / "scores" / f"{path}.parquet", index=False)

    (folder / "scores" / "gallery").mkdir(parents=True)
    (folder / "scores" / "predictions").mkdir()
    write_manifest(folder, plan)
    put(training_frame(plan), "training/training")
    for model in plan.models if plan.film else ():
        write_film(folder / files.FILMS / f"{model}-s{plan.seeds[0]}.npz", plan, model)
    for entry in checkpoint_entries(plan):
        if not entry["reached"]:
            continue
        model, level, seed = entry["model"], entry["level"], entry["seed"]
        name = f"{model}-s{seed}-l{level}"
        put(score_frame(plan, model, level, seed), name)
        put(prediction_frame(plan, model, level, seed), f"predictions/{name}")
        if plan.gallery:
            write_gallery(folder / "scores" / "gallery" / f"{name}.npz", plan, model, level)
        if plan.small:
            write_small_maps(folder / SMALL_MAPS / f"{name}-000.npz", plan, model, level)
        if plan.agreement:
            put(agreement_frame(plan, model, level, seed), f"agreement/{name}-000")
        for factor in plan.factors:
            frame = resolution_frame(plan, model, level, seed, factor)
            put(frame, f"resolution/{name}-{frame['size'].iloc[0]}px")
    return folder


@pytest.fixture(scope="session")
def make_in(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    """Return a function that puts a made-up run into a folder and opens it: each kind is written once, then copied."""
    written: dict[str, Path] = {}

    def build(folder: Path, **fields: Any) -> Results:
        plan = Plan(**fields)
        if repr(plan) not in written:
            written[repr(plan)] = write(tmp_path_factory.mktemp("made"), plan)
        shutil.copytree(written[repr(plan)], folder)
        return Results(folder)

    return build


@pytest.fixture
def make(make_in: Callable[..., Results], tmp_path: Path) -> Callable[..., Results]:
    """Return a function that makes up a run (the fields of `Plan` as keywords) and opens it."""
    numbers = itertools.count()
    return lambda **fields: make_in(tmp_path / f"run{next(numbers)}", **fields)
