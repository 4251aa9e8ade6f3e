"""Training: retrievers, distillation, query generators, on the trainers of the field."""
