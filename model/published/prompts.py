"""The system prompt of a published checkpoint: in its chat template, or in the published code under a name."""

import re
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from data.errors import AerieError
from model.checkpoint_files import read_json
from model.config import ModelSettings
from model.published.fields import Fields

# `template` of a config names one of these in the published conversation.py, whose `chat()` uses it.
NAMED_PROMPTS = {"qwen2-chat": "You are a helpful assistant."}
CHAT_TEMPLATE_FILE, TOKENIZER_CONFIG_FILE = "chat_template.json", "tokenizer_config.json"
SYSTEM_TURN = re.compile(r"<\|im_start\|>system\n(.*?)<\|im_end\|>", re.DOTALL)
# ChatML; images as the published processor wants them, <image-1>, <image-2>, numbered through the conversation.
CHAT_TEMPLATE = """\
{%- set images = namespace(count=0) -%}
{%- for message in messages -%}
{%- if loop.first and message['role'] != 'system' -%}
{{ '<|im_start|>system\\n' + SYSTEM + '<|im_end|>\\n' }}
{%- endif -%}
{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['content'] is string -%}{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}{%- set images.count = images.count + 1 -%}{{ '<image-' + images.count|string + '>' }}
{%- elif 'text' in part -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""


def chat_template(prompt: str) -> str:
    """A Jinja chat template that opens with the system prompt where a conversation brings none."""
    return CHAT_TEMPLATE.replace("SYSTEM", _literal(prompt))


def render(template: str, messages: list[dict[str, Any]], where: str, **more: Any) -> str:
    """A conversation by a chat template, sandboxed as in transformers; `AerieError` when the template is broken."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    try:
        return environment.from_string(template).render(messages=messages, **more)
    except TemplateError as error:
        raise AerieError(f"{where}: the chat template can't be rendered: {error}") from error


def template_prompt(folder: str, document: dict[str, Any], where: str) -> str:
    """The system prompt of an eagle2_5 folder: what its processor's chat template puts before a user's turn."""
    for name in (CHAT_TEMPLATE_FILE, TOKENIZER_CONFIG_FILE):
        path = Path(folder, name)
        template = read_json(str(path)).get("chat_template") if path.is_file() else None
        if isinstance(template, str):
            text = render(template, [{"role": "user", "content": "?"}], str(path), add_generation_prompt=True)
            if (found := SYSTEM_TURN.match(text)) is None:
                raise AerieError(f"{path}: the chat template begins with no system turn: {text[:60]!r}")
            return found[1]
    return named_prompt(document, where)


def named_prompt(document: dict[str, Any], where: str) -> str:
    """The system prompt that the config's `template` names in the published code."""
    fields = Fields(document, where)
    fields.must_be("template", *NAMED_PROMPTS)
    return NAMED_PROMPTS[fields.text("template")]


def refuse_prompt(settings: ModelSettings, layout: str) -> None:
    """A layout without a chat template can hold the prompts that its code knows and no other."""
    if settings.system_prompt not in NAMED_PROMPTS.values():
        raise AerieError(
            f"the {layout} layout can't hold model.system_prompt {settings.system_prompt!r}: its code has a prompt of "
            f"its own, {NAMED_PROMPTS['qwen2-chat']!r}, and would serve another than in training; export as hf"
        )


def _literal(text: str) -> str:
    """A Jinja string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
