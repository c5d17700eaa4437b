"""Networks of queries: the classes of their own post-processing, the maps of plain autograd, queries one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from segcam import InputError, Layer, Probe, ProbeError, Target, grad_cam
from segcam.checks.faithfulness import Subjects
from segcam.errors import NotApplicableError
from segcam.methods.attention_rollout import attention_rollout
from segcam.networks.queries import EachQuery, Semantic, adapted, list_queries
from segcam.probe.attention import Attention
from segcam.probe.attention.finding import find_attention
from tests.segcam.foreign.reference import Lay, agrees, nchw, tokens
from tests.segcam.networks.queries.small import QUERIED, images, network, transformers


def outputs(name: str, batch: Tensor, **inputs: Any) -> Any:
    """What the network itself gives, told the task where it asks."""
    if name == "oneformer" and "task_inputs" not in inputs:
        words = [49406, 518, 10549, 533, 29119, 1550, 49407]  # the task is semantic
        inputs["task_inputs"] = torch.tensor([words + [0] * 70]).expand(len(batch), -1)
    return network(name)(batch, **inputs)


PROCESSORS = {
    "mask2former": "Mask2FormerImageProcessor",
    "maskformer": "MaskFormerImageProcessor",
    "oneformer": "OneFormerImageProcessor",
    "eomt": "EomtImageProcessor",
    "eomt dinov3": "EomtImageProcessor",
}


def processor(name: str) -> Any:
    """The library's own processor; those of some versions want files of class names, which its end does not need."""
    kind = getattr(transformers, PROCESSORS[name])
    if name.startswith("eomt"):
        return kind(size={"shortest_edge": 64, "longest_edge": 64})
    return kind.__new__(kind)


def scatter(_module: nn.Module, _inputs: object, output: Any) -> None:
    """Let queries find what they never do with random weights: things of all classes, all over the image."""
    generator = torch.Generator().manual_seed(5)
    for field in ("class_queries_logits", "masks_queries_logits"):
        noise = torch.randn(output[field].shape, generator=generator, dtype=torch.float64)
        setattr(output, field, output[field] + 4 * noise)


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("name", QUERIED)
def test_classes_are_those_of_the_networks_own_post_processing(name: str) -> None:
    batch, model = images(name), network(name)
    handle = model.register_forward_hook(scatter)
    try:
        with torch.no_grad():
            scores, output = adapted(model)(batch), outputs(name, batch)
        capture = Probe(adapted(model), "*")(batch, Target(3, "predicted"))
    finally:
        handle.remove()
    if name.startswith("eomt"):
        output.patch_offsets = [(n, 0, 64) for n in range(2)]  # the whole image is one patch
    sizes = [tuple(batch.shape[2:])] * len(batch)
    wanted = torch.stack(list(processor(name).post_process_semantic_segmentation(output, target_sizes=sizes)))
    assert scores.shape == (2, 5, *batch.shape[2:])
    assert torch.equal(scores.argmax(1), wanted)
    assert len(wanted.unique()) == 5
    assert torch.equal(capture.explained.chosen, wanted == 3)


ENCODERS: dict[str, dict[str, Lay]] = {
    "mask2former": {
        "model.pixel_level_module.encoder.hidden_states_norms.stage2": tokens(16, 12),
        "model.pixel_level_module.decoder.input_projections.0": nchw,
        "model.pixel_level_module.decoder.layer_1": nchw,
        "model.pixel_level_module.decoder.mask_projection": nchw,
    },
    "maskformer": {
        "model.pixel_level_module.decoder.fpn.stem": nchw,
        "model.pixel_level_module.decoder.fpn.layers.1.block": nchw,
        "model.pixel_level_module.decoder.mask_projection": nchw,
        "model.transformer_module.input_projection": nchw,
    },
    "oneformer": {
        "model.pixel_level_module.encoder.hidden_states_norms.stage1": tokens(32, 24),
        "model.pixel_level_module.decoder.input_projections.1": nchw,
        "model.pixel_level_module.decoder.mask_projection": nchw,
    },
    "eomt": {
        "embeddings.patch_embeddings.projection": nchw,
        "layers.0": tokens(8, 8, 5),
        "layers.1.mlp.fc1": tokens(8, 8, 5),
        "layers.2.norm1": tokens(8, 8, 12),  # queries come before class and register tokens
        "layers.3": tokens(8, 8, 12),
    },
    "eomt dinov3": {"layers.0": tokens(8, 8, 5), "layers.3.norm2": tokens(8, 8, 12)},
}


def plain_cam(name: str, label: str, lay: Lay, score: Callable[[Any], Tensor], image: Tensor) -> Tensor:
    """Grad-CAM before ReLU of a score of one image, by a hook of one's own and autograd."""
    kept: list[Tensor] = []
    module = network(name).get_submodule(label)
    handle = module.register_forward_hook(lambda _module, _inputs, output: kept.append(first(output)))
    value = score(outputs(name, image.clone().requires_grad_()))
    handle.remove()
    (gradient,) = torch.autograd.grad(value, kept)
    return (lay(gradient).mean((2, 3), keepdim=True) * lay(kept[0].detach())).sum(1)


def first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def semantic(output: Any, class_id: int) -> Tensor:
    """The mean logarithm of a class's score over all pixels of the masks' grid, each sum written out."""
    shares = output.class_queries_logits.softmax(-1)[0, :, class_id]
    masks = output.masks_queries_logits.sigmoid()[0]
    return torch.log((shares[:, None, None] * masks).sum(0)).mean()


@pytest.mark.parametrize("name", QUERIED)
def test_maps_are_those_of_plain_autograd(name: str) -> None:
    batch = images(name)
    capture = Probe(Semantic(network(name), at="output"), list(ENCODERS[name]))(batch, Target(2, "image", at="output"))
    for label, lay in ENCODERS[name].items():
        for n in range(2):
            wanted = plain_cam(name, label, lay, lambda output: semantic(output, 2), batch[n : n + 1])
            assert agrees(capture, label, wanted, slice(n, n + 1)), label


def own_mask(output: Any, query: int, size: tuple[int, int]) -> Tensor:
    """The mean mask logit of a query over the pixels at which it is above 0."""
    mask = nnf.interpolate(output.masks_queries_logits, size, mode="bilinear")[0, query]
    return mask[mask > 0].mean()


@pytest.mark.parametrize("name", QUERIED)
def test_a_query_is_explained_over_its_own_mask(name: str) -> None:
    batch = images(name)
    size = (int(batch.shape[2]), int(batch.shape[3]))
    found = list_queries(network(name), batch, task="semantic")
    chosen = [next(query for query in listed if query.area) for listed in found]
    target = Target([query.index for query in chosen], "predicted")  # another one in each image
    capture = Probe(EachQuery(network(name), task="semantic"), list(ENCODERS[name]))(batch, target)
    assert capture.target_pixels.tolist() == [query.area for query in chosen]
    for label, lay in ENCODERS[name].items():
        for n, query in enumerate(chosen):
            wanted = plain_cam(
                name, label, lay, lambda output, query=query: own_mask(output, query.index, size), batch[n : n + 1]
            )
            assert agrees(capture, label, wanted, slice(n, n + 1)), label


def test_queries_are_listed_by_score() -> None:
    batch = images("mask2former")
    network("mask2former").train()
    found = list_queries(network("mask2former"), batch)
    assert network("mask2former").training
    network("mask2former").eval()
    with torch.no_grad():
        output = outputs("mask2former", batch)
    masks = nnf.interpolate(output.masks_queries_logits, (128, 96), mode="bilinear")
    shares = output.class_queries_logits.softmax(-1)[..., :-1]
    for n, listed in enumerate(found):
        assert sorted(query.index for query in listed) == list(range(7))
        assert [query.score for query in listed] == sorted((query.score for query in listed), reverse=True)
        for query in listed:
            mask = masks[n, query.index]
            inside = mask > 0
            mean = float(mask.sigmoid()[inside].mean()) if inside.any() else 0.0
            best = shares[n, query.index]
            assert query.class_id == int(best.argmax())
            assert query.class_name == f"LABEL_{query.class_id}"
            assert query.area == int(inside.sum())
            assert query.score == pytest.approx(float(best.max()) * mean, rel=1e-5)


def test_what_is_left_out_has_its_reason() -> None:
    model = network("mask2former", 12)  # as many queries as the coarsest grid has cells
    capture = Probe(adapted(model), "*")(images("mask2former"), Target(1, "image"))
    skipped = capture.skipped
    assert {*capture.activations, *skipped} == {path for path, _ in model.named_modules() if path}
    several = skipped["model.pixel_level_module.decoder.encoder.layers.0"]
    assert several.startswith("gave 252 tokens, those of 3 grids (0: 4 x 3, 1: 8 x 6, 2: 16 x 12): say which with")
    for label in ("layers.0", "layers.1.self_attn", "layers.1.fc1"):
        assert "the 12 of dimension" in skipped[f"model.transformer_module.decoder.{label}"]
        assert "lie nowhere on the image" in skipped[f"model.transformer_module.decoder.{label}"]
    assert "runs 3 times in one forward pass" in skipped["class_predictor"]
    assert "runs 3 times" in skipped["model.transformer_module.decoder.mask_predictor"]
    with pytest.raises(ProbeError, match=r"'class_predictor' runs 3 times in one forward pass: leave it out"):
        Probe(adapted(model), "class_predictor")(images("mask2former"), Target(1, "image"))


@pytest.mark.parametrize("name", ["mask2former", "oneformer"])
def test_grids_of_deformable_attention_are_read_one_by_one(name: str) -> None:
    batch, path = images(name), "model.pixel_level_module.decoder.encoder.layers.0"
    layers = [Layer(path, f"grid {n}", grid=n) for n in range(3)]
    capture = Probe(Semantic(network(name), at="output"), layers)(batch, Target(2, "image", at="output"))
    for n, (start, grid) in enumerate(((0, (4, 3)), (12, (8, 6)), (60, (16, 12)))):
        wanted = plain_cam(name, path, tokens(*grid, start), lambda output: semantic(output, 2), batch[:1])
        assert agrees(capture, f"grid {n}", wanted, slice(0, 1))


def test_an_adapter_is_the_network_under_another_output() -> None:
    model = network("mask2former")
    reading = adapted(model)
    assert isinstance(reading, Semantic)
    assert [path for path, _ in reading.named_modules()] == [path for path, _ in model.named_modules()]
    assert all(a is b for a, b in zip(reading.parameters(), model.parameters(), strict=True))
    assert list(reading.state_dict()) == list(model.state_dict())
    own = copy.deepcopy(reading)
    with torch.no_grad():
        own.get_parameter("class_predictor.weight").zero_()
        own.get_parameter("class_predictor.bias").zero_()
        flat = own(images("mask2former", 1))
    assert torch.allclose(flat, flat[:, :1].expand(-1, 5, -1, -1))  # the copy runs with its own weights
    assert bool(model.get_parameter("class_predictor.weight").any())
    model.train()
    Probe(adapted(model), "model.pixel_level_module.decoder.mask_projection")(
        images("mask2former"), Target("LABEL_2", "image")
    )
    assert all(module.training for module in model.modules())
    model.eval()


def test_other_networks_are_none_or_refused() -> None:
    dense = nn.Conv2d(3, 4, 1)
    assert adapted(dense) is None
    with pytest.raises(ProbeError, match="needs 'class_queries_logits' of 3 dimensions, and it is a Tensor"):
        Semantic(dense)(torch.rand(1, 3, 8, 8))
    with pytest.raises(InputError, match=r"unknown resolution of scores 'grid': known are input, output"):
        Semantic(dense, at="grid")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"unknown task 'things': known are instance, panoptic, semantic"):
        EachQuery(dense, task="things")  # type: ignore[arg-type]
    with pytest.raises(ProbeError, match=r"a torch\.nn\.Module is needed, not a dict"):
        Semantic({})  # type: ignore[arg-type]

    class Other(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return SimpleNamespace(class_queries_logits=x[:, :, 0], masks_queries_logits=x[:, :2])

    with pytest.raises(ProbeError, match=r"class logits are \(1, 3, 8\) and their mask logits \(1, 2, 8, 8\)"):
        Semantic(Other())(torch.rand(1, 3, 8, 8))
    batch = images("mask2former")
    with pytest.raises(ProbeError, match="the network takes no input 'pixel_mess': its forward has x"):
        Semantic(Other())(batch, pixel_mess=batch)
    with pytest.raises(ProbeError, match=r"with config\.return_dict = True it has names"):
        Semantic(network("mask2former")).read((1, 2), (8, 8))
    with pytest.raises(ProbeError, match="the target's class 7 does not exist: the network has classes 0 to 6"):
        Probe(EachQuery(network("mask2former")), "*")(batch, Target(7, "image"))


def test_oneformer_is_told_the_task() -> None:
    batch = images("oneformer")
    other = torch.randint(0, 100, (2, 77)).double()
    with torch.no_grad():
        told = Semantic(network("oneformer"), at="output")(batch, task_inputs=other)
        wanted = outputs("oneformer", batch, task_inputs=other)
        untold = Semantic(network("oneformer"), at="output")(batch)
    sums = torch.einsum(
        "bqc,bqhw->bchw", wanted.class_queries_logits.softmax(-1)[..., :-1], wanted.masks_queries_logits.sigmoid()
    )
    assert torch.allclose(told, sums.log())
    assert not torch.allclose(told, untold)
    tasks = [EachQuery(network("oneformer"), task)(batch) for task in ("semantic", "instance", "panoptic")]
    assert not torch.allclose(tasks[0], tasks[1])
    assert not torch.allclose(tasks[1], tasks[2])


def test_half_precision() -> None:
    model = copy.deepcopy(network("mask2former")).bfloat16()
    label = "model.pixel_level_module.decoder.mask_projection"
    capture = Probe(adapted(model), label)(images("mask2former").float(), Target(2, "image"))
    assert capture.logits.dtype == torch.float32
    assert bool(torch.isfinite(capture.maps(grad_cam, label)).all())
    assert next(model.parameters()).dtype == torch.bfloat16


def test_checks_know_what_the_output_means() -> None:
    batch = images("eomt")
    sides = torch.zeros(2, 64, 64).bool()
    sides[:, :32] = True
    subjects = Subjects.of(EachQuery(network("eomt")), batch, 2, (sides, ~sides), ("a", "b"))
    assert subjects.target.output == "multilabel"
    masks = nnf.interpolate(outputs("eomt", batch).masks_queries_logits, (64, 64), mode="bilinear")
    assert torch.equal(subjects.chosen, masks[:, 2] > 0)


def test_attention_of_queries_and_of_filled_windows_is_left_out() -> None:
    """As many queries as another grid has cells, and windows of 4 x 4 around a last grid of 4 x 3, look like grids."""
    found = find_attention(adapted(network("maskformer", 16)), images("maskformer"))
    assert found.places == ()
    for label in ("self_attn", "encoder_attn"):
        reason = found.left_out[f"model.transformer_module.decoder.layers.0.{label}"]
        assert reason == "is that of queries, which lie nowhere on the image"
    filled = "model.pixel_level_module.encoder.model.encoder.layers.3.blocks.0.attention.self"
    assert found.left_out[filled].startswith("has 16 queries and 16 keys, which lie on no grids")


def test_attention_ends_where_queries_join() -> None:
    model, batch = adapted(network("eomt")), images("eomt")
    found = find_attention(model, batch)
    assert [(place.module, place.stride) for place in found.places] == [(f"layers.{n}.attention", 8) for n in range(2)]
    assert found.left_out["layers.2.attention"] == (
        "has 12 tokens of no place, and blocks before it 5: queries join them"
    )
    capture = Probe(model, "layers.0", attention=found.places)(batch, Target(2, "image"))
    rolled = attention_rollout([*capture.attentions.values()], capture.explained.chosen)
    assert torch.allclose(rolled.sum((2, 3)), torch.ones(2, 2).double())
    early = Attention(torch.full((1, 1, 7, 7), 1 / 7), (2, 3))
    late = Attention(torch.full((1, 1, 9, 9), 1 / 9), (2, 3))
    with pytest.raises(NotApplicableError, match="blocks have 1 and 3 tokens of no place: some join between them"):
        attention_rollout([early, late], torch.ones(1, 2, 3).bool())
