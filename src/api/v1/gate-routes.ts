import { Type } from 'typebox'
import { GateAnswer, GateReport } from '../../contract/gate-report.ts'
import { seen } from './seen.ts'
import { v1RoutesOf } from './route.ts'
import type { GateResults } from '../../models/gate-results.ts'
import type { V1Route } from './route.ts'

/** Services that these routes use. */
export interface GateServices {
  readonly gateResults: GateResults
}

const v1Route = v1RoutesOf<GateServices>()
const PATH = '/models/:model/versions/:version/gates'

export const GATE_ROUTES: readonly V1Route<GateServices>[] = [
  v1Route({
    method: 'GET',
    path: PATH,
    operation: 'listGateResults',
    summary: 'The newest result of each gate of a version',
    tag: 'gates',
    action: 'read',
    answer: Type.Object({ items: Type.Array(GateAnswer), total: Type.Integer() }),
    handle: async ({ services, scope, params }) => {
      const items = await services.gateResults.list(scope, params['model']!, params['version']!)
      return { body: { items, total: items.length } }
    },
  }),
  v1Route({
    method: 'POST',
    path: PATH,
    operation: 'putGateResult',
    conditional: true,
    summary: 'Keep what a gate has found of a version, in the place of its last result',
    tag: 'gates',
    action: 'write',
    body: GateReport,
    answer: GateAnswer,
    status: 201,
    handle: async (call) => {
      const { gateResults } = call.services
      return { body: await gateResults.put(seen(call), call.params['model']!, call.params['version']!, call.body), status: 201 }
    },
  }),
]
