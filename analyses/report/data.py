"""Data as scripts, which a page opened from disk may append; it may not fetch files."""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import Any

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
    text = _json(content)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def packed(content: Any) -> str:
    """Return JSON deflated and in base 64: a fifth of its size, and the browser unpacks it by itself."""
    return base64.b64encode(zlib.compress(_json(content).encode(), 9)).decode("ascii")


def url(content: bytes, kind: str) -> str:
    """Return a file as a URL that holds it; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _json(content: Any) -> str:
    return json.dumps(_finite(content), ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {str(name): _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return content
