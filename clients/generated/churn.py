"""The model churn. Written by `slipway client generate`: written again it is the same while the model takes and gives the same."""

from __future__ import annotations

from typing import Callable, Dict, Literal, Optional, TypedDict, Union

from slipway_client import Client, Model, SlipwayClientError


class _ChurnRowNeeded(TypedDict):
    tenure_months: int
    """How long the customer has been one. (months) From 0 to 72."""
    monthly_charges: float
    """What the customer pays each month. (USD) From 15 to 150."""
    plan: Literal["basic", "plus", "pro"]
    """The tariff."""
    contract: Literal["month-to-month", "one-year", "two-year"]
    """How long the customer is bound."""


class ChurnRow(_ChurnRowNeeded, total=False):
    """How likely a customer of a telephone company is to leave. Trained on synthetic data."""

    support_calls: int
    """Calls to the help line in the last 90 days. (calls) From 0 to 15. Default: 0."""
    paperless: bool
    """Whether bills come by e-mail only. Default: false."""


class ChurnAnswer(TypedDict):
    prediction: Literal["stays", "churn"]
    confidence: Optional[float]
    """Probability of the prediction."""
    probabilities: Dict[Literal["stays", "churn"], Optional[float]]


def churn_model(
    client: Client,
    *,
    version: Optional[str] = None,
    fallback: Union[ChurnAnswer, Callable[[SlipwayClientError, ChurnRow], ChurnAnswer], None] = None,
) -> Model[ChurnRow, ChurnAnswer]:
    """The model on a server that calls it 'churn'."""
    return client.model("churn", version=version, fallback=fallback)


__all__ = ["ChurnRow", "ChurnAnswer", "churn_model"]
