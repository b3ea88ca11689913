import { Readable } from 'node:stream'
import { SlipwayError } from '../../core/errors.ts'
import { requireOwner, placeOf } from '../../registry/sources.ts'
import { listFolder, requireTreePath } from '../../registry/trees.ts'
import { requirePermission } from '../access.ts'
import { environmentOf } from '../doors.ts'
import { useMlflowErrors } from './mlflow.ts'
import { listed, sizeJson } from './entities.ts'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { ByteRange } from '../../storage/objects/object-store.ts'
import type { Scope } from '../../registry/ground.ts'
import type { Place } from '../../registry/sources.ts'
import type { ApiOptions } from '../doors.ts'
import type { Action } from '../permissions.ts'

/** Files, as MLflow's clients put, get, list and delete them: `mlflow-artifacts:/PATH` is `artifacts/PATH` here. */
export function artifactRoutes(options: ApiOptions): FastifyPluginAsync {
  const { files, contents, registry } = options
  const enter = async (request: FastifyRequest, action: Action): Promise<Scope> => {
    const caller = await options.access.callerOf(request.headers)
    requirePermission(caller, action)
    return { environment: environmentOf(request.raw, options), actor: caller.name }
  }
  return async (app) => {
    useMlflowErrors(app, options)
    // A file is not read into memory: the handler gets its stream.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    app.put('/artifacts/*', async (request) => {
      const scope = await enter(request, 'write')
      const length = request.headers['content-length']
      const body = (request.body ?? Readable.from([])) as Readable
      await files.put(scope, placeOrRefuse(pathOf(request)), body, length === undefined ? undefined : Number(length))
      return {}
    })
    app.get('/artifacts/*', async (request, reply) => {
      const scope = await enter(request, 'read')
      const file = await files.find(scope, placeOrRefuse(pathOf(request)))
      const range = rangeOf(request.headers.range, file.size)
      const body = await contents.open(file.contentId, range)
      void reply
        .header('content-length', range?.length ?? file.size)
        .header('accept-ranges', 'bytes')
        .type('application/octet-stream')
      void reply.header('etag', `"${file.contentId}"`).header('x-content-type-options', 'nosniff')
      if (range !== undefined)
        void reply.code(206).header('content-range', `bytes ${range.offset}-${range.offset + range.length - 1}/${file.size}`)
      return reply.send(Readable.from(body, { objectMode: false }))
    })
    app.get('/artifacts', async (request) => {
      const scope = await enter(request, 'read')
      const { path = '' } = request.query as { path?: string }
      const place = placeOrRefuse(path)
      if (place.path !== '') requireTreePath(place.path)
      await requireOwner(registry.read, scope, place)
      const entries = await listFolder(registry.read, place.root, place.path)
      return listed(
        'files',
        entries.map(({ name, directory, size }) => ({ path: name, is_dir: directory, ...sizeJson(size) })),
      )
    })
    app.delete('/artifacts/*', async (request) => {
      await files.delete(await enter(request, 'write'), placeOrRefuse(pathOf(request)))
      return {}
    })
    app.all('/mpu/*', async (request) => {
      await enter(request, 'write')
      // Clients then send the file in one piece, if the message begins so.
      throw new SlipwayError('SLW_NOT_IMPLEMENTED', 'Multipart upload is not supported by this server')
    })
  }
}

function pathOf(request: FastifyRequest): string {
  return (request.params as { '*': string })['*']
}

/** @throws SLW_INPUT_INVALID for a path that leads out of its tree, or belongs to nothing */
function placeOrRefuse(path: string): Place {
  const clean = path.replace(/\/+$/, '')
  requireTreePath(clean)
  const place = placeOf(clean)
  if (place === undefined)
    throw new SlipwayError('SLW_INPUT_INVALID', `Invalid path: ${JSON.stringify(path)} belongs to no run, logged model or version`)
  return place
}

/** One range of bytes (RFC 9110, section 14); anything else is answered with the whole. @throws SLW_RANGE_INVALID */
function rangeOf(header: string | undefined, size: number): Required<ByteRange> | undefined {
  const match = header === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(header.trim())
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  const [first, last] = [match[1]!, match[2]!]
  const offset = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (offset >= size || end < offset) throw new SlipwayError('SLW_RANGE_INVALID', `the file has ${size} bytes, asked for ${header ?? ''}`)
  return { offset, length: end - offset + 1 }
}
