"""Training: loss curves of the three stages on one scale, learning rate and gradient norm below."""

from data.reporting.html import Chart, Details, Section, Table, Text
from data.reporting.svg import Line, LineChart
from model.evaluation.curves import Curves, read_curves, smoothed
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.scoreboard import STAGE_NAMES
from model.recipe import STAGES, Recipe


def training_section(run: RunFolder, names: tuple[str, ...] = STAGES) -> Section:
    """From the metrics files of the stages named."""
    stages = [read_curves(run, stage) for stage in names]
    extra = [(name, label) for name, label in EXTRAS.items() if any(curves.points(name) for curves in stages)]
    return Section(
        title="Training",
        blocks=(
            Text(
                "Stage 1 trains the connector alone; stages 1.5 and 2 train what the table says. The loss is the mean "
                "per answer token, weighted over the global batch as the recipe says; the thick line is a moving mean."
            ),
            Chart(figures=tuple(_loss(curves, _highest(stages)) for curves in stages), caption="Loss"),
            Table(
                headers=("Stage", "Trains", "Steps", "Tokens", "Sample uses", "First loss", "Final loss"),
                rows=tuple(_row(curves, run.recipe) for curves in stages),
            ),
            *_by_category(stages),
            Details(
                summary="Learning rate and gradient norm",
                blocks=tuple(
                    Chart(figures=tuple(_other(curves, name, label) for curves in stages), caption=label)
                    for name, label in extra
                ),
            ),
        ),
    )


EXTRAS = {"learning_rate": "Learning rate", "grad_norm": "Gradient norm"}


def _highest(stages: list[Curves]) -> float:
    """One scale for all stages, so that they compare at a glance."""
    finite = [loss for curves in stages for _, loss in curves.points("loss") if loss < float("inf")]
    return max(finite, default=1.0)


def _loss(curves: Curves, highest: float) -> LineChart:
    points = curves.points("loss")
    mean = smoothed(points)
    raw = (Line(name="each step", points=points, colour=3, faint=True),) if mean != points else ()
    return LineChart(
        title=STAGE_NAMES[curves.stage],
        x_label="optimizer step",
        y_label="loss",
        lines=(*raw, Line(name="loss", points=mean, colour=3)),
        y_high=highest,
    )


def _by_category(stages: list[Curves]) -> tuple[Table, ...]:
    """The categories' final losses beside each other; nothing where the steps don't tell them."""
    finals = [curves.final_category_losses() for curves in stages]
    names = sorted({name for final in finals for name in final})
    rows = tuple((name, *(f"{final[name]:.3f}" if name in final else "–" for final in finals)) for name in names)
    headers = ("Final loss of category", *(STAGE_NAMES[curves.stage] for curves in stages))
    return (Table(headers=headers, rows=rows),) if rows else ()


def _other(curves: Curves, name: str, label: str) -> LineChart:
    return LineChart(
        title=STAGE_NAMES[curves.stage],
        x_label="optimizer step",
        y_label=label.lower(),
        lines=(Line(name=label, points=curves.points(name), colour=5),),
        height=180.0,
    )


def _row(curves: Curves, recipe: Recipe) -> tuple[str, ...]:
    def shown(name: str) -> str:
        total = curves.total(name)
        return "–" if total is None else f"{total:,.0f}"

    return (
        STAGE_NAMES[curves.stage],
        ", ".join(recipe.stages[curves.stage].trainable),
        f"{len(curves.lines):,}",
        shown("tokens"),
        shown("samples"),
        f"{curves.first_loss:.3f}",
        f"{curves.final_loss:.3f}",
    )
