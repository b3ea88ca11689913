import { fulfils } from '../contract/outside-check.ts'
import type { ResolvedCheck, Threshold } from '../contract/outside-check.ts'

/** What came of a check. Only `pass` and `fail` decide. */
export interface CheckAnswer {
  /** `no_data`: nothing that could decide was seen. `error`: it could not be asked. */
  readonly verdict: 'pass' | 'fail' | 'no_data' | 'error'
  /** What was seen, where it is a finite number. */
  readonly value?: number
  /** When it was seen: the newest sample, or the state of the alarm. UTC epoch milliseconds. */
  readonly at?: number
  /** Seconds between that and the question. Undefined where nothing was seen, and of a state that holds until it changes. */
  readonly age?: number
  /** For people: what was seen, what was expected, what to do. */
  readonly sentence: string
  /** What was asked, with all places filled in. */
  readonly query: string
}

/** Where and how a check is asked. */
export interface AskOptions {
  /** Ends the question; it then throws. */
  readonly signal: AbortSignal
  /** UTC epoch milliseconds. */
  readonly now: number
  /** Whether Prometheus may be at an address of this machine or its network. */
  readonly allowInside: boolean
  /** For AWS_ENDPOINT_URL. Default: that of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/** An answer to which the query is still to be added. */
export type Found = Omit<CheckAnswer, 'query'>

/** Why a check could not be asked: becomes an answer. */
export class AskError extends Error {}

/** A finite number and when it was measured. */
export interface Sample {
  readonly value: number
  /** UTC epoch milliseconds. */
  readonly at: number
  /** Seconds between that and the question. */
  readonly age: number
}

/** Judges a value, which is too old for it or not. */
export function judged({ failWhen, passWhen, maxAgeSeconds }: ResolvedCheck, { value, at, age: exact }: Sample): Found {
  const age = Math.max(0, Math.ceil(exact * 10) / 10)
  const seen = { value, at, age }
  const read = `the value is ${said(value)}`
  if (exact > maxAgeSeconds)
    return { verdict: 'no_data', ...seen, sentence: `${read}, and ${lasting(age)} old, where at most ${lasting(maxAgeSeconds)} count` }
  if (failWhen !== undefined && fulfils(value, failWhen))
    return { verdict: 'fail', ...seen, sentence: `${read}, which is ${words(failWhen)} and so bad (${lasting(age)} old)` }
  if (passWhen === undefined || fulfils(value, passWhen))
    return {
      verdict: 'pass',
      ...seen,
      sentence: `${read}, which is ${passWhen === undefined ? `not ${words(failWhen!)}` : words(passWhen)} (${lasting(age)} old)`,
    }
  return {
    verdict: 'no_data',
    ...seen,
    sentence: `${read}, which is neither ${words(failWhen!)} nor ${words(passWhen)}: that decides nothing`,
  }
}

function words({ comparison, limit }: Threshold): string {
  return `${comparison} ${said(limit)}`
}

function said(value: number): string {
  return String(Number(value.toPrecision(6)))
}

/** A span of seconds, for people. */
export function lasting(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
}

/** The first of some names, and how many more there are. */
export function firstOf(list: readonly string[], most = 20): string {
  const rest = list.length - most
  return list.slice(0, most).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}
