"""Films of trainings: what is read of them, and the figure that moves."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageSequence

from analyses.artifacts import FRAME, MOVING, REST
from analyses.depth.film import analyse
from analyses.reading.results import Results
from analyses.report import figures
from tests.analyses.checks import assert_on_page, texts

FILM = (1, 6, 200)


@pytest.fixture
def filmed(make):
    return make(film=FILM, gallery=2, methods=("grad_cam",))


def test_runs_without_a_film_have_none(make):
    assert make().film("unet") is None
    assert list(analyse(make())) == []
    assert list(analyse(make(film=(5,)))) == [], "of one picture"


def test_maps_are_read_with_their_height(filmed):
    film = filmed.film("unet")
    assert film.steps == FILM
    assert film.ids == ("cat_1", "dog_2")
    assert film.method == "grad_cam"
    first, last = film.maps.values()
    np.testing.assert_allclose(first[:, 0].max((1, 2)), (1, 2, 3))
    assert not last.any()
    assert film.predicted.shape == (len(FILM), 2, 48, 48)
    assert set(film.photographs) == set(film.ids)


def test_photographs_that_may_not_be_shown_are_not_read(make):
    results = make(film=FILM, photographs=False)
    assert not results.film("unet").photographs
    (item,) = analyse(results)
    item.drawn(["png"], 60)


def test_the_figure_moves_from_the_first_step_to_the_last(filmed):
    (item,) = analyse(filmed)
    assert item.name == "film-unet"
    assert len(item.frames) == len(FILM)
    miou = filmed.training().query("seed == 0").set_index("step")["miou"]
    for step, show in zip(FILM, item.frames, strict=True):
        show()
        assert f"step {step:,}: mean IoU {miou[step]:.2f}" in texts(item)
        ((_, height),) = [line.get_xydata()[0] for line in item.figure.findobj(lambda o: o.get_gid() == "now")]
        assert height == pytest.approx(miou[step])
    assert_on_page(item)
    assert f"{miou[1]:.2f} to {miou[200]:.2f}" in item.caption.finding


def test_a_step_that_was_not_validated_lies_between_those_that_were(make):
    results = make(film=(1, 2), methods=("grad_cam",))
    (item,) = analyse(results)
    miou = results.training().query("seed == 0").set_index("step")["miou"]
    item.frames[1]()
    assert f"step 2: mean IoU {(miou[1] + miou[3]) / 2:.2f}" in texts(item)


def test_a_start_that_was_not_filmed_is_not_in_the_curve(filmed):
    path = filmed.folder / "scores" / "training" / "training.parquet"
    log = pd.read_parquet(path)
    first = log.assign(miou=0.01, initial_answer="foreground")
    pd.concat([first, log.assign(initial_answer="random")]).to_parquet(path, index=False)
    miou = log.query("seed == 0").set_index("step")["miou"]
    (item,) = analyse(Results(filmed.folder))
    assert f"{miou[1]:.2f} to {miou[200]:.2f}" in item.caption.finding


def test_the_animation_holds_every_picture_and_rests_at_the_end(filmed):
    (item,) = analyse(filmed)
    drawn = item.drawn(["png"], 60)
    assert set(drawn.files) == {"png", MOVING}
    with Image.open(io.BytesIO(drawn.files[MOVING])) as opened:
        pictures = [(frame.convert("RGB"), frame.info["duration"]) for frame in ImageSequence.Iterator(opened)]
    assert [time for _, time in pictures] == [FRAME, FRAME, REST]
    assert all(np.any(np.array(a) != np.array(b)) for (a, _), (b, _) in itertools.pairwise(pictures))
    sheet = figures.small(drawn).frames
    assert (sheet.count, sheet.columns) == (3, 2)
    with Image.open(io.BytesIO(sheet.content)) as opened:
        width, height = pictures[0][0].size
        assert opened.size == (2 * width, 2 * height)
        third = np.array(opened.convert("RGB"))[height:, :width].astype(int)
    assert np.abs(third - np.array(pictures[2][0])).mean() < 6, "row by row"
