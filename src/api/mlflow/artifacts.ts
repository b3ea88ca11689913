import { SlipwayError } from '../../core/errors.ts'
import { modelOfPlace, placeOf, requireOwner } from '../../models/version-source.ts'
import { listFolder, requireTreePath } from '../../files/file-trees.ts'
import { requirePermission } from '../access.ts'
import { enter as enterDoor, refuseStrangers } from '../enter.ts'
import { streamOf } from '../bodies.ts'
import { sendFile } from '../send-file.ts'
import { useMlflowErrors } from './mlflow.ts'
import { listed, sizeJson } from './entities.ts'
import { partRoutes, takeParts } from './part-routes.ts'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { Scope } from '../../ledger/scope.ts'
import type { Place } from '../../models/version-source.ts'
import type { Logger } from '../../core/log.ts'
import type { Ground } from '../../ledger/scope.ts'
import type { EntryServices } from '../enter.ts'
import type { PartServices } from './part-routes.ts'
import type { Contents } from '../../files/contents.ts'
import type { Action } from '../../contract/roles.ts'

/** Lifetime of the presigned address of a file in a bucket. */
const ADDRESS_LIFE_S = 3600

export interface ArtifactServices extends EntryServices, PartServices {
  readonly ground: Ground
  readonly contents: Contents
  readonly log: Logger
}

/** Files, as MLflow's clients put, get, list and delete them: `mlflow-artifacts:/PATH` is `artifacts/PATH` here. */
export function artifactRoutes(services: ArtifactServices): FastifyPluginAsync {
  const { files, contents, ground, transfers } = services
  /** Files of a version are for whoever may have its model; those of runs and logged models for everybody with a role for some model. */
  const enter = async (request: FastifyRequest, action: Action, path: string): Promise<{ scope: Scope; place: Place }> => {
    const { caller, scope } = await enterDoor(services, request, { action, models: 'any' })
    const place = placeOrRefuse(path)
    const { environment } = scope
    if (place.root.startsWith('version:') && !caller.may(action, { environment, models: [] })) {
      const model = await modelOfPlace(ground.database.read, scope, place)
      // The refusal names no model: an id is not to tell whose it is, nor that it is one.
      if (model === undefined || !caller.may(action, { environment, models: [model] }))
        requirePermission(caller, action, { environment, models: [] })
    }
    return { scope, place }
  }
  return async (app) => {
    useMlflowErrors(app, services)
    // A file is not read into memory: the handler gets its stream.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    takeParts(app, services)
    await app.register(async (known) => {
      refuseStrangers(known, services)
      fileRoutes(known)
    })
  }
  function fileRoutes(app: FastifyInstance): void {
    app.put('/artifacts/*', async (request) => {
      const { scope, place } = await enter(request, 'write', pathOf(request))
      const length = request.headers['content-length']
      await files.put(scope, place, streamOf(request), length === undefined ? undefined : Number(length))
      return {}
    })
    app.get('/artifacts/*', async (request, reply) => {
      const { scope, place } = await enter(request, 'read', pathOf(request))
      const file = await files.find(scope, place)
      return await sendFile({ contents, file, range: request.headers.range, attachment: pathOf(request).split('/').at(-1)! }, reply)
    })
    app.get('/artifacts', async (request) => {
      const { path = '' } = request.query as { path?: string }
      const { scope, place } = await enter(request, 'read', path)
      if (place.path !== '') requireTreePath(place.path)
      await requireOwner(ground.database.read, scope, place)
      const entries = await listFolder(ground.database.read, place.root, place.path)
      return listed(
        'files',
        entries.map(({ name, directory, size }) => ({ path: name, is_dir: directory, ...sizeJson(size) })),
      )
    })
    app.delete('/artifacts/*', async (request) => {
      const { scope, place } = await enter(request, 'write', pathOf(request))
      await files.delete(scope, place)
      return {}
    })
    app.get('/presigned/*', async (request) => {
      const { scope, place } = await enter(request, 'read', pathOf(request))
      const { contentId, size } = await files.find(scope, place)
      const direct = transfers.direct ? await contents.direct(contentId, ADDRESS_LIFE_S) : undefined
      // Without presigned addresses clients get the file in one piece.
      if (direct === undefined) throw new SlipwayError('SLW_NOT_IMPLEMENTED', 'Presigned downloads are not supported by this server')
      return { ...direct, file_size: size }
    })
    partRoutes(app, services, (request, path) => enter(request, 'write', path))
  }
}

function pathOf(request: FastifyRequest): string {
  return (request.params as { '*': string })['*']
}

/** @throws SLW_INPUT_INVALID for a path that leads out of its tree, or belongs to no run, logged model or version */
function placeOrRefuse(path: string): Place {
  const clean = path.replace(/\/+$/, '')
  requireTreePath(clean)
  const place = placeOf(clean)
  if (place === undefined)
    throw new SlipwayError('SLW_INPUT_INVALID', `Invalid path: ${JSON.stringify(path)} belongs to no run, logged model or version`)
  return place
}
