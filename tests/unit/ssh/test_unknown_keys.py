from __future__ import annotations

from gitship.ssh.unknown_keys import NOTED_EVERY_S, REMEMBERED, UnknownKeys


class Book:
    """Strangers with a clock that the test sets, and what they noted."""

    def __init__(self) -> None:
        self.now = 100.0
        self.noted: list[tuple[str, str]] = []
        self.strangers = UnknownKeys(lambda key, address: self.noted.append((key, address)), lambda: self.now)


def test_a_key_from_an_address_is_noted_once_a_minute() -> None:
    book = Book()
    for _ in range(5):
        book.strangers.knocked("k1", "192.0.2.1")
    book.strangers.knocked("k2", "192.0.2.1")
    book.strangers.knocked("k1", "192.0.2.2")
    assert book.noted == [("k1", "192.0.2.1"), ("k2", "192.0.2.1"), ("k1", "192.0.2.2")]
    book.now += NOTED_EVERY_S - 0.1
    book.strangers.knocked("k1", "192.0.2.1")
    assert len(book.noted) == 3
    book.now += 0.1
    book.strangers.knocked("k1", "192.0.2.1")
    assert len(book.noted) == 4


def test_a_flood_of_new_keys_is_noted_up_to_a_bound_and_then_forgotten() -> None:
    book = Book()
    for number in range(REMEMBERED + 50):
        book.strangers.knocked(f"k{number}", "192.0.2.1")
    assert len(book.noted) == REMEMBERED
    book.now += NOTED_EVERY_S
    book.strangers.knocked("late", "192.0.2.1")
    assert book.noted[-1] == ("late", "192.0.2.1")
