import pytest

from data.curation.decorations import strip_decorations


@pytest.mark.parametrize(
    ("answer", "bare", "kinds"),
    [
        (r"\begin{align*}x = 3\end{align*}", "x = 3", ["latex_block"]),
        (r"\begin{align*} x &= 3 \\ \end{align*}", "x = 3", ["latex_block"]),
        (r"\begin{equation}\boxed{\frac{1}{2}}\end{equation}", r"\frac{1}{2}", ["latex_block", "boxed"]),
        (r"\boxed{12}", "12", ["boxed"]),
        ("$$12$$", "12", ["display_math"]),
        (r"\[ x + 1 \]", "x + 1", ["display_math"]),
        ("$5$", "5", ["inline_math"]),
        (r"\(7\)", "7", ["inline_math"]),
        ("**dark blue**", "dark blue", ["bold"]),
        ("Answer: 4", "4", ["answer_prefix"]),
        ("Final answer: C", "C", ["answer_prefix"]),
        ("The answer is 4.", "4", ["answer_prefix"]),
        ("The answer is 3.5.", "3.5", ["answer_prefix"]),
        ("the correct answer is: yes", "yes", ["answer_prefix"]),
        ("The answer is U.S.", "U.S.", ["answer_prefix"]),
        ("**Answer: The answer is $\\boxed{12}$**", r"$\boxed{12}$", ["bold", "answer_prefix", "answer_prefix"]),
        (" yes\n", "yes", ["whitespace"]),
    ],
)
def test_what_is_stripped(answer, bare, kinds):
    assert strip_decorations(answer) == (bare, kinds)
    assert strip_decorations(bare) == (bare, [])


@pytest.mark.parametrize(
    "answer",
    [
        "yes",
        "The answer is in the second row.",
        "The answer is that plants take in carbon dioxide and give off oxygen.",
        "The answer is not given.",
        "the answers: 4",
        "**Note** the **bar**",
        "**one** and two",
        r"\boxed{1} + \boxed{2}",
        r"First \begin{align*}x = 3\end{align*}, then stop.",
        "\\begin{align*} x &= 3 \\\\ y &= 4 \\end{align*}",
        r"\begin{cases} 1 \\ 0 \end{cases}",
        "$5 and $6",
        "$5",
        r"$\frac{1}{2}$",
        "$x^2$",
        "$$1$$ and $$2$$",
        "__init__",
        "Answer:",
        r"\boxed{}",
        "****",
        "$$ $$",
    ],
)
def test_what_stays(answer):
    assert strip_decorations(answer) == (answer, [])


def test_conversation_and_copied_text_keep_their_marks():
    assert strip_decorations(" Answer: **5** ", verbatim=True) == ("Answer: **5**", ["whitespace"])
    assert strip_decorations("  ", verbatim=True) == ("  ", [])
