import { TOLD_MAX } from './sample.ts'
import { rowsText } from './words.ts'
import type { GatePart, GateResult, GateVerdict } from '../contract/gate-report.ts'
import type { Sample } from './sample.ts'

export const MINIMUM_SAMPLE = 30

/** What every check of a gates document may say. */
export interface Asked {
  readonly name?: string
  readonly severity?: GateResult['severity']
}

/** What a check has found. */
export interface Found {
  readonly verdict: GateVerdict
  readonly sentence: string
  readonly numbers?: Record<string, number>
  readonly parts?: GatePart[] | undefined
  /** Names of rows; the first of them are told. */
  readonly failing?: readonly string[] | undefined
  readonly dataset?: string | undefined
}

export function resultOf(check: string, { name, severity = 'error' }: Asked, usualName: string, found: Found): GateResult {
  const { verdict, sentence, numbers = {}, parts, failing = [], dataset } = found
  return {
    name: name ?? usualName,
    check,
    verdict,
    severity,
    sentence: shortened(sentence),
    ...(dataset !== undefined && { dataset }),
    numbers,
    ...(parts !== undefined && { parts }),
    ...(failing.length > 0 && { failing: failing.slice(0, TOLD_MAX) }),
  }
}

const SENTENCE_MAX = 2000

function shortened(sentence: string): string {
  return sentence.length > SENTENCE_MAX ? `${sentence.slice(0, SENTENCE_MAX - 3)}...` : sentence
}

export function tooFew(count: number, needed: number, { dataset }: Pick<Sample, 'dataset'>): Found {
  return { verdict: 'insufficient', sentence: `${rowsText(count)}, and ${needed} are needed`, numbers: { rows: count }, dataset }
}

const ORDER: readonly GateVerdict[] = ['fail', 'error', 'insufficient', 'waiting', 'pass']

/** The verdict of several parts: one that fails decides, and none is passed over. */
export function worst(verdicts: readonly GateVerdict[]): GateVerdict {
  return ORDER.find((verdict) => verdicts.includes(verdict)) ?? 'insufficient'
}
