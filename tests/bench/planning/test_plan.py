"""The plan: ids follow what defines a result and nothing else, and every image is in one shard."""

from __future__ import annotations

import itertools
import operator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.planning import plan
from bench.planning import profile as profiles
from bench.planning.cells import MeasureCell
from bench.planning.profile import Profile
from segcam import InputError
from tests.bench.harness import planned

TOML = """
[data]
dataset = "scenes"
[models.unet]
width = 2
[models."other:one"]
width = 3
[train]
levels = [30, 50]
seeds = [0, 1]
[score]
shard = 4
"""
DIGEST = "0123456789abcdef"
GALLERY = (5, 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    return path


def trained(profile: Profile, digest: str = DIGEST) -> dict[tuple[str, int], str]:
    return {(cell.model, cell.seed): cell.id for cell in plan.training(profile, digest)}


def scorings(profile: Profile, images: int = 10, sha: str = "a", digest: str = DIGEST) -> list[MeasureCell]:
    made = {cell: {30: f"{sha}{i}", 50: f"b{i}"} for i, cell in enumerate(plan.training(profile, digest))}
    return planned(profile, made, "scores", "kept_maps", images=images, gallery=GALLERY)


def test_every_model_with_every_seed(file: Path) -> None:
    assert list(trained(profiles.read(str(file)))) == [("unet", 0), ("unet", 1), ("other:one", 0), ("other:one", 1)]


def test_pure(file: Path) -> None:
    profile = profiles.read(str(file))
    assert plan.training(profile, DIGEST) == plan.training(profile, DIGEST)
    assert scorings(profile) == scorings(profile)
    assert profile == profiles.read(str(file))


def test_ids_and_files_are_unique(file: Path) -> None:
    profile = profiles.read(str(file))
    cells = [*plan.training(profile, DIGEST), *scorings(profile)]
    assert len({cell.id for cell in cells}) == len(cells) == 4 + 4 * 2 * (3 + 1)
    written = [cell.file(cell.measurement) for cell in scorings(profile)]
    written += [cell.checkpoint(level) for cell in plan.training(profile, DIGEST) for level in (30, 50)]
    written += [cell.state for cell in plan.training(profile, DIGEST)] + [cell.record for cell in cells]
    assert len(set(written)) == len(written)
    assert not any(":" in name for name in written), "not every file system takes it"


PLACES = "data.root=/some/place data.cache=/some/place"
PACE = f"{PLACES} train.save_every=3 score.batch_size=3 score.max_memory=1GB figures.dpi=60 name=another"
SCORED = "score.metrics=['spread'] score.targets=['predicted'] score.methods=['grad_cam'] score.precision=bf16"
SCORED += " score.points=['relu']"
BESIDE = f"{PACE} {SCORED} train.seeds=[0,1,7] figures.kinds=['png','pdf'] figures.photographs=false figures.images=1"
BESIDE += " score.shard=5 summary=another"
DATA = "data.size=64 data.seed=1 data.border=pet data.train=50 data.val_share=0.2 score.class_id=0"
TRAINED = "levels=[30] tolerance=3 epochs=3 steps=30 batch_size=4 learning_rate=0.1 schedule=cosine warmup=0.2"
TRAINED += " weight_decay=0.2 average=0.5 precision=fp32 longest_interval=4 augment.flip=0 initial_answer=random"


@pytest.mark.parametrize("setting", BESIDE.split())
def test_trainings_do_not_depend_on(file: Path, setting: str) -> None:
    plain, changed = profiles.read(str(file)), profiles.read(str(file), [setting])
    assert trained(plain).items() <= trained(changed).items()
    assert plan.definition(plain, DIGEST) == plan.definition(changed, DIGEST)


@pytest.mark.parametrize("setting", [*DATA.split(), *(f"train.{setting}" for setting in TRAINED.split())])
def test_trainings_depend_on(file: Path, setting: str) -> None:
    plain, changed = profiles.read(str(file)), profiles.read(str(file), [setting])
    before, after = trained(plain), trained(changed)
    assert before.keys() == after.keys()
    assert all(before[key] != after[key] for key in before)
    assert plan.definition(plain, DIGEST) != plan.definition(changed, DIGEST)
    assert {c.id for c in scorings(plain)}.isdisjoint(c.id for c in scorings(changed))


def test_trainings_depend_on_the_images(file: Path) -> None:
    profile = profiles.read(str(file))
    assert set(trained(profile).values()).isdisjoint(trained(profile, "another").values())


def test_a_model_is_of_its_own_parameters_alone(file: Path) -> None:
    before = trained(profiles.read(str(file)))
    after = trained(profiles.read(str(file), ["models.unet.width=4"]))
    assert before["unet", 0] != after["unet", 0]
    assert before["other:one", 0] == after["other:one", 0]


@pytest.mark.parametrize("setting", PACE.split())
def test_scorings_do_not_depend_on(file: Path, setting: str) -> None:
    assert scorings(profiles.read(str(file))) == scorings(profiles.read(str(file), [setting]))


@pytest.mark.parametrize("setting", SCORED.split())
def test_scorings_depend_on(file: Path, setting: str) -> None:
    before, after = scorings(profiles.read(str(file))), scorings(profiles.read(str(file), [setting]))
    assert [c.file("scores") for c in before] == [c.file("scores") for c in after]
    assert {c.id for c in before}.isdisjoint(c.id for c in after)
    assert {c.record for c in before}.isdisjoint(c.record for c in after)


def test_scorings_depend_on_the_weights_that_they_score(file: Path) -> None:
    profile = profiles.read(str(file))
    for one, other in zip(scorings(profile), scorings(profile, sha="c"), strict=True):
        assert (one.id != other.id) == (one.level == 30)


def test_another_shard_size_gives_other_cells(file: Path) -> None:
    """Files of one name hold other rows then, so their records may not be taken for each other."""
    before, after = (scorings(profiles.read(str(file), [f"score.shard={n}"])) for n in (4, 5))
    shared = {c.id for c in before} & {c.id for c in after}
    assert shared == {c.id for c in before if c.measurement == "kept_maps"}


@settings(max_examples=60, deadline=None)
@given(images=st.integers(1, 300), shard=st.integers(1, 130))
def test_shards_cover_every_image_once(images: int, shard: int) -> None:
    profile = profiles.profile_class().model_validate(
        {"name": "x", "data": {"dataset": "scenes"}, "models": {"unet": {}}, "score": {"shard": shard}}
    )
    cells = scorings(profile, images=images)
    assert {cell.level for cell in cells} == {30, 50}
    checkpoint = operator.attrgetter("train.name", "level")
    for _, group in itertools.groupby(sorted(cells, key=checkpoint), key=checkpoint):
        kept, *shards = group
        assert [row for cell in shards for row in cell.rows] == list(range(images))
        assert all(1 <= len(cell.rows) <= shard for cell in shards)
        assert [cell.part for cell in shards] == sorted(cell.part for cell in shards)
        assert (kept.measurement, kept.rows) == ("kept_maps", GALLERY)


def test_unreached_levels_are_not_scored(file: Path) -> None:
    profile = profiles.read(str(file))
    first, *others = plan.training(profile, DIGEST)
    cells = planned(profile, {first: {50: "x"}, **{o: {} for o in others}}, "scores", images=3)
    assert [(c.train, c.level, c.part) for c in cells] == [(first, 50, "000")]


TAUGHT = (
    TOML
    + """
[recipes.unet]
teacher = "other:one"
[resolution]
factors = [0.5, 1.0, 1.4]
"""
)


@pytest.fixture
def taught(tmp_path: Path) -> Profile:
    path = tmp_path / "taught.toml"
    path.write_text(TAUGHT)
    return profiles.read(str(path))


def test_teachers_come_first_and_are_part_of_what_they_teach(taught: Profile) -> None:
    cells = plan.training(taught, DIGEST)
    assert [(c.model, c.seed) for c in cells] == [("other:one", 0), ("other:one", 1), ("unet", 0), ("unet", 1)]
    assert [c.teacher for c in cells] == [None, None, cells[0], cells[1]]
    other = taught.model_copy(update={"models": {**taught.models, "other:one": {"width": 4}}})
    assert trained(other)["unet", 0] != trained(taught)["unet", 0]


def test_a_recipe_is_of_its_model_alone(taught: Profile) -> None:
    def with_recipe(**keys: object) -> Profile:
        return taught.model_copy(update={"recipes": {"unet": {**taught.recipes["unet"], **keys}}})

    other = trained(with_recipe(steps=3))
    assert other["unet", 0] != trained(taught)["unet", 0]
    assert other["other:one", 0] == trained(taught)["other:one", 0]
    fewer = plan.training(with_recipe(seeds=(1,)), DIGEST)
    assert fewer == [c for c in plan.training(taught, DIGEST) if (c.model, c.seed) != ("unet", 0)]


def test_the_highest_level_is_tested_at_every_size(taught: Profile) -> None:
    one, two, *_ = plan.training(taught, DIGEST)
    cells = planned(taught, {one: {30: "a", 50: "b"}, two: {}}, "resolution")
    assert [(c.train, c.level, c.part) for c in cells] == [(one, 50, "64px"), (one, 50, "128px"), (one, 50, "179px")]
    again = planned(taught, {one: {30: "a", 50: "c"}}, "resolution")
    assert {c.id for c in cells}.isdisjoint(c.id for c in again)
    assert len({c.file("resolution") for c in cells} | {c.record for c in cells}) == 6


def test_a_study_may_keep_to_the_first_seeds(taught: Profile) -> None:
    cells = plan.training(taught, DIGEST)
    weights = {cell: {30: "a", 50: "b"} for cell in cells}

    def sanity(**keys: str | int) -> list[MeasureCell]:
        section = taught.section("sanity").model_copy(update={"images": 3, "batch_size": 2, **keys})
        return planned(taught.model_copy(update={"sanity": section}), weights, "sanity")

    both, first = sanity(), sanity(training_seeds="first")
    assert {(c.train.model, c.train.seed) for c in both} == {(m, s) for m in ("unet", "other:one") for s in (0, 1)}
    assert {c.id for c in first} == {c.id for c in both if c.train.seed == 0}
    assert sanity(training_seeds=1) == first
    assert sanity(training_seeds=2) == both
    assert {c.level for c in sanity(levels="all", training_seeds="first")} == {30, 50}


def test_a_network_made_for_one_size_is_made_for_the_runs(file: Path) -> None:
    settings = ["data.size=96", "models.vit={}"]
    profile = profiles.read(str(file), settings)
    assert plan.parameters(profile, "vit")["image_size"] == 96
    assert plan.parameters(profiles.read(str(file), [*settings, "models.vit.image_size=64"]), "vit")["image_size"] == 64
    assert plan.parameters(profile, "unet") == {"width": 2, "norm": "batch"}


def test_the_bytes_of_pretrained_weights_are_part_of_a_training(file: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.bin"
    settings = [f"models.vit={{pretrained='{weights}'}}"]

    def written(content: bytes) -> tuple[dict[tuple[str, int], str], dict[str, object]]:
        weights.write_bytes(content)
        profile = profiles.read(str(file), settings)
        return trained(profile), plan.definition(profile, DIGEST)["train"]

    (before, first), (after, second) = written(b"one"), written(b"another")
    assert before["vit", 0] != after["vit", 0]
    assert before["unet", 0] == after["unet", 0] == trained(profiles.read(str(file)))["unet", 0]
    assert [name for name in first if first[name] != second[name]] == ["vit"]
    weights.unlink()
    profile = profiles.read(str(file), settings)
    with pytest.raises(InputError, match="does not exist"):
        trained(profile)


def test_without_pretrained_weights_nothing_is_added(file: Path) -> None:
    profile = profiles.read(str(file), ["models.vit={pretrained='none'}"])
    assert all("pretrained_sha256" not in recipe for recipe in plan.definition(profile, DIGEST)["train"].values())
