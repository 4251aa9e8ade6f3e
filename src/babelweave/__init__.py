"""babelweave: search one language's collection with another language's questions."""

__version__ = "0.1.0"
