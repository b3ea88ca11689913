import { QUESTION } from '../adding-models.ts'
import { post } from '../fixtures.ts'

/** A server in this process or another. */
export interface Served {
  readonly url: string
}

/** Names `m0`, `m1`, ... for models that add their number. */
export function ids(count: number): string[] {
  return Array.from({ length: count }, (_, number) => `m${number}`)
}

/** What the model adds to 1; where it is not answered, why. */
export async function added({ url }: Served, name: string, version?: string): Promise<number | string> {
  const path = version === undefined ? name : `${name}/versions/${version}`
  const { status, body } = await post(`${url}/v2/models/${path}/infer`, QUESTION)
  if (status !== 200) return `${status}: ${String(body['error'])}`
  return ((body['outputs'] as { data: number[] }[])[0]?.data[0] ?? Number.NaN) - 1
}

export interface Health {
  readonly status: string
  readonly models: readonly {
    readonly name: string
    readonly version: string
    readonly phase: string
    readonly failures?: readonly { readonly version: string; readonly message: string }[]
  }[]
}

export async function health({ url }: Served): Promise<Health> {
  return (await (await fetch(`${url}/health`)).json()) as Health
}

/** Models that are in memory, in the order of their names. */
export async function residents(server: Served): Promise<string[]> {
  return (await health(server)).models.filter(({ phase }) => phase === 'ready').map(({ name }) => name)
}

/** The sum of the samples of a metric whose labels match. */
export async function sample({ url }: Served, name: string, labels = /^/): Promise<number> {
  let sum = 0
  for (const line of (await (await fetch(`${url}/metrics`)).text()).split('\n')) {
    const match = /^(\w+)(\{.*\})? (\S+)$/.exec(line)
    if (match?.[1] === name && labels.test(match[2] ?? '')) sum += Number(match[3])
  }
  return sum
}

/** Loads of a model so far, by result. */
export function loads(server: Served, endpoint: string, result: string): Promise<number> {
  return sample(server, 'slipway_model_loads_total', new RegExp(`endpoint="${endpoint}",result="${result}"`))
}
