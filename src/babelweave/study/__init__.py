"""Studies: many models, woven in many ways, measured under many shifts."""
