"""Every answer that was paid for, one small file each, found by the hash of its request."""

import json
from dataclasses import asdict, fields

from data.curation.endpoint.chat import Answer
from data.files import exists, join, read_bytes, write_bytes

TYPES = {"text": str, "finish_reason": str, "prompt_tokens": int, "completion_tokens": int, "estimated": bool}
TYPES |= {"host": str, "model": str}


class AnswerCache:
    """A local folder or s3:// prefix that runs share. An entry appears whole or not at all, as soon as it is paid."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def get(self, key: str) -> Answer | None:
        """The answer to a request, None when it was never paid or its file is damaged (then it is asked again)."""
        path = self._path(key)
        if not exists(path):
            return None
        try:
            document = json.loads(read_bytes(path))
            entry = {field.name: document[field.name] for field in fields(Answer)}
        except (ValueError, KeyError, TypeError):
            return None
        whole = document.get("request") == key and all(type(entry[name]) is kind for name, kind in TYPES.items())
        return Answer(**entry) if whole else None

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer."""
        document = {"request": key, **asdict(answer)}
        write_bytes(self._path(key), json.dumps(document, sort_keys=True, indent=1).encode())

    def _path(self, key: str) -> str:
        return join(self.uri, key[:2], f"{key}.json")
