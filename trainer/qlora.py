"""The paper's recipe as written (Appendix A) on trl + peft + bitsandbytes: the reference engine, `--engine trl`.

One user at a time. Not covered: many users in one step (`stacked.py`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

from trainer.base import LoadedBase
from trainer.engine import OnProgress, Progress, Trained, UserExamples, encode
from trainer.recipes import Recipe


def train(base: LoadedBase, users: Sequence[UserExamples], recipe: Recipe, on_progress: OnProgress) -> list[Trained]:
    """Trains each user's adapter and saves it to the user's folder; `base.model` is left as it was.

    Errors of one user (no examples, a prompt that does not fit, a loss that is not finite) are that user's `error`.
    """
    return [_train_one(base, user, recipe, on_progress) for user in users]


def _train_one(base: LoadedBase, user: UserExamples, recipe: Recipe, on_progress: OnProgress) -> Trained:
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import TrainerCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    trained = Trained(user.user_id, user.folder)
    try:
        encoded = [encode(base.tokenizer, example, recipe.max_seq_tokens) for example in user.examples]
    except ValueError as error:
        trained.error = str(error)
        return trained
    if not encoded:
        trained.error = "there is nothing to train on"
        return trained

    class Report(TrainerCallback):  # type: ignore[misc]
        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                trained.losses.append(logs["loss"])
                on_progress(Progress(user.user_id, state.global_step, state.max_steps, logs["loss"]))

    set_seed(user.seed)
    started = time.monotonic()
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=list(recipe.target_modules),
        layers_to_transform=list(recipe.layers) if recipe.layers is not None else None,
        bias="none",
        task_type="CAUSAL_LM",
    )
    use_cache = base.model.config.use_cache
    model = get_peft_model(base.model, config)
    model.peft_config["default"].base_model_name_or_path = base.ref
    try:
        with tempfile.TemporaryDirectory() as scratch:
            trainer = SFTTrainer(
                model=model,
                args=SFTConfig(
                    output_dir=scratch,
                    num_train_epochs=recipe.epochs,
                    per_device_train_batch_size=recipe.batch_size,
                    gradient_accumulation_steps=recipe.gradient_accumulation,
                    learning_rate=recipe.learning_rate,
                    warmup_ratio=recipe.warmup_ratio,
                    lr_scheduler_type=recipe.schedule,
                    weight_decay=recipe.weight_decay,
                    max_grad_norm=recipe.max_grad_norm,
                    optim=_optimizer(recipe, base.device),
                    bf16=base.device == "cuda",
                    use_cpu=base.device == "cpu",
                    gradient_checkpointing=recipe.gradient_checkpointing,
                    dataset_kwargs={"skip_prepare_dataset": True},
                    logging_steps=1,
                    save_strategy="no",
                    report_to=[],
                    disable_tqdm=True,
                    dataloader_pin_memory=base.device == "cuda",
                    seed=user.seed,
                ),
                train_dataset=Dataset.from_list(
                    [{"input_ids": one.input_ids, "labels": one.labels} for one in encoded]
                ),
                processing_class=base.tokenizer,
                callbacks=[Report()],
            )
            trainer.train()
        if not all(loss == loss and loss != float("inf") for loss in trained.losses):
            trained.error = "the loss was not a finite number"
        else:
            model.save_pretrained(str(user.folder))
    finally:
        base.model = model.unload()
        base.model.config.use_cache = use_cache
        base.model.gradient_checkpointing_disable()
    trained.seconds = time.monotonic() - started
    trained.tokens = recipe.epochs * sum(len(one.input_ids) for one in encoded)
    return trained


def _optimizer(recipe: Recipe, device: str) -> str:
    """bitsandbytes' paged optimizers need CUDA's memory; on a CPU the same mathematics runs unpaged in 32 bits."""
    return "adamw_torch" if device == "cpu" else recipe.optimizer
