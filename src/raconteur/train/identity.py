"""Names a training by its settings and by what it reads, so that a checkpoint of another one is never gone on from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from raconteur.artifacts import content_version
from raconteur.config.load import fingerprint
from raconteur.config.schema import Config

# Sections of the config that decide about a Reasoner, and about what learns from its judgement or on written text.
OF_READERS = ("data", "world", "sequential", "reasoner", "text", "seed")
OF_WRITERS = (*OF_READERS, "verbalizer")


def training_key(config: Config, sections: Sequence[str], *, reads: Sequence[Path], texts: Sequence[str] = ()) -> str:
    """
    Args:
        sections: of the config that decide, beside the length of the lists that are chosen from.
        reads: finished folders that it learns from or starts with; their contents count, not their places.
        texts: that it learns from and no folder holds.
    """
    length = f"num_candidates={config.evaluate.num_candidates}"
    parts = [fingerprint(config, *sections), length, *map(content_version, reads), *texts]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
