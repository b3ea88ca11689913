import { ERRORS, SlipwayError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { ProblemAnswer } from './registry-api.ts'

/** An answer of a control plane that is no success. */
export interface Refusal {
  readonly status: number
  readonly text: string
  /** The header of that name: seconds. */
  readonly retryAfter?: string | null | undefined
}

/** How much of an answer that is none of ours is worth repeating. */
const REPEATED_CHARACTERS = 200

/**
 * The error that a control plane told, as if it had happened here: under its own code, and so with its exit code; SLW_UNREACHABLE where
 * somebody else answers. @param url for the message
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
  // A proxy may take less than the control plane does.
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
    // Somebody else is there, or a proxy.
    return {}
  }
}
