"""Follow: a few images looked at once an epoch, while a network trains."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segcam.arrays import Numbers, whole
from segcam.classes import Classes, label
from segcam.errors import InputError, SegcamWarning, first_line, shown
from segcam.follow.asked import methods_of, metrics_of
from segcam.follow.folder import IMAGE_COLUMNS, Folder
from segcam.follow.scene import Images, Photographs, Scene
from segcam.follow.scoring import SIGN_BALANCE, Scorer, Scores, device_of, on_device
from segcam.follow.sheet import cell_of, png, sheet
from segcam.follow.still import still, unwrapped
from segcam.follow.writers import means_of, writer_of
from segcam.methods import Method
from segcam.metrics import Metric
from segcam.probe.choice import choose_layers
from segcam.probe.layers import Layer, LayerChoice
from segcam.probe.network.elements import Element
from segcam.probe.network.inputs import Inputs, checked_inputs, rows_of
from segcam.probe.placement import Placing
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.probe.targets.outputs import Output, told

MOST_LAYERS = 9
"""How many layers are followed unless they are named: a U-Net of five levels has nine stages."""
METHODS = ("grad_cam", "activation", "uniform")
"""Grad-CAM, what it owes to the target alone, and what a map scores that knows nothing."""


class Follow:
    """Follows a network while it trains: maps and scores of a few fixed images, once an epoch.

        follow = Follow(network, images, class_id=1, masks=masks, out="runs/mine")
        for epoch in range(1, 51):
            train(network)
            follow(epoch)

    Training goes on as it would without: modes, random streams, gradients, buffers and hooks are as before. What goes
    wrong while it trains is said as a warning, and nothing else happens. The folder holds `scores.csv`, a row a map,
    pictures, and a page, `index.html`, that opens from the disk. A training that is resumed goes on in its folder.

    Args:
        network: in training or not, compiled, or wrapped for several processes; the first process follows.
        images: what the network takes, float `(b, c, h, w)`, prepared; or `Sample`s, or a `Batch`. Four are enough.
        class_id: the class explained, as `Target` takes it: an index, a name that `classes` or the network's config
            has, a set of these, or a list with one for each image; 1 unless given.
        masks: the class of each pixel, `(b, h, w)`, 255 to ignore. Without, maps are measured against the region that
            is predicted at that step, and the column `region` says so.
        photographs: the images to look at, uint8 `(b, h, w, 3)`, as the network sees them; unless given they are made
            from its input.
        names: of the images.
        layers: as `Probe` takes them; None for the ends of the network's stages, nine at most.
        methods: gradient methods and controls; the first gradient method is drawn.
        metrics: of maps; None for all.
        target: which pixels and which score are explained, by name; or a `Target`, which has a class.
        output: what the network's output means, or which part of it that is, see `Probe`.
        classes: names of the classes.
        inputs: what the network takes beside the images, by name.
        placement: where maps lie on the image, see `Probe`.
        out: the folder.
        every: calls with a step that is no multiple are passed over.
        writer: a TensorBoard `SummaryWriter`, a run of Weights & Biases, 'tensorboard' for a new writer, or several.
        pictures: of how many images maps are drawn.
        strict: whether errors are raised while it trains.

    Raises:
        InputError: something does not fit together; the folder follows something else.
        ProbeError: a layer gives no map, the class does not exist, or the network fails on the images.

    >>> import tempfile
    >>> from segcam.models import create
    >>> network = create("unet", 2, {"width": 4}).train()
    >>> with tempfile.TemporaryDirectory() as out:
    ...     follow = Follow(network, torch.rand(2, 3, 32, 48), out=out)
    ...     follow(1)
    ...     sorted(path.name for path in Path(out).iterdir())
    ['follow.json', 'index.html', 'overlays', 'scores.csv', 'steps']
    """

    def __init__(  # noqa: PLR0913  (all but two have defaults)
        self,
        network: nn.Module,
        images: Images,
        *,
        class_id: Classes | Sequence[Classes] | None = None,
        masks: Numbers | None = None,
        photographs: Photographs | None = None,
        names: Sequence[str] | None = None,
        layers: LayerChoice | Sequence[LayerChoice] | None = None,
        methods: str | Method | Sequence[str | Method] = METHODS,
        metrics: str | Metric | Sequence[str | Metric] | None = None,
        target: Target | str = "best_pixel:logit",
        output: Output | Element | None = None,
        classes: Sequence[str] | None = None,
        inputs: Inputs | None = None,
        placement: Placing = "stretched",
        out: str | Path = "runs/follow",
        every: int = 1,
        writer: object = None,
        pictures: int = 4,
        strict: bool = False,
    ) -> None:
        self.network = unwrapped(network)
        self.scene = Scene.of(images, masks, photographs, names)
        self.folder = Folder(out)
        self._digest = self.scene.digest()
        self.every, self.strict = _positive(every, "every"), strict
        self._writers = [writer_of(one, self.folder.out) for one in _several(writer)]
        self._said: set[str] = set()
        given = checked_inputs(inputs)
        with still(self.network):
            chosen = self._chosen(given, told(output)[1]) if layers is None else layers
            probe = Probe(self.network, chosen, output=output, classes=classes, placement=placement)
            self._scorer = Scorer(
                probe,
                self.scene,
                _target(target, class_id),
                methods_of(methods),
                metrics_of(metrics),
                given,
                _positive(pictures, "pictures"),
            )
            seen = self._scorer.check()
            if seen.skipped:  # what a pattern matched and has no map has no place in the table
                self._scorer.probe = Probe(
                    self.network, seen.layers, output=output, classes=classes, placement=placement
                )
        self.rows: list[dict[str, Any]] = []
        self.folder.check(self.followed)

    def __call__(self, step: float) -> None:
        """Look at the network as it is now, and write down what is seen.

        Args:
            step: the number of the epoch, or of whatever is counted. The same one again replaces what was written.

        Raises:
            InputError: with `strict` alone, as all that goes wrong: `step` is no whole number from 0, or a file cannot
                be written.
        """
        try:
            number = _step(step)
            if number % self.every == 0 and leads():
                self._look(number)
        except Exception as error:
            if self.strict:
                raise
            self._say(step, error)

    @property
    def layers(self) -> tuple[str, ...]:
        """The labels of the layers, in the order in which they run."""
        return tuple(layer.label for layer in self._scorer.probe.layers)

    @property
    def followed(self) -> dict[str, Any]:
        """What is followed, as the folder and its page say it."""
        scorer = self._scorer
        metrics = [
            {"name": m.name, "label": m.label, "direction": m.direction, "unit": m.unit, "summary": m.summary}
            for m in scorer.metrics
        ]
        balance = {
            "name": SIGN_BALANCE,
            "label": "Sign balance",
            "direction": "none",
            "unit": "",
            "summary": "What speaks for the score, of all that speaks for or against it, before ReLU",
        }
        ids = scorer.target.class_id
        name = ", ".join(map(label, dict.fromkeys(ids))) if isinstance(ids, tuple) else label(ids)
        return {
            "title": f"{type(self.network).__name__}, class {name}",
            "images": list(self.scene.names),
            "pixels": self._digest,
            "class": name,
            "target": scorer.target.name,
            "region": scorer.region,
            "placement": scorer.probe.placement,
            "layers": [{"label": x.label, "module": x.module, "stride": x.stride} for x in scorer.probe.layers],
            "methods": [method.name for method in scorer.methods],
            "labels": [method.label for method in scorer.methods],
            "drawn": scorer.drawn,
            "metrics": [*metrics, balance],
            "columns": list(IMAGE_COLUMNS),
            "cell": list(cell_of(self.scene.size)),
            "pictures": min(scorer.pictures, len(self.scene)),
        }

    def _look(self, step: int) -> None:
        scores = self._scores()
        drawn = sheet(self.scene, scores.pictures, self.layers)
        self.folder.write(step, scores.rows, self.followed, png(drawn))
        self.rows = scores.rows
        names = [metric["name"] for metric in self.followed["metrics"]]
        means = means_of(scores.rows, self._scorer.drawn, names)
        for writer in self._writers:
            writer(step, means, drawn)

    def _scores(self) -> Scores:
        with still(self.network):
            return self._scorer()

    def _chosen(self, inputs: Inputs, element: Element | None) -> Sequence[LayerChoice]:
        """Return the layers that the folder follows, if they are in the network, or choose some."""
        facts = self.folder.facts()
        known = [] if facts is None else facts["followed"].get("layers", [])
        modules = {path for path, _ in self.network.named_modules()}
        if known and all(layer["module"] in modules for layer in known):
            return [Layer(x["module"], x["label"], stride=x["stride"], depth=n) for n, x in enumerate(known)]
        images = self.scene.inputs[:1].to(device_of(self.network))
        some = on_device(rows_of(inputs, slice(0, 1), len(self.scene)), images.device)
        # Whatever the output means, it depends on the same layers.
        meaning: dict[str, Any] = {"output": "logits", "element": element}
        return choose_layers(self.network, images, most=MOST_LAYERS, stages=True, inputs=some, **meaning).layers

    def _say(self, step: object, error: Exception) -> None:
        """Say once what went wrong, and nothing more: a training of days goes on."""
        text = f"{type(error).__name__}: {first_line(error, 400)}"
        if text in self._said or len(self._said) > 20:
            return
        self._said.add(text)
        message = f"step {shown(step)} is not followed, and the training goes on ({text})"
        try:
            warnings.warn(message, SegcamWarning, stacklevel=3)
        except SegcamWarning:  # where warnings are errors, too
            logging.getLogger("segcam").warning(message)


def _target(target: Target | str, class_id: object) -> Target:
    if isinstance(target, str):
        return Target.parse(target, 1 if class_id is None else class_id)  # type: ignore[arg-type]
    if not isinstance(target, Target):
        raise InputError(f"the target is {shown(target)}: give a Target, or its name such as 'predicted:logit'")
    if class_id is not None:
        raise InputError("class_id is given beside a Target, which has a class: leave it out")
    return target


def leads() -> bool:
    """Return whether this is the first of the processes that train together."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK"))


def _step(step: object) -> int:
    number = int(step) if isinstance(step, float) and step.is_integer() else whole(step, "the step")
    if number < 0:
        raise InputError(f"the step is {number}: a whole number from 0 is needed, such as the epoch")
    return number


def _positive(value: object, what: str) -> int:
    number = whole(value, what)
    if number < 1:
        raise InputError(f"{what} is {number}: a whole number from 1 is needed")
    return number


def _several(writer: object) -> Sequence[object]:
    if writer is None:
        return ()
    return writer if isinstance(writer, (list, tuple)) else (writer,)
