"""The demo: a packaged collection, and the whole way from it to figures with tests."""
