"""What is made of the parser goes with it."""

import pytest

from tests.generate import made


@pytest.mark.parametrize("path", sorted(made()), ids=lambda path: path.name)
def test_it_is_up_to_date(path: object) -> None:
    files = {str(each): content for each, content in made().items()}
    with open(str(path), encoding="utf-8") as file:
        assert file.read() == files[str(path)], "run: python -m tests.generate"
