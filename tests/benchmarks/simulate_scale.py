"""Computes the section "Scale" of infra/README.md: a run at the paper's size, on paper.

    python tests/benchmarks/simulate_scale.py                 print the tables
    python tests/benchmarks/simulate_scale.py --json          print all figures as JSON
    python tests/benchmarks/simulate_scale.py --write         put the tables into infra/README.md
    python tests/benchmarks/simulate_scale.py --sources 1000  another workload (any field of Workload)
    python tests/benchmarks/simulate_scale.py --gpu-tasks ""  the tasks that get a GPU, as in AERIE_GPU_TASKS

Exit code 1 when the graph itself breaks a limit: such a run would fail, not only be slow.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.lint_package import read_packages  # noqa: E402
from pipelines.placement import GPU_TASKS, GPU_TASKS_VARIABLE  # noqa: E402
from pipelines.scale import Scale, broken_limits, graph_limits, simulate  # noqa: E402
from pipelines.scale_limits import Workload  # noqa: E402
from pipelines.scale_tables import markdown, with_section  # noqa: E402

README = ROOT / "infra" / "README.md"


def simulated(work: Workload, gpu_tasks: str = ",".join(GPU_TASKS)) -> Scale:
    """The figures of the pipeline as the code stands, compiled with GPUs for these tasks."""
    with tempfile.TemporaryDirectory(prefix="aerie-scale-") as folder:
        command = [sys.executable, "-m", "pipelines.cli", "compile", "--out", folder]
        environment = os.environ | {GPU_TASKS_VARIABLE: gpu_tasks}  # read once, when the pipeline is imported
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        return simulate(read_packages(Path(folder, "end_to_end.yaml"))[0], work)


def main() -> int:
    """Print or write the figures."""
    parser = argparse.ArgumentParser(description="Simulate a run at the paper's size.")
    parser.add_argument("--json", action="store_true", help="all figures as JSON")
    parser.add_argument("--write", action="store_true", help="put the tables into infra/README.md")
    parser.add_argument("--gpu-tasks", default=",".join(GPU_TASKS), help="tasks with a GPU [default: %(default)s]")
    for field in dataclasses.fields(Workload):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default)
    values = vars(parser.parse_args())
    as_json, write, gpu_tasks = (values.pop(name) for name in ("json", "write", "gpu_tasks"))
    scale = simulated(Workload(**values), gpu_tasks)
    if as_json:
        print(json.dumps({**dataclasses.asdict(scale), "broken_limits": broken_limits(scale)}, indent=1))
    elif write:
        README.write_text(with_section(README.read_text() if README.exists() else "", markdown(scale)))
    else:
        print(markdown(scale), end="")
    return 1 if graph_limits(scale.graph) else 0


if __name__ == "__main__":
    sys.exit(main())
