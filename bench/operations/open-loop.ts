/**
 * Open-loop load: requests start on a schedule, whatever the answers do, and their time counts from the moment they should
 * have started, so that a server that stalls cannot hide its queue. Runs as a process of its own, over bare sockets: a request
 * is one buffer made beforehand, so that several times the capacity of a server can be sent from the machine it runs on.
 *
 *     node open-loop.ts PLAN_JSON
 */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { start } from '../children.ts'
import { requestBytes } from './raw-request.ts'
import type { Socket } from 'node:net'
import type { RequestBody } from '../models.ts'

/** One request: when it was due (epoch milliseconds), how late it was sent, how long from due until its answer was complete, and its status; 0: none. */
export interface Shot {
  readonly dueMs: number
  /** The generator's own lateness. Part of `latencyMs`. */
  readonly lateMs: number
  readonly latencyMs: number
  readonly status: number
}

export interface Volley {
  /** In the order in which they were due. */
  readonly shots: readonly Shot[]
  /** CPU time of the generator. */
  readonly cpuMs: number
}

export interface OpenLoopOptions {
  readonly url: string
  readonly body: RequestBody
  readonly perSecond: number
  readonly seconds: number
  /**
   * Opened before the load begins: hundreds of new ones at once overflow the kernel's queue of those to be accepted, and then
   * it is the kernel that answers.
   */
  readonly ahead: number
  /** Most connections. A request that finds none free opens another, or at the limit waits for one and is late. */
  readonly connections: number
  /** Where the shots are written. */
  readonly file: string
}

const NUMBERS_PER_SHOT = 4
const OPENED_AT_ONCE = 64
/** How long after the last request was due its answer is waited for. */
const PATIENCE_MS = 40_000

/** Shoots from a process of its own. */
export async function openLoop(options: OpenLoopOptions): Promise<Volley> {
  const child = start(process.execPath, [import.meta.filename, JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit'] })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`the load generator ended with ${code}`)
  const [cpuMs = 0, ...numbers] = new Float64Array(new Uint8Array(readFileSync(options.file)).buffer)
  const shots: Shot[] = []
  for (let at = 0; at < numbers.length; at += NUMBERS_PER_SHOT) {
    const [dueMs = 0, lateMs = 0, latencyMs = 0, status = 0] = numbers.slice(at, at + NUMBERS_PER_SHOT)
    shots.push({ dueMs, lateMs, latencyMs, status })
  }
  return { shots, cpuMs }
}

/** A connection and the answer that is coming in on it. */
interface Line {
  readonly socket: Socket
  end: ((status: number) => void) | undefined
  head: string
  status: number
  /** Bytes of the body that are still to come. */
  missing: number
  closing: boolean
}

class Lines {
  readonly #target: URL
  readonly #request: Buffer
  readonly #limit: number
  readonly #free: Line[] = []
  readonly #waiting: (() => void)[] = []
  readonly #all = new Set<Line>()
  /** What went wrong, and how often. */
  readonly troubles: Record<string, number> = {}

  constructor(target: URL, request: Buffer, limit: number) {
    this.#target = target
    this.#request = request
    this.#limit = limit
  }

  /** Sends one request as soon as a connection is free. `sent` is called when it is handed to the kernel. */
  shoot(sent: () => void, end: (status: number) => void): void {
    const line = this.#free.pop() ?? (this.#all.size < this.#limit ? this.#open() : undefined)
    if (line === undefined) {
      this.#waiting.push(() => this.shoot(sent, end))
      return
    }
    sent()
    line.end = end
    line.socket.write(this.#request)
  }

  /** Opens connections, a few at a time. */
  async openAhead(count: number): Promise<void> {
    while (this.#free.length < count) {
      const lines = Array.from({ length: Math.min(OPENED_AT_ONCE, count - this.#free.length) }, () => this.#open())
      await Promise.all(lines.map((line) => once(line.socket, 'connect')))
      this.#free.push(...lines)
    }
  }

  #open(): Line {
    const socket = connect({ host: this.#target.hostname, port: Number(this.#target.port), noDelay: true })
    const line: Line = { socket, end: undefined, head: '', status: 0, missing: -1, closing: false }
    this.#all.add(line)
    socket.on('data', (chunk: Buffer) => this.#read(line, chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => this.#count(error.code ?? error.message))
    socket.on('close', () => {
      this.#all.delete(line)
      if (line.end !== undefined) this.#count('closed without an answer')
      const at = this.#free.indexOf(line)
      if (at !== -1) this.#free.splice(at, 1)
      this.#finish(line, 0)
    })
    return line
  }

  #read(line: Line, chunk: Buffer): void {
    if (line.missing >= 0) {
      line.missing -= chunk.length
    } else {
      line.head += chunk.toString('latin1')
      const end = line.head.indexOf('\r\n\r\n')
      if (end === -1) return
      const head = line.head.slice(0, end)
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
      if (length === undefined) throw new Error(`expected an answer with content-length, got:\n${head}`)
      line.status = Number(head.slice(9, 12))
      line.closing = /\r\nconnection: *close/i.test(head)
      line.missing = Number(length) - (line.head.length - end - 4)
    }
    if (line.missing <= 0) this.#finish(line, line.status)
  }

  #finish(line: Line, status: number): void {
    const { end } = line
    line.end = undefined
    line.head = ''
    line.missing = -1
    if (!this.#all.has(line)) {
      // Its place is free for another.
    } else if (line.closing) {
      this.#all.delete(line)
      line.socket.destroy()
    } else {
      this.#free.push(line)
    }
    end?.(status)
    this.#waiting.shift()?.()
  }

  #count(trouble: string): void {
    this.troubles[trouble] = (this.troubles[trouble] ?? 0) + 1
  }

  close(): void {
    for (const { socket } of this.#all) socket.destroy()
  }
}

async function shoot(plan: OpenLoopOptions): Promise<Float64Array> {
  const { url, body, perSecond, seconds, ahead, connections } = plan
  const lines = new Lines(new URL(url), requestBytes(url, body.headers, readFileSync(body.file)), connections)
  await lines.openAhead(ahead)
  const total = Math.floor(perSecond * seconds)
  const shots = new Float64Array(1 + total * NUMBERS_PER_SHOT)
  const epoch = Date.now() - performance.now()
  const started = performance.now() + 100
  const { promise, resolve } = Promise.withResolvers<void>()
  let open = total
  const one = (index: number, dueAt: number): void => {
    const at = 1 + index * NUMBERS_PER_SHOT
    shots[at] = epoch + dueAt
    const sent = (): void => void (shots[at + 1] = performance.now() - dueAt)
    lines.shoot(sent, (status) => {
      shots[at + 2] = performance.now() - dueAt
      shots[at + 3] = status
      if (--open === 0) resolve()
    })
  }
  let next = 0
  const tick = (): void => {
    const now = performance.now()
    while (next < total) {
      const dueAt = started + (next * 1000) / perSecond
      if (dueAt > now) break
      one(next++, dueAt)
    }
    if (next < total) setTimeout(tick, 1)
    // What has no answer by then keeps status 0.
    else setTimeout(resolve, PATIENCE_MS).unref()
  }
  const before = process.cpuUsage()
  tick()
  await promise
  const { user, system } = process.cpuUsage(before)
  shots[0] = (user + system) / 1000
  if (open > 0) console.error(`load generator: ${open} requests have no answer ${PATIENCE_MS / 1000} s after the last was due`)
  if (Object.keys(lines.troubles).length > 0) console.error(`load generator: ${JSON.stringify(lines.troubles)}`)
  lines.close()
  return shots
}

if (import.meta.main) {
  const plan = JSON.parse(process.argv[2] ?? '{}') as OpenLoopOptions
  writeFileSync(plan.file, new Uint8Array((await shoot(plan)).buffer))
}
