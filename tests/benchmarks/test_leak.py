import pytest
from benchmarks.leak import check_no_leak, find_leaks, fingerprint

from notesmith.document import Document
from notesmith.errors import StageError

TEST = Document(
    "test-1",
    "Seen in clinic today. She denies chest pain, has had two falls since March and still "
    "takes her water tablet every other morning.",
)
CLEAN = Document("train-1", "He was admitted overnight with a swollen left calf and a low fever.")


def test_clean_documents_pass():
    assert check_no_leak(fingerprint([TEST]), [CLEAN], what="training") == 1


def test_same_text_in_another_dress_is_found():
    copy = Document("made-1", "  " + TEST.text.upper().replace(" ", "\n").replace(",", " --"))
    assert find_leaks(fingerprint([TEST]), [copy]).leaks[0].reason == "same text"


def test_copied_part_is_found():
    part = Document("made-2", "Yesterday: she denies chest pain, has had two falls since March and")
    # 12 words, the first of them new: one run, not shared; with runs of 6 words 6 of 7 are shared.
    assert find_leaks(fingerprint([TEST], n=12), [part]).leaks == ()
    leak = find_leaks(fingerprint([TEST], n=6), [part]).leaks[0]
    assert leak.shared_ratio == pytest.approx(6 / 7)
    assert leak.reason == "shares runs of 6 words"


def test_boilerplate_can_be_allowed():
    part = Document("made-2", "Seen in clinic today. She denies any new symptom at all, he said.")
    held_out = fingerprint([TEST], n=5)
    # Words 1-6 are shared, 13 words: runs 1-2 of 9.
    assert find_leaks(held_out, [part], max_shared_ratio=0.0).leaks[0].shared_ratio == (
        pytest.approx(2 / 9)
    )
    assert find_leaks(held_out, [part], max_shared_ratio=0.25).leaks == ()


def test_short_text_is_found_only_whole():
    held_out = fingerprint([Document("test-2", "No acute distress.")])
    assert find_leaks(held_out, [Document("a", "no acute distress")]).leaks[0].id == "a"
    assert find_leaks(held_out, [Document("b", "in no acute distress")]).leaks == ()


def test_error_names_ids_and_no_text():
    with pytest.raises(StageError) as raised:
        check_no_leak(fingerprint([TEST]), [CLEAN, TEST], what="training")
    assert str(raised.value) == "training: 1 of 2 documents hold held-out text: 'test-1'"


def test_empty_documents_are_no_leak():
    assert find_leaks(fingerprint([Document("x", "...")]), [Document("y", "--")]).leaks == ()


def test_run_needs_a_word():
    with pytest.raises(StageError, match="one word"):
        fingerprint([TEST], n=0)
