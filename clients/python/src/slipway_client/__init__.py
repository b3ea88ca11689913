"""Calls Slipway servers, and lives with their absence.

>>> from slipway_client import connect
>>> churn = connect("http://127.0.0.1:8470").model("churn", fallback={"prediction": "stays"})
>>> churn.predict({"tenure_months": 2}).answer          # doctest: +SKIP
"""

from ._breaker import BreakerState
from ._client import Client, Feedback, FeedbackAnswer, Refused, connect
from ._errors import Issue, SlipwayClientError
from ._grpc import GrpcClient, GrpcModel, connect_grpc
from ._model import Model, Predicted
from ._options import Breaker, Hedge, Retry
from ._tensors import Datatype, Tensor

__all__ = [
    "Breaker",
    "BreakerState",
    "Client",
    "Datatype",
    "Feedback",
    "FeedbackAnswer",
    "GrpcClient",
    "GrpcModel",
    "Hedge",
    "Issue",
    "Model",
    "Predicted",
    "Refused",
    "Retry",
    "SlipwayClientError",
    "Tensor",
    "connect",
    "connect_grpc",
]
