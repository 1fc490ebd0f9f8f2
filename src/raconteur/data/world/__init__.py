"""The embedded world: a deterministic simulator of a streaming service, with all the dirt of a real log."""

from raconteur.data.world.write import write_world

__all__ = ["write_world"]
