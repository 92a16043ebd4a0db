from notesmith.report.markdown import escape_markdown


def test_escape_markdown():
    assert escape_markdown("a_b*c|d\n<e>") == r"a\_b\*c\|d \<e\>"
