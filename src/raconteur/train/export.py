"""Writes trained models as folders that model servers load unchanged: KServe, Triton Inference Server, vLLM.

An export is an artefact: checksums of every file, where it came from, and the config that it was trained with. What
a server of another make needs to know about our prompts stands beside the model. Used by `raconteur export`; the page
is docs/quantisation.md.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import onnx
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from raconteur.artifacts import Registry, new_folder, read_manifest, seal, verify, version_number
from raconteur.errors import ArtifactError
from raconteur.reason.choice import ChoiceReasoner
from raconteur.reason.llm import ABOUT as REASONER
from raconteur.reason.onnx import MODEL
from raconteur.reason.prompts import LETTERS
from raconteur.represent.folder import ABOUT as VERBALIZER
from raconteur.represent.folder import load_writer
from raconteur.represent.pretrained import adapter_of, load_pretrained
from raconteur.represent.tokenizer import FILE, for_transformers
from raconteur.runtime import start_session

Target = Literal["kserve", "triton", "vllm"]
EXPORT = " export"  # how the kind of every export ends
PROMPTS = "config.json"  # of a student or Reasoner: how its prompts are laid out
MAX_BATCH = 64
QUEUE_US = 500  # a request waits at most this long for others

TRITON = """# The student for Triton's onnxruntime backend (the graph is of opset {opset}).
# Triton has no tokenizer of ours: a client encodes with tokenizer.json, laid out as config.json and
# raconteur.reason.prompts say, and sends int64 `ids` [B, L], `choose` [B, 1] and `candidates` [B, N].
# Rows may be padded on the right with any id. Only requests of equal L and N share a batch: pad to one length, such as
# {length} for {num_candidates} candidates of one token.
name: "student"
backend: "onnxruntime"
default_model_filename: "{model}"
# The version stands for the graph's checksum: by it a client tells the champion's graph from another.
version_policy {{ specific {{ versions: [ {number} ] }} }}
max_batch_size: {max_batch}
input [
  {{ name: "ids" data_type: TYPE_INT64 dims: [ -1 ] }},
  {{ name: "choose" data_type: TYPE_INT64 dims: [ 1 ] reshape: {{ shape: [ ] }} }},
  {{ name: "candidates" data_type: TYPE_INT64 dims: [ -1 ] }}
]
output [
  {{ name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }}
]
dynamic_batching {{ max_queue_delay_microseconds: {queue_us} }}
instance_group [ {{ count: {num_instances} kind: KIND_CPU }} ]
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "{num_threads}" }} }}
parameters {{ key: "inter_op_thread_count" value: {{ string_value: "1" }} }}
"""


def export_model(to: Target, source: Path, out: Path, *, num_instances: int = 1, num_threads: int = 1) -> None:
    """
    Args:
        source: a student, Reasoner or Verbalizer, as a step of the pipeline wrote it.
        num_instances: of the model in one Triton server, and `num_threads` of each.

    Raises:
        ArtifactError: a file of the source was changed, that server cannot run such a model, or `out` holds something
            else than an earlier export.
    """
    if out.exists() and any(out.iterdir()) and not _is_export(out):
        raise ArtifactError(f"{out} holds something else than an export, and all of it would be replaced; name another")
    if to == "kserve":
        to_kserve(source, out)
    elif to == "triton":
        to_triton(source, out, num_instances=num_instances, num_threads=num_threads)
    else:
        to_vllm(source, out)


def to_kserve(source: Path, out: Path) -> None:
    """A registry of one version, as `python -m serving.predictor --models` and the images read it."""
    about = _about(source, "kserve")
    kind = about["source"]["kind"]
    if kind not in ("student", "reasoner"):
        raise ArtifactError(f"{source} is of kind '{kind}'; KServe serves a student or a reasoner")
    if kind == "student":
        _check_runs(source)
    elif (source / REASONER).exists():
        raise ArtifactError(
            f"{source} names a base model by its path and would load nowhere else; export it with --to vllm"
        )
    version = str(about["source"]["version"])
    with new_folder(out, **about) as folder:
        (folder / version).mkdir()
        shutil.copytree(source, folder / version / kind)
        seal(folder / version, {**about, "kind": "version", "version": version})
        Registry(folder).promote(version, cause=f"export of {source.name}")


def to_triton(source: Path, out: Path, *, num_instances: int = 1, num_threads: int = 1) -> None:
    """A model repository of one model, `student`."""
    about = _about(source, "triton")
    _check_runs(source)
    opsets = {one.domain: one.version for one in onnx.load(source / MODEL).opset_import}
    history_tokens = int(json.loads((source / PROMPTS).read_text())["history_tokens"])
    num_candidates = int(about["config"].get("retrieve", {}).get("num_ranked", 20))
    number = version_number(about["source"]["files"][MODEL])
    text = TRITON.format(
        opset=opsets[""],
        length=history_tokens + num_candidates + 2,
        num_candidates=num_candidates,
        model=MODEL,
        number=number,
        max_batch=MAX_BATCH,
        queue_us=QUEUE_US,
        num_instances=num_instances,
        num_threads=num_threads,
    )
    with new_folder(out, **about) as folder:
        (folder / "student" / str(number)).mkdir(parents=True)
        shutil.copy(source / MODEL, folder / "student" / str(number) / MODEL)
        for name in (FILE, PROMPTS):
            shutil.copy(source / name, folder / "student" / name)
        (folder / "student" / "config.pbtxt").write_text(text)


def to_vllm(source: Path, out: Path) -> None:
    """A Hugging Face folder: weights in safetensors, tokenizer, and a chat template where the base has one.

    A LoRA adapter is merged into its base. `raconteur.json` says what is asked of the model.
    """
    about = _about(source, "vllm")
    kind, write = _language_model(source)
    with new_folder(out, **about) as folder:
        asked = write(folder)
        (folder / "raconteur.json").write_text(json.dumps({"kind": kind, **asked}, indent=2))


def _is_export(folder: Path) -> bool:
    try:
        return str(read_manifest(folder).get("kind")).endswith(EXPORT)
    except ArtifactError:
        return False


def _check_runs(source: Path) -> None:
    """What this runtime cannot run, a server's of the same version cannot either."""
    if not (source / MODEL).exists():
        raise ArtifactError(f"{source} holds no {MODEL}: export the student that the step `quantise` wrote")
    start_session(source / MODEL)


def _language_model(source: Path) -> tuple[str, Callable[[Path], dict[str, Any]]]:
    """The kind of a source, and what writes it as a causal language model and returns its settings.

    Raises:
        ArtifactError: it is none.
    """
    if (source / VERBALIZER).exists():
        about = json.loads((source / VERBALIZER).read_text())
        if about["kind"] == "rewrite":
            return "rewrite", lambda folder: _write_rewrite(source, folder)
        if about["kind"] == "llm":
            return "llm", lambda folder: _write_merged(source, folder, about, ("max_new_tokens", "max_prompt_tokens"))
        raise ArtifactError(f"{source} holds a Verbalizer of kind '{about['kind']}', which generates no text for vLLM")
    if (source / REASONER).exists():
        about = json.loads((source / REASONER).read_text())
        return "letters", lambda folder: _write_merged(source, folder, about, ("history_tokens",))
    if not (source / "model.safetensors").exists():
        raise ArtifactError(f"{source} holds no language model; vLLM takes a Verbalizer or a letter Reasoner")
    reasoner = ChoiceReasoner.load(source)
    if reasoner.model.head != "letters":
        raise ArtifactError(
            f"{source} holds a Reasoner with a pointer head, whose scores are no next-token logits: train it with "
            "reasoner.head = 'letters', or export it to KServe"
        )
    return "choice letters", lambda folder: _write_letters(reasoner, folder)


def _write_rewrite(source: Path, folder: Path) -> dict[str, Any]:
    writer = load_writer(source)
    _save(writer.model, writer.tokenizer, folder)
    return {"max_new_tokens": writer.max_new_tokens, "max_events": writer.text.max_events}


def _write_letters(reasoner: ChoiceReasoner, folder: Path) -> dict[str, Any]:
    """The answer's state against the embedding of a letter is that letter's next-token logit: the output is tied."""
    model = Qwen3ForCausalLM(reasoner.model.body.config)
    model.model.load_state_dict(reasoner.model.body.state_dict())
    model.tie_weights()
    tokenizer = for_transformers(reasoner.prompts.tokenizer)
    _save(model, tokenizer, folder)
    return {**reasoner.prompts.settings(), "letter_ids": tokenizer.convert_tokens_to_ids(list(LETTERS))}


def _write_merged(source: Path, folder: Path, about: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    adapter = adapter_of(source)
    model, tokenizer = load_pretrained(str(about["base"]), adapter)
    if adapter is not None:
        model = model.merge_and_unload()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {"base": about["base"], **{name: about[name] for name in settings}}


def _save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Ends of texts and padding stand in the model's own config, where servers look for them."""
    for one in (model.config, model.generation_config):
        one.eos_token_id, one.pad_token_id, one.bos_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id, None
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _about(source: Path, target: Target) -> dict[str, Any]:
    """Facts for the manifest; the source is verified.

    Raises:
        ArtifactError: a file of the source was changed, or it is no finished artefact.
    """
    verify(source)
    manifest = read_manifest(source)
    return {
        "kind": f"{target}{EXPORT}",
        "source": {"kind": manifest.get("kind"), "version": f"v{_digest(manifest)}", "files": manifest["files"]},
        "config": manifest.get("config", {}),
    }


def _digest(manifest: dict[str, Any]) -> str:
    """Twelve digits that stand for the content of a source."""
    return hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest()[:12]
