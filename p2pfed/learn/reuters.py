"""Task `reuters`: news texts of eight classes, on a small pretrained sentence encoder."""

from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.learn.examples import Examples, cut, drop_duplicates, order_by_content
from p2pfed.learn.fetch import locate
from p2pfed.learn.task import Task

CLASSES: Final = ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")

_HEADER_LINES: Final = 3  # names, types and roles of the columns
_TOKENS_MAX: Final = 512  # positions that the encoder has learned


class SentenceClassifier(nn.Module):
    """An encoder, the mean of its token vectors, and a linear head.

    Args:
        encoder: Called with input_ids and attention_mask; gives `last_hidden_state`.
        hidden_size: Of the encoder's token vectors.
        class_count: Outputs of the head.

    Source: Reimers and Gurevych 2019, "Sentence-BERT", sec. 3 (mean pooling).
    """

    def __init__(self, encoder: nn.Module, hidden_size: int, class_count: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(hidden_size, class_count)

    @override
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits, shape (b, classes), for tokens of shape (b, t)."""
        encoded: Any = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        vectors = encoded.last_hidden_state  # (b, t, h)
        mask = attention_mask.unsqueeze(-1).to(vectors.dtype)  # (b, t, 1)
        means = (vectors * mask).sum(dim=1) / mask.sum(dim=1)  # (b, h)
        logits: Tensor = self.head(means)
        return logits


def create_model(class_count: int = len(CLASSES)) -> SentenceClassifier:
    """Make the classifier on the pretrained encoder; its head is fresh.

    Raises:
        LocalError: If the encoder has not been fetched.
    """
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel  # seconds to import, and only here needed

    folder = locate("minilm")
    encoder = BertModel(
        BertConfig.from_json_file(str(folder / "config.json")), add_pooling_layer=False
    )
    weights = load_file(folder / "model.safetensors")
    # The pooler is for next-sentence prediction; mean pooling does not read it.
    wanted = encoder.state_dict().keys()
    encoder.load_state_dict({name: weights[name] for name in wanted})
    return SentenceClassifier(encoder, int(encoder.config.hidden_size), class_count)


def reuters(*, tokens: int = 32, validation_rows: int = 200, test_rows: int = 200) -> Task:
    """Make the task with all training rows in one pool.

    Texts are cut off after `tokens` tokens. Texts that are equal up to there count as one, so
    that no two sets have a text in common.

    Args:
        tokens: Tokens per text, with the two that the encoder adds.
        validation_rows: Rows for decisions, taken from the customary training set.
        test_rows: Rows for reports, taken from the customary test set.

    Raises:
        ConfigError: If a size is out of range.
        LocalError: If texts or encoder have not been fetched.

    Source: Lewis 1997, Reuters-21578; the subset R8 and its split: Cardoso-Cachopo 2007,
    "Improving methods for single-label text categorization".
    """
    if not 3 <= tokens <= _TOKENS_MAX:
        raise ConfigError("task.tokens", tokens, f"write a number from 3 to {_TOKENS_MAX}")
    pool = drop_duplicates(_read("train", tokens))
    train_hashes = frozenset(pool.content_hashes())
    tests = drop_duplicates(_read("test", tokens), known=train_hashes)
    for name, value, least in (
        ("validation_rows", validation_rows, len(pool)),
        ("test_rows", test_rows, len(tests)),
    ):
        if not 1 <= value < least:
            raise ConfigError(f"task.{name}", value, f"write a number from 1 to {least - 1}")
    validation, train = cut(order_by_content(pool), (validation_rows,))
    test, _ = cut(order_by_content(tests), (test_rows,))
    return Task(
        name="reuters",
        create_model=create_model,
        train=train,
        validation=validation,
        test=test,
        class_names=CLASSES,
    )


def read_texts(path: Path) -> tuple[list[str], list[int]]:
    """Read the texts of one file and their class indices; rows without either are left out."""
    texts, labels = [], []
    with path.open(encoding="utf-8") as file:
        for line in list(file)[_HEADER_LINES:]:
            label, _, text = line.rstrip("\n").partition("\t")
            if label and text:
                texts.append(text)
                labels.append(CLASSES.index(label))
    return texts, labels


def _read(split: str, tokens: int) -> Examples:
    texts, labels = read_texts(locate("reuters") / f"reuters-r8-{split}.tab")
    from tokenizers import Tokenizer  # only here needed

    tokenizer = Tokenizer.from_file(str(locate("minilm") / "tokenizer.json"))
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding(length=tokens)
    # Beyond a few characters per token a text is cut off anyway: tokenizing less is faster.
    encoded = tokenizer.encode_batch_fast([text[: tokens * 16] for text in texts])
    inputs = {
        "input_ids": torch.tensor([each.ids for each in encoded]),
        "attention_mask": torch.tensor([each.attention_mask for each in encoded]),
    }
    return Examples(inputs, torch.tensor(labels))
