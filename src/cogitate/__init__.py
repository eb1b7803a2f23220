"""Spends a model's inference compute well."""
