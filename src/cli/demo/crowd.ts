import { Agent, request as httpRequest } from 'node:http'

/** Clients that send requests without a pause until they are stopped, or the server closes their connections. */
export class Crowd {
  readonly #stopped = new AbortController()
  readonly #clients: Promise<void>[]
  readonly statuses = new Map<number, number>()
  readonly versions = new Map<string, number>()
  readonly #started = performance.now()

  constructor(server: { readonly url: string }, body: string, clients: number) {
    const agent = new Agent({ keepAlive: true, maxSockets: clients })
    this.#clients = Array.from({ length: clients }, async () => {
      while (!this.#stopped.signal.aborted) {
        const { status, version, closes } = await shoot(agent, `${server.url}/predict`, body)
        count(this.statuses, status)
        if (version !== undefined) count(this.versions, version)
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

function shoot(agent: Agent, url: string, body: string): Promise<{ status: number; version: string | undefined; closes: boolean }> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const request = httpRequest(url, { method: 'POST', agent, headers }, (response) => {
      const version = response.headers['slipway-version']
      response.resume()
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          version: typeof version === 'string' ? version : undefined,
          closes: response.headers.connection === 'close',
        }),
      )
    })
    request.once('error', () => resolve({ status: 0, version: undefined, closes: true }))
    request.end(body)
  })
}
