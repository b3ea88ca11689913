/** Gates that need no metric: that every row is answered, and that a person agrees. */
import { resultOf } from '../result.ts'
import { rowsText } from '../words.ts'
import type { GateResult } from '../../contract/gate-report.ts'

/** Rows of a dataset that the model has refused. */
export interface Refusals {
  readonly dataset: string
  readonly rows: number
  /** `line 7: tenure_months: -3 is outside 0 to 72 months`. */
  readonly refused: readonly string[]
}

export function judgeRows({ dataset, rows, refused }: Refusals): GateResult {
  const numbers = { rows, refused: refused.length }
  const name = `every row of ${dataset} is answered`
  if (refused.length === 0) return resultOf('rows', {}, name, { verdict: 'pass', sentence: `${rowsText(rows)} answered`, numbers, dataset })
  return resultOf('rows', {}, name, {
    verdict: 'fail',
    sentence: `the model refuses ${refused.length} of ${rowsText(rows)}; ${refused[0]}`,
    numbers,
    failing: refused,
    dataset,
  })
}

/** That a server would take the model. @param failure why it would not */
export function judgeLoad(failure: string | undefined): GateResult {
  const sentence = failure === undefined ? 'loads and answers' : `cannot be served: ${failure}`
  return resultOf('load', {}, 'model', { verdict: failure === undefined ? 'pass' : 'fail', sentence })
}

/** That the golden examples are answered as expected. @param examples how many there are */
export function judgeGolden(examples: number, failure: string | undefined): GateResult {
  const result = (verdict: GateResult['verdict'], sentence: string): GateResult =>
    resultOf('golden', {}, 'golden examples', { verdict, sentence, numbers: { examples } })
  if (failure !== undefined) return result('fail', failure)
  if (examples === 0) return result('insufficient', 'the package has no golden examples: add some under golden in slipway.yaml')
  return result('pass', `${examples} answered as expected`)
}

/** Approval of a version, and who may give it. */
export interface Approving {
  /** `churn/3`; undefined for what is not registered, which nobody can approve. */
  readonly version: string | undefined
  readonly state: string
  readonly by?: string | undefined
  /** Who has registered it, where the policy asks for a second person. */
  readonly notBy?: string | undefined
  /** Checks that warn, which is why a person has to look. */
  readonly warnings: readonly string[]
}

/** A person has to agree: as somebody asks for it, or because of warnings. */
export function judgeApproval({ version, state, by, notBy, warnings }: Approving): GateResult {
  const because = warnings.length === 0 ? '' : `, as these warn: ${warnings.join(', ')}`
  const found = (verdict: GateResult['verdict'], sentence: string): GateResult =>
    resultOf('approval', {}, 'approval', { verdict, sentence })
  if (state === 'approved') return found('pass', `approved${by === undefined ? '' : ` by ${by}`}`)
  if (state === 'rejected') return found('fail', `rejected${by === undefined ? '' : ` by ${by}`}`)
  if (version === undefined) return found('waiting', `waits for a person${because}: register it with slipway model push, then approve it`)
  const who = `somebody with the scope protect (operator, admin)${notBy === undefined ? '' : ` who is not "${notBy}", who brought it`}`
  return found('waiting', `waits for ${who}${because}: slipway model approve ${version}`)
}
