"""Links to what the run left: manifests and side files of every step."""

from data.reporting.html import Links, Section, Text
from model.evaluation.run_folder import RunFolder


def artifacts_section(run: RunFolder) -> Section:
    """One line per step; the addresses count from the report's folder, which lies beside the steps."""
    groups = []
    for step in run.steps:
        attachments = sorted(run.manifest(step).attachments.items())
        links = [("manifest", run.link(step)), *((name, run.link(step, entry["path"])) for name, entry in attachments)]
        groups.append((step, tuple(links)))
    return Section(
        title="Artifacts",
        blocks=(
            Text(
                "Every step's manifest names its shards with their hashes, its inputs and its counts. The links work "
                "while this page lies in the run's folder."
            ),
            Links(groups=tuple(groups)),
        ),
    )
