/** Readers make tensors of bodies. They are pure, so that large bodies can be read in another thread. */
import { isForm, readForm } from '../../signature/form.ts'
import { encodeRequest, readRequest } from '../../signature/request.ts'
import { checkTensors } from '../../signature/tensors.ts'
import { readV2Request } from '../v2/request.ts'
import { readEventBody } from './cloud-event.ts'
import { readBatchBody } from './instances.ts'
import { requirePeopleMax, requireRowsMax } from './row-limits.ts'
import { readTorchServe } from './torchserve.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { PeopleRequest } from '../../signature/request.ts'
import type { Signature } from '../../signature/signature.ts'
import type { RequestLimits } from '../limits.ts'
import type { BatchForm, BatchRead } from './instances.ts'
import type { V2Request } from '../v2/request.ts'

/** All that a reader needs. */
export interface Reading {
  readonly body: Buffer
  /** The header that says how the body is to be read. */
  readonly header: string | undefined
  readonly signature: Signature
  readonly limits: RequestLimits
  /** What a body of rows or columns may have: for `batch` and `event`. */
  readonly form?: BatchForm
}

/** A body of people's rows, as tensors. */
export interface PeopleRead extends Encoded {
  /** Whether a list was sent, so that a list is answered. */
  readonly many: boolean
}

/** A body of protocol V2, as tensors, and what the answer needs of it. */
export interface V2Read extends Encoded {
  readonly asked: Omit<V2Request, 'inputs'>
}

/** @throws SLW_UNSUPPORTED_MEDIA_TYPE, SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
async function readPeople({ body, header: type, signature, limits }: Reading): Promise<PeopleRead> {
  const people =
    type !== undefined && isForm(type) ? await readForm(body, type, signature) : readRequest(body, type, signature, limits.rows)
  return await peopleRead(people, signature, limits)
}

/** @throws as `readPeople` */
async function readForTorchServe({ body, header: type, signature, limits }: Reading): Promise<PeopleRead> {
  return await peopleRead(await readTorchServe(body, type, signature, limits.rows), signature, limits)
}

async function peopleRead(people: PeopleRequest, signature: Signature, limits: RequestLimits): Promise<PeopleRead> {
  requirePeopleMax(people.pictures?.length ?? people.rows.length, signature, limits)
  return { ...(await encodeRequest(signature, people)), many: people.many }
}

/** @throws SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
function readV2({ body, header: headerLength, signature, limits }: Reading): V2Read {
  const { inputs: given, ...asked } = readV2Request(body, headerLength, limits, signature.inputs)
  const { inputs, rows, warnings } = checkTensors(signature, given)
  requireRowsMax(rows, limits)
  return { inputs, rows, warnings, asked }
}

const INSTANCES: BatchForm = { keys: ['instances'], beside: [] }

/** @throws as `readBatch` */
function readRowsOrColumns({ body, signature, limits, form }: Reading): Promise<BatchRead> {
  return readBatchBody(body, { signature, limits, form: form ?? INSTANCES })
}

/** @throws as `readEventBody` */
function readRowsOrEvent({ body, signature, limits, form }: Reading): Promise<BatchRead> {
  return readEventBody(body, { signature, limits, form: form ?? INSTANCES })
}

export const READERS = { people: readPeople, v2: readV2, batch: readRowsOrColumns, event: readRowsOrEvent, torchserve: readForTorchServe }
export type Readers = typeof READERS
export type ReaderName = keyof Readers
/** What a reader makes of a body. */
export type ReadBy<Name extends ReaderName> = Awaited<ReturnType<Readers[Name]>>
