"""lmms-eval over our checkpoints: a second opinion from a harness that is not ours.

    make lmms-env                                   its environment, .venv-lmms (its pins don't fit ours)
    .venv-lmms/bin/lmms-eval --model aerie --model_args pretrained=RUN/stage_2 --tasks ocrbench --batch_size 8

Without make: a virtual environment, `pip install -r containers/lmms-eval.lock`, `pip install --no-deps .`. The package
registers `aerie` through the entry point group `lmms_eval.models` (`lmms-eval models` lists only its own).
`--model_args`, separated by commas:

- `pretrained`: a checkpoint's folder, local or s3://, a run's folder (its last finished stage) or an `hf` export;
- `tokenizer`: tokenizer.json or its folder, where the checkpoint has none;
- `dtype`: float32 (as our own evaluation) or bfloat16;
- `max_new_tokens`: where a task names none [256]; `seed`: of sampled answers [0].

Several GPUs: `torchrun --nproc_per_node N -m lmms_eval --model aerie ...`; each process answers its share.

What one must know of lmms-eval 0.7.3:

- Its chat interface only generates. Tasks that compare likelihoods (mmlu, ...) need `--force_simple`, and no
  `--use_cache`, which reads such pairs back as texts.
- `--use_cache` knows a checkpoint by its path: one written anew in the same place needs another cache.
- An error ends with a printed traceback, no results file and exit status 0.

Only `manifest` and `adapter` import lmms_eval, so the rest is tested in our environment.
"""
