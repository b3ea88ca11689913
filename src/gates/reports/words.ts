import type { GateVerdict } from '../../contract/gate-report.ts'

const WORDS: Readonly<Record<GateVerdict, string>> = {
  pass: 'pass',
  fail: 'FAIL',
  insufficient: 'not enough data',
  error: 'ERROR',
  waiting: 'waits for a person',
}

/** A verdict as people read it. */
export function verdictText(verdict: GateVerdict): string {
  return WORDS[verdict]
}
