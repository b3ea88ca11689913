import { Type } from 'typebox'
import { ServedAnswer } from '../../contract/registry-api.ts'
import { v1RoutesOf } from './route.ts'
import type { V1Route } from './route.ts'

/** Status of the server beside this control plane. */
export interface ServingStatus {
  readonly url: string
  models(): Promise<ServedAnswer[]>
}

/** Services that these routes use. */
export interface ServingServices {
  /** Undefined where the control plane has no server beside it. */
  readonly serving: ServingStatus | undefined
}

const v1Route = v1RoutesOf<ServingServices>()

export const SERVING_ROUTES: readonly V1Route<ServingServices>[] = [
  v1Route({
    method: 'GET',
    path: '/serving',
    operation: 'listServed',
    summary: 'What the server beside this control plane answers with, and what it does not and why',
    tag: 'serving',
    action: 'read',
    answer: Type.Object({
      items: Type.Array(ServedAnswer),
      total: Type.Integer(),
      url: Type.Optional(Type.String({ description: 'Of the server; missing where there is none.' })),
    }),
    handle: async ({ services }) => {
      const items = (await services.serving?.models()) ?? []
      return { body: { items, total: items.length, ...(services.serving !== undefined && { url: services.serving.url }) } }
    },
  }),
]
