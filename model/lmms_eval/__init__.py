"""lmms-eval over our checkpoints: a second opinion from a harness that is not ours.

    make lmms-env                                   its environment, .venv-lmms (its pins don't fit ours)
    .venv-lmms/bin/lmms-eval --model aerie --model_args pretrained=RUN/stage_2 --tasks ocrbench --batch_size 8

The installed package registers `aerie` through the entry point group `lmms_eval.models`; the versions stand in
`containers/lmms-eval.lock`. `--model_args`, separated by commas:

- `pretrained`: a checkpoint's folder, local or s3://, a run's folder (its last finished stage) or an `hf` export;
- `tokenizer`: tokenizer.json or its folder, where the checkpoint has none;
- `dtype`: float32 (as our own evaluation) or bfloat16;
- `max_new_tokens`: where a task names none [256]; `seed`: of sampled answers [0].

Several GPUs: `accelerate launch --num_processes N -m lmms_eval --model aerie ...`, each process asks its share.

What one must know of lmms-eval 0.7.3: the chat interface only generates, so tasks that compare likelihoods (mmlu, ...)
need `--force_simple`; an error ends with a printed traceback, no results and exit status 0; `--use_cache` knows a
checkpoint by its path, so a checkpoint written anew in the same place needs another cache.

Only `manifest` and `adapter` import lmms_eval, so the rest is tested in our environment.
"""
