import { AskError, firstOf, judged, lasting } from './answer.ts'
import { labelsSeen } from './prometheus-labels.ts'
import { selectorsOf } from './promql-selectors.ts'
import type { ResolvedCheck } from '../contract/outside-check.ts'
import type { Found } from './answer.ts'
import type { PrometheusApi } from './prometheus-api.ts'
import type { Selectors } from './promql-selectors.ts'

type Point = readonly [seconds: number, value: string]
interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly value?: Point
}
type QueryData =
  | { readonly resultType: 'vector'; readonly result: readonly Series[] }
  | { readonly resultType: 'scalar'; readonly result: Point }
  | { readonly resultType: 'matrix' | 'string' }

/** An answer of Thanos that lacks some of its stores is an error, as it is everywhere else. */
const WHOLE = { partial_response: 'false' }
/** Samples older than this are not looked for, unless the query itself reads so far back. */
const LOOK_BACK_SECONDS = 15 * 60
const STEPS = 60

/** Asks for one number, and for the age of what it was made of. @param now UTC epoch milliseconds */
export async function askQuery(api: PrometheusApi, query: string, { check, now }: { check: ResolvedCheck; now: number }): Promise<Found> {
  const data = await api.get<QueryData>('/query', { query, ...WHOLE })
  const point = pointOf(data)
  const selected = selectorsOf(query)
  if (point === undefined)
    return { verdict: 'no_data', sentence: `the query finds nothing; ${await labelsSeen(api, selected.selectors, now)}` }
  const [seconds, text] = point
  const value = valueOf(text)
  if (!Number.isFinite(value)) return { verdict: 'no_data', sentence: `the value is ${text}: ${NO_NUMBER[text] ?? 'no number'}` }
  // What stands between us and Prometheus may keep answers.
  const keptSeconds = now / 1000 - seconds
  if (keptSeconds > check.maxAgeSeconds)
    return {
      verdict: 'no_data',
      sentence: `the answer is of ${lasting(Math.round(keptSeconds))} ago by our clock; either it was kept by a cache, or the clocks differ`,
    }
  const newest = await newestSample(api, selected, seconds)
  if (newest === undefined)
    return {
      verdict: 'no_data',
      sentence: `the value is ${text}, and none of the series that it reads has had a sample for a long time; ${await labelsSeen(api, selected.selectors, now)}`,
    }
  return judged(check, { value, at: Math.round(newest * 1000), age: seconds - newest })
}

const NO_NUMBER: Readonly<Record<string, string>> = {
  NaN: 'nothing was divided by nothing, so there was probably no traffic',
  '+Inf': 'something was divided by nothing',
  '-Inf': 'something was divided by nothing',
}

function valueOf(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text)
}

/** @returns undefined for no series. @throws AskError where it is not one number */
function pointOf(data: QueryData): Point | undefined {
  if (data.resultType === 'scalar') return data.result
  if (data.resultType !== 'vector')
    throw new AskError(
      `the query gives a ${data.resultType === 'matrix' ? 'range of values' : data.resultType}, where one number was expected; use rate(), avg_over_time() or the like`,
    )
  const [first, ...others] = data.result
  if (first === undefined) return undefined
  if (others.length > 0)
    throw new AskError(
      `the query gives ${data.result.length} series, where one was expected: ${firstOf(
        data.result.map(({ metric }) => labelsOf(metric)),
        5,
      )}; add them up with sum(), or select one`,
    )
  if (first.value === undefined)
    throw new AskError('the query gives a histogram, where one number was expected; use histogram_quantile() or the like')
  return first.value
}

function labelsOf(metric: Readonly<Record<string, string>>): string {
  return `{${Object.entries(metric)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(', ')}}`
}

/**
 * When the samples that a query reads were taken, in seconds of the server's clock: an instant query itself answers with the time at
 * which it was asked, and a rate goes on for minutes after its series has ended. Of several selectors, the one that was silent longest
 * counts; those that have had nothing for long (`errors_total or vector(0)`) do not, as long as another has.
 * @returns undefined where none of them has had a sample; the moment of asking for a query that reads no series
 */
async function newestSample(api: PrometheusApi, { selectors, rangeSeconds }: Selectors, seconds: number): Promise<number | undefined> {
  if (selectors.length === 0) return seconds
  const back = LOOK_BACK_SECONDS + Math.ceil(rangeSeconds)
  const step = Math.ceil(back / STEPS)
  const each = selectors.map(({ text }, index) => {
    // Now; within the last minute, to the second; before.
    const newest = ['timestamp(S)', 'max_over_time(timestamp(S)[60s:1s])', `max_over_time(timestamp(S)[${back}s:${step}s])`]
      .map((times) => `max(${times.replace('S', () => text)})`)
      .join(' or ')
    return `label_replace(${newest}, "selector", "${index}", "", "")`
  })
  const data = await api.get<QueryData>('/query', { query: each.join(' or '), time: String(seconds), ...WHOLE })
  const times = data.resultType === 'vector' ? data.result.flatMap(({ value }) => (value === undefined ? [] : [Number(value[1])])) : []
  return times.length === 0 ? undefined : Math.min(...times)
}
