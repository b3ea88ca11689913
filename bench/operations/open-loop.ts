/**
 * Open-loop load: requests start on a schedule, whatever the answers do, and their time counts from the moment they should
 * have started, so that a server that stalls cannot hide its queue. Runs as a process of its own.
 *
 *     node open-loop.ts URL BODY_FILE HEADERS_JSON RATE SECONDS OUT_FILE
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { start } from '../children.ts'
import type { RequestBody } from '../models.ts'

/** One request: when it was due (epoch milliseconds), how long until its answer was complete, and its status; 0: none. */
export interface Shot {
  readonly dueMs: number
  readonly latencyMs: number
  readonly status: number
}

export interface OpenLoopOptions {
  readonly url: string
  readonly body: RequestBody
  readonly perSecond: number
  readonly seconds: number
  /** Where the shots are written. */
  readonly file: string
}

/** Shoots from a process of its own. @returns every shot, in the order in which they were due */
export async function openLoop(options: OpenLoopOptions): Promise<Shot[]> {
  const { url, body, perSecond, seconds, file } = options
  const child = start(
    process.execPath,
    [import.meta.filename, url, body.file, JSON.stringify(body.headers), String(perSecond), String(seconds), file],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`the load generator ended with ${code}`)
  const numbers = new Float64Array(new Uint8Array(readFileSync(file)).buffer)
  const shots: Shot[] = []
  for (let at = 0; at < numbers.length; at += 3) shots.push({ dueMs: numbers[at]!, latencyMs: numbers[at + 1]!, status: numbers[at + 2]! })
  return shots
}

async function shoot(
  url: string,
  body: Buffer,
  headers: Record<string, string>,
  plan: { perSecond: number; seconds: number },
): Promise<Float64Array> {
  const agent = new Agent({ keepAlive: true, maxSockets: 2000 })
  const target = new URL(url)
  const total = Math.floor(plan.perSecond * plan.seconds)
  const shots = new Float64Array(total * 3)
  const epoch = Date.now() - performance.now()
  const started = performance.now() + 100
  let open = total
  const { promise, resolve } = Promise.withResolvers<void>()
  const one = (index: number, dueAt: number): void => {
    const end = (status: number): void => {
      shots[index * 3] = epoch + dueAt
      shots[index * 3 + 1] = performance.now() - dueAt
      shots[index * 3 + 2] = status
      if (--open === 0) resolve()
    }
    const sent = request(target, { method: 'POST', agent, headers: { ...headers, 'Content-Length': body.length } }, (response) => {
      response.resume()
      response.once('end', () => end(response.statusCode ?? 0))
    })
    sent.once('error', () => end(0))
    sent.end(body)
  }
  let next = 0
  const tick = (): void => {
    const now = performance.now()
    while (next < total) {
      const dueAt = started + (next * 1000) / plan.perSecond
      if (dueAt > now) break
      one(next++, dueAt)
    }
    if (next < total) setTimeout(tick, 1)
  }
  tick()
  await promise
  agent.destroy()
  return shots
}

if (import.meta.main) {
  const [url = '', bodyFile = '', headers = '{}', perSecond, seconds, file = ''] = process.argv.slice(2)
  const shots = await shoot(url, readFileSync(bodyFile), JSON.parse(headers) as Record<string, string>, {
    perSecond: Number(perSecond),
    seconds: Number(seconds),
  })
  writeFileSync(file, new Uint8Array(shots.buffer))
}
