import { Type } from 'typebox'
import { oneOf } from '../../contract/schema.ts'
import { WORK_STATES, WorkAnswer, WorkCountAnswer } from '../../contract/work-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { requireEverywhere } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import { PAGE_LIMIT, pageOfRead, placeOfToken } from './page-token.ts'
import type { WorkItem } from '../../storage/work/work-item.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { WorkQueue } from '../../storage/work/work-queue.ts'

/** Services that these routes use. */
export interface WorkServices {
  readonly work: WorkQueue
}

const v1Route = v1RoutesOf<WorkServices>()

const tag = 'work'
function workAnswer({ token: _token, ...item }: WorkItem): WorkAnswer {
  return Object.fromEntries(Object.entries(item).filter(([, value]) => value !== undefined)) as WorkAnswer
}

/** The place of an item, newest first. */
function placeOf({ createdAt, id }: { readonly createdAt: number; readonly id: string }): string {
  return `${createdAt} ${id}`
}

export const WORK_ROUTES: readonly V1Route<WorkServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/work',
    operation: 'listWork',
    summary: 'Work in the background: what waits, runs, has ended and why, the newest first; and how much of it there is',
    tag,
    action: 'admin',
    query: Type.Object(
      {
        kind: Type.Optional(Type.String({ description: 'Such as webhooks, upkeep, import.' })),
        state: Type.Optional(oneOf(WORK_STATES)),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: `Default: ${PAGE_LIMIT}.` })),
        pageToken: Type.Optional(Type.String()),
      },
      { additionalProperties: false },
    ),
    answer: Type.Object({
      items: Type.Array(WorkAnswer),
      total: Type.Integer(),
      counts: Type.Array(WorkCountAnswer, { description: 'Of everything, whatever was asked for.' }),
      nextPageToken: Type.Optional(Type.String()),
    }),
    handle: async ({ services: { work }, query, caller }) => {
      requireEverywhere(caller)
      const { kind, state, limit = PAGE_LIMIT, pageToken } = query
      const [createdAt, id] = placeOfToken('work', pageToken)?.split(' ') ?? []
      const after = id === undefined ? undefined : { createdAt: Number(createdAt), id }
      const found = await work.list({ kind, state }, limit + 1, after)
      const counts = await work.counts()
      const wanted = counts.filter((one) => (kind ?? one.kind) === one.kind && (state ?? one.state) === one.state)
      const { items, nextPageToken } = pageOfRead('work', found, { limit, placeOf })
      return {
        body: {
          items: items.map(workAnswer),
          total: wanted.reduce((sum, { count }) => sum + count, 0),
          counts,
          ...(nextPageToken !== undefined && { nextPageToken }),
        },
      }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/work/:id',
      operation: 'getWork',
      summary: 'One item of it',
      tag,
      action: 'admin',
      answer: WorkAnswer,
      handle: async ({ services: { work }, params, caller }) => {
        requireEverywhere(caller)
        return { body: workAnswer(required(await work.get(params['id']!), params['id']!)) }
      },
    }),
    { polled: true },
  ),
  v1Route({
    method: 'POST',
    path: '/work/:id/cancel',
    operation: 'cancelWork',
    summary: 'End what waits or runs',
    tag,
    action: 'admin',
    answer: WorkAnswer,
    handle: async ({ services: { work }, params, caller }) => {
      requireEverywhere(caller)
      const id = params['id']!
      const { kind, schedule } = required(await work.get(id), id)
      if (schedule !== undefined)
        throw new SlipwayError('SLW_CONFLICT', `${kind} is done again and again by the control plane itself, and cannot be ended`)
      return { body: workAnswer((await work.cancel(id)) ?? ended(await work.get(id))) }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/work/:id/retry',
    operation: 'retryWork',
    summary: 'Have what has failed or was cancelled done once more',
    tag,
    action: 'admin',
    answer: WorkAnswer,
    handle: async ({ services: { work }, params, caller }) => {
      requireEverywhere(caller)
      const id = params['id']!
      required(await work.get(id), id)
      return { body: workAnswer((await work.retry(id)) ?? ended(await work.get(id))) }
    },
  }),
]

function required(item: WorkItem | undefined, id: string): WorkItem {
  if (item === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no work has the id ${id}`)
  return item
}

function ended(item: WorkItem | undefined): never {
  throw new SlipwayError('SLW_CONFLICT', `it is ${item?.state ?? 'gone'}`)
}
