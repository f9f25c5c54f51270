from data.schema import Turn, make_sample
from model.evaluation.baselines import MajorityBaseline
from model.evaluation.questions import sample_questions


def sample(source, *pairs):
    turns = [Turn(role=role, content=text) for q, a, _ in pairs for role, text in (("user", q), ("assistant", a))]
    return make_sample(
        source=source,
        category="general_vqa",
        images=(),
        conversations=tuple(turns),
        meta={"tasks": [task for *_, task in pairs]},
    )


TRAIN = [
    sample("shapes", ("a?", "yes", "yes_no"), ("b?", "No.", "yes_no"), ("c?", "no", "yes_no"), ("d?", "red", "color")),
    sample("digits", ("e?", "4", "digit"), ("f?", "3", "digit")),
]


def ask(source, task):
    (question,) = sample_questions(sample(source, ("?", "answer of the held-out sample", task)))
    return MajorityBaseline().learn(TRAIN).answer(question)


def test_the_majority_is_learned_per_source_and_task_from_training_answers():
    assert ask("shapes", "yes_no") == "no"
    assert ask("shapes", "color") == "red"


def test_a_tie_is_settled_by_the_alphabet_not_by_the_order_of_rows():
    assert ask("digits", "digit") == "3"


def test_a_new_task_falls_back_to_its_source_and_a_new_source_to_nothing():
    assert ask("shapes", "size") == "no"
    assert ask("unknown", "yes_no") == ""
