"""Keeps the encodings of the texts that were read last: a user who comes back mostly brings the same text.

An encoding depends on the text and the tokenizer alone, so an entry is never wrong and has no age; with another model
come other prompts, and entries of their own.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock

Encode = Callable[[Sequence[str]], list[list[int]]]


class KeptEncodings:
    """Safe to share between threads; two that miss the same text at once both encode it.

    Args:
        max_texts: the least recently read one makes room; at least 1.
        count: told `hit` or `miss` of each distinct text of a call, and `evicted`.
    """

    def __init__(self, *, max_texts: int, count: Callable[[str], None]) -> None:
        self._max_texts = max_texts
        self._count = count
        self._lock = Lock()
        self._kept: OrderedDict[str, array[int]] = OrderedDict()  # arrays: a list takes ten times the memory

    def get(self, texts: Sequence[str], encode: Encode) -> list[list[int]]:
        """Token ids of each text.

        Args:
            encode: makes those that are not kept, always in the same way.
        """
        distinct = dict.fromkeys(texts)
        found: dict[str, Sequence[int]] = {}
        with self._lock:
            for text in distinct:
                if (ids := self._find(text)) is not None:
                    found[text] = ids
        missing = [text for text in distinct if text not in found]
        if missing:
            made = dict(zip(missing, encode(missing), strict=True))
            with self._lock:
                self._keep(made)
            found.update(made)
        return [list(found[text]) for text in texts]

    def _find(self, text: str) -> "array[int] | None":
        ids = self._kept.get(text)
        self._count("miss" if ids is None else "hit")
        if ids is not None:
            self._kept.move_to_end(text)
        return ids

    def _keep(self, made: Mapping[str, Sequence[int]]) -> None:
        for text, ids in made.items():
            self._kept[text] = array("i", ids)
        while len(self._kept) > self._max_texts:
            self._kept.popitem(last=False)
            self._count("evicted")
