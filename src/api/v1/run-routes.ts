import { Type } from 'typebox'
import { ExperimentAnswer, pageOfThings, RunAnswer, SearchQuery } from '../../contract/registry-api.ts'
import { readExperiments } from '../../tracking/experiments.ts'
import { readRuns } from '../../tracking/read-runs.ts'
import { experimentsIn, runsIn } from '../../search/queries.ts'
import { experimentAnswer, runAnswer } from './answers.ts'
import { pageAnswer, searched } from './paging.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Runs } from '../../tracking/runs.ts'
import type { Ground } from '../../ledger/scope.ts'

/** Services that these routes use. */
export interface RunServices {
  readonly runs: Runs
  readonly ground: Ground
}

const v1Route = v1RoutesOf<RunServices>()

const tag = 'runs'
const ACTIVE = ['active']

export const RUN_ROUTES: readonly V1Route<RunServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/experiments',
    operation: 'listExperiments',
    summary: 'Find experiments',
    tag,
    action: 'read',
    models: () => 'any',
    query: SearchQuery,
    answer: pageOfThings(ExperimentAnswer),
    handle: async (call) =>
      await pageAnswer(call, 'experiments', experimentsIn(searched(call), ACTIVE), async (rows) =>
        (await readExperiments(call.services.ground.database.read, rows)).map(experimentAnswer),
      ),
  }),
  v1Route({
    method: 'GET',
    path: '/runs',
    operation: 'listRuns',
    summary: 'Find runs, of all experiments or of one',
    tag,
    action: 'read',
    models: () => 'any',
    query: Type.Object({ ...SearchQuery.properties, experimentId: Type.Optional(Type.String()) }, { additionalProperties: false }),
    answer: pageOfThings(RunAnswer),
    handle: async (call) => {
      const { experimentId } = call.query
      const found = runsIn(searched(call), ACTIVE, experimentId === undefined ? undefined : [experimentId])
      return await pageAnswer(call, 'runs', found, async (rows) =>
        (await readRuns(call.services.ground.database.read, rows)).map(runAnswer),
      )
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/runs/:run',
      operation: 'getRun',
      summary: 'A run, and what was logged to it',
      tag,
      action: 'read',
      models: () => 'any',
      answer: RunAnswer,
      handle: async ({ services, scope, params }) => ({ body: runAnswer(await services.runs.get(scope, params['run']!)) }),
    }),
    { polled: true },
  ),
]
