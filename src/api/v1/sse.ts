import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { V1Call } from './route.ts'

/** One message of a stream (HTML, section 9.2, server-sent events). */
export interface Message {
  readonly id: number
  readonly event: string
  readonly data: unknown
}

/** So that proxies do not take a quiet stream for a dead one. */
const BEAT_MS = 15_000

/**
 * Answers with a stream of messages for as long as the client listens and we are there. It is written at the pace at which it is read.
 * @param next the messages after an id, waiting for them up to the signal; none when the signal has come
 */
export async function sendEvents(
  {
    call,
    reply,
    from,
    ended,
  }: { call: Pick<V1Call<unknown>, 'request' | 'stillMay'>; reply: FastifyReply; from: number; ended: AbortSignal },
  next: (after: number, signal: AbortSignal) => Promise<{ readonly messages: readonly Message[]; readonly upTo: number }>,
): Promise<void> {
  const gone = new AbortController()
  call.request.raw.socket.once('close', () => gone.abort())
  const over = AbortSignal.any([gone.signal, ended])
  async function* lines(): AsyncGenerator<string> {
    yield `retry: 1000\n: follows ${from}\n\n`
    for (let after = from; !over.aborted;) {
      const { messages, upTo } = await next(after, AbortSignal.any([over, AbortSignal.timeout(BEAT_MS)]))
      // A key may have been revoked meanwhile.
      if (!(await call.stillMay())) return
      for (const { id, event, data } of messages) yield `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
      if (messages.length === 0) yield ':\n\n'
      after = upTo
    }
  }
  await reply
    // Kept for another request, it would keep a server from ending.
    .header('connection', 'close')
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no')
    .type('text/event-stream')
    .send(Readable.from(lines(), { objectMode: false, highWaterMark: 64 * 1024 }))
}
