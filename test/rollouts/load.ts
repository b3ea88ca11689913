import { setTimeout as pause } from 'node:timers/promises'
import { decide } from '../following/deciding-models.ts'
import type { Verdict } from '../following/deciding-models.ts'

export interface Asked extends Verdict {
  readonly at: number
  readonly x: number
}

export interface Load extends AsyncDisposable {
  readonly asked: readonly Asked[]
}

/** Asks servers in turn, about so many times a second, until it is disposed of. */
export function load(
  urls: readonly string[],
  perSecond: number,
  { path, given }: { readonly path?: string; /** Default: a number. */ readonly given?: object } = {},
): Load {
  const ended = new AbortController()
  const asked: Asked[] = []
  const open = new Set<Promise<void>>()
  const began = performance.now()
  const running = (async () => {
    for (let count = 0; !ended.signal.aborted;) {
      const due = ((performance.now() - began) / 1000) * perSecond
      for (; count < due; count++) {
        const x = (count % 10) / 10 + 0.05
        const one = decide(urls[count % urls.length]!, x, {}, path, given ?? { x: [x] })
          .then((verdict) => void asked.push({ ...verdict, at: Date.now(), x }))
          .finally(() => open.delete(one))
        open.add(one)
      }
      await pause(20)
    }
    await Promise.all(open)
  })()
  return {
    asked,
    async [Symbol.asyncDispose]() {
      ended.abort()
      await running
    },
  }
}
