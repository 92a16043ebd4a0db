from __future__ import annotations

import pytest

from notesmith.config.corpus import ReadingConfig
from notesmith.errors import ConfigError
from notesmith.workflows.settings import annotation_settings


def test_a_number_of_students_is_refused_where_none_of_them_labels():
    def settings(by):
        return annotation_settings(
            seed=13,
            reading=ReadingConfig(),
            students=3,
            labels=None,
            by=by,
            hub=False,
            changes=(),
            is_trained=True,
            is_preview=False,
        )

    with pytest.raises(ConfigError, match="--students: --by names none; add students to --by, or"):
        settings(["dictionary"])
    assert settings(["students", "dictionary"]).annotate.students == 3
    assert settings(None).annotate.students == 3
