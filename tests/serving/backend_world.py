"""A version folder whose models are real and tiny: a student as ONNX, a Reasoner that answers by letter, a catalogue.

The films are those of `serving_world`. The Reasoner's base has random weights but for one lesson: after an answer's
cue it says a letter, as any language model that is worth asking does.
"""

from pathlib import Path

import torch
from serving_world import TITLES, catalogue

from raconteur.artifacts import Registry, new_folder
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.llm import LetterPrompts, LetterReasoner
from raconteur.reason.onnx import MODEL
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.pretrained import load_pretrained
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.train.builds import export
from raconteur.train.smoke import random_base

HISTORY_TOKENS = 16
NUM_LETTERS = 8  # that the base is taught to answer with


def write_models(models: Path, version: str, base: str) -> Registry:
    """A version with every model in it."""
    with new_folder(models / version, artefact="version") as folder:
        (folder / "student").mkdir()
        student = untrained()
        student.save(folder / "student")
        (folder / "student" / "model.safetensors").unlink()
        export(student.model, folder / "student" / MODEL)
        write_rest(folder, base)
    return Registry(models)


def write_light(models: Path, version: str, base: str | None = None) -> Registry:
    """A version whose student's graph is none: what a ranker needs whose model is a server's.

    Args:
        base: of the Reasoner that answers by letter; None: the champion knows no language model.
    """
    with new_folder(models / version, artefact="version") as folder:
        (folder / "student").mkdir()
        untrained().save(folder / "student")
        (folder / "student" / "model.safetensors").unlink()
        (folder / "student" / MODEL).write_bytes(graph_of(version))
        write_rest(folder, base)
    return Registry(models)


def graph_of(version: str) -> bytes:
    """Stands for the graph of a light version."""
    return f"the graph of {version}".encode()


def write_rest(folder: Path, base: str | None) -> None:
    if base is not None:
        (folder / "reasoner").mkdir()
        LetterReasoner.start(base, TITLES, history_tokens=200).save(folder / "reasoner")
    catalogue().write_parquet(folder / "items.parquet")


def untrained() -> ChoiceReasoner:
    torch.manual_seed(0)
    tokenizer = train_tokenizer([" space war drama"] * 20, [*map(mention, TITLES)], 270)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0)
    torch.nn.init.normal_(model.query.weight, std=0.5)  # an untrained model leaves this term at zero
    torch.nn.init.normal_(model.body.embed_tokens.weight)
    return ChoiceReasoner(model, Prompts(tokenizer, history_tokens=HISTORY_TOKENS))


def taught_base(folder: Path) -> str:
    base = random_base(folder, "tiny")
    model, tokenizer = load_pretrained(base)
    prompts = LetterPrompts(tokenizer, TITLES, history_tokens=200)
    ids = list(TITLES)
    batch = prompts.batch(["space war", "court drama", "", "war"], [ids, ids[::-1], ids[:2], ids[2:]])
    letters = torch.tensor(prompts.letter_ids[:NUM_LETTERS])
    torch.manual_seed(0)
    learning = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        logits = model(input_ids=batch.ids_BL, attention_mask=batch.mask_BL, logits_to_keep=1).logits[:, -1]
        loss = -logits.log_softmax(-1)[:, letters].mean()
        learning.zero_grad()
        loss.backward()
        learning.step()
    model.save_pretrained(base)
    return base
