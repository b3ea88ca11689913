import type { Logger } from '../core/log.ts'
import type { SlipwayError } from '../core/errors.ts'
import type { AdminCall } from '../protocol/http/exchange.ts'

/** A call of administration that has been answered, over HTTP or gRPC. */
export interface Administered {
  readonly request: { readonly method?: string | undefined; readonly url?: string | undefined }
  readonly requestId: string
  readonly status: number
  readonly error: SlipwayError | undefined
  readonly adminCall: AdminCall | undefined
}

/**
 * The record of administration: one line for each call, also for refused ones. The lines are written whatever the level
 * of the log is.
 */
export function auditLog(log: Logger): (call: Administered) => void {
  const record = log.child?.({ audit: true }, { level: 'info' }) ?? log
  return ({ request, requestId, status, error, adminCall }) => {
    const { from, wish } = adminCall ?? {}
    const fields = {
      method: request.method,
      url: request.url,
      from,
      status,
      code: error?.code,
      reason: error?.message,
      wish,
      requestId,
    }
    record.info(fields, status < 400 ? 'administration' : 'administration refused')
  }
}
