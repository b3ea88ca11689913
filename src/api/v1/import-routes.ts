import { Type } from 'typebox'
import { ImportStatus } from '../../contract/import-status.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import type { Scope } from '../../ledger/scope.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'

/** Starts imports from other servers. */
export interface ImportStarter {
  start(scope: Scope, request: { readonly from: string; readonly authorization?: string | undefined }): Promise<ImportStatus>
  get(scope: Scope, id: string): Promise<ImportStatus>
}

/** Services that these routes use. */
export interface ImportServices {
  readonly imports: ImportStarter
}

const v1Route = v1RoutesOf<ImportServices>()

const tag = 'imports'

export const IMPORT_ROUTES: readonly V1Route<ImportServices & WatchServices>[] = [
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
    handle: async ({ services, scope, body }) => {
      const { from, token, username, password } = body
      const basic = username === undefined ? undefined : `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`
      const authorization = token === undefined ? basic : `Bearer ${token}`
      const status = await services.imports.start(scope, { from, authorization })
      return { body: status, status: 202, location: `/api/v1/imports/${status.id}` }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/imports/:id',
      operation: 'getImport',
      summary: 'How an import is getting on; at the end what is there and what is here',
      tag,
      action: 'admin',
      answer: ImportStatus,
      handle: async ({ services, scope, params }) => ({ body: await services.imports.get(scope, params['id']!) }),
    }),
    { polled: true },
  ),
]
