"""Invents customers of a telephone company. Synthetic: no person, and no company's data, is behind any row.

Whether a customer churns is drawn from a probability that the features give by the formula below, so a perfect model
would be wrong about some of them too: the noise is part of the data. Run it to look at the data as CSV.
"""

import sys

import numpy as np
import pandas as pd

PLANS = ["basic", "plus", "pro"]
CONTRACTS = ["month-to-month", "one-year", "two-year"]
FEATURES = ["tenure_months", "monthly_charges", "support_calls", "plan", "contract", "paperless"]


def customers(rows: int, seed: int) -> pd.DataFrame:
    """`rows` customers, and whether each churned (1) or stayed (0). The same seed gives the same customers."""
    rng = np.random.default_rng(seed)
    plan = rng.choice(len(PLANS), rows, p=[0.45, 0.35, 0.20])
    contract = rng.choice(len(CONTRACTS), rows, p=[0.55, 0.25, 0.20])
    # Long contracts are signed by customers who stay long.
    tenure = np.clip(rng.gamma(1.6, 14 + 8 * contract), 0, 72).astype(int)
    # Prices in quarters are exact in float32, so that no rounding decides on which side of a threshold a customer falls.
    charges = (np.clip(np.array([29.0, 54.0, 84.0])[plan] + rng.normal(0, 9, rows), 15, 150) * 4).round() / 4
    calls = np.minimum(rng.poisson(0.9 + 0.012 * charges), 15)
    paperless = rng.random(rows) < 0.6

    log_odds = (
        0.6
        - 0.055 * tenure
        + 0.021 * (charges - 50)
        + 0.55 * np.maximum(calls - 2, 0)
        - np.array([0.0, 1.5, 2.6])[contract]
        + 0.35 * paperless
        # A newcomer who pays much without a contract is the likeliest of all to leave.
        + 0.9 * ((tenure < 6) & (contract == 0) & (charges > 60))
    )
    churned = rng.random(rows) < 1 / (1 + np.exp(-log_odds))
    return pd.DataFrame(
        {
            "tenure_months": tenure,
            "monthly_charges": charges,
            "support_calls": calls,
            "plan": np.array(PLANS)[plan],
            "contract": np.array(CONTRACTS)[contract],
            "paperless": paperless,
            "churned": churned.astype(int),
        }
    )


if __name__ == "__main__":
    customers(1000, seed=1).to_csv(sys.stdout, index=False)
