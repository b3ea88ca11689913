import { Type } from 'typebox'
import { SignerAnswer } from '../../contract/registry-api.ts'
import { v1RoutesOf } from './route.ts'
import type { V1Route } from './route.ts'
import type { Signers } from '../../models/signers.ts'

/** Services that these routes use. */
export interface SignerServices {
  readonly signers: Signers
}

const v1Route = v1RoutesOf<SignerServices>()

const tag = 'signatures'

export const SIGNER_ROUTES: readonly V1Route<SignerServices>[] = [
  v1Route({
    method: 'GET',
    path: '/signers',
    operation: 'listSigners',
    summary: 'Whose signatures are believed',
    tag,
    action: 'read',
    answer: Type.Object({ items: Type.Array(SignerAnswer), total: Type.Integer() }),
    handle: async ({ services, scope }) => {
      const items = await services.signers.list(scope)
      return { body: { items, total: items.length } }
    },
  }),
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
    handle: async ({ services, scope, body }) => ({ body: await services.signers.add(scope, body.name, body.pem), status: 201 }),
  }),
  v1Route({
    method: 'DELETE',
    path: '/signers/:name',
    operation: 'removeSigner',
    summary: 'Believe them no more',
    tag,
    action: 'admin',
    handle: async ({ services, scope, params }) => {
      await services.signers.remove(scope, params['name']!)
      return {}
    },
  }),
]
