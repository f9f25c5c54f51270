"""The door for commands: checkpoints from and to other formats."""

from model.checkpoint import load_checkpoint
from model.checkpoint_files import refuse_existing
from model.published.exporting import ExportReport, export_published
from model.published.importing import REPORT_FILE, import_published
from model.published.report import KeyReport, UnexplainedKeysError

HUGGING_FACE = "hf"
__all__ = [
    "REPORT_FILE",
    "ExportReport",
    "KeyReport",
    "UnexplainedKeysError",
    "export_checkpoint",
    "import_published",
]


def export_checkpoint(folder: str, format_name: str, out: str) -> ExportReport:
    """Write a checkpoint folder as `eagle2`, `eagle2_5` or `hf`; `AerieError` says what the format can't hold."""
    if format_name != HUGGING_FACE:
        return export_published(folder, format_name, out)
    from model.hf.export import save_hf

    refuse_existing(out)
    checkpoint = load_checkpoint(folder)
    files = save_hf(checkpoint, out)
    tensors = len(checkpoint.model.state_dict())
    return ExportReport(files=tuple(sorted(files)), tensors=tensors, written_back=0, left_out=())
