"""The model recommend. Written by `slipway client generate`: written again it is the same while the model takes and gives the same."""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence, TypedDict, Union

from slipway_client import Client, Model, SlipwayClientError


class RecommendRow(TypedDict):
    """Which of some items a user would rate highest, best first. A score is the expected rating, about 1 to 5. Trained on synthetic ratings."""

    user: int
    items: Sequence[int]


class RecommendAnswerPrediction(TypedDict):
    item: int
    score: Optional[float]


class RecommendAnswer(TypedDict):
    prediction: List[RecommendAnswerPrediction]


def recommend_model(
    client: Client,
    *,
    version: Optional[str] = None,
    fallback: Union[RecommendAnswer, Callable[[SlipwayClientError, RecommendRow], RecommendAnswer], None] = None,
) -> Model[RecommendRow, RecommendAnswer]:
    """The model on a server that calls it 'recommend'."""
    return client.model("recommend", version=version, fallback=fallback)


__all__ = ["RecommendRow", "RecommendAnswer", "recommend_model"]
