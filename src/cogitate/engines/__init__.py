"""Anything that serves requests: language models in process and over HTTP, grading, functions, fakes.

Engines are imported one by one, because each brings its own dependencies.
"""
