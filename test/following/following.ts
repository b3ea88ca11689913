import { join } from 'node:path'
import { addingModel } from '../adding-models.ts'
import { push } from '../api/in-plane.ts'
import { startServer } from '../../src/server/start-server.ts'
import type { Plane } from '../api/in-plane.ts'
import type { SlipwayServer, StartServerOptions } from '../../src/server/start-server.ts'

/** Registers models that add 1, 2, ...: version N answers x + N. The alias `champion` is the first. */
export async function adders(plane: Plane, count: number, model = 'adder'): Promise<void> {
  await plane.ask('POST', '/models', { name: model })
  for (let added = 1; added <= count; added++) await push(plane, model, { 'model.onnx': Buffer.from(addingModel(added)) })
  await plane.ask('PUT', `/models/${model}/aliases/champion`, { version: 1 })
}

export async function setAlias(plane: Plane, version: number, model = 'adder'): Promise<void> {
  const { status, body } = await plane.ask('PUT', `/models/${model}/aliases/champion`, { version })
  if (status !== 200) throw new Error(JSON.stringify(body))
}

export async function deploy(plane: Plane, reference = 'adder@champion', more: object = {}): Promise<void> {
  const name = reference.split(/[@/]/, 1)[0]!
  const document = { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name }, spec: { variants: [{ model: reference }], ...more } }
  const { status, body } = await plane.ask('PUT', `/endpoints/${name}`, document)
  if (status > 201) throw new Error(JSON.stringify(body))
}

/** A server in this process that follows. */
export async function follows(
  url: string,
  folder: string,
  more: Partial<StartServerOptions> & { name?: string; endpoints?: string[] } = {},
): Promise<SlipwayServer> {
  const { name = 'one', endpoints, ...options } = more
  return await startServer({
    port: 0,
    environment: {},
    shutdown: { pauseMs: 0, graceMs: 5000 },
    ...options,
    controlPlane: {
      url,
      store: join(folder, 'store'),
      serverName: name,
      ...(endpoints !== undefined && { endpoints }),
      ...options.controlPlane,
    },
  })
}

/** What {@link adders} adds, as the server answers now; its status where that is no success. */
export async function added(server: Pick<SlipwayServer, 'url'>, model = 'adder'): Promise<number | string> {
  const body = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] })
  const response = await fetch(`${server.url}/v2/models/${model}/infer`, { method: 'POST', body })
  const answer = (await response.json()) as { outputs?: { data: number[] }[] }
  return answer.outputs === undefined ? `status ${response.status}` : answer.outputs[0]!.data[0]! - 1
}
