"""What a benchmark trains: a base of a named shape with random weights, made on the device, and users of random tokens.

Needs no hub, no tokenizer files and no data. The speed of training depends on shapes alone.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from trainer.base import LoadedBase, Quantization, few_fragments, freeze, nf4_arguments
from trainer.engine import IGNORED_LABEL, Encoded, UserExamples

SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-7b": {
        "model_type": "qwen2",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
    "qwen2.5-1.5b": {
        "model_type": "qwen2",
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "smollm2-135m": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
    "tiny": {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
        "tie_word_embeddings": True,
    },
}
EXAMPLES = 61  # a user's, in the paper's run; with TOKENS in them: 15,530 over 5 epochs
TOKENS = 3106
PREFIX_TOKENS = 25  # of the chat template and the system turn, alike in all examples
ANSWER_TOKENS = (5, 14)  # at least, at most; the end of turn not counted


def random_base(shape: str, device: str, dtype: str, quantization: Quantization) -> LoadedBase:
    """A base of the shape. Its tokenizer knows nothing but padding and the end of a turn."""
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

    if device == "cuda":
        few_fragments()
    settings = dict(SHAPES[shape])
    config = AutoConfig.for_model(
        settings.pop("model_type"), **settings, bos_token_id=1, eos_token_id=2, pad_token_id=0
    )
    compute_dtype = getattr(torch, dtype)
    torch.manual_seed(0)
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=compute_dtype)
    if quantization == "nf4":
        state = {name: value.cpu() for name, value in model.state_dict().items()}
        family = type(model)
        del model
        if device == "cuda":
            torch.cuda.empty_cache()
        model = family.from_pretrained(
            None, config=config, state_dict=state, dtype=compute_dtype, **nf4_arguments(device, compute_dtype)
        )
    freeze(model)
    return LoadedBase(model, _tokenizer(), device, shape, Path(shape))


def random_users(count: int, vocabulary: int, folder: Path) -> list[UserExamples]:
    """Users with the paper's profile: examples of 32 to 70 tokens, the first 25 alike, a short answer at the end."""
    return [
        UserExamples(f"user{number}", _examples(number, vocabulary), number, folder / f"user{number}")
        for number in range(count)
    ]


def _examples(seed: int, vocabulary: int) -> list[Encoded]:
    rng = random.Random(seed)
    lengths = [rng.randint(PREFIX_TOKENS + 7 + ANSWER_TOKENS[0], 70) for _ in range(EXAMPLES)]
    while sum(lengths) != TOKENS:
        index = rng.randrange(EXAMPLES)
        step = 1 if sum(lengths) < TOKENS else -1
        if PREFIX_TOKENS + ANSWER_TOKENS[1] + 2 <= lengths[index] + step <= 70:
            lengths[index] += step
    prefix = [5 + place for place in range(PREFIX_TOKENS)]
    made = []
    for length in lengths:
        answer = rng.randint(*ANSWER_TOKENS)
        ids = [*prefix, *(rng.randrange(40, vocabulary) for _ in range(length - PREFIX_TOKENS - 1)), 2]
        made.append(Encoded(ids, [IGNORED_LABEL] * (length - answer - 1) + ids[length - answer - 1 :]))
    return made


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = WordLevel({"<pad>": 0, "<unknown>": 1, "<end>": 2}, unk_token="<unknown>")
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(words), pad_token="<pad>", eos_token="<end>", unk_token="<unknown>"
    )
