"""A Verbalizer whose texts can be worked out by hand, in a real version folder; run as a program, its model server."""

import json
import sys
from pathlib import Path

from raconteur.artifacts import Registry, new_folder
from serving.models.verbalizer import open_verbalizer


class Counting:
    """`2 events, the last of i2`, with a word of its own in front."""

    def __init__(self, word):
        self._word = word

    def write(self, histories):
        return [self._one(history) for history in histories]

    def _one(self, history):
        if not history.events:
            return ""
        return f"{self._word} {len(history.events)} events, the last of {history.events[-1].item_id}"


def load_counting(folder):
    return Counting(json.loads((folder / "word.json").read_text())["word"])


def write_version(models, version, *, word):
    """A finished version that holds a Verbalizer alone."""
    about = {"artefact": "version", "catalogue_version": "catalogue-7"}
    with new_folder(models / version, **about) as folder, new_folder(folder / "verbalizer") as verbalizer:
        (verbalizer / "word.json").write_text(json.dumps({"word": word}))
    return Registry(models)


if __name__ == "__main__":
    models, port, grpc_port = sys.argv[1:]
    sys.argv = sys.argv[:1]  # kserve reads the arguments at import
    from serving.models.model_server import BoundServer

    model = open_verbalizer(Path(models), load_counting)
    BoundServer(host="127.0.0.1", http_port=int(port), grpc_port=int(grpc_port)).start([model])
