import { ERRORS, SlipwayError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { ProblemAnswer } from './registry-api.ts'

/** An error answer of a control plane. */
export interface Refusal {
  readonly status: number
  readonly text: string
  /** Value of the Retry-After header: seconds. */
  readonly retryAfter?: string | null | undefined
}

/** Length of the excerpt from an answer that is not of a control plane. */
const REPEATED_CHARACTERS = 200

/**
 * The error that a control plane reported, as if it had happened here: with its own code, and so with its exit code; SLW_UNREACHABLE where
 * another server answers. @param url for the message
 */
export function errorOf(url: string, { status, text, retryAfter }: Refusal): SlipwayError {
  const { code, detail, issues } = problemIn(text)
  if (code !== undefined && Object.hasOwn(ERRORS, code)) {
    const seconds = Number(retryAfter ?? Number.NaN)
    return new SlipwayError(code as ErrorCode, detail ?? code, {
      ...(issues !== undefined && { issues }),
      ...(Number.isFinite(seconds) && { retryAfterMs: seconds * 1000 }),
    })
  }
  // A proxy may accept smaller requests than the control plane.
  if (status === 413) return new SlipwayError('SLW_BODY_TOO_LARGE', `${url} answers that the request is too large`)
  return new SlipwayError(
    'SLW_UNREACHABLE',
    `${url} answers ${status}, and not as a control plane does: ${text.slice(0, REPEATED_CHARACTERS)}`,
  )
}

function problemIn(text: string): Partial<ProblemAnswer> {
  try {
    return (JSON.parse(text) as Partial<ProblemAnswer> | null) ?? {}
  } catch {
    // Another server answers, or a proxy.
    return {}
  }
}
