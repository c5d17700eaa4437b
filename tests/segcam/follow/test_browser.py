"""The page in a browser: it draws from the disk, without a network, and follows the slider and the choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.segcam.follow.test_page import NAMES, follower


def test_the_page_draws_and_obeys(browser: Any, tmp_path: Path) -> None:
    follow = follower(tmp_path)
    for step in (0, 1, 4, 6):
        follow(step)
        with torch.no_grad():
            next(follow.network.parameters()).neg_()  # another network, other maps
    context = browser.new_context(offline=True, viewport={"width": 360, "height": 800})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((tmp_path / "index.html").as_uri())
    layers = len(follow.layers)
    assert page.locator("#curves path.curve").count() == layers
    assert page.locator("#maps .cell").count() == layers + 1
    assert page.text_content("#number") == "6"
    before = page.locator("#maps .cell").nth(1).evaluate("cell => cell.style.backgroundImage")
    page.locator("#step").press("Home")
    assert page.text_content("#number") == "0"
    assert page.locator("#maps .cell").nth(1).evaluate("cell => cell.style.backgroundImage") != before
    page.select_option("#image", label=NAMES[1])
    assert NAMES[1] in str(page.text_content("#maps"))
    page.select_option("#metric", label="Spread")
    assert "Spread" in str(page.text_content("#summary"))
    page.click("#legend button >> nth=0")
    assert page.locator("#curves path.off").count() == layers - 1
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) != light
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert not said
    context.close()
