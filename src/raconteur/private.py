"""Files that hold secrets: readable by their owner alone, and never seen half written.

Used for the keys of the service and for the key of the pseudonyms.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWNER_ONLY = 0o600


def replace(path: Path, content: bytes) -> None:
    """Writes the file anew; a reader sees the old content or the new one."""
    with _written(path, content) as temporary:
        temporary.replace(path)


def create(path: Path, content: bytes) -> None:
    """Writes the file once: of several processes that try, one wins, and none sees a part.

    Raises:
        FileExistsError: the file was there already and is unchanged.
    """
    with _written(path, content) as temporary:
        path.hardlink_to(temporary)  # fails where the name is taken, which a rename would not


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """A complete file under another name in the same folder, gone after the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    # The mode is given when the file is made: narrowed afterwards, it would be open to others for a moment.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
