"""The model digits. Written by `slipway client generate`: written again it is the same while the model takes and gives the same."""

from __future__ import annotations

from typing import Callable, Dict, Literal, Optional, TypedDict, Union

from slipway_client import Client, Model, SlipwayClientError


class DigitsRow(TypedDict):
    """Which digit is written in a small picture, bright ink on black."""

    image: str
    """PNG or JPEG."""


class DigitsAnswer(TypedDict):
    prediction: Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    confidence: Optional[float]
    """Probability of the prediction."""
    probabilities: Dict[Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], Optional[float]]


def digits_model(
    client: Client,
    *,
    version: Optional[str] = None,
    fallback: Union[DigitsAnswer, Callable[[SlipwayClientError, DigitsRow], DigitsAnswer], None] = None,
) -> Model[DigitsRow, DigitsAnswer]:
    """The model on a server that calls it 'digits'."""
    return client.model("digits", version=version, fallback=fallback)


__all__ = ["DigitsRow", "DigitsAnswer", "digits_model"]
