"""Frozen Reasoners of each arm, hardly trained: what they start from, what they read, what their folder says."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from raconteur.config.schema import Config
from raconteur.data.dataset import load_dataset
from raconteur.errors import ArtifactError, TrainingError
from raconteur.reason.choice import ChoiceReasoner
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import encode
from raconteur.retrieve.sequential import SequentialRetriever
from raconteur.train.identity import OF_READERS, training_key
from raconteur.train.reasoner import train_reasoner
from raconteur.train.sequential import train_sequential

ARMS = {
    "default": {},
    "tokens": {"inputs": "tokens"},
    "text": {"inputs": "text"},
    "letters": {"head": "letters"},
    "pointwise": {"loss": "pointwise"},
    "grpo": {"loss": "grpo"},
}
BARELY = {"num_steps": 2, "batch_size": 4, "learning_rate": 1e-9}


@pytest.fixture(scope="module")
def trained(small):
    """Folders by arm; the weights hardly move from where they started."""
    config = Config.model_validate(
        {**small.model_dump(), "sequential": {"num_layers": 1, "width": 16, "num_heads": 2, "num_steps": 2}}
    )
    root, data = config.workdir, config.workdir / "data"
    train_sequential(config, data, root / "arms-retriever", root / "arms-checkpoints")
    for arm, settings in ARMS.items():
        its = Config.model_validate({**config.model_dump(), "reasoner": {**BARELY, **settings}})
        train_reasoner(its, data, root / "arms-retriever", root / f"arm-{arm}", root / "arms-checkpoints")
    return root


@pytest.fixture(scope="module")
def items(trained):
    return load_dataset(trained / "data").items.select("item_id", "title").rows()


@pytest.mark.parametrize("arm", ["default", "tokens", "letters"])
def test_train_reasoner_starts_from_the_sequential_model(trained, arm):
    retriever = SequentialRetriever.load(trained / "arms-retriever")
    reasoner = ChoiceReasoner.load(trained / f"arm-{arm}")
    tokens = [reasoner.prompts.item_token(item_id) for item_id in retriever.item_ids]
    started = reasoner.model.body.embed_tokens.weight[tokens]
    torch.testing.assert_close(started, retriever.model.items_VW, atol=1e-6, rtol=0)
    layer = "layers.0.mlp.up_proj.weight"
    body, source = reasoner.model.body.state_dict()[layer], retriever.model.body.state_dict()[layer]
    torch.testing.assert_close(body, source, atol=1e-6, rtol=0)


def test_train_reasoner_of_titles_starts_from_nothing_of_the_sequential_model(trained):
    retriever = SequentialRetriever.load(trained / "arms-retriever")
    reasoner = ChoiceReasoner.load(trained / "arm-text")
    tokens = [reasoner.prompts.item_token(item_id) for item_id in retriever.item_ids]
    assert not torch.isclose(reasoner.model.body.embed_tokens.weight[tokens], retriever.model.items_VW).all(1).any()
    layer = "layers.0.mlp.up_proj.weight"
    body, source = reasoner.model.body.state_dict()[layer], retriever.model.body.state_dict()[layer]
    assert not torch.isclose(body, source, atol=1e-4).all()


def test_train_reasoner_of_titles_knows_every_title_and_no_item_token(trained, items):
    prompts = ChoiceReasoner.load(trained / "arm-text").prompts
    candidates = prompts.encode_items([item_id for item_id, _ in items])
    decoded = [prompts.tokenizer.decode(ids).strip() for ids in candidates]
    assert decoded == [f"“{title}”" for _, title in items]
    tokens = {prompts.item_token(item_id) for item_id, _ in items}
    (narrative,) = prompts.encode_texts([" ".join(mention(item_id) for item_id, _ in items)])
    assert tokens.isdisjoint(narrative)
    assert all(tokens.isdisjoint(ids) for ids in candidates)


def test_train_reasoner_tokenizer_of_titles_learns_pieces_from_them(trained, items):
    titles = [f" “{title}”" for _, title in items]
    lengths = {}
    for arm in ("text", "default"):
        tokenizer = ChoiceReasoner.load(trained / f"arm-{arm}").prompts.tokenizer
        lengths[arm] = sum(map(len, encode(tokenizer, titles)))
    assert lengths["text"] < lengths["default"]


def test_train_reasoner_letters_are_in_the_vocabulary_of_that_head_alone(trained):
    sizes = {arm: ChoiceReasoner.load(trained / f"arm-{arm}").model.body.config.vocab_size for arm in ARMS}
    assert sizes["letters"] == sizes["default"] + 50
    assert sizes["tokens"] == sizes["default"]


@pytest.mark.parametrize("arm", ARMS)
def test_train_reasoner_folder_says_its_arm(trained, arm):
    saved = json.loads((trained / f"arm-{arm}" / "config.json").read_text())
    assert saved["inputs"] == ARMS[arm].get("inputs", "both")
    assert saved["head"] == ARMS[arm].get("head", "pointer")
    assert ("titles" in saved) == (arm == "text")


@pytest.mark.parametrize("arm", ["default", "grpo"])
def test_train_reasoner_started_again_ends_with_the_same_weights(trained, small, arm):
    config = json.loads((trained / f"arm-{arm}" / "manifest.json").read_text())["config"]
    again = Config.model_validate(config)
    out = trained / f"again-{arm}"
    train_reasoner(again, trained / "data", trained / "arms-retriever", out, trained / f"fresh-{arm}")
    first, second = (load_file(folder / "model.safetensors") for folder in (trained / f"arm-{arm}", out))
    assert all(first[name].equal(second[name]) for name in first)


def test_train_reasoner_with_other_candidates_goes_on_from_no_checkpoint(trained):
    config = Config.model_validate(json.loads((trained / "arm-default" / "manifest.json").read_text())["config"])
    other = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"num_candidates": 4})})
    for out, checkpoints in (("four", "arms-checkpoints"), ("four-fresh", "four-checkpoints")):
        train_reasoner(other, trained / "data", trained / "arms-retriever", trained / out, trained / checkpoints)
    weights = [load_file(trained / out / "model.safetensors") for out in ("four", "four-fresh", "arm-default")]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    assert not all(weights[0][name].equal(weights[2][name]) for name in weights[0])


@pytest.mark.parametrize("damage", [b"", b"half of a file"])
def test_load_of_damaged_weights_is_refused(trained, tmp_path, damage):
    for arm, load in (("arm-default", ChoiceReasoner.load), ("arms-retriever", SequentialRetriever.load)):
        folder = tmp_path / arm
        shutil.copytree(trained / arm, folder)
        (folder / "model.safetensors").write_bytes(damage)
        with pytest.raises(ArtifactError, match="holds no readable"):
            load(folder)


def test_train_reasoner_checkpoint_of_another_config_is_refused(trained):
    config = Config.model_validate(json.loads((trained / "arm-default" / "manifest.json").read_text())["config"])
    checkpoints = trained / "arms-checkpoints"
    (theirs,) = [path for path in checkpoints.glob("reasoner-*.pt") if path.stem.endswith(_key(config))]
    other = Config.model_validate({**config.model_dump(), "seed": 7})
    theirs.rename(theirs.with_name(f"reasoner-{_key(other)}.pt"))
    with pytest.raises(TrainingError, match="belongs to another config"):
        train_reasoner(other, trained / "data", trained / "arms-retriever", trained / "never", checkpoints)


def _key(config):
    data = Path(config.workdir) / "data"
    return training_key(config, OF_READERS, reads=[data, Path(config.workdir) / "arms-retriever"])
