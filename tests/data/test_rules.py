r"""Each rule family against a small labelled set: precision and recall of at least 0.9, hard negatives included."""

import pytest

from data.curation.rules import last_sentence
from data.curation.rules_images import refers_beyond
from data.curation.rules_leaks import CONTROL, REFUSAL, template_residue
from data.curation.rules_mismatch import absent_option, kind_mismatch
from data.curation.rules_numbers import decimals, numbers_in, supported_decimals
from data.curation.rules_repetition import repeated_ngrams

OPTIONS = "Which gas do plants take in?\nA. oxygen\nB. nitrogen\nC. carbon dioxide\nAnswer with the letter."
# (question, answer, mismatched?)
MISMATCH = [
    ("is there a red circle in the image?", "triangle", True),
    ("<image>\nDoes the image contain a rectangle?", "blue", True),
    ("Is the bar for 1999 the highest?", "1997", True),
    ("Are there any people in the photo? Answer the question using a single word or phrase.", "kitchen", True),
    ("Was the patient given an antibiotic?", "12.5", True),
    ("Isn't this a cat?", "a brown dog", True),
    (OPTIONS, "D", True),
    (OPTIONS, "(E)", True),
    ("Choose: (A) 12 (B) 15 (C) 18 (D) 21", "The answer is F.", True),
    ("How many words are there?", "license", True),
    ("How many dogs are sitting on the bench?", "on the bench", True),
    ("Look at the table. How many rows does it have?", "yes", True),
    ("What color is the triangle?", "yes", True),
    ("Which year has the highest price?", "No.", True),
    ("Where is the cat?", "no", True),
    ("is there a red circle in the image?", "no", False),
    ('Does the word "copyright" appear?', "yes", False),
    ("Is the bar for 1999 the highest?", "No, the bar for 2001 is.", False),
    ("Is this photo taken indoors?", "It shows a street with several parked cars", False),
    ("Are the values in percent?", "Maybe", False),
    ("Can you tell if the man is angry?", "Not really", False),
    ("Is the shape a circle or a triangle?", "triangle", False),
    ("Does miles per gallon rise, fall or stay the same from 1977 to 1980?", "rise", False),
    (OPTIONS, "C", False),
    (OPTIONS, "The answer is (B).", False),
    (OPTIONS, "carbon dioxide", False),
    ("How many words are there?", "3", False),
    ("How many dogs are sitting on the bench?", "Two", False),
    ("How many of the bars are red?", "None of them", False),
    ("What color is the triangle?", "dark blue", False),
    ("What does the sign say?", "No", False),
    ("What is the first word?", "NO", False),
    ("Which answer did the jury give, true or false?", "true", False),
    ("Read the text.", "yes", False),
    ("Which state has the higher number of airports, OR or NJ?", "OR", False),
    ("What is 3 + 4?", "7", False),
    ("Will it rain tomorrow?", "I don't know that, but the sky in the picture is grey.", False),
]

STEPS = "First we add the two sides of the rectangle, then we double the sum, so the perimeter is 14."
# (text, repeated?)
REPEATED = [
    ("The cat is on the mat. " * 6, True),
    ("the the the the the the the the", True),
    ("Step 1: add 2. Step 1: add 2. Step 1: add 2. Step 1: add 2.", True),
    ("0.3333333333333333333333333333333333333333333333333333333333", True),
    ("a picture of a dog, a picture of a dog, a picture of a dog, a picture of a dog", True),
    ("和平和平和平和平和平和平和平和平和平和平和平和平和平和平和平和平和平和平和平和平和平和平", True),
    ("| 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 |", True),
    (STEPS, False),
    ("yes", False),
    ("no no", False),
    ("The left bar shows 12, the middle bar shows 15 and the right bar shows 18.", False),
    ("Row, row, row your boat, gently down the stream.", False),
    ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12", False),
    ("There are two dogs. There are three cats. There is one bird and there are four fish in the tank.", False),
    ("def add(a, b):\n    return a + b\n\ndef sub(a, b):\n    return a - b", False),
    ("https://example.org/a/very/long/path/without/any/spaces/in/it.html", False),
    ("", False),
]

# (text, refusal?)
REFUSALS = [
    ("I'm sorry, but I can't see the image.", True),
    ("I am sorry, I cannot assist with that request.", True),
    ("As an AI language model, I cannot view images.", True),
    ("As an AI assistant I don't have the ability to see the chart.", True),
    ("I'm unable to view the image you mention.", True),
    ("I cannot answer this question without the picture.", True),
    ("I’m afraid I can’t help with that, I am unable to process images.", True),
    ("Sorry, I am not able to see the photo.", True),
    ("Unfortunately, I can't see any image here.", True),
    ("I'm sorry to hear that your dog is ill.", False),
    ("The sign reads: we cannot accept cards.", False),
    ("No, the man can't see the car behind him.", False),
    ("AI stands for artificial intelligence.", False),
    ("You can't divide by zero, so there is no solution.", False),
    ("I am software.", False),
    ("He says he is unable to come.", False),
    ("The error message says that the file cannot be opened.", False),
    ("As an AI, I enjoy talking about chess.", False),
]

# (answer, residue?)
RESIDUE = [
    ("The answer is {answer}.", True),
    ("{{ label }}", True),
    ("It shows {{value}} units in {{year}}.", True),
    ("The man is [insert description here].", True),
    ("My name is [your name].", True),
    ("<answer>", True),
    (r"\boxed{}", True),
    (r"So the result is $\frac{}{}$.", True),
    (r"\begin{align*} x = 3", True),
    (r"x = 3 \end{align*}", True),
    (r"\begin{align*} x = 3 \end{equation}", True),
    (r"\begin{align*} x = 3 \end{align*}", False),
    (r"\boxed{12}", False),
    (r"The set {1, 2, 3} has three members.", False),
    (r"\begin{cases} 1 & x > 0 \\ 0 & x \le 0 \end{cases}", False),
    (r"Its area is $\frac{{a}}{{b}}$.", False),
    ("Here's a callback:\n\n```\ndef greet(name, callback):\n    callback(f'Hello, {name}!')\n```", False),
    ("Write `{name}` where the name belongs.", False),
    ("The citation [12] is at the end.", False),
    ("a < b and b > c", False),
    ("<p>Hello</p>", False),
    (r"\text{cm}", False),
    ('The JSON object is {"name": "Ann"}.', False),
]

# (question, images, beyond?)
BEYOND = [
    ("What is in the image?", 0, True),
    ("Describe the picture in one sentence.", 0, True),
    ("Which bar in this chart is the highest?", 0, True),
    ("Solve the problem shown below.", 0, True),
    ("What is different in the second image?", 1, True),
    ("Compare image 1 with image 3.", 2, True),
    ("Look at the photo. Who is it?", 0, True),
    ("Read the text.", 0, True),
    ("What is in the image?", 1, False),
    ("What is different in the second image?", 2, False),
    ("Compare image 1 with image 2.", 2, False),
    ("What is an image file?", 0, False),
    ("Who painted the Mona Lisa?", 0, False),
    ("How do I take a good picture?", 0, False),
    ("can you write a chart component in React?", 0, False),
    ("What does a figure skater do?", 0, False),
    ("Do you read the news?", 0, False),
    ("What is the second planet?", 1, False),
]

# (text, leak?)
CONTROLS = [
    ("<|im_end|>", True),
    ("a circle<|endoftext|>", True),
    ("<img></img> a circle", True),
    ("<IMG_CONTEXT>", True),
    ("the pipe | in a <b>bold</b> text", False),
    ("x <| y |> z", False),
    ("an image of a circle", False),
    ("<image_size>", False),
]

# (question, answer, decimals that the sample's facts have, unsupported?)
PRECISION = [
    ("What is the low for Jul 21?", "13.2847", 1, True),
    ("What is the price for 1999?", "48.23456", 2, True),
    ("How long is side AB?", "7.071", None, True),
    ("What is the share of coal?", "34.56789", 1, True),
    ("What is the average of the two bars?", "12.33333", 1, True),
    ("What is the low for Jul 21?", "13.2", 1, False),
    ("What is the price for 1999?", "$48.23", 2, False),
    ("What is the average of the two bars?", "12.333", 1, False),
    ("What percentage of the sales is from Asia?", "33.33%", 0, False),
    ("Read the text.", "Version 3.14159", 0, False),
    ("What is written on the display?", "98.60042", None, False),
    ("How many bars are there?", "5", 0, False),
    ("Which release is this?", "1.22.333", 0, False),
    ("What is the population?", "1,234,567", 0, False),
]


def unsupported(question, answer, known):
    supported = supported_decimals(question, known)
    return supported is not None and decimals(answer) > supported


FAMILIES = {
    "mismatch": [((q, a), label, bool(kind_mismatch(q, a) or absent_option(q, a))) for q, a, label in MISMATCH],
    "repeated": [(text, label, repeated_ngrams(text) > 0.5) for text, label in REPEATED],
    "refusal": [(text, label, bool(REFUSAL.search(text))) for text, label in REFUSALS],
    "residue": [(text, label, bool(template_residue(text))) for text, label in RESIDUE],
    "beyond": [((q, n), label, bool(refers_beyond(q, n))) for q, n, label in BEYOND],
    "control": [(text, label, bool(CONTROL.search(text))) for text, label in CONTROLS],
    "precision": [((q, a, k), label, unsupported(q, a, k)) for q, a, k, label in PRECISION],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_precision_and_recall_of_each_family(family):
    cases = FAMILIES[family]
    hits = sum(label and found for _, label, found in cases)
    wrong = [(case, "missed" if label else "false alarm") for case, label, found in cases if label != found]
    precision = hits / max(sum(found for _, _, found in cases), 1)
    recall = hits / sum(label for _, label, _ in cases)
    assert precision >= 0.9, wrong
    assert recall >= 0.9, wrong


def test_the_sentence_that_asks():
    assert last_sentence("<image>\nWhat color is it? Answer with one word.") == "What color is it?"
    assert last_sentence("Look at the table. Read the text") == "Read the text"
    assert last_sentence("<image>") == ""


def test_numbers_and_decimals():
    facts = {"chart": {"values": ["1.25", "3"], "count": 2, "log": True}, "note": "from 1,200.5 to 9"}
    assert list(numbers_in(facts)) == ["1.25", "3", "2", "1,200.5", "9"]
    assert decimals("12.50 and 3") == 2
    assert decimals("release 1.22.333 at 127.0.0.1") == 0
    assert decimals("3.14.") == 2
    assert supported_decimals("Read the text.", 0) is None
    assert supported_decimals("What is the mean price?", 1) == 3
    assert supported_decimals("What is the price?", None) == 2
