import { Agent, request as httpRequest } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

export interface CrowdOptions {
  readonly clients: number
  /** What each client waits after an answer, milliseconds. Default: nothing. */
  readonly pauseMs?: number
}

/** Clients that send requests, one body after the other, until they are stopped, or the server closes their connections. */
export class Crowd {
  readonly #stopped = new AbortController()
  readonly #clients: Promise<void>[]
  readonly statuses = new Map<number, number>()
  readonly versions = new Map<string, number>()
  /** Codes of the errors of what failed. */
  readonly codes = new Map<string, number>()
  readonly #started = performance.now()

  constructor(server: { readonly url: string }, bodies: readonly string[], { clients, pauseMs = 0 }: CrowdOptions) {
    const agent = new Agent({ keepAlive: true, maxSockets: clients })
    let next = 0
    this.#clients = Array.from({ length: clients }, async () => {
      while (!this.#stopped.signal.aborted) {
        const body = bodies[next++ % bodies.length]!
        const { status, version, code, closes } = await shoot(agent, `${server.url}/predict`, body)
        if (pauseMs > 0) await pause(pauseMs)
        count(this.statuses, status)
        if (version !== undefined) count(this.versions, version)
        if (code !== undefined) count(this.codes, code)
        // The server closes the connection: for the next one, a load balancer would choose another server.
        if (closes) return
      }
    })
    void Promise.all(this.#clients).finally(() => agent.destroy())
  }

  get requests(): number {
    return [...this.statuses.values()].reduce((sum, value) => sum + value, 0)
  }

  /** Requests that were not answered, or not with 200. */
  get failed(): number {
    return this.requests - (this.statuses.get(200) ?? 0)
  }

  get perSecond(): number {
    return Math.round(this.requests / ((performance.now() - this.#started) / 1000))
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.all(this.#clients)
  }

  async left(): Promise<void> {
    await Promise.all(this.#clients)
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

interface Shot {
  readonly status: number
  readonly version: string | undefined
  readonly code: string | undefined
  readonly closes: boolean
}

function shoot(agent: Agent, url: string, body: string): Promise<Shot> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const request = httpRequest(url, { method: 'POST', agent, headers }, (response) => {
      const version = response.headers['slipway-version']
      const status = response.statusCode ?? 0
      let said = ''
      response.on('data', (chunk: Buffer) => (said += status === 200 ? '' : chunk.toString()))
      response.once('end', () =>
        resolve({
          status,
          version: typeof version === 'string' ? version : undefined,
          code: /"code":"(\w+)"/.exec(said)?.[1],
          closes: response.headers.connection === 'close',
        }),
      )
    })
    request.once('error', () => resolve({ status: 0, version: undefined, code: undefined, closes: true }))
    request.end(body)
  })
}
