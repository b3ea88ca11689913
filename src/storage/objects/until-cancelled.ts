import { SlipwayError } from '../../core/errors.ts'

export function cancelled(signal: AbortSignal): SlipwayError {
  return new SlipwayError('SLW_CANCELLED', 'the transfer was cancelled before its end', { cause: signal.reason })
}

/** The same stream, ended with SLW_CANCELLED when the signal is aborted, also while no bytes come. */
export async function* untilCancelled(body: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  if (signal === undefined) return yield* body
  const pieces = body[Symbol.asyncIterator]()
  let ended = false
  try {
    while (true) {
      const next = await nextPiece(pieces, signal)
      if (next.done === true) {
        ended = true
        return
      }
      yield next.value
    }
  } finally {
    // Not waited for: a stream that is in the middle of waiting ends only after that.
    if (!ended) void Promise.resolve(pieces.return?.()).catch(() => {})
  }
}

/** One listener for each piece: a promise that lives as long as the stream would collect a reaction for each. */
async function nextPiece(pieces: AsyncIterator<Uint8Array>, signal: AbortSignal): Promise<IteratorResult<Uint8Array>> {
  const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Uint8Array>>()
  const cancel = (): void => reject(cancelled(signal))
  if (signal.aborted) throw cancelled(signal)
  signal.addEventListener('abort', cancel, { once: true })
  try {
    pieces.next().then(resolve, reject)
    return await promise
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}
