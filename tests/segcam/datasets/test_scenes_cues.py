"""Scenes whose evidence is known: one trait decides, drawn the other way it changes the evidence and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcam import Batch, DataError, InputError, Sample
from segcam.channels import LUMA
from segcam.datasets import DATASETS, DatasetOptions
from segcam.datasets.drawn.cues import CUES, Sketch, evidence, sketch, swapped, traits_of
from segcam.datasets.scenes_cues import CueSplit, open_cues
from segcam.samples import IGNORE, SPLITS

SIZE, SCENES = 64, 32


@pytest.fixture(scope="module")
def drawn() -> list[Sketch]:
    return [sketch(0, i, SIZE) for i in range(SCENES)]


def test_same_seed_and_index_give_the_same_bits() -> None:
    first, second = (sketch(3, 17, SIZE).draw((0, 1, 0)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)
    for other in (sketch(3, 18, SIZE), sketch(4, 17, SIZE)):
        assert (other.draw((0, 1, 0)).image != first.image).mean() > 0.5


def test_a_sketch_can_be_drawn_again_and_again(drawn: list[Sketch]) -> None:
    """Drawing writes into nothing that the next drawing begins with."""
    before = drawn[0].draw((0, 0, 0)).image
    for traits in ((1, 1, 1), (0, 1, 0), (1, 0, 1)):
        drawn[0].draw(traits)
    np.testing.assert_array_equal(drawn[0].draw((0, 0, 0)).image, before)


def test_traits_are_balanced_and_independent() -> None:
    traits = np.array([traits_of(i) for i in range(64)])
    assert (traits[0::2] + traits[1::2] == 1).all(), "of two neighbours one has every trait the other way"
    assert np.allclose(np.corrcoef(traits.T), np.eye(3))
    assert len({traits_of(i) for i in range(8)}) == 8


@pytest.mark.parametrize("cue", CUES)
def test_a_swapped_cue_changes_the_evidence_and_nothing_else(drawn: list[Sketch], cue: str) -> None:
    for i, scene in enumerate(drawn):
        traits = traits_of(i)
        own, other = scene.draw(traits), scene.draw(swapped(traits, cue))
        found = evidence(own, other, cue)
        differ = (own.image != other.image).any(2)
        assert not (differ & ~found).any(), "outside the evidence the two are the same to the last grain of noise"
        assert found.mean() > 0.01, "all cues are seen"
        assert found.mean() < 0.35, "evidence is a part of the scene, not the scene"
        assert differ[found].mean() > (0.3 if cue == "texture" else 0.999)
        np.testing.assert_array_equal(evidence(other, own, cue), found)


@pytest.mark.parametrize("cue", CUES)
def test_where_the_evidence_lies(drawn: list[Sketch], cue: str) -> None:
    """Stripes and spots lie on the animal, the ball beside it, and ears make a part of the outline."""
    on_animal = []
    for i, scene in enumerate(drawn):
        traits = traits_of(i)
        own, other = scene.draw(traits), scene.draw(swapped(traits, cue))
        found = evidence(own, other, cue)
        on_animal.append((own.mask[found] != 0).mean())
        assert ((own.mask != other.mask).any()) == (cue == "shape"), "ears alone change the outline"
    assert {"shape": 0.3 < np.mean(on_animal) < 0.9, "texture": min(on_animal) > 0.85}.get(cue, max(on_animal) < 0.4)


def test_stripes_and_spots_are_equally_light(drawn: list[Sketch]) -> None:
    """Nothing but the pattern tells them apart: the same colours, in the same shares."""
    differences = []
    for i, scene in enumerate(drawn):
        ears, _, ball = traits_of(i)
        striped, spotted = (scene.draw((ears, pattern, ball)) for pattern in (0, 1))
        light = [(p.image @ np.array(LUMA))[p.coat].mean() for p in (striped, spotted)]
        differences.append(light[0] - light[1])
    assert abs(np.mean(differences)) < 1.0, "of 255"
    assert np.abs(differences).max() < 6.0


def test_the_two_balls_are_equally_light(drawn: list[Sketch]) -> None:
    differences = []
    for i, scene in enumerate(drawn):
        ears, pattern, _ = traits_of(i)
        one, other = (scene.draw((ears, pattern, ball)) for ball in (0, 1))
        ball = evidence(one, other, "context")
        differences.append(((one.image.astype(float) - other.image) @ np.array(LUMA))[ball].mean())
    assert np.abs(np.mean(differences)) < 6.0


def opened(cue: str, count: int = 16, seed: int = 0) -> CueSplit:
    split = open_cues(cue, DatasetOptions(size=SIZE, seed=seed, counts=(count, 2, 4))).splits["train"]
    assert isinstance(split, CueSplit)
    return split


def label(sample: Sample) -> int:
    """The class of the animal, which is the same in all of its pixels."""
    (found,) = set(np.unique(sample.mask)) - {0, IGNORE}
    return int(found)


def test_the_data_sets_differ_in_the_class_alone() -> None:
    splits = {cue: opened(cue) for cue in CUES}
    for i in range(16):
        samples = {cue: split[i] for cue, split in splits.items()}
        images = {sample.image.tobytes() for sample in samples.values()}
        animals = {((sample.mask == 1) | (sample.mask == 2)).tobytes() for sample in samples.values()}
        assert len(images) == len(animals) == 1
        assert [label(sample) for sample in samples.values()] == [1 + trait for trait in traits_of(i)]


@pytest.mark.parametrize("cue", CUES)
def test_a_data_set(cue: str) -> None:
    plugin = DATASETS.get(f"scenes_{cue}")
    found = plugin.open(DatasetOptions(size=SIZE, seed=2, counts=(6, 2, None)))
    assert plugin.needs_root is False
    assert found.info.classes == ("background", *CUES[cue])
    assert found.info.facts["decides"] == cue
    assert [len(found.splits[s]) for s in SPLITS] == [6, 2, 120]
    for split in SPLITS:
        assert [label(found.splits[split][i]) for i in range(2)] in ([1, 2], [2, 1]), "balanced in every pair"
    sample = found.splits["train"][3]
    assert sample.id == f"scenes_{cue}-2-train-000003"
    assert sample.evidence is not None
    assert sample.evidence.dtype == np.bool_
    assert sample.evidence.any()


@pytest.mark.parametrize("cue", CUES)
def test_what_is_known_of_a_scene(cue: str) -> None:
    split = opened(cue, count=4)
    own, known = split[1], split.known(1)
    assert own.evidence is not None
    for other, sample in known.items():
        assert sample.evidence is not None
        assert label(sample) == (3 - label(own) if other == cue else label(own)), "its own cue alone decides"
        assert not ((sample.image != own.image).any(2) & ~sample.evidence).any()
    np.testing.assert_array_equal(known[cue].evidence, own.evidence)


def test_samples_are_the_callers_own() -> None:
    split = opened("shape", count=2)
    first = split[0]
    assert first.evidence is not None
    kept = first.image.copy(), first.mask.copy(), first.evidence.copy()
    first.image[:], first.mask[:], first.evidence[:] = 0, 0, False
    again = split[-2]
    for before, now in zip(kept, (again.image, again.mask, again.evidence), strict=True):
        np.testing.assert_array_equal(before, now)
    for index in (2, -3):
        with pytest.raises(IndexError, match=str(index)):
            split[index]
        with pytest.raises(IndexError, match=str(index)):
            split.known(index)


def test_an_unknown_cue() -> None:
    with pytest.raises(InputError, match="unknown cue 'smell'"):
        swapped((0, 0, 0), "smell")


def test_evidence_flows_into_batches() -> None:
    split = opened("context", count=2)
    batch = Batch.of([split[0], split[1]])
    assert batch.evidence is not None
    assert batch.evidence.dtype == torch.bool
    for i in range(2):
        np.testing.assert_array_equal(batch.evidence[i].numpy(), split[i].evidence)
    plain = Sample("plain", split[0].image, split[0].mask)
    assert Batch.of([plain]).evidence is None
    assert Batch.of([plain, split[1]]).evidence is None, "known of all images, or it is not known"
    with pytest.raises(DataError, match="evidence 'odd' is uint8"):
        Batch.of([Sample("odd", plain.image, plain.mask, plain.mask)])  # type: ignore[arg-type]
