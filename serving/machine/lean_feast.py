"""Imports Feast as serving needs it: in a second instead of ten, and without torch.

Feast 0.67 has typeguard rewrite its own sources at every import, to check the types of its calls (6 s of processor time
here), and imports torch in case that somebody wants features as tensors (170 MiB). Neither is used to read features.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def import_feast() -> None:
    """Before anything else imports Feast or torch; later imports of torch are not touched."""
    import prometheus_client  # noqa: F401  # Feast, imported first, makes it keep its values in files
    import typeguard

    with _in_place_of(vars(typeguard), "typechecked", _unchecked), _in_place_of(sys.modules, "torch", None):
        import feast  # noqa: F401


def _unchecked(target: Callable) -> Callable:
    return target


@contextmanager
def _in_place_of(names: dict, name: str, value: object) -> Iterator[None]:
    """`names[name]` is `value` while this is entered; for `sys.modules`, None makes an import fail."""
    missing = object()
    before = names.get(name, missing)
    names[name] = value
    try:
        yield
    finally:
        if before is missing:
            del names[name]
        else:
            names[name] = before
