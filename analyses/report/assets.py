"""The page's own style and scripts, and the library of its tables, DataTables, as itables ships it for use offline."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import itables
import itables.options

from analyses.reading.results import ResultsError

STYLES = ("page.css", "gallery.css")
SCRIPTS = (
    *("core.js", "tables.js", "maps.js", "state.js", "tiles.js"),
    *("detail.js", "controls.js", "keys.js", "gallery.js", "router.js"),
)
"""In the order in which the page loads them; `theme.js` comes before, so that no light page flashes up in the dark."""
_EXPORT = re.compile(r"\bexport\s*\{([^{}]*)\}\s*;")


def files() -> Iterator[tuple[str, bytes]]:
    """Yield the path and the bytes of each file that is the same for all runs."""
    folder = resources.files(__package__) / "static"
    for name in ("theme.js", *STYLES, *SCRIPTS):
        yield f"static/{name}", (folder / name).read_bytes()
    bundle = Path(itables.options.dt_bundle)
    yield "static/datatables.js", classic(bundle.read_text(encoding="utf-8")).encode()
    yield "static/datatables.css", bundle.with_suffix(".css").read_bytes()


def classic(module: str) -> str:
    """Return a JavaScript module's text as a classic script that keeps what it exports in `segcam.library`.

    Browsers refuse modules from disk, as they refuse to fetch. The module must not import others.

    Raises:
        ResultsError: the module has not one list of exports, as those of other versions of itables might.

    >>> print(classic("var a=1;export{a as one,a};"))
    (()=>{"use strict";var a=1;window.segcam.library={"one":a,"a":a};
    })();
    """
    found = _EXPORT.findall(module)
    if len(found) != 1:
        raise ResultsError(
            f"itables {itables.__version__}: its script has {len(found)} lists of exports, not one; "
            "install the version in constraints.txt"
        )
    pairs = [part.split() for part in found[0].split(",") if part.strip()]
    members = ",".join(f'"{pair[-1]}":{pair[0]}' for pair in pairs)
    body = _EXPORT.sub(lambda _: f"window.segcam.library={{{members}}};", module)
    return f'(()=>{{"use strict";{body}\n}})();'


FOLDER = "data"


def script(name: str, content: Any) -> tuple[str, bytes]:
    """Return the path and the bytes of the script that hands `content` to the page under `name`.

    Args:
        name: of the file without its suffix, and what the page asks for; letters, digits and `-_./` alone.
        content: JSON-ready; numbers that are not finite become null.
    """
    return f"{FOLDER}/{name}.js", f"segcam.receive({literal(name)}, {literal(content)});\n".encode()


def literal(content: Any) -> str:
    r"""Return JSON that is safe in a script, inside a page or in its own file: ASCII, without `<`, `>` and `&`.

    >>> literal({"name": "</script>\u2028", "score": float("nan")})
    '{"name":"\\u003c/script\\u003e\\u2028","score":null}'
    """
    text = json.dumps(finite(content), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def packed(text: str) -> str:
    """Return text deflated and in base 64: a fifth of its size, and the browser unpacks it by itself."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def data_url(content: bytes, kind: str) -> str:
    """Return a file as a URL that holds it; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def finite(content: Any) -> Any:
    """Return JSON-ready content with null for numbers that are not finite, and strings for the keys."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {str(name): finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return content
