import { sql } from 'kysely'
import { orLate, systemClock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { freeBytes } from '../core/disk-space.ts'
import { formatBytes } from '../core/units.ts'
import { slipwayVersion } from '../core/version.ts'
import type { FastifyPluginAsync } from 'fastify'
import type { KeptFolder } from '../core/disk-space.ts'
import type { Logger } from '../core/log.ts'
import type { Ground } from '../ledger/scope.ts'
import type { Transfers } from './mlflow/part-routes.ts'

/** The supported version of MLflow's API, for which clients ask at `/version`. */
const MLFLOW_VERSION = '3.18.0'

/** Less than this, and a folder counts as full: a commit of the database and its log need some of it at once. */
const FULL_BYTES = 16 * 1024 * 1024

/** Time that the database has to answer: less than load balancers wait for. */
const DATABASE_MS = 3000

export interface StatusServices {
  readonly ground: Ground
  readonly keptFolders: readonly KeptFolder[]
  readonly log: Pick<Logger, 'error'>
  readonly transfers: Transfers
}

/** Routes open to everybody: health and version. */
export function statusRoutes({ ground, keptFolders, log, transfers: { direct, publicUrl } }: StatusServices): FastifyPluginAsync {
  const databaseTrouble = async (): Promise<string | undefined> => {
    const asked = sql`select 1`.execute(ground.database.read).then(
      () => undefined,
      (error: unknown) => messageOf(error),
    )
    const trouble = await orLate(systemClock, DATABASE_MS, asked)
    if (trouble === undefined) return undefined
    // What the database says of itself is for the log.
    log.error({ trouble }, 'the database does not answer')
    return 'the database does not answer'
  }
  const diskTrouble = async (): Promise<string | undefined> => {
    const full = await fullFolder(keptFolders)
    if (full === undefined) return undefined
    // Whatever can be read still is; whoever writes elsewhere is better off there. Where the folder lies is for the log.
    log.error({ ...full }, 'a disk is full, and nothing can be written')
    return `the disk of the ${full.what} is full, and nothing can be written`
  }
  return async (app) => {
    app.get('/health', async (request, reply) => {
      const reason = (await databaseTrouble()) ?? (await diskTrouble())
      const wantsJson = request.headers.accept?.includes('application/json') === true
      if (reason !== undefined) {
        const unavailable = { status: 'unavailable', version: slipwayVersion(), reason }
        return wantsJson ? reply.code(503).send(unavailable) : reply.code(503).type('text/plain').send(reason)
      }
      if (!wantsJson) return reply.type('text/plain').send('OK')
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

/** The first folder without room, with what is free there; undefined where there is room in all. */
async function fullFolder(folders: readonly KeptFolder[]): Promise<(KeptFolder & { readonly free: string }) | undefined> {
  for (const kept of folders) {
    const free = await freeBytes(kept.folder)
    if (free < FULL_BYTES) return { ...kept, free: formatBytes(free) }
  }
  return undefined
}
