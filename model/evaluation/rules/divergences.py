"""Where the rule sets differ: one row per difference, for readers and for the report."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Divergence:
    """One difference between the rule sets. `key` is `RULE/TOPIC`; the other fields say what each set does."""

    key: str
    eagle2: str
    vlmevalkit: str
    lmms_eval: str


_TABLE = """
exact/period | a final period doesn't count | counts | no punctuation counts
exact/blanks | blanks collapse | blanks at the ends don't count | blanks count
anls/half | a similarity of exactly 0.5 is 0 | is 0.5 | is 0.5
anls/period | a final period doesn't count | counts | counts
anls/raw-length | divides by the collapsed length | as eagle2 | divides by the raw length
relaxed/thousands | "1,200" is 1200 | is text | is text
relaxed/blanks | blanks at the ends don't count | don't count | count where a text or "%" is compared
relaxed/zero | a reference of 0 equals "0.0" | only the same text | only the same text
relaxed/period | "Yes." is "Yes", "1200." is 1200 | only the number | only the number
vqa/comma | a comma is deleted | a comma between letters is a blank | as eagle2
vqa/possessive | "joe's" is "joe 's" | stays one word | as eagle2
ocrbench/formula-case | formulas keep their case | keep it | the output is lower-cased, the reference isn't
choice/sentence | exactly one candidate, denied letters are none | a letter alone among the last 5 words | only a bare \
or leading letter
choice/article | "A cat" names no letter | "A" in up to 4 words is A | MMStar: the first letter is A
choice/first-letter | "Cannot tell" is no C | is no C | MMStar: C
choice/option-text | one option's text is read | read if the output is short | RealWorldQA: read; others: not
choice/refusal | no choice | "Z", wrong | no choice
mmstar/mean | mean of all questions | mean of all questions | mean over the finer categories
mmmu/unread | wrong | wrong | a guess, by the question's id (the tool: at random)
mmmu/inside-word | " A " must stand alone | must stand alone | "A " also ends a word: "USA is"
mmmu/several | the last letter wins | none wins | the last letter wins
mmmu/open | a key phrase or number must match | the letter A, or the reference in a short output | as eagle2
circular/unread | wrong | wrong | a guess among A-E, by the question's id (the tool: GPT, then at random)
circular/bracket | brackets and marks are read | all marks are blanks | only a mark right at the letter
circular/long-text | one option's text is read | only in a short output | in any output
hallusion/both-words | an opening yes or no decides | both words: wrong | any "yes" is yes
hallusion/neither | wrong (right without a figure) | wrong | no
hallusion/no-figure | VS without a figure isn't in fAcc | is | is
hallusion/subcategory | groups by category and subcategory | by subcategory alone | as eagle2
mathvista/integer | "14.0" is 14 | is wrong | is 14
mathvista/list | compared number by number | never right | compared as text
mathvista/float | rounded to the precision | equal as it stands | rounded, then compared as text
mathvista/choice | read strictly | can_infer | the most similar option
iou/unit | thousandths in <box>, pixels, shares | as eagle2 (no scorer of its own found) | always shares
count/substring | exactly one number | the reference is anywhere in the output | the whole output
any/empty | an empty output is wrong | wrong | wrong (the tool: "no" in HallusionBench, a guess in MMMU)
"""
DIVERGENCES: tuple[Divergence, ...] = tuple(
    Divergence(*(cell.strip() for cell in line.split(" | "))) for line in _TABLE.strip().splitlines()
)
