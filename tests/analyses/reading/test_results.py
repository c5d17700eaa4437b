from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from analyses import Results, ResultsError
from analyses.reading import captions
from analyses.reading.manifest import Manifest
from tests.analyses.checks import edit_manifest

PUBLISHED = Path(__file__).parents[3] / "results"


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    results = Results(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match=r"nowhere.manifest\.json: not found; run the benchmark"):
        _ = results.manifest


def test_the_manifest_is_read_as_records(make):
    results = make(points=("conv", "relu"), seeds=(1, 0), levels=(90, 30), unreached=frozenset({(0, 90)}))
    assert results.manifest.dataset.name == "shapes"
    assert results.classes == ("background", "pet")
    assert results.main_method == "grad_cam"
    assert results.controls == ("uniform", "random", "sobel", "mask_oracle")
    assert results.points("unet") == ("conv", "relu")
    assert [layer.label for layer in results.layers("unet")][:3] == ["Encoder 1_1", "Encoder 1_1 ReLU", "Encoder 1_2"]
    assert [(c.level, c.seed) for c in results.checkpoints] == [(30, 0), (30, 1), (90, 0), (90, 1)]
    missed = next(c for c in results.checkpoints if not c.reached)
    assert (missed.step, missed.best_miou) == (None, 0.84)
    assert np.isnan(missed.miou)
    assert results.levels("unet") == (30, 90)
    assert results.seeds() == (0, 1)


def test_images_have_names_in_print(make):
    results = make(gallery=0)
    assert results.image_label("scenes-0-test-000054") == results.image_label("scenes_shape-3-val-000054") == "scene 54"
    assert results.image_label("cat_1") == "cat_1", "of one's own, by which the file is found"
    pets = edit_manifest(results, lambda m: m["dataset"].update(name="oxford_pet"))
    assert pets.image_label("basset_hound_44") == "basset hound 44"


def test_scores_are_filtered_on_reading_and_keep_their_columns(make):
    results = make()
    frame = results.scores({"level": [30], "image": ["cat_1"], "method": ["grad_cam"]})
    assert len(frame) == 2 * 18
    assert set(frame["seed"]) == {0, 1}
    assert results.scores({"image": ["nobody"]}, columns=["seed", "spread"]).shape == (0, 2)


def test_files_with_different_columns_and_key_coding_are_one_table(make):
    results = make(seeds=(0,), levels=(30, 50))
    path = results.folder / "scores" / "unet-s0-l50.parquet"
    frame = pd.read_parquet(path)
    images = pd.Categorical(["cat_1"] * len(frame), categories=[*(f"x{i}" for i in range(400)), "cat_1"])
    frame.assign(image=images).drop(columns="spread").to_parquet(path, index=False)
    both = results.scores()
    assert both.loc[both["level"] == 50, "spread"].isna().all()
    assert set(both["image"].astype(str)) == {"cat_1", "dog_2", "cat_3"}


def test_another_schema_is_refused_with_the_cure(make):
    results = edit_manifest(make(), lambda m: m.update(schema=2))
    with pytest.raises(ResultsError, match=r"manifest\.json: it has schema 2, but .* reads schema 1: update segcam"):
        captions.note(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("metrics"), r"manifest\.json: 'metrics' is missing"),
        (lambda m: m["checkpoints"][0].pop("level"), r"manifest\.json: 'checkpoints\.0\.level' is missing"),
        (lambda m: m["models"]["unet"].update(parameters="many"), r"unet\.parameters: Input should be"),
        (
            lambda m: m.update(layers=[]),
            r"manifest\.json: layers: Input should be .*; remove it and run the same command again",
        ),
        (lambda m: m["metrics"].update(spread=3), r"metrics\.spread: Input should be"),
    ],
)
def test_a_wrong_or_missing_field_is_named(make, change, message):
    with pytest.raises(ResultsError, match=message):
        _ = edit_manifest(make(levels=(30,), seeds=(0,)), change).models


def test_unknown_keys_are_an_error_for_who_writes_and_passed_over_by_who_reads(make):
    results = edit_manifest(make(levels=(30,), seeds=(0,)), lambda m: m["models"]["unet"].update(newer=1))
    assert results.label("models", "unet") == "U-Net"
    with pytest.raises(ValidationError, match=r"models\.unet\.newer"):
        Manifest.model_validate(json.loads((results.folder / "manifest.json").read_text()))


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*/manifest.json")), ids=lambda path: path.parent.name)
def test_published_manifests_are_written_as_they_were_read(path):
    assert Manifest.read(path).written() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("manifest.json", lambda r: r.manifest),
        ("scores/training/training.parquet", lambda r: r.training()),
        ("scores/unet-s0-l30.parquet", lambda r: r.scores()),
        ("scores/predictions/unet-s0-l30.parquet", lambda r: r.predictions()),
        ("scores/gallery/unet-s0-l30.npz", lambda r: r.gallery("unet", 0, 30)),
    ],
)
@pytest.mark.parametrize("damage", [b"nonsense", b"", None])
def test_a_damaged_file_is_named(make, name, read, damage):
    results = make(levels=(30,), seeds=(0,))
    path = results.folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if damage is None else damage)
    with pytest.raises(ResultsError, match=r"cannot be read|is missing") as error:
        read(results)
    assert str(path) in str(error.value)


def test_missing_parts_and_columns_are_named(make):
    results = make(levels=(30,), seeds=(0,))
    path = results.folder / "scores" / "unet-s0-l30.parquet"
    pd.read_parquet(path).drop(columns="layer").to_parquet(path)
    with pytest.raises(ResultsError, match=r"unet-s0-l30\.parquet: 'layer' is missing"):
        results.scores()
    path.unlink()
    with pytest.raises(ResultsError, match=r"scores: holds no \*\.parquet"):
        results.scores()


def test_the_note_says_what_the_masks_were(make):
    note = captions.note(make(self_trained=2377))
    assert note == (
        "Data set shapes, 3 scored images; seeds 0, 1; trained on 577 real + 2377 self-trained masks: masks predicted "
        "by another network; class explained: pet; border pixels are left out of every score. Answering 'background' "
        "everywhere has a mean IoU of 0.34 on the validation images; share of these in which any pixel is predicted as "
        "the class: U-Net 30 %: 40 %, U-Net 50 %: 97 %, U-Net 70 %: 97 %, U-Net 90 %: 97 %."
    )
    assert "Answering" not in captions.note(make(levels=(30,))), "nothing to compare levels with"
    assert "another network" not in captions.note(make(seeds=(4,)))
    assert "seed 4;" in captions.note(make(seeds=(4,)))


def test_the_note_names_models_that_have_fewer_seeds(make):
    def fewer(manifest):
        points = manifest["checkpoints"]
        manifest["checkpoints"] = [point for point in points if (point["model"], point["seed"]) != ("vit", 1)]

    note = captions.note(edit_manifest(make(models=("unet", "vit")), fewer))
    assert "; seeds 0, 1 (of ViT 0 alone); " in note


def without_maps(results, *stems):
    for stem in stems:
        (results.folder / "scores" / "gallery" / f"unet-{stem}.npz").unlink()
    return results


def test_the_seed_that_is_shown_is_the_first_of_which_all_maps_are_kept(make):
    fields = {"seeds": (0, 1, 2), "levels": (30, 90), "stages": 1}
    for missing, plan, seed in (
        ((), {}, 0),
        (("s0-l90",), {}, 1),
        (("s0-l30", "s1-l90"), {}, 2),
        (("s0-l90",), {"unreached": frozenset({(1, 90)})}, 1),
        (("s0-l30", "s1-l30", "s2-l30"), {}, 0),
        ((), {"gallery": 0}, 0),
        ((), {"unreached": frozenset({(0, 30), (0, 90)})}, 1),
    ):
        points = without_maps(make(**fields | plan), *missing).pictured("unet")
        assert [(point.seed, point.level) for point in points] == [(seed, 30), (seed, 90)]
    assert make().pictured("nothing") == ()


def test_a_run_that_keeps_no_maps_has_no_images_to_show(make):
    assert make(gallery=2).gallery_ids == ("cat_1", "dog_2")
    assert make(gallery=0).gallery_ids == ()
    assert without_maps(make(seeds=(0,), levels=(30,)), "s0-l30").gallery_ids == ()


def test_kept_maps_without_photographs_are_read(make):
    results = make(photographs=True)
    path = results.gallery_path("unet", 0, 30)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "images"}
    np.savez(path, **arrays)
    kept = results.gallery("unet", 0, 30)
    assert not kept.photographs
    assert kept.ids == ("cat_1",)


def test_photographs_stay_on_disk_where_they_may_not_be_shown(make):
    assert make(photographs=True).gallery("unet", 0, 30).photographs.keys() == {"cat_1"}
    assert not make(photographs=False).gallery("unet", 0, 30).photographs
    unsaid = edit_manifest(make(photographs=True), lambda m: m["profile"].pop("figures"))
    assert not unsaid.gallery("unet", 0, 30).photographs


def test_the_explained_class_is_the_first_after_the_background_or_the_targets_own(make):
    results = make(classes=("background", "cat", "dog"))
    assert results.foreground("best_pixel:logit") == (1,)
    results = edit_manifest(results, lambda m: m["targets"]["best_pixel:logit"].update({"class": 2}))
    assert results.foreground("best_pixel:logit") == (2,)


def test_captions_say_what_helped_a_network(make):
    results = make(models=("unet", "segformer", "vit"))
    assert "hints" not in captions.note(results)
    assert "pretrained" not in captions.note(results)
    models = results.manifest.models
    for name, help_ in (("unet", "pretrained"), ("segformer", "teacher"), ("vit", "teacher")):
        models[name] = models[name].model_copy(update={help_: "unet"})
    note = captions.note(results)
    assert "The stages of SegFormer, ViT were trained to resemble those of U-Net as well" in note
    assert "; U-Net began from pretrained weights; SegFormer, ViT learned with hints from U-Net; " in note


def test_the_input_is_no_layer(make):
    results = make(levels=(30,), seeds=(0,), input_methods=("saliency",))
    assert results.input_layer("unet").name == "Input"
    assert [layer.name for layer in results.layers("unet")] == [layer.name for layer in results.main_layers("unet")]
    assert len(results.layers("unet")) == 18
    assert results.points("unet") == ("conv",)
    assert make(levels=(30,), seeds=(0,)).input_layer("unet") is None


def test_methods_of_a_few_images_are_never_the_main_one(make):
    results = make(levels=(30,), seeds=(0,), methods=("layer_cam", "uniform"), input_methods=("saliency",))
    assert results.methods == ("layer_cam", "uniform", "saliency")
    assert results.own_passes == ("saliency",)
    assert results.main_method == "layer_cam"
    assert make(levels=(30,), seeds=(0,), methods=("uniform",), input_methods=("saliency",)).main_method == "uniform"
    assert make(levels=(30,), seeds=(0,)).own_passes == ()


def test_agreement_is_there_or_not(make):
    assert make(levels=(30,), seeds=(0,)).agreement() is None
    results = make(levels=(30,), seeds=(0,), targets=("a", "b", "c"), agreement=True)
    frame = results.agreement()
    assert len(frame) == 3 * 18 * 3
    path = results.folder / "scores" / "agreement" / "unet-s0-l30-000.parquet"
    pd.read_parquet(path).drop(columns="other").to_parquet(path)
    with pytest.raises(ResultsError, match=r"unet-s0-l30-000\.parquet: 'other' is missing"):
        results.agreement()
