"""Answers from an OpenAI-compatible endpoint: paced, retried, paid once, within a cost cap."""
