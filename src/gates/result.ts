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
    name: shortened(name ?? usualName, NAME_MAX),
    check,
    verdict,
    severity,
    sentence: shortened(sentence, SENTENCE_MAX),
    ...(dataset !== undefined && { dataset }),
    numbers,
    ...(parts !== undefined && { parts }),
    ...(failing.length > 0 && { failing: failing.slice(0, TOLD_MAX).map((row) => shortened(row, NAME_MAX)) }),
  }
}

const SENTENCE_MAX = 2000
const NAME_MAX = 300

/** Values of others may be long, and a report is read. */
export function shortened(text: string, charactersMax: number): string {
  return text.length > charactersMax ? `${text.slice(0, charactersMax - 3)}...` : text
}

export function tooFew(count: number, needed: number, { dataset }: Pick<Sample, 'dataset'>): Found {
  return { verdict: 'insufficient', sentence: `${rowsText(count)}, and ${needed} are needed`, numbers: { rows: count }, dataset }
}

const ORDER: readonly GateVerdict[] = ['fail', 'error', 'insufficient', 'waiting', 'pass']

/** The verdict of several parts: one that fails decides, and none is passed over. */
export function worst(verdicts: readonly GateVerdict[]): GateVerdict {
  return ORDER.find((verdict) => verdicts.includes(verdict)) ?? 'insufficient'
}
