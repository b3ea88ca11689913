import type { ErrorCode } from '../core/errors.ts'

const OF_THE_FILES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'SLW_MODEL_INVALID',
  'SLW_MODEL_UNSAFE',
  'SLW_MODEL_UNSUPPORTED',
  'SLW_PACKAGE_INVALID',
  'SLW_GOLDEN_FAILED',
  'SLW_LOAD_FAILED',
])

/** Whether a load will fail again until its files change; anything else (memory, a process that was killed) may pass. */
export function filesAreToBlame(code: ErrorCode): boolean {
  return OF_THE_FILES.has(code)
}
