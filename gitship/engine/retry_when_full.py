"""Retries Docker calls that failed because its disk was full, after freeing space."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from gitship.engine.interface import NoSpace, ReserveSpace

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class NoReserveSpace:
    """A ReserveSpace that has nothing to give."""

    def look(self) -> None: ...

    def give_up(self) -> bool:
        return False


class HasReserveSpace(Protocol):
    @property
    def spare(self) -> ReserveSpace: ...


Owner = TypeVar("Owner", bound=HasReserveSpace)


def needs_room(
    call: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """For what writes in Docker's data directory: a container's files, its lists of tags and of networks."""

    @functools.wraps(call)
    def called(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        self.spare.look()
        try:
            return call(self, *args, **kwargs)
        except NoSpace:
            if not self.spare.give_up():
                raise
            return call(self, *args, **kwargs)

    return called
