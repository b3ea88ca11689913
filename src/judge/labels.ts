/**
 * Labels that come because of a prediction (a payment that was blocked, a customer who was called) cannot judge it. Whether they come alike for
 * both versions can be tested: of the requests with one predicted class, a label that has come is the candidate's with the share that the
 * candidate has of these requests.
 */
import { logMeanOf } from './log-sums.ts'
import { logUnlike } from './event-share.ts'

/**
 * Requests with one predicted class, of one time in which the shares of the arms stayed as they were, and how many of them have a label. Requests
 * of different times have had different time for a label to come, and are rows of their own.
 */
export interface Arrivals {
  readonly predicted: string
  readonly base: { readonly predictions: number; readonly labels: number }
  readonly candidate: { readonly predictions: number; readonly labels: number }
}

/**
 * ln of the evidence that labels come more, or less, often for the candidate's predictions than for the same of the base: the mean over classes.
 * @param classCount classes that there are
 */
export function logArriveDifferently(arrivals: readonly Arrivals[], classCount: number): number {
  const classes = [...Map.groupBy(arrivals, ({ predicted }) => predicted).values()].map((rows) => {
    const events = rows.flatMap(({ base, candidate }) => {
      if (base.predictions === 0 || candidate.predictions === 0) return []
      const share = candidate.predictions / (base.predictions + candidate.predictions)
      return [{ share, k: candidate.labels, n: base.labels + candidate.labels }]
    })
    return logUnlike(events)
  })
  return logMeanOf(classes, classCount)
}

/** Shares of predictions that have a label, by arm, over all classes. */
export function coverage(arrivals: readonly Arrivals[]): { readonly base: number; readonly candidate: number } {
  const of = (arm: 'base' | 'candidate'): number => {
    const predictions = arrivals.reduce((sum, one) => sum + one[arm].predictions, 0)
    return predictions === 0 ? 0 : arrivals.reduce((sum, one) => sum + one[arm].labels, 0) / predictions
  }
  return { base: of('base'), candidate: of('candidate') }
}
