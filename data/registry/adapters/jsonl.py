"""The name under which cards asked for LLaVA JSONL at first; see `llava_json`."""

from data.registry.adapters.llava_json import SUFFIXES, identity, read

__all__ = ["SUFFIXES", "identity", "read"]
