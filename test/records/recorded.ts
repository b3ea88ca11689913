import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { push } from '../api/in-plane.ts'
import { until } from '../fixtures.ts'
import { buildModel, node, value } from '../onnx/build-model.ts'
import type { PredictionRecord } from '../../src/contract/prediction-record.ts'
import type { Plane } from '../api/in-plane.ts'

/** A model of three features, of which one may not be recorded and one as a digest only: `y` is the text that it was given. */
const PACKAGE = `
name: people
features:
  - { name: name, type: string, input: text, sensitive: drop }
  - { name: mail, type: string, input: text, sensitive: hash }
  - { name: city, type: string, input: text }
`

/** Registers the model `people`, and an endpoint of it that records a share of the predictions. */
export async function people(plane: Plane, serving: object = { records: 1 }): Promise<void> {
  await plane.ask('POST', '/models', { name: 'people' })
  const model = buildModel({
    input: [value('text', 'BYTES', ['rows', 3])],
    output: [value('y', 'BYTES', ['rows', 3])],
    node: [node('Identity', ['text'], ['y'])],
  })
  const { status, body } = await push(plane, 'people', { 'model.onnx': Buffer.from(model), 'slipway.yaml': Buffer.from(PACKAGE) })
  if (status !== 201) throw new Error(JSON.stringify(body))
  await endpoint(plane, 'people', serving)
}

export async function endpoint(plane: Plane, model: string, serving: object, version = 1): Promise<void> {
  const variants = [{ model: `${model}/${version}`, serving }]
  const { status, body } = await plane.ask('PUT', `/endpoints/${model}`, {
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name: model },
    spec: { variants },
  })
  if (status > 201) throw new Error(JSON.stringify(body))
}

/** The newest records of a control plane. */
export async function recordsAt(plane: Plane, query = ''): Promise<{ items: PredictionRecord[]; total: number }> {
  const { status, body } = await plane.ask('GET', `/records?limit=1000${query}`)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return body as { items: PredictionRecord[]; total: number }
}

/** The records once there are so many. */
export async function recordsOnceThere(plane: Plane, count: number): Promise<PredictionRecord[]> {
  let items: PredictionRecord[] = []
  await until(async () => {
    ;({ items } = await recordsAt(plane))
    return items.length >= count
  }, `${count} records are there`)
  return items
}

/** Records as a server sends them, one line each. */
export function linesOf(records: readonly Partial<PredictionRecord>[]): string {
  return records.map((record) => `${JSON.stringify(recordOf(record))}\n`).join('')
}

let made = 0

export function recordOf(record: Partial<PredictionRecord>): PredictionRecord {
  return {
    id: `id-${++made}`,
    time: Date.now(),
    endpoint: 'churn',
    model: 'churn',
    version: '1',
    variant: 'main',
    assigned: 'main',
    segment: 1,
    assignment: 'only',
    rows: 1,
    inputs: { age: [41] },
    outputs: { score: [0.5] },
    durationMs: 1.5,
    weight: 1,
    ...record,
  }
}

let files = 0

/** Sends one file of records, as the server `one`. */
export async function send(
  plane: Plane,
  records: readonly Partial<PredictionRecord>[],
  { sequence = ++files, sentAt = Date.now() }: { sequence?: number; sentAt?: number } = {},
): Promise<{ kept: number; dropped: number }> {
  const path = `/servers/one/records?bootId=${'a'.repeat(16)}&sequence=${sequence}&sentAt=${sentAt}`
  const { status, body } = await plane.ask('POST', path, linesOf(records), { 'content-type': 'application/x-ndjson' })
  if (status !== 200) throw new Error(JSON.stringify(body))
  return body as { kept: number; dropped: number }
}

/** Names of the files below a folder whose bytes have a text. */
export async function filesWith(folder: string, text: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const bytes = await readFile(path).catch(() => Buffer.alloc(0))
    if (bytes.includes(text)) found.push(path)
  }
  return found
}
