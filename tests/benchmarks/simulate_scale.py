"""Computes the section "Scale" of infra/README.md: a run at the paper's size, on paper.

    python tests/benchmarks/simulate_scale.py                 print the tables
    python tests/benchmarks/simulate_scale.py --json          print all figures as JSON
    python tests/benchmarks/simulate_scale.py --write         put the tables into infra/README.md
    python tests/benchmarks/simulate_scale.py --sources 1000  another workload (any field of Workload)

Exit code 1 when the graph itself breaks a limit: such a run would fail, not only be slow.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.compiling import compile_pipelines  # noqa: E402
from pipelines.lint_package import read_packages  # noqa: E402
from pipelines.scale import Scale, broken_limits, graph_limits, simulate  # noqa: E402
from pipelines.scale_limits import Workload  # noqa: E402
from pipelines.scale_tables import markdown, with_section  # noqa: E402

README = ROOT / "infra" / "README.md"


def simulated(work: Workload) -> Scale:
    """The figures of the pipeline as the code stands."""
    with tempfile.TemporaryDirectory(prefix="aerie-scale-") as folder:
        (end_to_end,) = [path for path in compile_pipelines(Path(folder)) if path.stem == "end_to_end"]
        return simulate(read_packages(end_to_end)[0], work)


def main() -> int:
    """Print or write the figures."""
    parser = argparse.ArgumentParser(description="Simulate a run at the paper's size.")
    parser.add_argument("--json", action="store_true", help="all figures as JSON")
    parser.add_argument("--write", action="store_true", help="put the tables into infra/README.md")
    for field in dataclasses.fields(Workload):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default)
    values = vars(parser.parse_args())
    as_json, write = values.pop("json"), values.pop("write")
    scale = simulated(Workload(**values))
    if as_json:
        print(json.dumps({**dataclasses.asdict(scale), "broken_limits": broken_limits(scale)}, indent=1))
    elif write:
        README.write_text(with_section(README.read_text() if README.exists() else "", markdown(scale)))
    else:
        print(markdown(scale), end="")
    return 1 if graph_limits(scale.graph) else 0


if __name__ == "__main__":
    sys.exit(main())
