"""The tokenizer of the demo profile: byte-level BPE of the domain's texts, plus one token per item and citation.

Words split at spaces only, so a field such as `43m` or `12d` becomes one token when it is frequent. Bytes cover every
script and emoji. Control tokens are special; item mentions are ordinary added tokens, so decoding keeps them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from raconteur.errors import ArtifactError

PAD, END, WRITE, CHOOSE, ANSWER = "<pad>", "<end>", "<write>", "<choose>", "<answer>"
CONTROL = (PAD, END, WRITE, CHOOSE, ANSWER)
FILE = "tokenizer.json"


def train_tokenizer(texts: Iterable[str], named: Sequence[str], vocab_size: int) -> Tokenizer:
    """
    Args:
        texts: sample of what the models will read, without mentions.
        named: mentions and citations; each becomes one token.
        vocab_size: BPE pieces including the 256 bytes, without control and item tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[^ ]+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size + len(CONTROL),
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # lstrip: the space before a mention belongs to it, so that a list of items costs one token each.
    tokenizer.add_tokens([AddedToken(name, lstrip=True, normalized=False) for name in named])
    return tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """
    Raises:
        ArtifactError: the folder holds no tokenizer.
    """
    try:
        return Tokenizer.from_file(str(folder / FILE))
    except Exception as error:  # the Rust side raises bare Exception
        raise ArtifactError(f"{folder / FILE} cannot be read: {error}") from error


def for_transformers(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The same tokenizer in the form that transformers and TRL take."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, without control tokens added."""
    # `fast` leaves out where in the text each token stands: half of the time.
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
