import type { Logger } from '../core/log.ts'
import type { Exchange } from '../protocol/http/exchange.ts'

/**
 * The record of administration: one line for each call, also for refused ones. The lines are written whatever the level
 * of the log is.
 */
export function auditLog(log: Logger): (exchange: Exchange) => void {
  const record = log.child?.({ audit: true }, { level: 'info' }) ?? log
  return (exchange) => {
    const { request, requestId, status, error } = exchange
    const { from, wish } = exchange.adminCall ?? {}
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
