"""Settings of an OpenAI-compatible endpoint: where it is, what it may cost, how long it is waited for."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator

from data.settings.base import Strict

OPERATIONAL = frozenset(
    {
        *("url", "api_key_env", "timeout_seconds", "tries", "first_pause_seconds", "longest_pause_seconds"),
        *("longest_retry_after_seconds", "concurrency", "requests_per_minute", "tokens_per_minute", "cache_uri"),
    }
)  # they change how answers come, not which


OWN_FIELDS = frozenset({"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "stream", "n"})


class EndpointSettings(Strict):
    """Any server with `/chat/completions`: a hosted one, or vLLM and its like in the cluster."""

    url: str = Field(description="base address, e.g. https://api.example.com/v1")
    model: str = Field(min_length=1)
    api_key_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="name of the environment variable that holds the key; the key itself never stands in a recipe",
    )
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=1, description="of one answer")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: dict[str, JsonValue] = Field(default_factory=dict, description="further fields of the request body")
    tokens_per_image: int = Field(default=1024, ge=0, description="guess before an answer says what was used")

    timeout_seconds: float = Field(default=120.0, gt=0, description="from sending a request to its whole answer")
    tries: int = Field(default=6, ge=1, description="of one request")
    first_pause_seconds: float = Field(default=1.0, ge=0, description="doubles with each try")
    longest_pause_seconds: float = Field(default=60.0, ge=0)
    longest_retry_after_seconds: float = Field(
        default=600.0, ge=0, description="an endpoint that asks for more (a spent quota) has failed"
    )
    concurrency: int = Field(default=8, ge=1, le=256, description="requests in flight")
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)

    prompt_price: float = Field(default=0.0, ge=0, description="of a million tokens, in any currency")
    completion_price: float = Field(default=0.0, ge=0, description="of a million tokens, in the same currency")
    max_cost: float | None = Field(
        default=None, ge=0, description="of all answers that the output rests on, whether paid now or in an earlier run"
    )
    cache_uri: str = Field(
        min_length=1,
        description="folder or s3:// prefix that keeps every paid answer; "
        "in a recipe a relative path counts from its folder",
    )
    on_failure: Literal["fail", "skip"] = "fail"
    failures_in_a_row: int = Field(default=3, ge=1, description="with `skip`: after so many the endpoint is left alone")

    @field_validator("url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        address = urlsplit(url)
        plain = not (address.username or address.password or address.query or address.fragment)
        if address.scheme not in {"http", "https"} or not address.hostname or not plain:
            raise ValueError("must look like https://HOST[:PORT]/v1, without user, password or query")
        return url.rstrip("/")

    @field_validator("extra")
    @classmethod
    def _others_only(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        taken = sorted(OWN_FIELDS & set(extra))
        if taken:
            raise ValueError(f"{taken} can't be set here: they have keys of their own, or no answer could be read")
        return extra

    @model_validator(mode="after")
    def _priced_cap(self) -> "EndpointSettings":
        if self.max_cost is not None and not (self.prompt_price or self.completion_price):
            raise ValueError("max_cost needs prompt_price and completion_price")
        return self

    @property
    def host(self) -> str:
        """Host and port, as provenance and reports name the endpoint."""
        return urlsplit(self.url).netloc
