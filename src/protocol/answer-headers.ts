import type { Answered } from '../serving/caller.ts'

/** Warnings that a header has room for. */
const WARNINGS_MAX = 3

/**
 * Headers of an answer, over HTTP and as metadata of gRPC: which variant it is of, and the receipt of its prediction.
 * @param own those of the dialect, which names model and version in its own way
 */
export function answerHeaders(
  { context: { decision }, subject, warnings, cache, receipt }: Answered,
  own?: Record<string, string>,
): Record<string, string> {
  const headers: Record<string, string> = {
    'slipway-variant': subject.variant,
    'slipway-prediction-id': receipt(),
  }
  if (decision.assigned !== subject.variant) headers['slipway-assigned'] = decision.assigned
  if (cache !== undefined) headers['slipway-cache'] = cache
  if (warnings.length > 0)
    headers['slipway-warnings'] = warnings
      .slice(0, WARNINGS_MAX)
      .join('; ')
      .replaceAll(/[^\x20-\x7e]/g, '?')
  return own === undefined ? headers : Object.assign(headers, own)
}
