"""A Kubeflow Model Registry (REST API v1alpha3), as far as the acceptance step sees it, as strict as its OpenAPI file.

Names are unique below their parent, unknown fields are refused, a search without a match is 404, a name that is taken
409. Settings of a reset: `token`, the only one accepted.
"""

from random import Random
from typing import Any

from faulty_http import Request, Response, serve

BASE = "/api/model_registry/v1alpha3/"
COMMON = {"name", "description", "externalId", "customProperties", "state"}
FIELDS = {
    "registered_model": COMMON | {"owner"},
    "model_version": COMMON | {"author", "registeredModelId"},
    "model_artifact": COMMON | {"artifactType", "uri", "modelFormatName", "modelFormatVersion"},
}
VALUES = {"MetadataStringValue": ("string_value", str), "MetadataDoubleValue": ("double_value", float | int)}


def refusal(status: int, message: str) -> Response:
    """An error as the registry writes it."""
    return Response(status, {"code": str(status), "message": message})


class ModelRegistryApi:
    """The application behind the HTTP server."""

    def reset(self, settings: dict[str, Any], random: Random) -> None:
        """An empty registry."""
        self.token = settings.get("token", "")
        self.items: list[dict[str, Any]] = []

    def state(self) -> list[dict[str, Any]]:
        """All resources in the order in which they were made, each with its `kind` and `parent`."""
        return self.items

    def handle(self, request: Request) -> Response:
        """One request."""
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return refusal(401, "Unauthorized")
        parts = request.path.removeprefix(BASE).split("/")
        match request.method, parts:
            case "GET", [("registered_model" | "model_version" | "model_artifact") as kind]:
                return self._find(kind, request.query)
            case "POST", ["registered_models"]:
                return self._make("registered_model", "", request.body)
            case "POST", ["registered_models", parent, "versions"]:
                if (request.body or {}).get("registeredModelId") != parent:
                    return refusal(422, "registeredModelId is missing or another")
                return self._make("model_version", parent, request.body)
            case "POST", ["model_versions", parent, "artifacts"]:
                if (request.body or {}).get("artifactType") != "model-artifact":
                    return refusal(400, "artifactType is required")
                return self._make("model_artifact", parent, request.body)
        return refusal(404, f"no path {request.path}")

    def _find(self, kind: str, query: dict[str, str]) -> Response:
        parent = query.get("parentResourceId", "")
        if kind != "registered_model" and not parent:
            return refusal(400, "parentResourceId is required with a name")
        return next(
            (Response(200, item) for item in self.items if _place(item) == (kind, parent, query.get("name"))),
            refusal(404, f"no {kind} found"),
        )

    def _make(self, kind: str, parent: str, body: Any) -> Response:
        unknown = set(body) - FIELDS[kind]
        if unknown or not body.get("name"):
            return refusal(400, f"unknown fields {sorted(unknown)} or no name")
        for value in body.get("customProperties", {}).values():
            field, kinds = VALUES[value["metadataType"]]
            if set(value) != {"metadataType", field} or not isinstance(value[field], kinds):
                return refusal(400, f"bad custom property {value}")
        if parent and not any(item["id"] == parent for item in self.items):
            return refusal(404, f"no parent {parent}")
        if any(_place(item) == (kind, parent, body["name"]) for item in self.items):
            return refusal(409, f"{kind} {body['name']} exists")
        self.items.append({**body, "id": str(len(self.items) + 1), "kind": kind, "parent": parent})
        return Response(201, self.items[-1])


def _place(item: dict[str, Any]) -> tuple[str, str, str]:
    return item["kind"], item["parent"], item["name"]


if __name__ == "__main__":
    serve(ModelRegistryApi())
