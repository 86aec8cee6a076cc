"""A stack gives each user what training alone would and what peft's own loop gives; savings change nothing but time.

Small random models of both families; the bundled model under `slow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from tests.trainer.conftest import MakeUsers, examples
from trainer import elementwise, slot_adamw, stacked
from trainer.base import LoadedBase, load
from trainer.dataset import Example
from trainer.engine import Progress, Trained, UserExamples, data_order, encode_all, learning_rates
from trainer.generate import generate
from trainer.lora_stack import LoraStack
from trainer.recipes import Recipe
from trainer.slot_dropout import SlotDropout
from trainer.stacked import Options
from trainer.stacked_model import _attend

SIZES = (5, 9, 2, 7, 3, 12, 1, 6)


def silent(_: Progress) -> None:
    """Progress that nobody reads."""


def run(
    base: LoadedBase, users: Sequence[UserExamples], recipe: Recipe, options: Options = stacked.DEFAULT_OPTIONS
) -> list[Trained]:
    results = stacked.train(base, users, recipe, silent, options)
    assert [result.user_id for result in results] == [user.user_id for user in users]
    return results


def weights(folder: Path) -> dict[str, torch.Tensor]:
    held: dict[str, torch.Tensor] = load_file(str(folder / "adapter_model.safetensors"))
    return held


def assert_same(one: Trained, other: Trained, tolerance: float = 2e-5) -> None:
    """Losses step by step, and final weights: AdamW's division makes them less alike than the losses."""
    assert not one.error
    assert one.losses == pytest.approx(other.losses, rel=tolerance)
    mine, theirs = weights(one.folder), weights(other.folder)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-2, atol=tolerance * 10, msg=name)


def alone_by_peft(base: LoadedBase, user: UserExamples, recipe: Recipe, start: Path) -> tuple[list[float], Any]:
    """The user trained with peft and torch alone: one example a row, torch's AdamW and clipping."""
    model = PeftModel.from_pretrained(base.model, str(start), is_trainable=True)
    values = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(values, lr=1.0, weight_decay=recipe.weight_decay)
    encoded = encode_all(base.tokenizer, user, recipe.max_seq_tokens)
    steps = [step for epoch in data_order([len(e.input_ids) for e in encoded], recipe, user.seed) for step in epoch]
    losses = []
    for step, rate in zip(steps, learning_rates(recipe, len(steps)), strict=True):
        total, count = torch.zeros(()), 0
        for index in step:
            logits = model(input_ids=torch.tensor([encoded[index].input_ids])).logits[0, :-1]
            labels = torch.tensor(encoded[index].labels[1:])
            total = total + torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            count += int((labels != -100).sum())
        optimizer.zero_grad()
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(values, recipe.max_grad_norm)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        losses.append((total / count).item())
    trained = {
        name.replace(".default", ""): value.detach().clone()
        for name, value in model.named_parameters()
        if value.requires_grad
    }
    base.model = model.unload()
    base.model.requires_grad_(False)
    return losses, trained


def beginning(base: LoadedBase, user: UserExamples, recipe: Recipe, folder: Path) -> Path:
    """The adapter that the user's training begins with."""
    stack = LoraStack(base.model, recipe, 1)
    stack.init_slot(0, user.seed)
    stack.save_slot(0, folder, base.ref)
    return folder


def test_eight_users_together_get_what_each_gets_alone(
    small_base: LoadedBase, recipe: Recipe, make_users: MakeUsers
) -> None:
    together = run(small_base, make_users(*SIZES, run="together"), recipe, Options(slots=8))
    for user, result in zip(make_users(*SIZES, run="alone"), together, strict=True):
        (alone,) = run(small_base, [user], recipe)
        assert_same(result, alone)


def test_a_stack_trains_as_peft_does(
    small_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, tmp_path: Path
) -> None:
    users = make_users(5, 7, 2)
    for user, result in zip(users, run(small_base, users, recipe), strict=True):
        losses, trained = alone_by_peft(
            small_base, user, recipe, beginning(small_base, user, recipe, tmp_path / "start")
        )
        assert result.losses == pytest.approx(losses, rel=2e-5)
        assert len(losses) < 3 or losses[-1] < losses[0] - 0.01, "it learns once the warm-up is over"
        mine = weights(result.folder)
        assert mine.keys() == trained.keys()
        for name, value in mine.items():
            torch.testing.assert_close(value, trained[name], rtol=1e-2, atol=2e-4, msg=name)


def test_gradients_are_clipped_by_each_users_own_norm(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, tmp_path: Path
) -> None:
    recipe = replace(recipe, max_grad_norm=0.01)
    users = make_users(5, 7)
    user = users[1]
    _, trained = alone_by_peft(llama_base, user, recipe, beginning(llama_base, user, recipe, tmp_path / "start"))
    run(llama_base, users, recipe)
    for name, value in weights(user.folder).items():
        torch.testing.assert_close(value, trained[name], rtol=1e-2, atol=2e-4, msg=name)


def test_more_users_than_slots_take_turns(llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers) -> None:
    queued = run(llama_base, make_users(*SIZES, run="queued"), recipe, Options(slots=3))
    at_once = run(llama_base, make_users(*SIZES, run="at-once"), recipe, Options(slots=8))
    for one, other in zip(queued, at_once, strict=True):
        assert_same(one, other)


PLAIN = {
    "share_prefix": Options(share_prefix=False),
    "label_logits": Options(label_logits=False),
}


@pytest.mark.parametrize("saving", PLAIN)
def test_a_saving_changes_nothing_but_the_time(
    small_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, saving: str
) -> None:
    recipe = replace(recipe, layers=(1, 2))
    saved = run(small_base, make_users(5, 7, 2, run="saved"), recipe)
    plain = run(small_base, make_users(5, 7, 2, run="plain"), recipe, PLAIN[saving])
    for one, other in zip(saved, plain, strict=True):
        assert_same(one, other)
    if saving == "share_prefix":
        assert sum(one.tokens for one in saved) < 0.8 * sum(one.tokens for one in plain)


def test_one_users_nan_is_that_users_error_and_nobody_elses(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, tmp_path: Path
) -> None:
    spoilt = LoraStack(llama_base.model, recipe, 1)
    spoilt.init_slot(0, 1)
    next(spoilt.factors(0))[1][0, 0] = float("nan")
    spoilt.save_slot(0, tmp_path / "nan", llama_base.ref)
    users = make_users(5, 7, 2, 4)
    users[1] = replace(users[1], start=tmp_path / "nan")
    results = run(llama_base, users, recipe)
    assert results[1].error == "the loss was not a finite number"
    assert not users[1].folder.exists()
    others = run(
        llama_base, make_users(5, 7, 2, 4, run="without")[:1] + make_users(5, 7, 2, 4, run="without")[2:], recipe
    )
    for one, other in zip([results[0], *results[2:]], others, strict=True):
        assert_same(one, other)


def test_bad_data_of_one_user_is_that_users_error(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, tmp_path: Path
) -> None:
    users = make_users(3, 3, 3, 3)
    users[0] = replace(users[0], examples=[])
    users[1] = replace(users[1], examples=[Example("You are Hippo.", "word " * 600, "Yes.", "recall")])
    users[2] = replace(users[2], start=tmp_path / "nowhere")
    errors = [result.error for result in run(llama_base, users, recipe)]
    assert errors[0] == "there is nothing to train on"
    assert "does not fit 512" in errors[1]
    assert "nowhere" in errors[2]
    assert not errors[3]


def test_a_folder_that_cannot_be_written_is_that_users_error(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    users = make_users(3, 4)
    users[0] = replace(users[0], folder=tmp_path / "file" / "user0")
    results = run(llama_base, users, recipe)
    assert "could not be written" in results[0].error
    assert not results[1].error


def test_a_step_that_does_not_fit_the_memory_goes_on_with_fewer_users(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(llama_base, make_users(5, 7, 6, 4, run="roomy"), recipe)
    losses = stacked.StackedModel.losses
    widths = []

    def tight(self: Any, made: Any) -> Any:
        widths.append(len(made.input_ids))
        if len(widths) > 2 and len(made.input_ids) > 2:
            raise torch.OutOfMemoryError
        return losses(self, made)

    monkeypatch.setattr(stacked.StackedModel, "losses", tight)
    for one, other in zip(run(llama_base, make_users(5, 7, 6, 4, run="tight"), recipe), expected, strict=True):
        assert_same(one, other)
    assert widths[:4] == [4, 4, 4, 2]
    assert max(widths[3:]) == 2


def test_a_user_who_never_fits_is_an_error_and_the_others_train(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = stacked.StackedModel.losses

    def tight(self: Any, made: Any) -> Any:
        if made.input_ids.shape[1] > 130:
            raise torch.OutOfMemoryError
        return losses(self, made)

    monkeypatch.setattr(stacked.StackedModel, "losses", tight)
    users = make_users(3, 3, 3)
    users[1] = replace(users[1], examples=[replace(one, user=one.user * 20) for one in users[1].examples])
    errors = [result.error for result in run(llama_base, users, recipe)]
    assert errors == ["", "its examples do not fit the memory of the training machine", ""]


def test_with_dropout_too_a_user_gets_what_training_alone_gives(
    small_base: LoadedBase, recipe: Recipe, make_users: MakeUsers
) -> None:
    recipe = replace(recipe, dropout=0.2)
    together = run(small_base, make_users(5, 9, 2, run="together"), recipe)
    for user, result in zip(make_users(5, 9, 2, run="alone"), together, strict=True):
        assert_same(result, run(small_base, [user], recipe)[0])
    without = run(small_base, make_users(5, 9, 2, run="without"), replace(recipe, dropout=0.0))
    assert abs(together[0].losses[-1] - without[0].losses[-1]) > 1e-4


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    dropout = SlotDropout(0.2, 512, 3, torch.device("cpu"), torch.float32)
    dropout.begin(dropout.draw([1, 2], 200))
    like = torch.ones(2, 200, 512)
    places = [dropout.offsets(200), dropout.offsets(200)]
    first, second = (dropout.times(like, offsets) for offsets in places)
    assert (first == 0).float().mean() == pytest.approx(0.2, abs=0.01)
    assert first.mean() == pytest.approx(1.0, abs=0.01)
    both = ((first == 0) & (second == 0)).float().mean()
    assert both == pytest.approx(0.04, abs=0.01), "the next place of use has its own"
    users = ((first[0] == 0) & (first[1] == 0)).float().mean()
    assert users == pytest.approx(0.04, abs=0.01), "and so has the next user"


def test_swiglu_and_its_gradients_are_torchs() -> None:
    torch.manual_seed(0)
    gate, up, d_out = (torch.randn(2, 5, 8, requires_grad=grad) for grad in (True, True, False))
    expected = torch.nn.functional.silu(gate) * up
    expected.backward(d_out)
    again = [one.detach().requires_grad_() for one in (gate, up)]
    made = elementwise.swiglu(*again)
    torch.testing.assert_close(made, expected)
    made.backward(d_out)
    torch.testing.assert_close(again[0].grad, gate.grad)
    torch.testing.assert_close(again[1].grad, up.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_update_of_many_slots_equals_torchs_adamw_on_each(
    llama_base: LoadedBase, recipe: Recipe, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(elementwise.STRETCH, "cpu", 1000)
    llama_base.model.to(dtype)
    recipe = replace(recipe, weight_decay=0.1)
    stack = LoraStack(llama_base.model, recipe, 3)
    optimizer = slot_adamw.SlotAdamW(stack, recipe)
    for slot in range(3):
        stack.init_slot(slot, slot)
    theirs = [torch.nn.Parameter(row.clone()) for row in stack.master]
    peers = [torch.optim.AdamW([one], weight_decay=recipe.weight_decay) for one in theirs]
    torch.manual_seed(0)
    for step in range(6):
        active = 3 if step < 4 else 2
        stack.grad.normal_()
        if step == 2:  # a new user in the second slot
            stack.init_slot(1, 7)
            optimizer.reset(1)
            theirs[1] = torch.nn.Parameter(stack.master[1].clone())
            peers[1] = torch.optim.AdamW([theirs[1]], weight_decay=recipe.weight_decay)
        rates = [0.01 * (slot + 1) for slot in range(active)]
        for one, peer, rate, grad in zip(theirs, peers, rates, stack.grad, strict=False):
            one.grad = grad.float()
            torch.nn.utils.clip_grad_norm_([one], recipe.max_grad_norm)
            peer.param_groups[0]["lr"] = rate
            peer.step()
        optimizer.step(rates)
    for row, one in zip(stack.master, theirs, strict=True):
        torch.testing.assert_close(row, one.detach())
    assert torch.equal(stack.working[:2], stack.master[:2].to(dtype))


def test_progress_counts_every_step_of_every_user(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers
) -> None:
    said: dict[str, list[Progress]] = {}
    users = make_users(5, 9, 2)
    results = stacked.train(
        llama_base, users, recipe, lambda one: said.setdefault(one.user_id, []).append(one), Options(slots=2)
    )
    for result, size in zip(results, (5, 9, 2), strict=True):
        steps = recipe.epochs * -(-size // 3)
        told = said[result.user_id]
        assert [one.step for one in told] == list(range(1, steps + 1))
        assert {one.steps for one in told} == {steps}
        assert [one.loss for one in told] == result.losses


def test_the_time_is_shared_by_tokens(llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers) -> None:
    small, large = run(llama_base, make_users(3, 30), replace(recipe, batch_size=30))
    assert large.tokens > 5 * small.tokens
    assert large.seconds > small.seconds > 0


def test_a_four_bit_base_trains_on_cpu_and_is_left_as_it_was(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, tmp_path: Path
) -> None:
    llama_base.tokenizer.save_pretrained(str(llama_base.path))
    base = load(llama_base.path, ref=llama_base.ref, device="cpu", quantization="nf4")
    assert type(base.model.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    conversation = [[{"role": "user", "content": "What's my dog's name?"}]]
    said = generate(base, None, conversation, 8)
    before = base.model.model.layers[1].mlp.up_proj.weight.clone()
    together = run(base, make_users(5, 7, run="together"), recipe)
    for user, result in zip(make_users(5, 7, run="alone"), together, strict=True):
        losses, _ = alone_by_peft(base, user, recipe, beginning(base, user, recipe, tmp_path / "start"))
        assert result.losses == pytest.approx(losses, rel=1e-4)
    assert torch.equal(base.model.model.layers[1].mlp.up_proj.weight, before)
    assert generate(base, None, conversation, 8) == said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_the_bundled_model_a_stack_of_eight_equals_alone_and_peft(
    bundled_folder: Path, recipe: Recipe, make_users: MakeUsers, tmp_path: Path
) -> None:
    base = load(bundled_folder, ref="base/bundled", device="cpu")
    recipe = replace(recipe, rank=8, alpha=16, learning_rate=1e-3, epochs=3)
    sizes = (3, 6, 2, 4, 3, 5, 1, 3)
    users = make_users(*sizes, run="together")
    together = run(base, users, recipe, Options(slots=8))
    questions = [
        [{"role": "system", "content": one.system}, {"role": "user", "content": one.user}] for one in examples(4, 1)
    ]
    for number in (1, 4):
        user = make_users(*sizes, run="alone")[number]
        (alone,) = run(base, [user], recipe)
        assert_same(together[number], alone, tolerance=1e-4)
        losses, trained = alone_by_peft(base, user, recipe, beginning(base, user, recipe, tmp_path / "start"))
        assert together[number].losses == pytest.approx(losses, rel=1e-3)
        peft_folder = tmp_path / "peft"
        (peft_folder).mkdir(exist_ok=True)
        (peft_folder / "adapter_config.json").write_text((user.folder / "adapter_config.json").read_text())
        torch.save(trained, peft_folder / "adapter_model.bin")
        replies = [generate(base, folder, questions, 16) for folder in (users[number].folder, user.folder, peft_folder)]
        assert replies[0] == replies[1] == replies[2]
        assert replies[0] != generate(base, None, questions, 16), "it learned something"


@pytest.mark.parametrize("length", [1, 7, 90])
def test_a_cpus_attention_in_bfloat16_is_that_of_float32_within_its_rounding(length: int) -> None:
    torch.manual_seed(0)
    mask = torch.zeros(2, 1, length, length).masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
    exact = [torch.randn(2, 3, length, 16).bfloat16().float().requires_grad_() for _ in range(3)]
    rounded = [one.detach().bfloat16().requires_grad_() for one in exact]
    wanted, made = _attend(*exact, mask, 0.25), _attend(*rounded, mask.bfloat16(), 0.25)
    wanted.sum().backward()
    made.float().sum().backward()
    torch.testing.assert_close(made.float(), wanted, atol=3e-2, rtol=3e-2)
    for one, other in zip(rounded, exact, strict=True):
        torch.testing.assert_close(one.grad.float(), other.grad, atol=5e-2, rtol=5e-2)
