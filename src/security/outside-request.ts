import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { lookupOutside, requireOutsideUrl } from './outside-address.ts'
import type { IncomingMessage } from 'node:http'

export interface OutsideRequest {
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly timeoutMs: number
  /** Whether addresses of this machine and its network may be asked. */
  readonly allowInside: boolean
  /** Aborts the request. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Asks a URL that a caller has named. Its address is checked when it is connected to; a redirection is an answer like any other,
 * and is not followed. The body of the answer is still to be read.
 * @throws SLW_INPUT_INVALID, SLW_FORBIDDEN as `requireOutsideUrl`; what the connection throws
 */
export async function askOutside(
  text: string,
  { method, headers = {}, body, timeoutMs, allowInside, signal }: OutsideRequest,
): Promise<IncomingMessage> {
  const url = requireOutsideUrl(text, allowInside)
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }) },
      // No connection is kept: the next one is to be looked up, and checked, anew.
      agent: false,
      ...(signal !== undefined && { signal }),
      ...(!allowInside && { lookup: lookupOutside }),
    })
    // Ends the request after so long a silence, however long the answer takes in all.
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    outgoing.once('error', reject)
    outgoing.once('response', resolve)
    outgoing.end(body)
  })
}
