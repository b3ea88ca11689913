/** What the sections of the bench of operations share. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { measureLoad } from '../load.ts'
import { requestBody } from '../models.ts'
import { launch, slipwayServing } from '../servers.ts'
import type { Load, LoadOptions } from '../load.ts'
import type { Encoding, ModelName, RequestBody } from '../models.ts'
import type { RunningServer } from '../servers.ts'
import type { Figure } from './figures.ts'

export interface OperationsBench {
  readonly rounds: number
  /** Length of one closed-loop load; other lengths are multiples of it. */
  readonly seconds: number
  readonly models: string
  readonly packed: string
  readonly scratch: string
}

/** What is measured together. */
export interface Part {
  readonly ids: readonly string[]
  measure(bench: OperationsBench): Promise<Figure[]>
}

export const CONNECTIONS = 32
const WARM_UP_SECONDS = 3
const ADMIN_TOKEN = 'bench-of-operations'

export function note(text: string): void {
  console.error(text)
}

/** A server of the yardsticks' models, or of other sources; it ends with the scope. */
export async function serve(
  bench: OperationsBench,
  model: ModelName,
  env: Readonly<Record<string, string>> = {},
  sources: readonly string[] = [`${model}=${join(bench.models, `${model}.onnx`)}`],
): Promise<RunningServer> {
  // No load balancer has to notice that it ends.
  const all = { SLIPWAY_ADMIN_TOKEN: ADMIN_TOKEN, SLIPWAY_SHUTDOWN_PAUSE_MS: '0', ...env }
  return launch(slipwayServing(bench.packed, sources, all), { model, body: await readFile(join(bench.models, `${model}.json`)) })
}

export function bodyOf(bench: OperationsBench, model: ModelName, encoding: Encoding): Promise<RequestBody> {
  return requestBody(bench.models, model, encoding, bench.scratch)
}

/** Closed-loop load on a model. */
export function closedLoop(
  bench: OperationsBench,
  server: RunningServer,
  load: Pick<LoadOptions, 'body'> & { readonly model: ModelName } & Partial<LoadOptions>,
): Promise<Load> {
  const { scratch, seconds } = bench
  return measureLoad({ url: server.url(load.model), pid: server.pid, connections: CONNECTIONS, seconds, scratch, ...load })
}

/** The first load of a server, which is not counted. */
export async function warmUp(
  bench: OperationsBench,
  server: RunningServer,
  load: Pick<LoadOptions, 'body'> & { readonly model: ModelName },
): Promise<void> {
  await closedLoop(bench, server, { ...load, seconds: WARM_UP_SECONDS })
}

/** A call of the routes of administration. @throws what the server says against it */
export async function administer(server: RunningServer, path: string, document: object): Promise<unknown> {
  const response = await fetch(server.origin + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(document),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`)
  return JSON.parse(text)
}

export async function scrape(server: Pick<RunningServer, 'origin'>): Promise<string> {
  const response = await fetch(`${server.origin}/metrics`)
  return response.text()
}

/** The sum of a metric over all its series whose labels contain the text. */
export function sumOf(exposition: string, name: string, label = ''): number {
  let sum = 0
  for (const line of exposition.split('\n')) {
    const match = /^(\w+)(\{.*\})? (\S+)/.exec(line)
    if (match?.[1] === name && (match[2] ?? '').includes(label)) sum += Number(match[3])
  }
  return sum
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
