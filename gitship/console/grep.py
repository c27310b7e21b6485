"""What `logs --grep` looks for: fixed text, or a regular expression that no line can keep busy.

Python's own `re` backtracks and holds the interpreter's lock while it does: `(a+)+$` on one line would stop the server.
This one makes a deterministic automaton as it goes (Thompson's construction, as RE2 and grep do): a character costs one
look-up, or at worst a pass over MOST_NODES. What cannot be had that way, back-references and look-around, is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from gitship.console.grep_parser import Assertion, Char, Choice, Node, Repeat, Sequence, parse

MOST_NODES = 200  # of a pattern, repetitions written out: bounds what a character can cost to some 50 us
MOST_STATES = 2000  # kept at once; a pattern that needs more begins anew

START, END, WORD, OTHER = "start", "end", "word", "other"  # what stands before or after a position


class TooLarge(ValueError):
    """More than MOST_NODES."""


class _State:
    """Where the automaton may be after a character; ``next`` grows as lines come. None: a match was found."""

    def __init__(self, nodes: frozenset[int], before: str) -> None:
        self.nodes = nodes
        self.before = before
        self.next: dict[str, _State | None] = {}


class Pattern:
    """Safe from any thread: two that compute the same state at once do it twice."""

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        """Raises ValueError with the reason in a few words."""
        # a node is what it needs to go on, and where to: a test of a character, an assertion, or a fork (None)
        self._nodes: list[tuple[Callable[[str], bool] | Assertion | None, tuple[int, ...]]] = []
        self._found = self._add(None, ())
        self._first = self._compile(parse(text, ignore_case=ignore_case), self._found)
        self._states: dict[tuple[frozenset[int], str], _State] = {}
        self._start = self._state(frozenset(), START)

    def search(self, line: str) -> bool:
        """True when the pattern is somewhere in the line."""
        state = self._start
        for char in line:
            try:
                following = state.next[char]
            except KeyError:
                following = state.next[char] = self._step(state, char)
            if following is None:
                return True
            state = following
        return self._found in self._reached(state, END)

    def _add(self, needs: Callable[[str], bool] | Assertion | None, to: tuple[int, ...]) -> int:
        if len(self._nodes) >= MOST_NODES:
            raise TooLarge("it is too large")
        self._nodes.append((needs, to))
        return len(self._nodes) - 1

    def _compile(self, node: Node, then: int) -> int:
        """Where the node begins when ``then`` comes after it."""
        if isinstance(node, Char):
            return self._add(node.test, (then,))
        if isinstance(node, Assertion):
            return self._add(node, (then,))
        if isinstance(node, Choice):
            return self._add(None, tuple(self._compile(part, then) for part in node.parts))
        if isinstance(node, Sequence):
            for part in reversed(node.parts):
                then = self._compile(part, then)
            return then
        return self._repeat(node, then)

    def _repeat(self, node: Repeat, then: int) -> int:
        if node.most is None:
            loop = self._add(None, ())
            self._nodes[loop] = (None, (self._compile(node.part, loop), then))
            then = loop
        else:
            end = then
            for _ in range(node.most - node.least):
                then = self._add(None, (self._compile(node.part, then), end))
        for _ in range(node.least):
            then = self._compile(node.part, then)
        return then

    def _step(self, state: _State, char: str) -> _State | None:
        after = WORD if _is_word(char) else OTHER
        reached = self._reached(state, after)
        if self._found in reached:
            return None
        targets: set[int] = set()
        for number in reached:
            needs, to = self._nodes[number]
            if needs is not None and not isinstance(needs, Assertion) and needs(char):
                targets.update(to)
        return self._state(frozenset(targets), after)

    def _reached(self, state: _State, after: str) -> set[int]:
        """All nodes that can be reached here without a further character; the pattern may also begin here."""
        todo, reached = [*state.nodes, self._first], set[int]()
        while todo:
            number = todo.pop()
            if number in reached:
                continue
            reached.add(number)
            needs, to = self._nodes[number]
            if needs is None or (isinstance(needs, Assertion) and _holds(needs, state.before, after)):
                todo.extend(to)
        return reached

    def _state(self, nodes: frozenset[int], before: str) -> _State:
        if len(self._states) >= MOST_STATES:
            self._states = {}
            self._start = self._state(frozenset(), START)
        return self._states.setdefault((nodes, before), _State(nodes, before))


def _holds(assertion: Assertion, before: str, after: str) -> bool:
    if assertion is Assertion.START:
        return before == START
    if assertion is Assertion.END:
        return after == END
    boundary = (before == WORD) != (after == WORD)
    return boundary == (assertion is Assertion.BOUNDARY)


def _is_word(char: str) -> bool:
    return char == "_" or char.isalnum()


def matcher(text: str, *, regex: bool, ignore_case: bool, invert: bool) -> Callable[[str], bool]:
    """Says of a line whether it is wanted. Raises ValueError with the reason in a few words."""
    find = Pattern(text, ignore_case=ignore_case).search if regex else _fixed(text, ignore_case)
    return (lambda line: not find(line)) if invert else find


def _fixed(text: str, ignore_case: bool) -> Callable[[str], bool]:
    if ignore_case:
        folded = text.casefold()
        return lambda line: folded in line.casefold()
    return lambda line: text in line
