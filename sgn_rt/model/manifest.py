"""The manifest's seal: a digest of all that it says, so that no edit goes unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

DIGEST_KEY: Final = "digest"


def digest_of(manifest: Mapping[str, Any]) -> str:
    """SHA-256, in lower-case hexadecimal digits, of a manifest without its digest.

    Of its canonical text: JSON in ASCII, keys sorted, no spaces, numbers as Python writes them. It
    tells a change from an accident; it is no signature.
    """
    content = {key: value for key, value in manifest.items() if key != DIGEST_KEY}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
