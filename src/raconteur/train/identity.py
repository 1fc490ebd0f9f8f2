"""Names a training by all that decides about it, so that a checkpoint of another one is never gone on from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from raconteur.artifacts import content_version
from raconteur.config.load import fingerprint
from raconteur.config.schema import Config


def training_key(config: Config, sections: Sequence[str], *, reads: Sequence[Path], texts: Sequence[str] = ()) -> str:
    """
    Args:
        sections: of the config that decide.
        reads: finished folders that it learns from or starts with; their contents count, not their places.
        texts: that it learns from and no folder holds.
    """
    parts = [fingerprint(config, *sections), *map(content_version, reads), *texts]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
