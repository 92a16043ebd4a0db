"""Put a prompt where a model expects it: in a user turn if it has a chat template, else as is.

The template's own tokens are special; the prompt's text never is, whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notesmith.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_PROMPT, _COMPLETION = "\ue000prompt\ue000", "\ue000completion\ue000"


@dataclass(frozen=True, slots=True)
class Turns:
    """Token ids around a prompt: ``before`` it, between it and the answer, ``after`` the answer.

    The first id of ``after`` ends the answer.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]


def plain_turns(tokenizer: PreTrainedTokenizerFast) -> Turns:
    """Begin of text, prompt, completion, end of text.

    Raises:
        ModelError: the tokenizer has no end of text, without which nothing can stop.
    """
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    if eos is None:
        raise ModelError(f"{tokenizer.name_or_path}: the tokenizer has no end-of-text token")
    return Turns(() if bos is None else (int(bos),), (), (int(eos),))


def chat_turns(tokenizer: PreTrainedTokenizerFast) -> Turns:
    """Cut the chat template's text at a placeholder prompt and completion, and encode the rest.

    Raises:
        ModelError: the template does not print both as they are, or reaches out of its sandbox.
    """
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": _PROMPT}, {"role": "assistant", "content": _COMPLETION}],
            tokenize=False,
        )
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": _PROMPT}], tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # Whatever the template does wrong, in Jinja's sandbox.
        raise ModelError(
            f"{tokenizer.name_or_path}: its chat template cannot be used ({type(error).__name__})"
        ) from error
    before, found, between = asked.partition(_PROMPT)
    _, ended, after = text.partition(_COMPLETION)
    if not (found and ended):
        raise ModelError(
            f"{tokenizer.name_or_path}: the chat template does not print a prompt and its answer "
            "as they are"
        )

    def ids(part: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(part, add_special_tokens=False))

    end = ids(after) or (int(tokenizer.eos_token_id),)
    return Turns(ids(before), ids(between), end)
