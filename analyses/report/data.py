"""Data as scripts, which a page opened from disk may append; it may not fetch files."""

from __future__ import annotations

import base64
import codecs
import json
import math
import re
import zlib
from typing import Any

import numpy as np

FOLDER = "data"
MARK, FIRST, BITS = "\ue000", 0x5000, 15
"""What stands in front of bytes as characters, the first of these, and how many bits each holds."""
_BASE64 = re.compile("[A-Za-z0-9+/]{256,}={0,2}")


def script(name: str, content: Any) -> tuple[str, bytes]:
    """Return the path and the bytes of the script that hands `content` to the page under `name`.

    Args:
        name: of the file without its suffix, and what the page asks for; letters, digits and `-_./` alone.
        content: JSON-ready; numbers that are not finite become null.
    """
    text = f"segcam.receive({literal(name)}, {literal(content)});\n"
    thin = codecs.BOM_UTF16_LE + _BASE64.sub(_dense, text).replace(");\n", ", true);\n").encode("utf-16-le")
    return f"{FOLDER}/{name}.js", min(text.encode(), thin, key=len)


def _dense(found: re.Match[str]) -> str:
    """Return bytes in base 64 as characters of 15 bits, which take a fifth less; `core.js` turns them back.

    A browser reads a script of UTF-16 by its first two bytes. The characters lie in one range without surrogates; in
    front stands one that says how many bytes too many they make.
    """
    text = found[0]
    content = base64.b64decode(text) if len(text) % 4 == 0 else b""
    if base64.b64encode(content).decode("ascii") != text:
        return text  # a long word, and no bytes
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    units = np.pad(bits, (0, -len(bits) % BITS)).reshape(-1, BITS) @ (1 << np.arange(BITS - 1, -1, -1))
    extra = len(units) * BITS // 8 - len(content)
    return MARK + chr(FIRST + extra) + (units + FIRST).astype("<u2").tobytes().decode("utf-16-le")


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
