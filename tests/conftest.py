"""Makes torchvision importable before any test module, or a peer, imports it; the browser that all tests share."""

import pytest

from segcam._compat import mend_torchvision
from tests import browsers

mend_torchvision()


@pytest.fixture(scope="session")
def browser():
    """The one browser of a process: a second one could not be started beside it."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        opened = browsers.launched(playwright)
        if opened is None:
            pytest.skip(browsers.NONE)
        yield opened
        opened.close()
