import { isSlipwayError } from '../../core/errors.ts'
import { sendEvents } from './sse.ts'
import type { History } from '../../ledger/history.ts'
import type { News } from '../news.ts'
import type { V1Route } from './route.ts'

/** Services of routes that can be watched. */
export interface WatchServices {
  readonly history: History
  readonly news: News
}

export interface WatchOptions {
  /** Whether the object also changes without an event, so that it is read again every second. Default: no. */
  readonly polled?: boolean
}

const POLL_MS = 1000

/**
 * A route that reads one object, and beside it `PATH/watch`: the object as it is now, and again after each change, as server-sent events
 * named after the object; `gone` once it is not there any more.
 */
export function watched<S>(route: V1Route<S>, { polled = false }: WatchOptions = {}): readonly V1Route<S & WatchServices>[] {
  const object = route.operation.replace(/^get/, '')
  const event = object.charAt(0).toLowerCase() + object.slice(1)
  const watch: V1Route<S & WatchServices> = {
    ...route,
    path: `${route.path}/watch`,
    operation: `watch${object}`,
    summary: `${route.summary}; and again whenever that changes, as server-sent events`,
    answer: undefined,
    async handle(call, reply) {
      const { history, news } = call.services
      const from = await history.last()
      // An object that is not there at the start is told as an error, before the stream begins.
      let next: unknown = (await route.handle(call, reply)).body
      let sent: string | undefined
      await sendEvents({ call, reply, from, ended: news.ended }, async (seen, signal) => {
        if (sent === undefined) {
          sent = JSON.stringify(next)
          return { messages: [{ id: from, event, data: next }], upTo: from }
        }
        const known = await news.after(seen, polled ? AbortSignal.any([signal, AbortSignal.timeout(POLL_MS)]) : signal)
        if (known <= seen && !polled) return { messages: [], upTo: seen }
        try {
          next = (await route.handle(call, reply)).body
        } catch (error) {
          if (!isSlipwayError(error) || error.code !== 'SLW_NOT_FOUND') throw error
          next = undefined
        }
        const text = JSON.stringify(next) ?? 'gone'
        const changed = text !== sent
        sent = text
        const message = next === undefined ? { id: known, event: 'gone', data: call.params } : { id: known, event, data: next }
        return { messages: changed ? [message] : [], upTo: known, quiet: !changed && polled && !signal.aborted }
      })
      return {}
    },
  }
  return [route, watch]
}
