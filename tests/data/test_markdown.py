"""Markdown tables: rows as given, numbers right, text from data never read as markup."""

from data.reporting.markdown import escaped, markdown_table


def test_a_table_has_a_header_a_rule_and_its_rows():
    text = markdown_table(("source", "kind", "rows"), [("digits", "ocr", "1,000")])
    assert text == "| source | kind | rows |\n| :-- | :-- | --: |\n| digits | ocr | 1,000 |\n"


def test_text_from_data_stays_text_in_its_cell():
    cell = escaped("<script>alert(1)</script> | a\nb [x](http://y) *c*")
    assert cell == r"\<script\>alert(1)\</script\> \| a b \[x\](http://y) \*c\*"
    assert markdown_table(("a", "b"), [("x|y\n", "z")]).count("\n") == 3
