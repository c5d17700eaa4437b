"""Networks in unusual forms: maps as of the plain network, or one error whose cure works."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from segcam import Layer, Probe, ProbeError, Target, grad_cam
from segcam.checks.diagnosis import diagnose
from segcam.errors import NotApplicableError
from segcam.maps import all_maps
from segcam.methods.material.subject import examining
from segcam.probe.network import forms
from tests.small_networks import seeded

IMAGES = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))

Run = Callable[[nn.Sequential, Tensor], Tensor]


class Checkpointed(nn.Module):
    """Two blocks and a head; `run` says how the blocks are run."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.blocks = nn.Sequential(*(self._block() for _ in range(2)))
        self.head, self.how = nn.Conv2d(6, 2, 1), run

    @staticmethod
    def _block() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.how(self.blocks, self.stem(x)))


def plain(blocks: nn.Sequential, x: Tensor) -> Tensor:
    return blocks(x)


RUNS: dict[str, Run] = {
    "not reentrant": lambda blocks, x: checkpoint(blocks, x, use_reentrant=False),
    "reentrant": lambda blocks, x: checkpoint(blocks, x, use_reentrant=True),
    "nested": lambda blocks, x: checkpoint(
        lambda y: checkpoint(blocks[1], blocks[0](y), use_reentrant=False), x, use_reentrant=True
    ),
    "by keyword": lambda blocks, x: checkpoint(blocks.forward, input=x, use_reentrant=False),
    "in segments": lambda blocks, x: checkpoint_sequential(blocks, 2, x, use_reentrant=False),
    "in segments, reentrant": lambda blocks, x: checkpoint_sequential(blocks, 2, x, use_reentrant=True),
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("layers", [["blocks.0.0"], ["blocks.0.1", "blocks.1.0"], ["stem", "blocks.1"], ["blocks.1.2"]])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradient_checkpointing_changes_nothing(run: str, layers: list[str], frozen: bool) -> None:
    model = seeded(lambda: Checkpointed(RUNS[run]), 1).float().requires_grad_(not frozen)
    other = seeded(lambda: Checkpointed(plain), 1).float()
    for low_memory in (False, True):
        found = Probe(model, layers, low_memory=low_memory)(IMAGES, Target(1, "predicted"))
        wanted = Probe(other, layers)(IMAGES, Target(1, "predicted"))
        for label in layers:
            assert torch.equal(found.gradients[label], wanted.gradients[label])
            assert found.gradients[label].abs().max() > 0


def test_checkpointing_is_on_again_afterwards() -> None:
    """Also after an error, and in other threads' eyes never off: what was replaced hands on to what it replaced."""
    before = (forms.recomputing.CheckpointFunction, forms.recomputing._checkpoint_without_reentrant_generator)
    with forms.without_checkpointing():
        assert forms.recomputing.CheckpointFunction is not before[0]
    with pytest.raises(ZeroDivisionError), forms.without_checkpointing():
        raise ZeroDivisionError
    assert (forms.recomputing.CheckpointFunction, forms.recomputing._checkpoint_without_reentrant_generator) == before
    runs: list[int] = []
    model = seeded(lambda: Checkpointed(RUNS["not reentrant"]), 1).float()
    model.blocks.register_forward_pre_hook(lambda *_: runs.append(1))
    Probe(model, "stem")(IMAGES)
    assert len(runs) == 1
    model(IMAGES.clone().requires_grad_()).sum().backward()
    assert len(runs) == 3


def test_a_block_run_without_gradients_is_named() -> None:
    class Frozen(Checkpointed):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.stem(x)
            return self.head(self.blocks(x))

    with pytest.raises(ProbeError, match=r"layer 'stem' runs in torch.no_grad: let the network keep its graph there"):
        Probe(seeded(lambda: Frozen(plain)).float(), "stem")(IMAGES)
    capture = Probe(seeded(lambda: Frozen(plain)).float(), "*", kind=nn.Conv2d)(IMAGES)
    assert capture.skipped == {"stem": "runs in torch.no_grad"}


def small() -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    return model.append(nn.Conv2d(8, 2, 1)).eval()


FORMS: dict[str, tuple[Callable[[nn.Module], Any], str]] = {
    "scripted": (torch.jit.script, r"load_state_dict\(scripted.state_dict\(\)\), and probe that"),
    "traced": (lambda m: torch.jit.trace(m, IMAGES), r"load_state_dict\(scripted.state_dict\(\)\), and probe that"),
    "frozen": (lambda m: torch.jit.freeze(torch.jit.script(m)), "load the weights that it was made from"),
    "for inference": (lambda m: torch.jit.optimize_for_inference(torch.jit.script(m)), "weights that it was made from"),
    "exported": (lambda m: torch.export.export(m, (IMAGES,)).module(), r"load_state_dict\(program.state_dict"),
    "a program": (lambda m: torch.export.export(m, (IMAGES,)), r"load_state_dict\(program.state_dict"),
    "a function": (lambda m: m.forward, "a torch.nn.Module is needed, not a method"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", ["2", "*", "absent"])
def test_forms_without_layers_are_refused(form: str, layer: str) -> None:
    make, cure = FORMS[form]
    with pytest.raises(ProbeError, match=cure):
        Probe(make(small()), layer)


@pytest.mark.filterwarnings("ignore")
def test_the_cures_of_refused_forms_work() -> None:
    model = small()
    wanted = Probe(model, "2")(IMAGES).maps(grad_cam)
    for weights in (
        torch.jit.script(model).state_dict(),
        torch.jit.trace(model, IMAGES).state_dict(),
        torch.export.export(model, (IMAGES,)).state_dict,
    ):
        fresh = small()
        fresh.load_state_dict(weights)
        assert torch.equal(Probe(fresh, "2")(IMAGES).maps(grad_cam), wanted)


@pytest.mark.filterwarnings("ignore")
def test_other_forms_have_the_plain_maps() -> None:
    model = small()
    wanted = Probe(model, "2")(IMAGES).maps(grad_cam)
    normed = copy.deepcopy(model)
    nn.utils.parametrizations.weight_norm(normed[2])
    for form, layer in (
        (nn.DataParallel(copy.deepcopy(model)), "module.2"),
        (torch.fx.symbolic_trace(model), "2"),
        (normed, "2"),
        (nn.Sequential(torch.jit.script(nn.Identity()), *model), "3"),
    ):
        assert torch.allclose(Probe(form, layer)(IMAGES).maps(grad_cam), wanted, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_scripted_parts_are_left_out_or_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())))
    model.append(nn.Conv2d(4, 2, 1))
    with pytest.raises(ProbeError, match=r"layer '1.0' lies in '1', which is TorchScript: choose another layer"):
        Probe(model, "1.0")(IMAGES)
    capture = Probe(model, "*")(IMAGES)
    assert [layer.label for layer in capture.layers] == ["0", "2"]
    assert "TorchScript" in capture.skipped["1.0"]


@pytest.mark.filterwarnings("ignore")
def test_quantised_networks_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(2), nn.Linear(384, 384), nn.Unflatten(2, (16, 24)))
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(ProbeError, match=r"quantised \('2' is a Linear\), and integers have no gradients: probe the"):
        Probe(quantised, "0")


def test_torchs_fused_transformer_layers_are_read() -> None:
    class Encoder(nn.Module):
        def __init__(self, batch_first: bool) -> None:
            super().__init__()
            self.embed, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 2, 1)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.batch_first = batch_first

        def forward(self, x: Tensor) -> Tensor:
            grid = self.embed(x)
            tokens = grid.flatten(2).transpose(1, 2)
            tokens = tokens if self.batch_first else tokens.transpose(0, 1)
            tokens = self.encoder(tokens)
            tokens = tokens if self.batch_first else tokens.transpose(0, 1)
            return self.head(tokens.transpose(1, 2).unflatten(2, grid.shape[2:]))

    labels = ["encoder.layers.0", "encoder.layers.0.norm1", "encoder.layers.1.linear2", "encoder.layers.1.self_attn"]
    captures = []
    for batch_first in (False, True):
        model = seeded(lambda batch_first=batch_first: Encoder(batch_first), 4).float()
        captures.append(Probe(model, labels)(IMAGES, Target(1, "image")))
        assert torch.backends.mha.get_fastpath_enabled()
    for label in labels:
        assert captures[0].activations[label].shape[2:] == (4, 6)
        assert torch.allclose(captures[0].activations[label], captures[1].activations[label], atol=1e-5)
        assert torch.allclose(captures[0].gradients[label], captures[1].gradients[label], atol=1e-5)


class Fusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rgb, self.depth, self.head = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(1, 4, 3, padding=1),
            nn.Conv2d(8, 2, 1),
        )

    def forward(self, rgb: Tensor, depth: Tensor, scale: float = 1.0, *, shift: Tensor | None = None) -> Tensor:
        joined = torch.cat([self.rgb(rgb), scale * self.depth(depth)], 1).tanh()
        return self.head(joined if shift is None else joined + shift)


class Stacked(nn.Module):
    """The same in one tensor, wrapped by hand."""

    def __init__(self, net: Fusion) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, :3], x[:, 3:], 2.0)


DEPTH = torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("given", ["images", "prompt"])
def test_several_inputs(given: str) -> None:
    model = seeded(Fusion).float()
    whole = torch.cat([IMAGES, DEPTH], 1)
    wanted = Probe(Stacked(model), ["net.rgb", "net.depth"])(whole, Target(1, "image"))
    if given == "images":
        found = Probe(model, ["rgb", "depth"])(
            IMAGES, Target(1, "image"), inputs={"depth": DEPTH.double(), "scale": 2.0}
        )
    else:  # the images are the first argument that is not named
        found = Probe(model, ["rgb", "depth"])(DEPTH, Target(1, "image"), inputs={"rgb": IMAGES, "scale": 2.0})
    for label in ("rgb", "depth"):
        assert torch.equal(found.gradients[label], wanted.gradients[f"net.{label}"])
        assert torch.equal(found.activations[label], wanted.activations[f"net.{label}"])


def test_inputs_go_with_their_images() -> None:
    model, count = seeded(Fusion).float(), 6
    rgb, depth = (torch.rand(count, n, 16, 24, generator=torch.Generator().manual_seed(n)) for n in (3, 1))
    probe = Probe(model, ["rgb", "depth"])
    inputs = {"depth": depth, "shift": torch.full((1, 8, 1, 1), 0.1)}
    (whole,) = all_maps(probe, rgb, [Target(1)], ["grad_cam"], inputs=inputs)
    (parts,) = all_maps(probe, rgb, [Target(1)], ["grad_cam"], inputs=inputs, max_memory=250_000)
    for label, maps in whole.items():
        assert torch.allclose(maps, parts[label], atol=1e-7)
        alone = probe(rgb[3:4], Target(1), inputs={**inputs, "depth": depth[3:4]}).maps(grad_cam, label)
        assert torch.allclose(maps[3], alone, atol=1e-7)
    assert "rgb" in str(diagnose(probe, rgb, Target(1), inputs=inputs))


@pytest.mark.parametrize(
    ("images", "inputs", "message"),
    [
        (
            (IMAGES, DEPTH),
            None,
            r"a tuple: pass one tensor as images, .*inputs=\{'depth': ..., 'scale': ...",
        ),
        ([IMAGES, DEPTH], None, "images are a list: pass one tensor as images"),
        ({"rgb": IMAGES, "depth": DEPTH}, None, "images are a dict: pass one tensor"),
        (IMAGES, None, r"takes 'depth' beside the images: give it by name, probe\(images, target, inputs=\{'depth'"),
        (IMAGES, {"dept": DEPTH}, "takes no input 'dept': its forward has rgb, depth, scale, shift"),
        (IMAGES, DEPTH, "inputs are a Tensor: a mapping from names of the network's arguments"),
        (IMAGES, {0: DEPTH}, "inputs are a dict: a mapping from names"),
    ],
)
def test_inputs_that_do_not_fit(images: Any, inputs: Any, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        Probe(seeded(Fusion).float(), ["rgb"])(images, Target(1), inputs=inputs)


def test_methods_with_passes_of_their_own_say_that_they_take_images_alone() -> None:
    probe = Probe(seeded(Fusion).float(), "rgb")
    capture = probe(IMAGES, Target(1), inputs={"depth": DEPTH})
    with (
        pytest.raises(NotApplicableError, match="takes 'depth' beside the images: wrap it"),
        examining(probe, IMAGES, capture),
    ):
        pass


class Mixed(nn.Module):
    """Layers of every kind that a pattern may meet."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.aside, self.unused = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.twice, self.volume, self.pooled = nn.ReLU(), nn.Conv3d(4, 4, 1), nn.Linear(4, 4)
        self.folded, self.codes, self.head = nn.Identity(), nn.Identity(), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x)
        x = self.twice(self.twice(self.used(x)))
        x = self.volume(x[:, :, None])[:, :, 0]
        x = x * self.pooled(x.mean((2, 3)))[:, :, None, None]
        self.codes(x.argmax(1)[:, None])
        return self.head(torch.cat(self.folded(torch.cat(x.chunk(2, 2))).chunk(2), 2))


def test_patterns_leave_out_what_has_no_maps() -> None:
    model = seeded(Mixed).float()
    capture = Probe(model, "*")(IMAGES, Target(1, "image"))
    assert [layer.label for layer in capture.layers] == ["used", "head"]
    assert list(capture.activations) == list(capture.gradients) == ["used", "head"]
    assert set(capture.skipped) == {"aside", "unused", "twice", "volume", "pooled", "folded", "codes"}
    for label, reason in {
        "aside": "does not lead to the logits",
        "unused": "did not run in the forward pass",
        "twice": "runs 2 times in one forward pass",
        "volume": "gave (2, 4, 1, 16, 24)",
        "pooled": "gave (2, 4)",
        "codes": "gave torch.int64 (2, 1, 16, 24)",
    }.items():
        assert capture.skipped[label] == reason
        with pytest.raises(ProbeError, match=f"layer '{label}' "):
            Probe(model, [label, "*"])(IMAGES)
        with pytest.raises(ProbeError, match=f"layer '{label}' .* it was left out"):
            capture.maps(grad_cam, label)
    assert "folded into the batch" in capture.skipped["folded"]
    alone = Probe(model, ["used", "head"])(IMAGES, Target(1, "image"))
    assert torch.equal(alone.gradients["used"], capture.gradients["used"])


def test_patterns_that_match_nothing_with_maps() -> None:
    model = seeded(Mixed).float()
    with pytest.raises(ProbeError, match="none of the 2 layers that the patterns match has maps: layer 'unused'"):
        Probe(model, ["unus*", "asid*"])(IMAGES)
    with pytest.raises(ProbeError, match="layer 'unused' did not run"):
        Probe(model, [Layer("unused", "unused"), "*"])(IMAGES)
    with pytest.raises(ProbeError, match="layer 'unused' did not run"):
        Probe(model, [model.unused, "*"])(IMAGES)


def test_patterns_within_a_memory_limit() -> None:
    model = seeded(Mixed).float()
    (whole,) = all_maps(Probe(model, "*"), IMAGES, [Target(1, "image")], ["grad_cam"])
    (parts,) = all_maps(Probe(model, "*"), IMAGES, [Target(1, "image")], ["grad_cam"], max_memory=60_000)
    assert list(whole) == ["used", "head"]
    assert {label: maps.shape for label, maps in parts.items()} == {label: maps.shape for label, maps in whole.items()}
    assert all(torch.allclose(whole[label], parts[label], atol=1e-7) for label in whole)
    assert "used" in str(diagnose(Probe(model, "*"), IMAGES, Target(1, "image")))
