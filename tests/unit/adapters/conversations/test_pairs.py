"""Metadata in a form that an index holds."""

from adapters.conversations.pairs import hashed


def test_no_two_pairs_meet() -> None:
    """Neither those of two callers, nor keys and values that read the same when put together, nor the other way round."""
    found = [
        *(hashed("me", {"a": "b", "ab": "", "": "ab", "b": "a", "a\0": "b"})),
        *(hashed("m", {"ea": "b"})),
        *(hashed("you", {"a": "b"})),
    ]
    assert len(set(found)) == len(found) == 7


def test_the_same_pair_is_the_same_whatever_stands_beside_it() -> None:
    one, many = hashed("me", {"a": "b"}), hashed("me", {"c": "d", "a": "b"})
    assert set(one) < set(many)
    assert hashed("me", {}) == []
