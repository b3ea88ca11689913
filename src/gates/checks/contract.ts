import { resultOf } from '../result.ts'
import type { SignatureDiff } from '../../contract/compatibility.ts'
import type { GateResult } from '../../contract/gate-report.ts'

/** Whether clients of the champion are understood by the candidate. */
export function judgeContract({ compatibility, changes }: SignatureDiff, champion: string): GateResult {
  const breaks = changes.filter(({ effect }) => effect === 'breaking').map(({ message }) => message)
  const numbers = { changes: changes.length, breaking: breaks.length }
  const found = {
    compatible: { verdict: 'pass', sentence: `takes and gives what ${champion} does` },
    additive: { verdict: 'pass', sentence: `clients of ${champion} are understood, and it can do more` },
    breaking: { verdict: 'fail', sentence: `would break clients of ${champion}: ${breaks.join('; ')}` },
    unknown: { verdict: 'insufficient', sentence: `what ${champion} or this version takes and gives is not known` },
  } as const
  return resultOf('contract', {}, 'contract', { ...found[compatibility], numbers })
}
