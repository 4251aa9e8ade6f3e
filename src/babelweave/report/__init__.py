"""Figures as tables, drawings and pages."""
