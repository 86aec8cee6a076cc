"""The paper's recipe as written (Appendix A) on trl + peft + bitsandbytes: the reference engine, `--engine trl`.

One user at a time, padded batches, one example a row. The order of the data is the stacked engine's, so that the two
can be held against each other. Not covered: many users in one step (`stacked.py`).
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trainer.base import LoadedBase
from trainer.engine import Encoded, OnProgress, Progress, Trained, UserExamples, data_order, encode_all
from trainer.fitting import fitted
from trainer.lora_stack import peft_config
from trainer.recipes import Recipe


def train(base: LoadedBase, users: Sequence[UserExamples], recipe: Recipe, on_progress: OnProgress) -> list[Trained]:
    """Trains each user's adapter and saves it to the user's folder; `base.model` is left as it was.

    Errors of one user (no examples, a prompt that does not fit, a loss that is not finite) are that user's `error`.
    """
    return [_train_one(base, user, recipe, on_progress) for user in users]


def _train_one(base: LoadedBase, user: UserExamples, recipe: Recipe, on_progress: OnProgress) -> Trained:
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    trained = Trained(user.user_id, user.folder)
    try:
        encoded = encode_all(base.tokenizer, user, recipe.max_seq_tokens)
    except ValueError as error:
        trained.error = str(error)
        return trained
    set_seed(user.seed)
    started = time.monotonic()
    use_cache = base.model.config.use_cache
    model = get_peft_model(base.model, peft_config(recipe, LoraConfig))
    model.peft_config["default"].base_model_name_or_path = base.ref
    try:
        if user.start:
            _begin_with(model, user.start, recipe)
        with tempfile.TemporaryDirectory() as scratch:
            _trainer(base, model, user, encoded, recipe, trained, on_progress, scratch).train()
        if all(math.isfinite(loss) for loss in trained.losses):
            model.save_pretrained(str(user.folder), save_embedding_layers=False)
        else:
            trained.error = "the loss was not a finite number"
    except (OSError, ValueError) as error:
        trained.error = str(error)
    finally:
        base.model = model.unload()
        base.model.config.use_cache = use_cache
        base.model.gradient_checkpointing_disable()
        base.model.eval()
    trained.seconds = time.monotonic() - started
    trained.tokens = recipe.epochs * sum(len(one.input_ids) for one in encoded)
    return trained


def _begin_with(model: Any, folder: Path, recipe: Recipe) -> None:
    """Puts the weights of the adapter in `folder` in the place of the random ones.

    Raises:
        ValueError: it does not fit.
    """
    from peft import set_peft_model_state_dict

    result = set_peft_model_state_dict(model, fitted(folder, recipe))
    if result.unexpected_keys or any("lora_" in name for name in result.missing_keys):
        raise ValueError(f"the adapter in {folder.name} does not fit the recipe")


def _trainer(
    base: LoadedBase,
    model: Any,
    user: UserExamples,
    encoded: Sequence[Encoded],
    recipe: Recipe,
    trained: Trained,
    on_progress: OnProgress,
    scratch: str,
) -> Any:
    from datasets import Dataset
    from torch.utils.data import Sampler
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    epochs = data_order([len(one.input_ids) for one in encoded], recipe, user.seed)

    class InOrder(Sampler):  # type: ignore[misc,type-arg,unused-ignore]
        """An epoch's order each time it is asked."""

        def __init__(self) -> None:
            self._epochs = iter(epochs)

        def __iter__(self) -> Iterator[int]:
            return (index for step in next(self._epochs) for index in step)

        def __len__(self) -> int:
            return len(encoded)

    class OrderedTrainer(SFTTrainer):  # type: ignore[misc,unused-ignore]
        def _get_train_sampler(self, *_: Any) -> InOrder:
            return InOrder()

    class Report(TrainerCallback):  # type: ignore[misc,unused-ignore]
        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                trained.losses.append(logs["loss"])
                on_progress(Progress(user.user_id, state.global_step, state.max_steps, logs["loss"]))

    trainer = OrderedTrainer(
        model=model,
        args=SFTConfig(
            output_dir=scratch,
            num_train_epochs=recipe.epochs,
            per_device_train_batch_size=recipe.batch_size,
            gradient_accumulation_steps=recipe.gradient_accumulation,
            learning_rate=recipe.learning_rate,
            warmup_steps=math.ceil(sum(len(steps) for steps in epochs) * recipe.warmup_ratio),
            lr_scheduler_type="constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.max_grad_norm,
            optim=_optimizer(recipe, base.device),
            bf16=base.device == "cuda",
            use_cpu=base.device == "cpu",
            gradient_checkpointing=recipe.gradient_checkpointing,
            dataset_kwargs={"skip_prepare_dataset": True},
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=base.device == "cuda",
            seed=user.seed,
        ),
        train_dataset=Dataset.from_list([{"input_ids": one.input_ids, "labels": one.labels} for one in encoded]),
        processing_class=base.tokenizer,
        callbacks=[Report()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _optimizer(recipe: Recipe, device: str) -> str:
    """bitsandbytes' paged optimizers need CUDA's memory; on a CPU the same mathematics runs unpaged in 32 bits."""
    return "adamw_torch" if device == "cpu" else recipe.optimizer
