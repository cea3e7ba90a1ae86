"""How many calls of the portal a person may make: a bucket that fills evenly, and 429 once it is empty, as at AWS."""

from collections.abc import Callable

from credhelper.sandbox.errors import ApiError


class RateLimit:
    """`per_second` calls for each person, and `burst` at once; without `per_second` as many as they like.

    `retry_after` (seconds) is what a refusal asks for; AWS's own name no time.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        per_second: float | None,
        burst: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        self._clock = clock
        self._per_second = per_second
        self._burst = burst or max(1.0, per_second or 1.0)
        self._retry_after = retry_after
        self._left: dict[str, tuple[float, float]] = {}
        """How much was left in a person's bucket, and when."""
        self.refused = 0

    def admit(self, person: str) -> None:
        """Takes one call out of the person's bucket."""
        if self._per_second is None:
            return
        now = self._clock()
        left, at = self._left.get(person, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        if left < 1:
            self._left[person] = (left, now)
            self.refused += 1
            raise ApiError("TooManyRequestsException", "Rate exceeded", retry_after=self._retry_after)
        self._left[person] = (left - 1, now)
