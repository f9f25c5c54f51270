"""Random generators go on where they were, and new processes begin reproducibly."""

import json
import random

import numpy as np
import torch

from model.training.checkpoints.randomness import random_state, restore_random_state, seed_randomness


def drawn() -> tuple[float, ...]:
    numbers = [random.gauss(0, 1), random.random(), np.random.standard_normal(), np.random.random()]
    return (*numbers, *torch.randn(3).tolist())


def test_generators_go_on_where_they_were_saved():
    random.gauss(0, 1)  # these two keep a second number for the next call
    np.random.standard_normal()
    saved = json.loads(json.dumps(random_state()))
    expected = drawn()
    assert drawn() != expected
    restore_random_state(saved)
    assert drawn() == expected


def test_a_new_process_is_seeded_by_what_it_is():
    before = random_state()
    seen = []
    for text in ("job 40 2", "job 40 3", "job 40 2"):
        seed_randomness(text)
        seen.append(drawn())
    restore_random_state(json.loads(json.dumps(before)))
    assert seen[0] == seen[2] != seen[1]
