"""Writes what is made of the parser. Run it after a change of commands or options: a test tells when one forgets."""

from tests.generate import made


def main() -> None:
    """Writes each file."""
    for path, content in made().items():
        path.write_text(content, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
