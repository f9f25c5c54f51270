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
        ("**Answer: The answer is $\\boxed{12}$**", "12", ["bold", "answer_prefix", "answer_prefix", "inline_wrapped"]),
        (r"$\boxed{\frac{1}{2}}$", r"$\frac{1}{2}$", ["inline_wrapped"]),
        (r"\(\mathrm{B}\)", "B", ["inline_wrapped"]),
        (" yes\n", "yes", ["whitespace"]),
        (r"\begin{multline*}a + b\end{multline*}", "a + b", ["latex_block"]),
        (r"\begin{center}12\end{center}", "12", ["latex_block"]),
        (r"$\text{yes}$", "yes", ["inline_wrapped"]),
        (r"\boxed{\text{yes}}", "yes", ["boxed", "latex_text"]),
        (r"\textbf{B}", "B", ["latex_text"]),
        (r"\[\displaystyle 5\]", "5", ["display_math", "latex_style"]),
        ("***4***", "4", ["bold"]),
        ("<b>4</b>", "4", ["html_face"]),
        ("<answer>dark blue</answer>", "dark blue", ["html_face"]),
        ("`7`", "7", ["inline_code"]),
        ("```\n7\n```", "7", ["inline_code"]),
        ('"dark blue"', "dark blue", ["quotes"]),
        ("“dark blue”", "dark blue", ["quotes"]),
        ("「出口」", "出口", ["quotes"]),
        ("#### 42", "42", ["heading"]),
        ("### Answer\n\n42", "42", ["heading"]),
        ("**Answer:** 4", "4", ["answer_prefix"]),
        ("**Answer**: 4", "4", ["answer_prefix"]),
        ("Correct answer: C", "C", ["answer_prefix"]),
        ("Short answer: red", "red", ["answer_prefix"]),
        ("So the answer is 4.", "4", ["answer_prefix"]),
        ("Therefore, the final answer is 3/4.", "3/4", ["answer_prefix"]),
        ("The correct option is (B).", "(B)", ["answer_prefix"]),
        ("答案是B", "B", ["answer_prefix"]),
        ("答案:B", "B", ["answer_prefix"]),
        ("4</s>", "4", ["end_token"]),
        ("yes<|im_end|>", "yes", ["end_token"]),
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
        r"\text{a} + \text{b}",
        r"$\boxed{1} + \boxed{2}$",
        r"$\boxed{1}$ and $\boxed{2}$",
        "<b>one</b> and <b>two</b>",
        "<p>one</p><p>two</p>",
        "`a` or `b`",
        "```python\nprint(1)\n```",
        '"one" and "two"',
        '"I will be back before the sun has set," said he.',
        '"We shall fight on the beaches"',
        "# Title\n\nText below it.",
        "#1",
        "So the answer depends on the year.",
        "The correct option is hidden behind the door.",
        "Therefore the two sides are equal.",
        "5 > 3 and x -> y>",
        "答案很多",
        "the option",
    ],
)
def test_what_stays(answer):
    assert strip_decorations(answer) == (answer, [])


def test_conversation_and_copied_text_keep_their_marks():
    assert strip_decorations(" Answer: **5** ", verbatim=True) == ("Answer: **5**", ["whitespace"])
    assert strip_decorations("  ", verbatim=True) == ("  ", [])
