"""What a saved folder holds, and how it is written, checked and found again.

A folder is written under a temporary name and renamed when complete, with a `manifest.json` of checksums. A model is
verified before anything in it is loaded; only safetensors, ONNX, JSON, NumPy arrays without pickles and Parquet are
ever read. The registry is a folder of versions and a pointer, `champion.json`, replaced atomically: servers follow it.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raconteur.errors import ArtifactError

MANIFEST = "manifest.json"
CHAMPION = "champion.json"


@contextmanager
def new_folder(path: Path, **about: Any) -> Iterator[Path]:
    """Yields a temporary folder that becomes `path` if the block succeeds and vanishes if it fails.

    Args:
        about: facts for the manifest (kind, config, versions, metrics).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary.mkdir()
    try:
        yield temporary
        seal(temporary, about)
        replaced = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.old"
        if path.exists():
            path.rename(replaced)
        temporary.rename(path)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("w") as file:
            json.dump(value, file, indent=2, sort_keys=True, default=str)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def seal(folder: Path, about: Mapping[str, Any]) -> None:
    """Writes the manifest: facts and a SHA-256 of every file in the folder."""
    files = {str(path.relative_to(folder)): _sha256(path) for path in _files(folder)}
    write_json(folder / MANIFEST, {**about, "created": datetime.now(UTC).isoformat(), "files": files})


def verify(folder: Path) -> dict[str, Any]:
    """Checks every file of a folder against its manifest and returns the manifest.

    Raises:
        ArtifactError: the folder or its manifest is absent or unreadable, a file is missing or differs.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{folder}: {name} is missing; write the artefact again")
        if _sha256(path) != expected:
            raise ArtifactError(f"{folder}: {name} does not match its checksum; it was changed or cut short")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest alone, without checking the files."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        raise ArtifactError(f"{folder} is no finished artefact: {MANIFEST} is missing") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder / MANIFEST} cannot be read: {error}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{folder / MANIFEST} holds no list of files")
    return manifest


def content_version(folder: Path) -> str:
    """Names what a finished folder holds: equal for equal files, whatever it is called and whenever it was written."""
    files = read_manifest(folder)["files"]
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]


def version_number(checksum: str) -> int:
    """A file's checksum as a version of servers that number theirs, such as Triton.

    Args:
        checksum: as in a manifest.
    """
    return int(checksum[:12], 16)


class Registry:
    """Model versions on disk and the pointer to the one that serves."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, version: str) -> Path:
        return self.root / version

    def versions(self) -> list[str]:
        """Finished versions, oldest first (names sort by time)."""
        return sorted(path.parent.name for path in self.root.glob(f"[!.]*/{MANIFEST}"))

    def champion(self) -> dict[str, Any] | None:
        """The pointer {version, since, cause, previous}, or None before the first promotion."""
        try:
            return json.loads((self.root / CHAMPION).read_text())
        except FileNotFoundError:
            return None

    def champion_folder(self) -> Path:
        """
        Raises:
            ArtifactError: nothing was promoted yet.
        """
        pointer = self.champion()
        if pointer is None:
            raise ArtifactError(f"{self.root} has no champion yet; run `raconteur train` first")
        return self.folder(pointer["version"])

    def promote(self, version: str, *, cause: str) -> dict[str, Any]:
        """Verifies a version and makes it the champion; servers swap to it without a restart."""
        verify(self.folder(version))
        current = self.champion()
        pointer = {
            "version": version,
            "since": datetime.now(UTC).isoformat(),
            "cause": cause,
            "previous": current["version"] if current else None,
        }
        write_json(self.root / CHAMPION, pointer)
        return pointer

    def rollback(self) -> dict[str, Any]:
        """Promotes the version that served before.

        Raises:
            ArtifactError: there is none.
        """
        current = self.champion()
        if current is None or current["previous"] is None:
            raise ArtifactError("no earlier champion to roll back to")
        return self.promote(current["previous"], cause=f"rollback from {current['version']}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
