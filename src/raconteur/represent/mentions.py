"""How a text names an item: one mention, `<item:ID>`, which is one token of every tokenizer here.

People and general language models read titles: `expand` writes them in. Ids that hold angle brackets or white space
are percent-encoded, so that text of a log can never break out of its mention or forge another.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

_MENTION = re.compile(r"<item:([^<>\s]+)>")
_SAFE = "!#$&'()*+,/:;=?@[]|~^`{}\"\\"


def mention(item_id: str) -> str:
    return f"<item:{quote(item_id, safe=_SAFE)}>"


def mentioned(text: str) -> list[str]:
    """Ids of the items that a text names, in order, with repeats."""
    return [unquote(code) for code in _MENTION.findall(text)]


def expand(text: str, titles: Mapping[str, str]) -> str:
    """The text as people read it: each mention replaced by its title in quotation marks, unknown ids kept."""
    spaced = _MENTION.sub(lambda match: f" “{plain(titles.get(unquote(match[1]), unquote(match[1])))}” ", text)
    return " ".join(spaced.split())


def plain(text: str) -> str:
    """Text of a log or catalogue made safe to stand inside a prompt: no mentions, no control tokens, one line."""
    return " ".join(text.replace("<", "‹").replace(">", "›").split())
