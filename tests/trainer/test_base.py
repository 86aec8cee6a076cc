"""The base in memory: what cannot be trained on is refused before it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving.errors import BaseModelMissing
from serving.primers import BUNDLED_REF
from trainer.base import load


def test_bundled_base_that_ends_turns_wrongly_is_refused_with_what_to_do(tokenizer: Any, tmp_path: Path) -> None:
    wrong = type(tokenizer).from_pretrained(tokenizer.name_or_path)
    wrong.eos_token = "<|im_start|>"
    wrong.save_pretrained(tmp_path)

    with pytest.raises(BaseModelMissing, match=r"ends turns with <\|im_start\|>, not <\|im_end\|>.*python -m serving prepare"):
        load(tmp_path, ref=BUNDLED_REF)
