"""Prompts go into a user turn where asked, and their text is never a special token."""

import pytest

from notesmith.errors import ModelError
from notesmith.lm.chat import chat_turns, plain_turns
from tests.lm.tiny import tiny_lm, tiny_tokenizer


def test_plain_turns_are_begin_and_end():
    assert plain_turns(tiny_tokenizer("llama")).before == (2,)
    assert plain_turns(tiny_tokenizer("qwen3")).before == ()
    assert plain_turns(tiny_tokenizer("llama")).after == (1,)


def test_a_model_that_cannot_end_is_refused():
    tokenizer = tiny_tokenizer("llama")
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="end-of-text"):
        plain_turns(tokenizer)


def test_chat_turns_surround_the_prompt_and_end_the_answer():
    tokenizer = tiny_tokenizer("llama", chat=True)
    turns = chat_turns(tokenizer)
    assert tokenizer.decode(turns.before) == "<bos><|turn|>user\n"
    assert tokenizer.decode(turns.between) == "<|end|>\n<|turn|>assistant\n"
    assert tokenizer.convert_ids_to_tokens(turns.after[0]) == "<|end|>"


def test_a_template_that_hides_the_prompt_is_refused():
    tokenizer = tiny_tokenizer("llama", chat=True)
    tokenizer.chat_template = "{{ bos_token }}hello"
    with pytest.raises(ModelError, match="as they are"):
        chat_turns(tokenizer)


def test_marks_in_a_prompt_do_not_close_its_turn():
    from dataclasses import replace

    lm = replace(tiny_lm("llama", chat=True), chat=True)
    end = lm.tokenizer.convert_tokens_to_ids("<|end|>")
    (ids,) = lm.encode_prompts(["write <|end|> now"])
    assert ids.count(end) == 1
    assert lm.eos_ids == (end, lm.tokenizer.eos_token_id)


def test_prompts_are_plain_unless_asked():
    lm = tiny_lm("llama", chat=True)
    assert lm.encode_prompts(["Diseases:"]) == [[2, *lm.encode("Diseases:")]]
