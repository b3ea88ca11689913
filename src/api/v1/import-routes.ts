import { Type } from 'typebox'
import { ImportStatus } from '../../contract/import-status.ts'
import { v1Route } from './route.ts'
import type { V1Route } from './route.ts'

const tag = 'imports'

export const IMPORT_ROUTES: readonly V1Route[] = [
  v1Route({
    method: 'POST',
    path: '/imports',
    operation: 'startImport',
    summary: 'Bring over what a server of MLflow has. What is here already is passed over, so that one that was cut off goes on',
    tag,
    action: 'admin',
    body: Type.Object(
      {
        from: Type.String({ minLength: 8, maxLength: 2000, description: 'Its address, as MLFLOW_TRACKING_URI has it.' }),
        token: Type.Optional(Type.String({ maxLength: 10_000, description: 'Sent as Bearer; not kept.' })),
        username: Type.Optional(Type.String({ maxLength: 1000 })),
        password: Type.Optional(Type.String({ maxLength: 1000 })),
      },
      { additionalProperties: false },
    ),
    answer: ImportStatus,
    status: 202,
    handle: async ({ options, scope, body }) => {
      const { from, token, username, password } = body
      const basic = username === undefined ? undefined : `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`
      const authorization = token === undefined ? basic : `Bearer ${token}`
      const status = await options.imports.start({ ...scope, once: undefined }, { from, authorization })
      return { body: status, status: 202, location: `/api/v1/imports/${status.id}` }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/imports/:id',
    operation: 'getImport',
    summary: 'How an import is getting on; at the end what is there and what is here',
    tag,
    action: 'admin',
    answer: ImportStatus,
    handle: async ({ options, params }) => ({ body: await options.imports.get(params['id']!) }),
  }),
]
