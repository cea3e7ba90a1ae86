"""The README's pictures: the real program on a terminal, against the sandbox, drawn as SVG."""
