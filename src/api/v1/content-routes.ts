import { Type } from 'typebox'
import { SlipwayError } from '../../core/errors.ts'
import { usableContents } from '../../models/usable-contents.ts'
import { readerOf } from '../access.ts'
import { streamOf } from '../bodies.ts'
import { v1RoutesOf } from './route.ts'
import type { V1Route } from './route.ts'
import type { Contents } from '../../files/contents.ts'
import type { Ground } from '../../ledger/scope.ts'

/** Services that these routes use. */
export interface ContentServices {
  readonly contents: Contents
  readonly ground: Ground
}

const v1Route = v1RoutesOf<ContentServices>()

/** Time for which bytes without a reference are kept. */
const HOLD_MS = 24 * 3600 * 1000
const ContentId = Type.String({ pattern: '^[0-9a-f]{64}$' })

function requireId(id: string): string {
  if (/^[0-9a-f]{64}$/.test(id)) return id
  throw new SlipwayError('SLW_INPUT_INVALID', 'a content id has 64 hexadecimal digits, in small letters')
}

export const CONTENT_ROUTES: readonly V1Route<ContentServices>[] = [
  v1Route({
    method: 'POST',
    path: '/contents/missing',
    operation: 'missingContents',
    summary: 'Which of these contents have to be sent',
    tag: 'contents',
    action: 'write',
    models: () => 'any',
    body: Type.Object({ ids: Type.Array(ContentId, { minItems: 1, maxItems: 20_000 }) }, { additionalProperties: false }),
    answer: Type.Object({ missing: Type.Array(ContentId) }),
    handle: async ({ services, scope, caller, body }) => {
      const ids = [...new Set(body.ids)]
      const usable = await usableContents(services.ground.database.read, readerOf(caller, scope.environment), ids)
      return { body: { missing: ids.filter((id) => !usable.has(id)) } }
    },
  }),
  v1Route({
    method: 'PUT',
    path: '/contents/:id',
    operation: 'putContent',
    summary: 'Send bytes, which are kept for a day until a version has them; refused where they have another content id',
    tag: 'contents',
    action: 'write',
    models: () => 'any',
    takesBytes: true,
    answer: Type.Object({ id: ContentId, size: Type.Integer() }),
    handle: async ({ services, scope, caller, params, request }) => {
      const length = request.headers['content-length']
      const content = await services.contents.receiveHeld(requireId(params['id']!), streamOf(request), {
        size: length === undefined ? undefined : Number(length),
        holdMs: HOLD_MS,
        heldFor: readerOf(caller, scope.environment).sender,
      })
      return { body: { id: content.id, size: content.size } }
    },
  }),
]
