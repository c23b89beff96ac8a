"""Messages in the order of the series, whatever the order in which these are finished."""

from collections.abc import Callable

Message = Callable[[], None]


class Turns:
    """Holds a message back until all that come before have been called. Not safe for threads by itself."""

    def __init__(self) -> None:
        self._next = 0
        self._held: dict[int, Message | None] = {}

    def take(self, number: int, message: Message | None) -> None:
        """Call the message of a number, from 0 on, in its turn; None for one that has nothing to say."""
        self._held[number] = message
        while self._next in self._held:
            self._call(self._next)
            self._next += 1

    def flush(self) -> None:
        """Call what is held back, in order: those before will not come."""
        for number in sorted(self._held):
            self._call(number)

    def _call(self, number: int) -> None:
        message = self._held.pop(number)
        if message is not None:
            message()
