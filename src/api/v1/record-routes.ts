import { Readable } from 'node:stream'
import { Type } from 'typebox'
import { PageQuery, pageOfThings } from '../../contract/registry-api.ts'
import { PredictionRecord } from '../../contract/prediction-record.ts'
import { oneOf } from '../../contract/schema.ts'
import { SlipwayError } from '../../core/errors.ts'
import { EXPORT_FORMATS, EXPORT_TYPES, writeExport } from '../../records/export-formats.ts'
import { streamOf } from '../bodies.ts'
import { speakerOf } from './follow-routes.ts'
import { PAGE_LIMIT, pageOfRead, placeOfToken } from './page-token.ts'
import { v1RoutesOf } from './route.ts'
import type { FastifyRequest } from 'fastify'
import type { Keys } from '../../access/keys.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { RecordPlace } from '../../records/reading.ts'
import type { Records } from '../../records/records.ts'
import type { Ground } from '../../ledger/scope.ts'
import type { V1Route } from './route.ts'

/** Services that these routes use. */
export interface RecordServices {
  readonly ground: Ground
  readonly records: Records
  readonly delivery: Delivery
  readonly keys: Keys
}

const v1Route = v1RoutesOf<RecordServices>()

const tag = 'records'
const closed = { additionalProperties: false } as const
const Optional = Type.Optional
/** Limit of a file of records; those that servers send have up to 2 MiB, and a line. */
const FILE_BYTES_MAX = 4 * 1024 * 1024
/** Characters of a page beyond which it has fewer records than were asked for. */
const PAGE_CHARACTERS = 8 * 1024 * 1024

export const RECORD_ROUTES: readonly V1Route<RecordServices>[] = [
  v1Route({
    method: 'POST',
    path: '/servers/:server/records',
    operation: 'pushRecords',
    summary: 'One file of records of a server, as lines of JSON. It counts once, however often and by whichever server it is sent',
    tag,
    action: 'report',
    takesBytes: true,
    query: Type.Object(
      {
        bootId: Type.String({ pattern: '^[0-9a-f]{16}$', description: 'Drawn by the process that wrote the file.' }),
        sequence: Type.Integer({ minimum: 0, description: 'Number of the file there.' }),
        sentAt: Type.Integer({ description: 'By the clock of the server.' }),
      },
      closed,
    ),
    answer: Type.Object({
      kept: Type.Integer(),
      dropped: Type.Integer({ description: 'Invalid, too old, or of a unit that is forgotten.' }),
    }),
    handle: async ({ services, scope, params, query, caller, request }) => {
      const server = params['server']!
      const speaker = await speakerOf(services, { caller, scope, server })
      if (speaker !== undefined) await services.delivery.servers.requireSpeaker(scope, server, speaker)
      const arrivedAt = services.ground.clock.epochMs()
      const text = await textOf(request)
      return { body: await services.records.add({ environment: scope.environment, ...query, arrivedAt, text }) }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/records',
    operation: 'listRecords',
    summary: 'What predictions were asked and answered, the newest first',
    tag,
    action: 'records',
    query: Type.Object({ endpoint: Optional(Type.String()), ...PageQuery }, closed),
    answer: pageOfThings(PredictionRecord),
    handle: async ({ services, scope, query }) => {
      const { endpoint, limit = PAGE_LIMIT, pageToken } = query
      const list = JSON.stringify(['records', scope.environment, endpoint])
      const after = placeOf(placeOfToken(list, pageToken))
      const { items, total } = await services.records.newest({ environment: scope.environment, endpoint }, { limit, after })
      const page = pageOfRead(list, items, { limit: fitting(items, limit), placeOf: ({ time, id }) => `${time} ${id}` })
      return { body: { ...page, total } }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/records/export',
    operation: 'exportRecords',
    summary: 'All records of a span of time as one file',
    tag,
    action: 'records',
    query: Type.Object(
      {
        endpoint: Optional(Type.String()),
        from: Optional(Type.Integer({ minimum: 0, description: 'Not before, UTC epoch milliseconds.' })),
        until: Optional(Type.Integer({ minimum: 0, description: 'Before, UTC epoch milliseconds.' })),
        format: Optional(oneOf(EXPORT_FORMATS, { description: 'Default: parquet.' })),
      },
      closed,
    ),
    answerTypes: EXPORT_TYPES,
    handle: async ({ services, scope, query }, reply) => {
      const { endpoint, from: fromMs, until: untilMs, format = 'parquet' } = query
      const records = services.records.export({ environment: scope.environment, endpoint, fromMs, untilMs })
      const { mediaType, bytes } = writeExport(records, format)
      await reply.type(mediaType).send(Readable.from(bytes, { objectMode: false }))
      return {}
    },
  }),
  v1Route({
    method: 'POST',
    path: '/records/forget',
    operation: 'forgetRecords',
    summary: 'Remove every record of a unit so far, also those that are still on their way',
    tag,
    action: 'admin',
    body: Type.Object(
      { unit: Type.String({ minLength: 1, maxLength: 4000, description: 'As requests name it. It is kept as a digest only.' }) },
      closed,
    ),
    answer: Type.Object({ work: Type.String({ description: 'Id of the work that removes them: GET /work/ID says when it is done.' }) }),
    status: 202,
    handle: async ({ services, scope, body }) => ({ body: { work: await services.records.forget(scope, body.unit) } }),
  }),
]

/** How many records a page has: at least one, and no more than fit into an answer. */
function fitting(records: readonly PredictionRecord[], limit: number): number {
  let characters = 0
  const over = records.findIndex((record) => (characters += JSON.stringify(record).length) > PAGE_CHARACTERS)
  return over === -1 ? limit : Math.min(limit, Math.max(1, over))
}

/** @throws SLW_BODY_TOO_LARGE */
async function textOf(request: FastifyRequest): Promise<string> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of streamOf(request) as AsyncIterable<Buffer>) {
    size += piece.length
    if (size > FILE_BYTES_MAX)
      throw new SlipwayError('SLW_BODY_TOO_LARGE', `a file of records has up to ${FILE_BYTES_MAX} bytes; send more of them`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

function placeOf(text: string | undefined): RecordPlace | undefined {
  const at = text?.indexOf(' ') ?? -1
  return text === undefined ? undefined : { time: Number(text.slice(0, at)), id: text.slice(at + 1) }
}
