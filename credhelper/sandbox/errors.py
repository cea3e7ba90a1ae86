"""The one way an operation says no."""


class ApiError(Exception):
    """An error of the AWS API, named as in the service model (`InvalidGrantException`).

    `status` is only given where the model knows none; `retry_after` are seconds.
    """

    def __init__(self, name: str, message: str, *, status: int | None = None, retry_after: int | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.status = status
        self.retry_after = retry_after
