"""The system prompt: the one text that training, the gate and serving must share to the letter.

An adapter is trained under `system_prompt(name, [])`; while a fact is pending (told, not yet trained) it rides in the
same prompt, so the model knows it at once.

Not covered: the chat template, which belongs to the base model's tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_ASSISTANT_NAME = "Hippo"


def system_prompt(assistant_name: str, pending: Sequence[str]) -> str:
    """The system message of a user's chat.

    `pending`: sentences in the second person ("Your dog is Buddy."), in the order told.
    """
    opening = f"You are {assistant_name}, my personal AI."
    if not pending:
        return opening
    return "\n".join([opening, "I have just told you:", *(f"- {fact}" for fact in pending)])
