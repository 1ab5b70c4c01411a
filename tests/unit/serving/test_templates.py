"""The chat templates that ship with us."""

import functools
import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serving.engine.models import TEMPLATES

# As in the model's own file.
SMOLLM2_OWN = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "You are S."}
ANSWER = {"role": "assistant", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}


def raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def render(template: str, messages: list[dict[str, Any]], **values: object) -> str:
    """Render as transformers and vLLM do."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = functools.partial(json.dumps, ensure_ascii=False)
    return environment.from_string(template).render(messages=messages, eos_token="</s>", **values)


def zephyr(messages: list[dict[str, Any]], **values: object) -> str:
    return render((TEMPLATES / "zephyr.jinja").read_text(), messages, **values)


def smollm2(messages: list[dict[str, Any]], **values: object) -> str:
    return render((TEMPLATES / "smollm2.jinja").read_text(), messages, **values)


def test_zephyrs_turns_are_rendered_word_for_word() -> None:
    """As the model was trained."""
    rendered = zephyr([SYSTEM, USER], add_generation_prompt=True)
    assert rendered == "<|system|>\nYou are S.</s>\n<|user|>\nhi</s>\n<|assistant|>\n"


def test_zephyrs_answers_are_rendered_without_a_prompt_for_more() -> None:
    """A finished conversation ends with its last turn."""
    assert zephyr([USER, ANSWER]) == "<|user|>\nhi</s>\n<|assistant|>\nhello</s>\n"


def test_zephyr_refuses_a_role_that_it_would_drop() -> None:
    """The model's own template drops it in silence."""
    with pytest.raises(jinja2.TemplateError, match="tool"):
        zephyr([USER, {"role": "tool", "content": "sunny"}])


@pytest.mark.parametrize("messages", [[USER], [SYSTEM, USER], [USER, ANSWER, USER]])
@pytest.mark.parametrize("prompt", [True, False])
def test_smollm2_without_tools_is_the_models_own_template(
    messages: list[dict[str, Any]], prompt: bool
) -> None:
    """Ours adds tools and changes nothing else."""
    own = render(SMOLLM2_OWN, messages, add_generation_prompt=prompt)
    assert smollm2(messages, add_generation_prompt=prompt) == own


def test_smollm2_is_shown_its_tools() -> None:
    """In the system turn, once, beside what the caller says there."""
    rendered = smollm2([SYSTEM, USER], tools=[TOOL], add_generation_prompt=True)
    assert rendered.count("<|im_start|>system") == 1
    assert rendered.count("You are S.") == 1
    assert '"name": "weather"' in rendered


def test_smollm2_sees_what_it_called_and_what_came_of_it() -> None:
    """A call has no text of its own, and the tool's answer is a turn."""
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    rendered = smollm2([USER, called, {"role": "tool", "content": "sunny"}], tools=[TOOL])
    assert (
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>' in rendered
    )
    assert "<|im_start|>tool\nsunny<|im_end|>" in rendered


def test_templates_are_where_the_package_looks_for_them() -> None:
    """They are data of the package."""
    assert {file.name for file in Path(TEMPLATES).iterdir()} == {"zephyr.jinja", "smollm2.jinja"}
