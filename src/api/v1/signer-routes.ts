import { Type } from 'typebox'
import { pageOfThings, PageQuery, SignerAnswer } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import { seenFields } from './seen.ts'
import { pageOfAll } from './page-token.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Signers } from '../../models/signers.ts'

/** Services that these routes use. */
export interface SignerServices {
  readonly signers: Signers
}

const v1Route = v1RoutesOf<SignerServices>()

const tag = 'signatures'

export const SIGNER_ROUTES: readonly V1Route<SignerServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/signers',
    operation: 'listSigners',
    summary: 'Whose signatures are believed',
    tag,
    action: 'read',
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(SignerAnswer),
    handle: async ({ services, scope, query }) => ({
      body: pageOfAll('signers', await services.signers.list(scope), {
        ...query,
        placeOf: ({ name }) => name,
      }),
    }),
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/signers/:name',
      operation: 'getSigner',
      summary: 'Whose signatures are believed, by name',
      tag,
      action: 'read',
      answer: SignerAnswer,
      handle: async ({ services, scope, params }) => {
        const found = (await services.signers.list(scope)).find(({ name }) => name === params['name'])
        if (found === undefined) throw new SlipwayError('SLW_NOT_FOUND', `there is no signer called "${params['name']}"`)
        return { body: found, etag: found.etag }
      },
    }),
  ),
  v1Route({
    method: 'POST',
    path: '/signers',
    operation: 'addSigner',
    summary: 'Believe the signatures of a public key, or of the certificates of an authority',
    tag,
    action: 'admin',
    body: Type.Object(
      {
        name: Type.String({ minLength: 1, maxLength: 250 }),
        pem: Type.String({ minLength: 1, maxLength: 100_000, description: 'A public key or a certificate.' }),
      },
      { additionalProperties: false },
    ),
    answer: SignerAnswer,
    status: 201,
    handle: async ({ services, scope, body }) => {
      const signer = await services.signers.add(scope, body.name, body.pem)
      return { body: signer, etag: signer.etag, location: `/api/v1/signers/${encodeURIComponent(signer.name)}` }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/signers/:name',
    operation: 'removeSigner',
    conditional: true,
    summary: 'Believe them no more',
    tag,
    action: 'admin',
    handle: async (call) => {
      await call.services.signers.remove(seenFields(call), call.params['name']!)
      return {}
    },
  }),
]
