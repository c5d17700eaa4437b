"""What trainings share: number format, learning rate, parameter groups, averaging, the untrained network's answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from bench.planning.profile import Train
from segcam.errors import InputError


def precision(setting: Literal["auto", "fp32", "bf16"], device: torch.device) -> Literal["fp32", "bf16"]:
    """Choose bf16 autocast where it pays: on GPUs with bf16, and on processors with bf16 instructions."""
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def learning_rate(step: int, total: int, settings: Train) -> float:
    """Return the learning rate of a step: a rise over the share `warmup`, then a cosine fall to zero.

    'onecycle' rises along a cosine from 1/25 of the peak (Smith and Topin 2019), 'cosine' linearly from 0.
    """
    rising = settings.warmup * total
    if step < rising:
        done = (step + 1) / (rising + 1)
        if settings.schedule == "onecycle":
            done = 0.04 + 0.96 * (1 - math.cos(math.pi * done)) / 2
        return settings.learning_rate * done
    return settings.learning_rate * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising))) / 2


@torch.no_grad()
def answer(model: nn.Module, classes: int, class_id: int) -> None:
    """Make an untrained network answer one class nearly everywhere, through its last layer's weights and bias.

    Raises:
        InputError: no convolution or linear layer of the network has a bias and an output a class.
    """
    for module in reversed(list(model.modules())):
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.weight.shape[0] == classes and module.bias is not None:
            module.weight.mul_(0.1)
            module.bias.zero_()[class_id] = 0.3
            return
    raise InputError(f"no last layer with {classes} outputs and a bias was found: set train.initial_answer to 'random'")


def groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW's parameter groups: weight decay on matrices and filters, none on biases and norms."""
    parameters = list(model.parameters())
    plain = [p for p in parameters if p.ndim < 2]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Return an exponential moving average whose memory grows with the steps, so that it soon forgets early weights."""

    @torch.no_grad()
    def update(averaged: Any, current: Any, count: Any) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - now)
        else:
            torch._foreach_copy_(averaged, current)

    return update
