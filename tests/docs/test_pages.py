"""What counts as something to type on a page."""

from __future__ import annotations

from pathlib import Path

from tests.docs.pages import steps

PAGE = r"""# A page

Say `notesmith run inline` in passing, or

    notesmith show FILE --limit 2   # two of them

```console
$ notesmith run ours.toml --set a.b=1 \
    --set c.d=2
ours: done
$ GPU= venv/bin/notesmith run ours.toml > log.txt
$ make quickstart
$ make check
notesmith: no such thing
```

```python
print("notesmith run this")
```

1. In a list:

   ```
   notesmith corpus check 'my notes'
   ```
"""


def test_commands_and_python_in_order(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    found = steps(page)
    assert [(step.line, step.kind) for step in found] == [
        *((line, "command") for line in (5, 8, 11, 12)),
        (18, "python"),
        (24, "command"),
    ]
    assert found[4].text == 'print("notesmith run this")\n'
    assert [step.words for step in found if step.kind == "command"] == [
        ["show", "FILE", "--limit", "2"],
        ["run", "ours.toml", "--set", "a.b=1", "--set", "c.d=2"],
        ["run", "ours.toml"],
        ["run", "quickstart", "--out", "runs/quickstart"],
        ["corpus", "check", "my notes"],
    ]
    assert found[2].environment == {"GPU": ""}
