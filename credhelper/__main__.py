"""``python -m credhelper``."""

from credhelper.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
