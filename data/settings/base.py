"""What all settings share: strict models, and errors that name each bad key."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from data.errors import AerieError

Settings = TypeVar("Settings", bound=BaseModel)


class Strict(BaseModel):
    """Base of all settings: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def validated(settings: type[Settings], document: dict[str, Any], where: str) -> Settings:
    """Settings from a document, or one `AerieError` that lists each bad key with its path and the reason."""
    try:
        return settings.model_validate(document)
    except ValidationError as error:
        problems = [
            f"  {'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            + (" (unknown key)" if item["type"] == "extra_forbidden" else "")
            for item in error.errors()
            if not _follows_from_another(item, error.errors())
        ]
        raise AerieError(f"{where} is not valid:\n" + "\n".join(problems)) from None


def _follows_from_another(item: Any, items: list[Any]) -> bool:
    """A list whose only entry is wrong is also called too short: that says nothing new."""
    inside = [other for other in items if len(other["loc"]) > len(item["loc"])]
    return item["type"] == "too_short" and any(other["loc"][: len(item["loc"])] == item["loc"] for other in inside)
