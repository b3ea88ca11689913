import { sql } from 'kysely'
import { slipwayVersion } from '../core/version.ts'
import type { FastifyPluginAsync } from 'fastify'
import type { Ground } from '../ledger/scope.ts'
import type { Transfers } from './mlflow/part-routes.ts'

/** The supported version of MLflow's API, for which clients ask at `/version`. */
const MLFLOW_VERSION = '3.18.0'

export interface StatusServices {
  readonly ground: Ground
  readonly transfers: Transfers
}

/** Routes open to everybody: health and version. */
export function statusRoutes({ ground, transfers: { direct, publicUrl } }: StatusServices): FastifyPluginAsync {
  return async (app) => {
    app.get('/health', async (request, reply) => {
      await sql`select 1`.execute(ground.database.read)
      if (request.headers.accept?.includes('application/json') !== true) return reply.type('text/plain').send('OK')
      return { status: 'ok', version: slipwayVersion() }
    })
    app.get('/version', (_request, reply) => reply.type('text/plain').send(MLFLOW_VERSION))
    const serverInfo = () => ({
      store_type: 'SqlStore',
      workspaces_enabled: false,
      trace_archival_enabled: false,
      // Parts go to addresses that we give out, so our public address must be known.
      multipart_uploads_enabled: direct || publicUrl !== undefined,
      multipart_downloads_enabled: direct,
      presigned_upload_run_id_supported: false,
      presigned_upload_model_id_supported: false,
      features_enabled: { gateway: false },
    })
    for (const prefix of ['/api', '/ajax-api']) app.get(`${prefix}/3.0/mlflow/server-info`, serverInfo)
    app.get('/', (_request, reply) =>
      reply
        .type('text/plain')
        .send(
          "This is the control plane of Slipway. MLflow clients: use this address as the tracking URI. MLflow's own pages are not offered.\n",
        ),
    )
  }
}
