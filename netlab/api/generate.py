"""Names for objects that ask for a generated one.

Mirrors ``k8s.io/apiserver/pkg/storage/names`` and ``apimachinery/pkg/util/rand``: the prefix the
user gave in ``metadata.generateName`` plus five random characters. The alphabet has no vowels and
no look-alikes, so no word is ever spelt. Names can collide: the caller retries with a new one.
"""

from __future__ import annotations

import random as random_module

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH = 5
# names stop at 63 characters, so that they also fit into labels and host names
MAX_PREFIX_LENGTH = 63 - SUFFIX_LENGTH


def random_suffix(random: random_module.Random, length: int = SUFFIX_LENGTH) -> str:
    """Return ``length`` characters of the alphabet."""
    return "".join(random.choices(ALPHABET, k=length))


def generate_name(prefix: str, random: random_module.Random) -> str:
    """Return ``prefix``, cut at 58 characters, followed by five random characters."""
    return prefix[:MAX_PREFIX_LENGTH] + random_suffix(random)
