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

/** The way large files are transferred between clients and the control plane. */
export interface Transfers {
  /** Whether clients transfer files directly to and from the bucket. */
  readonly direct: boolean
  /** Address at which clients reach the control plane, without a slash at the end; undefined if not configured. */
  readonly publicUrl: string | undefined
}

export interface PartServices {
  readonly files: Files
  readonly partUploads: PartUploads
  readonly transfers: Transfers
}

/** Caller and file of a request. */
export interface PartCall {
  readonly scope: Scope
  readonly place: Place
}

type Enter = (request: FastifyRequest, path: string) => Promise<PartCall>

/**
 * Multipart uploads, as clients of MLflow send files of 500 MB and more. The answer to `create` has the addresses of the parts: here, with
 * a secret that only this answer contains, or straight to the bucket.
 */
export function partRoutes(app: FastifyInstance, { files, partUploads, transfers }: PartServices, enter: Enter): void {
  const addressesOf = async (request: FastifyRequest, upload: PartUpload, count: number): Promise<PresignedRequest[]> => {
    const direct = transfers.direct ? await partUploads.direct(upload, count) : undefined
    if (direct !== undefined) return direct
    const here = `${transfers.publicUrl ?? originOf(request)}${request.url.split('/mpu/', 1)[0]!}/mpu/parts/${upload.id}`
    return Array.from({ length: count }, (_, index) => ({ url: `${here}/${index + 1}?secret=${upload.secret}`, headers: {} }))
  }
  void app.register(async (json) => {
    readBodies(json)
    const called = async (request: FastifyRequest) => {
      const fields = new Fields((request.body ?? {}) as Record<string, unknown>)
      const folder = (request.params as { '*': string })['*']
      // The folder on the machine of the client, Windows or not, is dropped.
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

/** Takes parts, which clients send without credentials: the address has a secret. */
export function takeParts(app: FastifyInstance, { partUploads }: Pick<PartServices, 'partUploads'>): void {
  app.put('/mpu/parts/:id/:number', async (request, reply) => {
    const { id, number } = request.params as { id: string; number: string }
    const { secret } = request.query as { secret?: unknown }
    const { etag } = await partUploads.putPart({ id, secret: String(secret ?? '') }, Number(number), streamOf(request))
    return reply.header('etag', etag).send({})
  })
}

/** The address at which the client reached us, as far as known: a proxy in between may send a wrong one, or none. */
function originOf({ headers, protocol, host }: FastifyRequest): string {
  const [forwarded] = [headers['x-forwarded-host']].flat()
  return `${headers['x-forwarded-proto'] === 'https' ? 'https' : protocol}://${forwarded ?? host}`
}

/** Runs `act` without the idle timeout: a large file is read completely before the answer, and its connection is silent meanwhile. */
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
