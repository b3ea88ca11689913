import { Delivery, endpointDependents } from '../../src/delivery/delivery.ts'
import { Registry } from '../models/registry.ts'
import { addFile, ANNA, eachRegistry } from '../models/in-registry.ts'
import type { Inspection } from '../../src/contract/inspection.ts'
import type { EndpointSpec } from '../../src/contract/endpoint.ts'
import type { TestClock } from '../models/in-registry.ts'
import type { Declaration } from '../../src/delivery/endpoints.ts'
import type { Database } from '../../src/storage/sql/database.ts'

export interface World {
  readonly registry: Registry
  readonly delivery: Delivery
  readonly database: Database
  readonly clock: TestClock
  /** Registers a version of a model whose input has this width; 0 is one that cannot be served. @returns its number */
  readonly version: (model: string, width?: number) => Promise<number>
  readonly set: (name: string, version: number, allowBreaking?: boolean) => Promise<void>
}

/** Endpoints on each of the databases. */
export function eachDelivery(name: string, run: (world: World) => Promise<void>): void {
  eachRegistry(name, async ({ ground }, database, clock) => {
    await run(worldOn({ ...ground, dependents: [endpointDependents(ground)] }, database, clock))
  })
}

export function worldOn(ground: Registry['ground'], database: Database, clock: TestClock): World {
  const registry = new Registry(ground, async (files): Promise<Inspection> => {
    const width = Number(files?.find(({ path }) => path.startsWith('width-'))?.path.split('-')[1] ?? 0)
    if (width === 0) return { servable: false, reason: 'it is a pickle', scan: [] }
    return { servable: true, signature: { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, width] }], outputs: [] }, scan: [] }
  })
  let made = 0
  return {
    registry,
    delivery: new Delivery(ground),
    database,
    clock,
    async version(model, width = 4) {
      await registry.models.create(ANNA, { name: model }).catch(() => undefined)
      const run = await registry.runs.create(ANNA, { experimentId: '0' })
      await addFile(database, `run:${run.id}`, `model/width-${width}`, `${width} ${++made}`)
      return (await registry.versions.create(ANNA, model, { source: `runs:/${run.id}/model` })).number
    },
    async set(name, version, allowBreaking = false) {
      const [model = '', alias = ''] = name.split('@')
      await registry.aliases.set(ANNA, model, { alias, version: String(version), allowBreaking }, { protect: true })
    },
  }
}

/** An endpoint that has one variant. */
export function declared(name: string, model: string, more: Partial<EndpointSpec> = {}): Declaration {
  return { name, labels: {}, spec: { variants: [{ model }], ...more } }
}
