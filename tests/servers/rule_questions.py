"""One question of every rule, and a HallusionBench of seven."""

QUESTIONS = {  # rule -> (answers, options, facts)
    "exact": (("yes",), (), {}),
    "relaxed": (("12%", "1,200"), (), {}),
    "anls": (("license",), (), {}),
    "token_f1": (("I am fine",), (), {}),
    "vqa": (("stop",) * 6 + ("go",) * 4, (), {}),
    "ocrbench": (("x ^ 2",), (), {"type": "Handwritten Mathematical Expression Recognition"}),
    "choice": (("B",), (("A", "cat"), ("B", "dog")), {}),
    "mmmu": (("24",), (), {"question_type": "open"}),
    "circular": (("B",), (("A", "cat"), ("B", "dog")), {"group": "g"}),
    "hallusion": (("No",), (), {"category": "VS", "set_id": 1, "figure_id": 0, "question_id": 1}),
    "mathvista": (("[1, 2]",), (), {"question_type": "free_form", "answer_type": "list"}),
    "iou": (("[1, 2, 30, 40]",), (), {"width": 100, "height": 50}),
    "count": (("3",), (), {}),
    "mmvet": (("y",), (), {"judge_score": 0.5}),
}
HALLUSION = [  # category, subcategory, set, figure, question, output, answer
    ("VD", "ocr", "1", "0", "0", "Yes", "Yes"),
    ("VD", "ocr", "1", "0", "1", "No", "Yes"),
    ("VD", "ocr", "1", "1", "0", "Yes", "Yes"),
    ("VD", "ocr", "1", "1", "1", "Yes", "Yes"),
    ("VS", "ocr", "1", "0", "0", "Yes", "No"),
    ("VS", "ocr", "1", "1", "0", "No", "No"),
    ("VS", "map", "2", "1", "0", "Yes", "Yes"),
]


def hallusion_rows(answered):
    """The seven; `answered` builds a question as the fixture of the rules' tests does."""
    return [
        answered(
            "hallusion",
            output,
            answer,
            facts={"category": c, "subcategory": s, "set_id": group, "figure_id": figure, "question_id": question},
            question_id=str(n),
        )
        for n, (c, s, group, figure, question, output, answer) in enumerate(HALLUSION)
    ]
