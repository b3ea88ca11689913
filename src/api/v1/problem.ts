import { ERROR_WORDS } from '../../core/error-words.ts'
import type { ProblemAnswer } from '../../contract/registry-api.ts'
import type { SlipwayError } from '../../core/errors.ts'

/** An error as problem details (RFC 9457). Internal errors give no details. */
export function problemOf(error: SlipwayError): ProblemAnswer {
  const { code, kind, message, issues } = error
  return {
    type: `urn:slipway:error:${code}`,
    title: ERROR_WORDS[code].meaning,
    status: kind.http,
    detail: code === 'SLW_INTERNAL' ? 'a fault in slipway; the log of the control plane has more' : message,
    code,
    hint: ERROR_WORDS[code].cure,
    ...(issues !== undefined && { issues: [...issues] }),
  }
}
