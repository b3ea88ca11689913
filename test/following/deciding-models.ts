import { push } from '../api/in-plane.ts'
import { buildModel, floats, node, value, weights } from '../onnx/build-model.ts'
import type { Plane } from '../api/in-plane.ts'

export interface Deciding {
  /** The class is 1 from here on. */
  readonly threshold: number
  /** The run fails from here on. Default: never. */
  readonly failsFrom?: number
  /** Whether the score is NaN. */
  readonly notNumber?: boolean
}

/** Two classes of a number between 0 and 1: `x` in, `label` and `score` out. */
export function decidingModel({ threshold, failsFrom = 2, notNumber = false }: Deciding): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', ['batch', 1])],
    output: [value('label', 'INT64', ['batch']), value('score', 'FP32', ['batch', 1])],
    node: [
      node('Squeeze', ['x', 'axes'], ['flat']),
      node('Less', ['flat', 'threshold'], ['under']),
      node('Not', ['under'], ['over']),
      node('Cast', ['over'], ['label'], { to: 7n }),
      // An index beyond the table fails the run.
      node('Div', ['x', 'limit'], ['part']),
      node('Cast', ['part'], ['index'], { to: 7n }),
      node('Gather', ['table', 'index'], ['looked']),
      node('Squeeze', ['looked', 'last'], ['added']),
      node('Add', ['x', 'added'], ['score']),
    ],
    initializer: [
      weights('axes', 'INT64', [1], BigInt64Array.of(1n)),
      weights('last', 'INT64', [1], BigInt64Array.of(2n)),
      floats('threshold', [], threshold),
      floats('limit', [], failsFrom),
      weights('table', 'FP32', [1, 1], Float32Array.of(notNumber ? Number.NaN : 0)),
    ],
  })
}

const DESCRIBED = Buffer.from('answer:\n  task: classification\n')

/** Registers versions of the model `judge`, the first of which is 1. */
export async function deciders(plane: Plane, ...versions: readonly Deciding[]): Promise<void> {
  await plane.ask('POST', '/models', { name: 'judge' })
  for (const version of versions)
    await push(plane, 'judge', { 'model.onnx': Buffer.from(decidingModel(version)), 'slipway.yaml': DESCRIBED })
}

/** Makes the endpoint `judge` of variants. */
export async function judges(plane: Plane, variants: readonly object[], more: object = {}): Promise<void> {
  const document = { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: 'judge' }, spec: { variants, ...more } }
  const { status, body } = await plane.ask('PUT', '/endpoints/judge', document)
  if (status > 201) throw new Error(JSON.stringify(body))
}

export interface Verdict {
  readonly status: number
  readonly variant: string | undefined
  readonly assigned: string | undefined
  readonly version: string | undefined
  /** The receipt of the prediction. */
  readonly receipt: string | undefined
  readonly label: number | undefined
}

/** Asks a server for the class of a number. */
export async function decide(
  url: string,
  x: number | string,
  headers: Record<string, string> = {},
  path = '/models/judge/predict',
  given: object = { x: [x] },
): Promise<Verdict> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(given),
  })
  const answer = (await response.json()) as { prediction?: number }
  const told = (name: string): string | undefined => response.headers.get(name) ?? undefined
  const variant = told('slipway-variant')
  return {
    status: response.status,
    variant,
    assigned: told('slipway-assigned') ?? variant,
    version: told('slipway-version'),
    receipt: told('slipway-prediction-id'),
    label: answer.prediction,
  }
}
