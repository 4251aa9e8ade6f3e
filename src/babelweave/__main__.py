"""`python -m babelweave` is `babelweave`."""

from babelweave.cli.main import main

main()
