import { Type } from 'typebox'
import { ServedAnswer } from '../../contract/registry-api.ts'
import { v1Route } from './route.ts'
import type { V1Route } from './route.ts'

export const SERVING_ROUTES: readonly V1Route[] = [
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
    handle: async ({ options }) => {
      const items = (await options.serving?.models()) ?? []
      return { body: { items, total: items.length, ...(options.serving !== undefined && { url: options.serving.url }) } }
    },
  }),
]
