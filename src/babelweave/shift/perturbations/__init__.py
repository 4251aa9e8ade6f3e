"""One perturbation of questions per file; `registry.py` names them."""
