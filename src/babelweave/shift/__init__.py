"""Distribution shifts of a robustness study: questions perturbed, and data divided."""
