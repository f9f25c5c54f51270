"""The model classes that lmms-eval calls: requests in, texts or likelihoods out, in the order of the requests."""

import time
from collections import Counter
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from lmms_eval.protocol import ChatMessages

from data.errors import AerieError
from model.chat_files import open_checkpoint
from model.checkpoint import Checkpoint
from model.hf.messages import Conversation
from model.lmms_eval.answering import Asked, answer_all, likelihoods
from model.lmms_eval.messages import read_chat, read_simple
from model.lmms_eval.options import Options, read_options

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class AerieChat(lmms):  # type: ignore[misc]  # lmms_eval is not installed where types are checked
    """Questions as lists of messages; what `model.lmms_eval` says of `--model_args` are its arguments.

    `batch_size` and `device` are lmms-eval's own options. Under `accelerate launch` or torchrun each process loads the
    network onto its own device and answers its share.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        tokenizer: str = "",
        dtype: str = "float32",
        max_new_tokens: int = 256,
        seed: int = 0,
        batch_size: int | str = 1,
        device: str | None = None,
        **unknown: Any,
    ) -> None:
        """AerieError: an unknown argument, a checkpoint or tokenizer that can't be read."""
        super().__init__()
        if unknown := {name: value for name, value in unknown.items() if name != "max_batch_size"}:
            raise AerieError(
                f"unknown model_args {sorted(unknown)}; give pretrained, tokenizer, dtype, max_new_tokens and seed"
            )
        if dtype not in DTYPES:
            raise AerieError(f"dtype is {dtype!r}; choose from {sorted(DTYPES)}")
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise AerieError(f"batch_size is {batch_size!r}; give the number of questions that are answered together")
        self.batch_size, self.max_new_tokens, self.seed = int(batch_size), max_new_tokens, seed
        self.accelerator = Accelerator()
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        named = device if self._world_size == 1 else None
        self.device = torch.device(named or self.accelerator.device)
        opened = open_checkpoint(str(pretrained), str(tokenizer))
        self.checkpoint: Checkpoint | None = Checkpoint(
            opened.model.to(self.device, DTYPES[dtype]).eval(), opened.tokenizer
        )
        self._times_asked: Counter[tuple[str, Any, int]] = Counter()

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """The answers, with the tokens read and written. A question that is sampled again draws from another seed."""
        asked, options = [self._asked(request) for request in requests], [self._options(each) for each in requests]
        label, start = "lmms-eval" if self.rank == 0 else "", time.perf_counter()
        answers = answer_all(self._open(), asked, options, batch_size=self.batch_size, label=label)
        seconds = max(time.perf_counter() - start, 1e-9)
        written = sum(answer.written_tokens for answer in answers)
        log_metrics(seconds, written, written / seconds, {"total_requests": len(answers)})
        return [
            GenerationResult(answer.text, TokenCounts(answer.read_tokens, answer.written_tokens)) for answer in answers
        ]

    def loglikelihood(self, requests: list[Instance]) -> list[GenerationResult]:
        """Only the simple interface has such requests."""
        raise AerieError("tasks that compare likelihoods have no chat form; run them with --force_simple")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Tasks whose next question depends on the last answer are not supported."""
        raise AerieError("this model answers single questions and given conversations; leave multi-round tasks out")

    def clean(self) -> None:
        """Gives the memory back, for a judge that runs after the answers."""
        self.checkpoint = None
        super().clean()

    def _open(self) -> Checkpoint:
        if self.checkpoint is None:
            raise AerieError("this model was cleaned after its run; make another")
        return self.checkpoint

    def _asked(self, request: Instance) -> Asked:
        document, task, split = request.args[3:6]
        name = f"document {document} of {task} ({split})"
        return Asked(name=name, conversation=lambda: self._conversation(request))

    def _conversation(self, request: Instance) -> Conversation:
        _, to_messages, _, document, task, split = request.args
        messages = ChatMessages(messages=to_messages(self.task_dict[task][split][document]))
        return read_chat(messages.to_hf_messages())

    def _options(self, request: Instance) -> Options:
        """A task's generation_kwargs stand at different places in the two interfaces; they are the only mapping."""
        (given,) = [argument for argument in request.args if isinstance(argument, dict)]
        asked = (request.task_name, request.doc_id, request.idx)
        options = read_options(given, max_new_tokens=self.max_new_tokens, seed=self.seed + self._times_asked[asked])
        self._times_asked[asked] += 1
        return options


class AerieSimple(AerieChat):
    """Questions as one text with its visuals before it (`--force_simple`), and likelihoods of continuations."""

    is_simple = True

    def loglikelihood(self, requests: list[Instance]) -> list[GenerationResult]:
        """(score, is greedy) of each continuation; the score is a sum of log-probabilities, signed as 0.7.3 reads it.

        lmms-eval's interface says log-probability and its perplexity takes one, but its multiple choice takes the
        *smallest* value, since its own models return losses there (issue 370): choices get the negated sum. The pair
        travels as a generation's result: a bare one would reach the task as a text (`unwrap_generation_output`).
        """
        asked = [self._asked(request) for request in requests]
        texts = [self._continuation(request) for request in requests]
        found = likelihoods(self._open(), asked, texts, batch_size=self.batch_size)
        signs = [-1.0 if isinstance(request.args[1], str) else 1.0 for request in requests]
        return [
            GenerationResult((sign * each.log_probability, each.greedy))
            for sign, each in zip(signs, found, strict=True)
        ]

    def _continuation(self, request: Instance) -> str:
        """A choice's text, or what the task's target says of the document."""
        _, target, _, document, task, split = request.args
        return target if isinstance(target, str) else str(target(self.task_dict[task][split][document]))

    def _conversation(self, request: Instance) -> Conversation:
        text, _, to_visuals, document, task, split = request.args
        return read_simple(text, to_visuals(self.task_dict[task][split][document]))
