"""Where the program begins: what a shell asks at every key and every prompt is answered before argparse is loaded."""

import sys

INTERRUPTED = 130


def main() -> int:
    """Runs one command; the exit status."""
    try:
        return _run(sys.argv[1:])
    except KeyboardInterrupt:  # before anybody else could hear it: no traceback belongs into a prompt
        return INTERRUPTED


def _run(words: list[str]) -> int:
    if words[:1] == ["_complete"]:
        from credhelper.cli.completing import complete

        return complete.main(words[1:])
    if words[:1] == ["status"] and "--prompt" in words:
        from credhelper.cli import prompt

        fields = prompt.plain_fields(words[1:])
        if fields is not None:
            return prompt.show(fields)
    from credhelper.cli import main as command_line

    return command_line.main()
