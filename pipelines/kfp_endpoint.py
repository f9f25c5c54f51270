"""Where Kubeflow Pipelines is, and who we are there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from data.errors import AerieError

ENDPOINT_VARIABLE, UI_VARIABLE, NAMESPACE_VARIABLE = "AERIE_KFP_ENDPOINT", "AERIE_KFP_UI", "AERIE_NAMESPACE"
IN_CLUSTER, NAMESPACE = "http://ml-pipeline.kubeflow.svc:8888", "aerie"
TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"  # projected, for the audience pipelines.kubeflow.org


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The API's address, the address that people open, the namespace of the runs, the file that holds our token."""

    url: str
    ui: str = ""
    namespace: str = NAMESPACE
    token_file: str = TOKEN_FILE

    @classmethod
    def find(cls, url: str = "", namespace: str = "", environment: Mapping[str, str] = os.environ) -> "Endpoint":
        """Options first, then the environment, then the cluster that we run in; `AerieError` when none says it."""
        inside = IN_CLUSTER if "KUBERNETES_SERVICE_HOST" in environment else ""
        url = (url or environment.get(ENDPOINT_VARIABLE) or inside).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise AerieError(
                "where is Kubeflow Pipelines? Give its address (http://... or https://...) by --endpoint or "
                f"{ENDPOINT_VARIABLE}, for example --endpoint http://localhost:8080 after\n"
                "  kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80"
            )
        if parts.username or parts.password:
            raise AerieError(
                f"the address of Kubeflow Pipelines ({parts.hostname}) holds a password, which messages would show; "
                f"put a token into a file and name it in {TOKEN_VARIABLE}"
            )
        return cls(
            url=url,
            ui=environment.get(UI_VARIABLE) or url,
            namespace=namespace or environment.get(NAMESPACE_VARIABLE) or NAMESPACE,
            token_file=environment.get(TOKEN_VARIABLE) or TOKEN_FILE,
        )

    def page(self, run_id: str) -> str:
        """The run's page in KFP's UI."""
        return f"{self.ui.rstrip('/')}/#/runs/details/{run_id}"

    def token(self) -> str:
        """Our token, read anew each time because the kubelet replaces it; "" where no file is mounted."""
        path = Path(self.token_file)
        if path.is_file():
            return path.read_text().strip()
        if self.token_file != TOKEN_FILE:
            raise AerieError(f"no file {path}, which {TOKEN_VARIABLE} names; it should hold a service account's token")
        return ""
