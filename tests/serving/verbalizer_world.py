"""A Verbalizer whose texts can be worked out by hand, in a real version folder; run as a program, its model server."""

import json
import sys
from pathlib import Path

from raconteur.artifacts import Registry, new_folder
from raconteur.represent.load import load_verbalizer
from serving.models.verbalizer import open_verbalizer


class Counting:
    """`2 events, the last of i2`, with a word of its own in front; an event counts as a token."""

    def __init__(self, word):
        self._word = word
        self.num_tokens_read = 0

    def write(self, histories):
        self.num_tokens_read += sum(len(history.events) for history in histories)
        return [self._one(history) for history in histories]

    def _one(self, history):
        if not history.events:
            return ""
        return f"{self._word} {len(history.events)} events, the last of {history.events[-1].item_id}"


def load(folder):
    if not (folder / "word.json").exists():
        return load_verbalizer(folder)  # a trained one: writing_world.py
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
    from prometheus_client import REGISTRY

    from serving.models.model_server import BoundServer
    from serving.records.metrics import ModelMetrics

    model = open_verbalizer(Path(models), ModelMetrics(REGISTRY), load)
    BoundServer(host="127.0.0.1", http_port=int(port), grpc_port=int(grpc_port)).start([model])
