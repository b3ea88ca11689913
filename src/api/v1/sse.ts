import { Readable } from 'node:stream'
import { goneSignal } from '../gone.ts'
import type { FastifyReply } from 'fastify'
import type { V1Call } from './route.ts'

/** One message of a stream (HTML, section 9.2, server-sent events). */
export interface Message {
  readonly id: number
  readonly event: string
  readonly data: unknown
}

/** Pause between heartbeats, so that proxies do not take a quiet stream for a dead one. */
const BEAT_MS = 15_000

/**
 * Answers with a stream of messages until the client disconnects or the server ends. It is written at the pace at which it is read.
 * @param next waits for the messages after an id until the signal is aborted; none if it was aborted
 */
export async function sendEvents(
  {
    call,
    reply,
    from,
    ended,
  }: { call: Pick<V1Call<unknown>, 'request' | 'stillMay'>; reply: FastifyReply; from: number; ended: AbortSignal },
  next: (
    after: number,
    signal: AbortSignal,
  ) => Promise<{ readonly messages: readonly Message[]; readonly upTo: number; readonly quiet?: boolean }>,
): Promise<void> {
  const over = AbortSignal.any([goneSignal(call.request), ended])
  async function* lines(): AsyncGenerator<string> {
    yield `retry: 1000\n: follows ${from}\n\n`
    for (let after = from; !over.aborted;) {
      const { messages, upTo, quiet = false } = await next(after, AbortSignal.any([over, AbortSignal.timeout(BEAT_MS)]))
      // A key may have been revoked meanwhile.
      if (!(await call.stillMay())) return
      for (const { id, event, data } of messages) yield `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
      if (messages.length === 0 && !quiet) yield ':\n\n'
      after = upTo
    }
  }
  await reply
    // A connection kept alive for another request would keep the server from ending.
    .header('connection', 'close')
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no')
    .type('text/event-stream')
    .send(Readable.from(lines(), { objectMode: false, highWaterMark: 64 * 1024 }))
}
