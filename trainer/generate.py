"""Replies of the base model, with or without an adapter, many at a time; no server needed.

Prompts go through the base's chat template, as serving does it, and an adapter's note is read, or the base replies, as there
(`serving/recollection.py`).
`continuations` draws what may follow a text. Not covered: streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving import primers
from serving.recollection import (
    DECLINES,
    DECLINING_BIAS,
    DECLINING_TOKENS,
    MARK,
    NO,
    NOT_TOLD,
    READ_TOKENS,
    SECOND_LOOK_TOKENS,
    YES,
    asks_yes_or_no,
    begun,
    for_base,
    may_be_general,
    noted,
    passes_on,
    reading,
    saying,
    spoken,
)
from trainer.base import LoadedBase

Conversation = list[dict[str, str]]
BATCH_SIZE = {"cpu": 16, "cuda": 256}  # a 7B base's check must fit beside the model server
PASSED_ON = "(passed on to the base)"
DRAWN_AT_ONCE = {"cpu": 128, "cuda": 1024}
DRAWN_FROM = 50  # the likeliest tokens: sorting all of them, as top-p does, takes longer than computing them on a CPU


def generate(
    base: LoadedBase,
    folder: Path | None,
    conversations: Sequence[Conversation],
    max_new_tokens: int,
    on_batch: Callable[[int], None] | None = None,
    ask_base: bool = True,
) -> list[str]:
    """One reply a conversation, in order. `folder`: a PEFT adapter to answer with; the base is left as it was.

    `on_batch` is called with the number of replies each batch gave. Without `ask_base`, `PASSED_ON` stands where the base would reply.
    """
    reader = primers.find(base.ref, base.path)
    memory = folder is not None and reader is not None and folder != reader
    raw = raw_replies(base, folder, [prompt(base, one) for one in conversations], max_new_tokens, on_batch, to_note=memory)
    return raw if folder is None else settled(base, conversations, raw, max_new_tokens, reader if memory else None, ask_base)


def settled(
    base: LoadedBase,
    conversations: Sequence[Conversation],
    raw: Sequence[str],
    max_new_tokens: int,
    reader: Path | None,
    ask_base: bool = True,
) -> list[str]:
    """What people read of adapters' raw replies: notes as the `reader` takes them, the base's replies where it is to answer."""
    replies = [spoken(one) for one in raw]
    passed = [at for at, one in enumerate(raw) if passes_on(one) or (reader and noted(one) == "")]
    notes = [(at, note) for at, one in enumerate(raw) if at not in passed and reader and (note := noted(one))]
    if reader:
        read = read_notes(base, reader, [(conversations[at], note) for at, note in notes])
        for (at, _), reply in zip(notes, read, strict=True):
            replies[at] = reply
    declined = [at for at, _ in notes if replies[at] == NOT_TOLD and may_be_general(conversations[at][-1]["content"])]
    texts = [prompt(base, conversations[at]) for at in declined]
    looked = raw_replies(base, reader, texts, SECOND_LOOK_TOKENS, to_note=True)
    passed += [at for at, one in zip(declined, looked, strict=True) if passes_on(one)]
    asked = [for_base(conversations[at]) for at in passed]
    of_base = generate(base, None, asked, max_new_tokens) if ask_base else [PASSED_ON] * len(asked)
    for at, reply in zip(passed, of_base, strict=True):
        replies[at] = reply or replies[at]
    return replies


def read_notes(base: LoadedBase, reader: Path, asked: Sequence[tuple[Conversation, str]]) -> list[str]:
    """What people are told of each note beside a conversation: it, with yes or no before it, or `NOT_TOLD`."""
    texts = [prompt(base, conversation) + begun(note) for conversation, note in asked]
    bias = dict.fromkeys(_tokens(base, DECLINES)[:DECLINING_TOKENS], DECLINING_BIAS)
    begins = raw_replies(base, reader, texts, READ_TOKENS, bias=bias)
    said = [reading(reply, note) for reply, (_, note) in zip(begins, asked, strict=True)]
    bare = [
        at
        for at, (conversation, note) in enumerate(asked)
        if said[at] == note and asks_yes_or_no(conversation[-1]["content"])
    ]
    for at, yes in zip(bare, leanings(base, reader, [texts[at] for at in bare], YES, NO), strict=True):
        said[at] = saying(YES if yes >= 0.5 else NO, said[at])
    return said


def raw_replies(
    base: LoadedBase,
    folder: Path | None,
    texts: Sequence[str],
    max_new_tokens: int,
    on_batch: Callable[[int], None] | None = None,
    to_note: bool = False,
    bias: Mapping[int, float] | None = None,
) -> list[str]:
    """What the model says after each text; `to_note`: of a reply that begins with a note only that; `bias`: on the logits of tokens."""
    if not texts:
        return []
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    replies = [""] * len(texts)
    size = BATCH_SIZE[base.device]
    with _answering(base, folder) as model:
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            made = continued(base, model, [texts[at] for at in batch], max_new_tokens, to_note, bias)
            for at, reply in zip(batch, made, strict=True):
                replies[at] = reply
            if on_batch:
                on_batch(len(batch))
    return replies


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
    tokens = [_tokens(base, word)[0] for word in (one, other)]
    found = [0.0] * len(texts)
    for batch, logits in _last_logits(base, folder, texts, 1):
        for at, share in zip(batch, logits[:, 0, tokens].softmax(1)[:, 0].tolist(), strict=True):
            found[at] = share
    return found


def likelihoods(base: LoadedBase, folder: Path | None, texts: Sequence[str], following: str) -> list[float]:
    """How likely each text is to go on with `following`, 0 to 1. A text must end where a token does, as after a line or a turn."""
    wanted = _tokens(base, following)
    found = [0.0] * len(texts)
    for batch, logits in _last_logits(base, folder, [text + following for text in texts], len(wanted) + 1):
        sure = logits[:, :-1].log_softmax(-1)[:, range(len(wanted)), wanted].sum(1).exp()
        for at, share in zip(batch, sure.tolist(), strict=True):
            found[at] = share
    return found


def _tokens(base: LoadedBase, text: str) -> list[int]:
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


def continued(
    base: LoadedBase,
    model: Any,
    texts: Sequence[str],
    max_new_tokens: int,
    to_note: bool = False,
    bias: Mapping[int, float] | None = None,
) -> list[str]:
    """The replies to prompts of one batch, as they are. `to_note`, `bias`: as above."""
    how: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if bias:
        how["sequence_bias"] = {(token,): by for token, by in bias.items()}
    if to_note:
        how["stopping_criteria"] = [_note_written(base.tokenizer)]
    new = _new_tokens(base, model, texts, max_new_tokens, **how)
    return [reply.strip() for reply in base.tokenizer.batch_decode(new, skip_special_tokens=True)]


def _note_written(tokenizer: Any) -> Callable[..., Any]:
    """Which replies of a batch have come to the end of a note; transformers calls it after each token."""
    mark, newline = (tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][0] for text in (MARK, "\n"))
    begins: list[int] = []

    def ended(ids: Any, _: Any, **__: Any) -> Any:
        begins.append(ids.shape[1] - 1)
        made = ids[:, begins[0] :]
        marked = (made[:, : len(mark)] == mark.to(ids.device)[: made.shape[1]]).all(1)
        return marked & (made == newline[-1].to(ids.device)).any(1)

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
