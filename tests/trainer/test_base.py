"""The base in memory: what cannot be trained on is refused before it is loaded; the dtype is one that the processor computes fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from serving.errors import BaseModelMissing
from serving.primers import BUNDLED_REF
from trainer.base import fast_dtype, load


def test_bundled_base_that_ends_turns_wrongly_is_refused_with_what_to_do(tokenizer: Any, tmp_path: Path) -> None:
    wrong = type(tokenizer).from_pretrained(tokenizer.name_or_path)
    wrong.eos_token = "<|im_start|>"
    wrong.save_pretrained(tmp_path)

    with pytest.raises(BaseModelMissing, match=r"ends turns with <\|im_start\|>, not <\|im_end\|>.*python -m serving prepare"):
        load(tmp_path, ref=BUNDLED_REF)


@pytest.mark.parametrize(("has_it", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_trains_in_bfloat16_only_where_it_has_instructions_for_it(monkeypatch: pytest.MonkeyPatch, has_it: bool, dtype: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_it})
    assert fast_dtype("cpu") == dtype
