"""Longer answers from an endpoint: reasoning (`cot`) and full sentences (`long_answer`), checked against the known one.

Eagle 2 adds chain-of-thought and expands short answers, since short ones teach a model to guess.
"""
