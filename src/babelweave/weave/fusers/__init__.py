"""Ways to fuse, one a file; `registry.py` names them."""
