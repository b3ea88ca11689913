import { closest } from '../contract/schema.ts'
import { AskError, firstOf } from './answer.ts'
import type { PrometheusApi } from './prometheus-api.ts'
import type { Selector } from './promql-selectors.ts'

const BACK_SECONDS = 3600
const SELECTORS_MAX = 3
const LABELS_MAX = 3

/** What there is of the metrics that a query reads, for the one who wrote it. @param now UTC epoch milliseconds */
export async function labelsSeen(api: PrometheusApi, selectors: readonly Selector[], now: number): Promise<string> {
  try {
    const seen = selectors.slice(0, SELECTORS_MAX).map((selector) => seenOf(api, selector, String(Math.round(now / 1000) - BACK_SECONDS)))
    return selectors.length === 0 ? 'it reads no series' : (await Promise.all(seen)).join('; ')
  } catch (error) {
    if (!(error instanceof AskError)) throw error
    return `what labels there are could not be asked: ${error.message}`
  }
}

async function seenOf(api: PrometheusApi, { text, metric, labels }: Selector, start: string): Promise<string> {
  const match = metric ?? text
  const names = (await api.get<string[]>('/labels', { 'match[]': match, start })).filter((name) => name !== '__name__')
  if (names.length === 0) return await unknownMetric(api, match, start)
  const asked = labels.slice(0, LABELS_MAX).map(async (label) => {
    if (!names.includes(label)) return `it has no label ${label}`
    const values = await api.get<string[]>(`/label/${encodeURIComponent(label)}/values`, { 'match[]': match, start })
    return `${label} is ${firstOf(
      values.map((value) => JSON.stringify(value)),
      10,
    )}`
  })
  return [`${match} has the labels ${firstOf(names)}`, ...(await Promise.all(asked))].join(', ')
}

async function unknownMetric(api: PrometheusApi, metric: string, start: string): Promise<string> {
  const near = closest(metric, await api.get<string[]>('/label/__name__/values', { start }))
  return `there are no series of ${metric} in the last hour${near === undefined ? '' : `; did you mean ${near}?`}`
}
