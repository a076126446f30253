"""API keys: made at random, kept as hashes, compared in constant time.

A key holds 256 random bits, so its plain SHA-256 cannot be turned back by guessing: slow, salted hashes are
for what people think up, and would let anyone keep the server busy by sending wrong keys.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

KEY_BYTES = 32


def make_key() -> str:
    """A new key."""
    return f"whence_{secrets.token_urlsafe(KEY_BYTES)}"


def hash_key(key: str) -> str:
    """What stands in the settings for a key."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def find_key(presented: str, hashes: Sequence[str]) -> str | None:
    """The hash that a key belongs to; every hash is compared, whichever matches."""
    mine = hash_key(presented)
    matching = [known for known in hashes if hmac.compare_digest(mine, known)]
    return matching[0] if matching else None
