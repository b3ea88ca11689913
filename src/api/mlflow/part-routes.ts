import { SlipwayError } from '../../core/errors.ts'
import { PARTS_MAX } from '../../storage/objects/parts.ts'
import { streamOf } from '../bodies.ts'
import { Fields } from './fields.ts'
import { readBodies } from './mlflow.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Scope } from '../../ledger/scope.ts'
import type { Place } from '../../models/version-source.ts'
import type { PresignedRequest } from '../../storage/objects/object-store.ts'
import type { PartUpload, PartUploads } from '../../files/part-uploads.ts'
import type { Files } from '../../models/placed-files.ts'

/** How large files go between clients and us. */
export interface Transfers {
  /** Between clients and the bucket itself. */
  readonly direct: boolean
  /** By which clients reach us, without a slash at the end, where somebody has said so. */
  readonly publicUrl: string | undefined
}

export interface PartServices {
  readonly files: Files
  readonly partUploads: PartUploads
  readonly transfers: Transfers
}

/** What a request is about: who asks, and for which file. */
export interface PartCall {
  readonly scope: Scope
  readonly place: Place
}

type Enter = (request: FastifyRequest, path: string) => Promise<PartCall>

/**
 * Files in parts, as clients of MLflow send those of 500 MB and more. Where parts go, the answer to `create` tells: here, to an address
 * that only it knows, or straight to the bucket.
 */
export function partRoutes(app: FastifyInstance, { files, partUploads, transfers }: PartServices, enter: Enter): void {
  const addressesOf = async (request: FastifyRequest, upload: PartUpload, count: number): Promise<PresignedRequest[]> => {
    const direct = transfers.direct ? await partUploads.direct(upload, count) : undefined
    if (direct !== undefined) return direct
    const here = `${transfers.publicUrl ?? originOf(request)}${request.url.split('/mpu/', 1)[0]!}/mpu/parts/${upload.id}`
    return Array.from({ length: count }, (_, index) => ({ url: `${here}/${index + 1}?secret=${upload.secret}`, headers: {} }))
  }
  // No credentials come with a part: clients send it with the address alone.
  app.put('/mpu/parts/:id/:number', async (request, reply) => {
    const { id, number } = request.params as { id: string; number: string }
    const { secret } = request.query as { secret?: unknown }
    const { etag } = await partUploads.putPart({ id, secret: String(secret ?? '') }, Number(number), streamOf(request))
    return reply.header('etag', etag).send({})
  })
  void app.register(async (json) => {
    readBodies(json)
    const called = async (request: FastifyRequest) => {
      const fields = new Fields((request.body ?? {}) as Record<string, unknown>)
      const folder = (request.params as { '*': string })['*']
      // Whatever folder it lies in on the machine of the client, Windows or not.
      const name = fields.requiredText('path').split(/[/\\]/).at(-1)!
      return { fields, ...(await enter(request, `${folder}/${name}`)) }
    }
    json.post('/mpu/create/*', async (request) => {
      const { fields, scope, place } = await called(request)
      const count = fields.integer('num_parts') ?? 1
      if (count < 1 || count > PARTS_MAX)
        throw new SlipwayError(
          'SLW_INPUT_INVALID',
          `Invalid value ${count} for parameter 'num_parts' supplied: expected 1 to ${PARTS_MAX}.`,
        )
      const upload = await files.beginParts(scope, place)
      const addresses = await addressesOf(request, upload, count)
      return { upload_id: upload.id, credentials: addresses.map((address, index) => ({ part_number: index + 1, ...address })) }
    })
    json.post('/mpu/complete/*', async (request) => {
      const { fields, scope, place } = await called(request)
      const parts = fields
        .objects('parts')
        .map((part) => ({ partNumber: part.requiredInteger('part_number'), etag: part.requiredText('etag') }))
      const id = fields.requiredText('upload_id')
      await withoutIdleLimit(request, () => files.completeParts(scope, place, id, parts))
      return {}
    })
    json.post('/mpu/abort/*', async (request) => {
      const { fields, scope, place } = await called(request)
      await files.abortParts(scope, place, fields.requiredText('upload_id'))
      return {}
    })
  })
}

/** As the client reached us, so far as we are told: what stands between may say otherwise, or nothing. */
function originOf({ headers, protocol, host }: FastifyRequest): string {
  const [forwarded] = [headers['x-forwarded-host']].flat()
  return `${headers['x-forwarded-proto'] === 'https' ? 'https' : protocol}://${forwarded ?? host}`
}

/** All of a large file is read before anything can be said: its connection is not ended for being silent. */
async function withoutIdleLimit(request: FastifyRequest, act: () => Promise<void>): Promise<void> {
  const { socket } = request.raw
  const idleMs = socket.timeout ?? 0
  socket.setTimeout(0)
  try {
    await act()
  } finally {
    socket.setTimeout(idleMs)
  }
}
