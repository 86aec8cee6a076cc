"""What the base model goes on with, with or without an adapter, many texts at a time; and how likely it is to.

`raw_replies` are whole, `lines` have the likelihoods of their tokens, `continuations` are drawn. Not covered: what people are told of
it (`generate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from serving.recollection import MARK
from trainer.base import LoadedBase

T = TypeVar("T")
Conversation = list[dict[str, str]]
GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
BATCH_SIZE = {"cpu": 16, "cuda": 256}  # a 7B base's check must fit beside the model server
DRAWN_AT_ONCE = {"cpu": 128, "cuda": 1024}
DRAWN_FROM = 50  # the likeliest tokens: sorting all of them, as top-p does, takes longer than computing them on a CPU


def raw_replies(
    base: LoadedBase,
    folder: Path | None,
    texts: Sequence[str],
    max_new_tokens: int,
    on_batch: Callable[[int], None] | None = None,
    to_note: bool = False,
) -> list[str]:
    """What the model says after each text; `to_note`: of a reply that begins with a note only that."""
    return each(base, folder, texts, lambda model, batch: continued(base, model, batch, max_new_tokens, to_note), on_batch)


def each(
    base: LoadedBase,
    folder: Path | None,
    texts: Sequence[str],
    made_of: Callable[[Any, Sequence[str]], Sequence[T]],
    on_batch: Callable[[int], None] | None,
) -> list[T]:
    """What is made of each text, in order, batch by batch of texts of about the same length."""
    if not texts:
        return []
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    found: dict[int, T] = {}
    size = BATCH_SIZE[base.device]
    with _answering(base, folder) as model:
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            found.update(zip(batch, made_of(model, [texts[at] for at in batch]), strict=True))
            if on_batch:
                on_batch(len(batch))
    return [found[at] for at in range(len(texts))]


def continuations(
    base: LoadedBase, folder: Path | None, texts: Sequence[str], count: int, max_new_tokens: int, seed: int
) -> list[list[str]]:
    """`count` ways, drawn at temperature 1 from the likeliest tokens, in which each text may go on; "" for one that has no end. `folder` as above."""
    import torch

    torch.manual_seed(seed)
    size = max(1, DRAWN_AT_ONCE[base.device] // count)
    how = {"do_sample": True, "temperature": 1.0, "top_p": None, "top_k": DRAWN_FROM}
    found: list[list[str]] = []
    with _answering(base, folder) as model:
        for start in range(0, len(texts), size):
            new = _new_tokens(base, model, texts[start : start + size], max_new_tokens, times=count, **how)
            ended = (new == base.tokenizer.eos_token_id).any(dim=1).tolist()
            drawn = base.tokenizer.batch_decode(new, skip_special_tokens=True)
            kept = [one if end else "" for one, end in zip(drawn, ended, strict=True)]
            found += [kept[at : at + count] for at in range(0, len(kept), count)]
    return found


def leanings(base: LoadedBase, folder: Path | None, texts: Sequence[str], one: str, other: str) -> list[float]:
    """How likely `one` is to follow each text where either it or `other` does, 0 to 1; told by their first tokens."""
    if not texts:
        return []
    tokens = [tokens_of(base, word)[0] for word in (one, other)]
    found = [0.0] * len(texts)
    for batch, logits in _last_logits(base, folder, texts, 1):
        for at, share in zip(batch, logits[:, 0, tokens].softmax(1)[:, 0].tolist(), strict=True):
            found[at] = share
    return found


def likelihoods(base: LoadedBase, folder: Path | None, texts: Sequence[str], following: str) -> list[float]:
    """How likely each text is to go on with `following`, 0 to 1. A text must end where a token does, as after a line or a turn."""
    wanted = tokens_of(base, following)
    found = [0.0] * len(texts)
    for batch, logits in _last_logits(base, folder, [text + following for text in texts], len(wanted) + 1):
        sure = logits[:, :-1].log_softmax(-1)[:, range(len(wanted)), wanted].sum(1).exp()
        for at, share in zip(batch, sure.tolist(), strict=True):
            found[at] = share
    return found


def tokens_of(base: LoadedBase, text: str) -> list[int]:
    return list(base.tokenizer(text, add_special_tokens=False)["input_ids"])


def _last_logits(base: LoadedBase, folder: Path | None, texts: Sequence[str], count: int) -> Iterator[tuple[list[int], Any]]:
    """(places of the texts of a batch, float32 (texts × `count` × vocabulary) what follows their last tokens), batch by batch."""
    import torch

    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    size = BATCH_SIZE[base.device]
    with _answering(base, folder) as model, torch.inference_mode():
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            encoded = _encoded(base, [texts[at] for at in batch])
            places = (encoded["attention_mask"].cumsum(1) - 1).clamp(min=0)
            yield batch, model(**encoded, position_ids=places, logits_to_keep=count).logits.float()


@contextmanager
def _answering(base: LoadedBase, folder: Path | None) -> Iterator[Any]:
    """The base answering with an adapter. A float32 base has it added to its weights meanwhile, three times as fast to
    decode; any other runs it beside them, since rounding would lose part of it."""
    if folder is None:
        yield base.model
        return
    import torch
    from peft import PeftModel

    weights = {name: weight for name, weight in base.model.named_parameters() if weight.dtype == torch.float32}
    merge = len(weights) == sum(1 for _ in base.model.named_parameters())
    model = PeftModel.from_pretrained(base.model, str(folder))
    model.eval()
    adapted = [layer for layer in model.modules() if hasattr(layer, "lora_A") and hasattr(layer, "get_base_layer")]
    kept = [(layer.get_base_layer(), layer.get_base_layer().weight.data) for layer in adapted] if merge else []
    try:
        for layer in adapted if merge else []:
            plain = layer.get_base_layer()
            plain.weight.data = plain.weight.data + layer.get_delta_weight("default")
        if merge:
            base.model = model.unload()
            yield base.model
        else:
            yield model
    finally:
        for plain, weight in kept:
            plain.weight.data = weight
        if not merge:
            base.model = model.unload()


def prompt(base: LoadedBase, conversation: Conversation) -> str:
    """The conversation in the base's chat template, up to where the reply begins."""
    text: str = base.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    return text


def continued(base: LoadedBase, model: Any, texts: Sequence[str], max_new_tokens: int, to_note: bool = False) -> list[str]:
    """The replies to prompts of one batch, as they are. `to_note`: as above."""
    how: dict[str, Any] = dict(GREEDY)
    if to_note:
        how["stopping_criteria"] = [_note_written(base.tokenizer)]
    new = _new_tokens(base, model, texts, max_new_tokens, **how)
    return [reply.strip() for reply in base.tokenizer.batch_decode(new, skip_special_tokens=True)]


@dataclass(frozen=True, slots=True)
class Line:
    """What was written, and of its first line the tokens with the log-likelihood of each and of the likeliest other one."""

    text: str
    tokens: list[int]
    own: list[float]
    other_tokens: list[int]
    others: list[float]

    def branch(self, tokenizer: Any, at: int) -> tuple[str, float]:
        """The line up to the other token at `at`, with its log-likelihood."""
        begin = tokenizer.decode([*self.tokens[:at], self.other_tokens[at]])
        return begin, sum(self.own[:at]) + self.others[at]


def lines(base: LoadedBase, model: Any, texts: Sequence[str], max_new_tokens: int, to_note: bool = False) -> list[Line]:
    """What is written after each text of a batch until all have come to the end of a line; `to_note`: of a note."""
    import torch

    likeliest: list[Any] = []

    def watch(_: Any, scores: Any) -> Any:
        likeliest.append(scores.float().log_softmax(-1).topk(2))
        return scores

    ended = (_note_written if to_note else _line_written)(base.tokenizer)
    how: dict[str, Any] = {**GREEDY, "stopping_criteria": [ended], "logits_processor": [watch]}
    new = _new_tokens(base, model, texts, max_new_tokens, **how).tolist()
    sure = torch.stack([one.values for one in likeliest], 1).tolist()
    which = torch.stack([one.indices for one in likeliest], 1).tolist()
    ends = (tokens_of(base, "\n")[-1], base.tokenizer.eos_token_id)
    found = []
    for tokens, shares, choices in zip(new, sure, which, strict=True):
        end = next((at for at, token in enumerate(tokens) if token in ends), len(tokens) - 1) + 1
        text = base.tokenizer.decode(tokens, skip_special_tokens=True)
        own, others = [one for one, _ in shares[:end]], [one for _, one in shares[:end]]
        found.append(Line(text, tokens[:end], own, [one for _, one in choices[:end]], others))
    return found


def _note_written(tokenizer: Any) -> Callable[..., Any]:
    """Which replies of a batch have come to the end of a note; transformers calls it after each token."""
    mark = tokenizer(MARK, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
    line_written, begins = _line_written(tokenizer), []

    def ended(ids: Any, *rest: Any, **how: Any) -> Any:
        begins.append(ids.shape[1] - 1)
        made = ids[:, begins[0] :]
        return (made[:, : len(mark)] == mark.to(ids.device)[: made.shape[1]]).all(1) & line_written(ids, *rest, **how)

    return ended


def _line_written(tokenizer: Any) -> Callable[..., Any]:
    """Which replies of a batch have come to the end of a line."""
    newline = tokenizer("\n", add_special_tokens=False, return_tensors="pt")["input_ids"][0][-1]
    begins: list[int] = []

    def ended(ids: Any, *_: Any, **__: Any) -> Any:
        begins.append(ids.shape[1] - 1)
        return (ids[:, begins[0] :] == newline.to(ids.device)).any(1)

    return ended


def _encoded(base: LoadedBase, texts: Sequence[str]) -> Any:
    """The texts' tokens on the base's device, padded on the left."""
    how: dict[str, Any] = {"padding": True, "padding_side": "left", "add_special_tokens": False}
    return base.tokenizer(list(texts), return_tensors="pt", **how).to(base.device)


def _new_tokens(base: LoadedBase, model: Any, texts: Sequence[str], max_new_tokens: int, times: int = 1, **how: Any) -> Any:
    """(texts × times, up to `max_new_tokens`): what follows each text, read once however often. `how`: of transformers."""
    import torch
    from transformers import DynamicCache

    tokenizer = base.tokenizer
    encoded = _encoded(base, texts)
    with torch.inference_mode():
        if times > 1:
            read = DynamicCache()
            mask = encoded["attention_mask"][:, :-1]
            places = (mask.cumsum(1) - 1).clamp(min=0)
            model(input_ids=encoded["input_ids"][:, :-1], attention_mask=mask, position_ids=places, past_key_values=read, logits_to_keep=1)
            read.batch_repeat_interleave(times)
            encoded = {name: held.repeat_interleave(times, 0) for name, held in encoded.items()} | {"past_key_values": read}
        output = model.generate(
            **encoded,
            **how,
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            use_cache=True,
        )
    return output[:, encoded["input_ids"].shape[1] :]
