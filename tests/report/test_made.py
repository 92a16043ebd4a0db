from notesmith.report.made import made_means

from .conftest import made, read


def test_made_text_is_averaged_over_replicates(results):
    results["made"] = [
        made(asked=10, kept=6, dropped={"loop": 4}, new_names=4),
        made(replicate=1, asked=20, kept=17, dropped={"loop": 1, "no end": 2}),
    ]
    (found,) = made_means(read(results))
    assert (found.asked, found.kept, found.n_replicates) == (15, 11.5, 2)
    assert found.dropped == {"loop": 2.5, "no end": 1.0}
    # The mean of those that counted, and nothing where none did.
    assert (found.new_names, found.unseen_covered) == (4, None)
