from notesmith.report.markdown import escape_markdown


def test_escape_markdown():
    assert escape_markdown("a_b*c|d\n<e>") == r"a\_b\*c\|d \<e\>"


def test_a_value_begins_no_list_rule_or_heading():
    for value in ("- x", "+ x", "1. x", "12) x", "---", "===", "-", "  - x"):
        escaped = escape_markdown(value)
        assert escaped != value and escaped.replace("\\", "") == value
    for value in ("-1.5", "+0.3 [−1, +2]", "0.1.0", "a - b", "Disease, Drug."):
        assert escape_markdown(value).replace(r"\[", "[").replace(r"\]", "]") == value
    assert escape_markdown("a\n- b\u2028# c|") == r"a - b \# c\|"
