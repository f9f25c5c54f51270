"""The public code that the rules were written after: read, not copied. A newer version may behave otherwise."""

from dataclasses import dataclass

RULES_VERSION = 1  # for signatures of scores: raise it when any verdict or summary changes


@dataclass(frozen=True, slots=True)
class Source:
    """One file at the commit that was read; `functions` are those that a rule follows."""

    repository: str
    path: str
    commit: str
    functions: str


_KIT, _LMMS = "open-compass/VLMEvalKit", "EvolvingLMMs-Lab/lmms-eval"
_KIT_UTILS, _TASKS = "vlmeval/dataset/utils", "lmms_eval/tasks"

SOURCES = (
    Source("MMMU-Benchmark/MMMU", "eval/eval_utils.py", "44b45b50e925", "parse_multi_choice_response, eval_open"),
    Source("Yuliang-Liu/MultimodalOCR", "OCRBench/example.py", "f5cbec66817b", "the scoring loop"),
    Source("lupantech/MathVista", "evaluation/calculate_score.py", "2a249bbeb72c", "normalize_extracted_answer"),
    Source(_KIT, f"{_KIT_UTILS}/vqa_eval.py", "0a04a1d23a57", "anls_compute, relaxed_correctness, process_line"),
    Source(_KIT, "vlmeval/smp/misc.py", "06d45c58a8e5", "process_punctuation"),
    Source(_KIT, "vlmeval/utils/matching_util.py", "134b4ea61d26", "can_infer; see choice_tools.py on its versions"),
    Source(_KIT, f"{_KIT_UTILS}/multiple_choice.py", "028a6e770243", "MMMU_preproc, eval_circular_group"),
    Source(_KIT, f"{_KIT_UTILS}/yorn.py", "0c7163c9c71c", "YOrN_Extraction, Hallusion_rating"),
    Source(_KIT, f"{_KIT_UTILS}/mathvista.py", "09818277a1d6", "post_check"),
    Source(_KIT, "vlmeval/dataset/image_vqa.py", "00b1c8d493bf", "OCRBench.evaluate, ImageVQADataset.evaluate"),
    Source(_LMMS, f"{_TASKS}/chartqa/utils.py", "2bb5e9852537", "relaxed_correctness"),
    Source(_LMMS, f"{_TASKS}/_task_utils/vqa_eval_metric.py", "61e5060b4e86", "EvalAIAnswerProcessor"),
    Source(_LMMS, f"{_TASKS}/ocrbench/utils.py", "46a88d8b0199", "ocrbench_process_results"),
    Source(_LMMS, f"{_TASKS}/mmmu/utils.py", "02bc1c056e17", "parse_multi_choice_response, parse_open_response"),
    Source(_LMMS, f"{_TASKS}/mmbench/mmbench_evals.py", "161c7a170643", "MMBench_Evaluator.can_infer"),
    Source(_LMMS, f"{_TASKS}/mmstar/utils.py", "2f636e7bf671", "exact_match, mmstar_aggregate_results"),
    Source(_LMMS, f"{_TASKS}/realworldqa/utils.py", "001eca00780f", "MultiChoiceRegexFilter, process_results"),
    Source(_LMMS, f"{_TASKS}/hallusion_bench/evaluate_hb.py", "0bfcd410dd73", "hb_aggregation_result_intern"),
    Source(_LMMS, f"{_TASKS}/hallusion_bench/utils.py", "0ad7b14f25e3", "assign_correctness, get_eval_fig"),
    Source(_LMMS, f"{_TASKS}/mathvista/mathvista_evals.py", "0893c504b183", "normalize_extracted_answer"),
    Source(_LMMS, f"{_TASKS}/refcoco/utils_rec.py", "60e0ba9f3c8b", "parse_float_sequence_within, compute_iou"),
    Source(_LMMS, f"{_TASKS}/countbench/utils.py", "9c25ff5b7488", "countbench_process_results"),
)
