import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { Histogram, LATENCY_EDGES, quantile } from '../../contract/statistics/histogram.ts'
import { authorization } from './server-client.ts'
import type { HistogramData } from '../../contract/statistics/histogram.ts'

/** Sends one request. @returns undefined when it was answered with success, else the kind of failure, such as `HTTP 429` */
export type Shot = () => Promise<string | undefined>

/** A target to send requests to, until it is disposed. */
export interface Aim extends AsyncDisposable {
  readonly shoot: Shot
}

/** Result of one measurement. */
export interface LoadResult {
  readonly mode: string
  /** Concurrent clients; in the open loop the largest number of requests in flight. */
  readonly connections: number
  /** Answers of any status, errors included. */
  readonly requestsPerSecond: number
  readonly errors: number
  /** Errors by kind, such as `HTTP 429` or `ECONNRESET`. */
  readonly failures: Readonly<Record<string, number>>
  readonly p50Ms: number
  readonly p90Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** All latencies in seconds, so that several measurements can be put together. */
  readonly latency: HistogramData
}

/** Latencies and errors of one measurement. */
class Tally {
  readonly #latency = new Histogram(LATENCY_EDGES)
  #maxMs = 0
  readonly #failures = new Map<string, number>()

  add(ms: number, failure: string | undefined): void {
    this.#latency.observe(ms / 1000)
    this.#maxMs = Math.max(this.#maxMs, ms)
    if (failure !== undefined) this.#failures.set(failure, (this.#failures.get(failure) ?? 0) + 1)
  }

  result(mode: string, connections: number, seconds: number): LoadResult {
    const data = this.#latency.snapshot()
    const at = (q: number): number => Math.min(this.#maxMs, quantile(data, q) * 1000)
    return {
      mode,
      connections,
      requestsPerSecond: data.count / seconds,
      errors: [...this.#failures.values()].reduce((sum, count) => sum + count, 0),
      failures: Object.fromEntries(this.#failures),
      p50Ms: at(0.5),
      p90Ms: at(0.9),
      p99Ms: at(0.99),
      maxMs: this.#maxMs,
      latency: data,
    }
  }
}

/**
 * Each client sends its next request when the last is answered.
 * @param signal ends the measurement early: requests in flight are waited for, no new ones are sent
 */
export async function closedLoop(shoot: Shot, connections: number, seconds: number, signal?: AbortSignal): Promise<LoadResult> {
  const tally = new Tally()
  const started = performance.now()
  const end = started + seconds * 1000
  const over = (): boolean => performance.now() >= end || signal?.aborted === true
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (!over()) {
        const shotAt = performance.now()
        const failure = await shoot()
        tally.add(performance.now() - shotAt, failure)
      }
    }),
  )
  return tally.result('closed', connections, (performance.now() - started) / 1000)
}

export interface SteadyLoad {
  readonly connections: number
  /** Time under load before the measured window. */
  readonly settleSeconds: number
  /** Least length of the measured window; extended until there are as many answers as clients. */
  readonly seconds: number
  readonly signal: AbortSignal
}

/**
 * A closed loop of which only a window in the middle counts, without the start, when all clients send at once, and the end,
 * when few requests are left. Both flatter short measurements of many clients.
 */
export async function steadyLoop(shoot: Shot, { connections, settleSeconds, seconds, signal }: SteadyLoad): Promise<LoadResult> {
  const tally = new Tally()
  const from = performance.now() + settleSeconds * 1000
  const least = from + seconds * 1000
  let answers = 0
  let endedAt: number | undefined
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (endedAt === undefined && !signal.aborted) {
        const shotAt = performance.now()
        const failure = await shoot()
        const now = performance.now()
        if (now < from || endedAt !== undefined) continue
        tally.add(now - shotAt, failure)
        answers++
        if (now >= least && answers >= connections) endedAt = now
      }
    }),
  )
  return tally.result('closed', connections, ((endedAt ?? performance.now()) - from) / 1000)
}

/** Requests start on a schedule. Latency counts from the moment a request should have started. */
export async function openLoop(shoot: Shot, rate: number, seconds: number): Promise<LoadResult> {
  const tally = new Tally()
  const total = Math.floor(rate * seconds)
  const started = performance.now()
  const pending: Promise<void>[] = []
  let most = 0
  let inFlight = 0
  for (let index = 0; index < total; index++) {
    const dueAt = started + (index * 1000) / rate
    const early = dueAt - performance.now()
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early))
    most = Math.max(most, ++inFlight)
    pending.push(
      shoot().then((failure) => {
        inFlight--
        tally.add(performance.now() - dueAt, failure)
      }),
    )
  }
  await Promise.all(pending)
  return tally.result('open', most, (performance.now() - started) / 1000)
}

export interface ServerUnderLoad {
  /** Address of the server, e.g. http://127.0.0.1:8470. */
  readonly base: string
  readonly model: string
  /** JSON of the friendly dialect. */
  readonly body: string | Uint8Array
  readonly apiKey?: string | undefined
}

/** Requests to `/models/NAME/predict` over keep-alive connections, one for each client. */
export function aimAtPredict({ base, model, body, apiKey }: ServerUnderLoad): Aim {
  const target = new URL(`${base}/models/${model}/predict`)
  const secure = target.protocol === 'https:'
  const agent = new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  const send = secure ? httpsRequest : httpRequest
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...authorization(apiKey) }
  const shoot: Shot = () =>
    new Promise((resolve) => {
      const request = send(target, { method: 'POST', agent, headers }, (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode === 200 ? undefined : `HTTP ${response.statusCode}`))
        // A server that ends in the middle of an answer.
        response.on('error', (error) => resolve(kindOf(error)))
      })
      request.on('error', (error) => resolve(kindOf(error)))
      request.end(body)
    })
  return { shoot, [Symbol.asyncDispose]: async () => agent.destroy() }
}

/** The code of an error, such as `ECONNRESET` or `SLW_OVERLOADED`, without which it is told by its message. */
export function kindOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown }
  return typeof code === 'string' ? code : String(message)
}
