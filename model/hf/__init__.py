"""Aerie's networks through transformers' Auto classes: importing this package registers them, no remote code needed.

FOLDER is what `aerie export --format hf` or `save_pretrained` wrote:

    import model.hf
    from transformers import AutoModelForImageTextToText, AutoProcessor
    network, processor = AutoModelForImageTextToText.from_pretrained(FOLDER), AutoProcessor.from_pretrained(FOLDER)
    inputs = processor(text="What does the picture show?", images="picture.png").to(network.device)
    print(processor.answers(network.generate(**inputs, max_new_tokens=64), inputs)[0])
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from model.hf.configuration import AerieConfig
from model.hf.modeling import AerieForConditionalGeneration
from model.hf.processing import AerieProcessor

__all__ = ["AerieConfig", "AerieForConditionalGeneration", "AerieProcessor"]

AutoConfig.register(AerieConfig.model_type, AerieConfig)
AutoModel.register(AerieConfig, AerieForConditionalGeneration)
AutoModelForImageTextToText.register(AerieConfig, AerieForConditionalGeneration)
AutoProcessor.register(AerieConfig, AerieProcessor)
AutoTokenizer.register(AerieConfig, fast_tokenizer_class=PreTrainedTokenizerFast)
