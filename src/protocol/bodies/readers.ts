/** Readers make tensors of bodies. They are pure, so that large bodies can be read in another thread. */
import { isForm, readForm } from '../../signature/form.ts'
import { readRequest } from '../../signature/request.ts'
import { checkTensors } from '../../signature/tensors.ts'
import { encodedOf } from '../grpc/inference/encoded.ts'
import { readInferRequest } from '../grpc/inference/infer-request.ts'
import { readGenerateRequest } from '../v2/generate.ts'
import { readV2Request } from '../v2/request.ts'
import { readAzure } from './azureml.ts'
import { readEventBody } from './cloud-event.ts'
import { readContainer } from './container.ts'
import { encodeWithin } from './encode-within.ts'
import { readBatchBody } from './instances.ts'
import { readMlflow } from './mlflow.ts'
import { requireRowsMax } from './row-limits.ts'
import { readTorchServe } from './torchserve.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { Signature } from '../../signature/signature.ts'
import type { RequestLimits } from '../limits.ts'
import type { BatchForm, BatchRead } from './instances.ts'
import type { V2Request } from '../v2/request.ts'
import type { Reading } from './types.ts'

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
    type !== undefined && isForm(type) ? await readForm(body, type, signature, { limits }) : readRequest(body, type, signature, limits)
  return { ...(await encodeWithin(limits, signature, people)), many: people.many }
}

/** @throws as `readPeople` */
async function readForTorchServe({ body, header: type, signature, limits }: Reading): Promise<PeopleRead> {
  const people = await readTorchServe(body, type, signature, limits)
  return { ...(await encodeWithin(limits, signature, people)), many: people.many }
}

/** @throws SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
function readV2({ body, header: headerLength, signature, limits }: Reading): V2Read {
  return checked(readV2Request(body, headerLength, limits, signature.inputs), signature, limits)
}

function checked({ inputs: given, ...asked }: V2Request, signature: Signature, limits: RequestLimits): V2Read {
  const { inputs, rows, warnings } = checkTensors(signature, given)
  requireRowsMax(rows, limits)
  return { inputs, rows, warnings, asked }
}

/** @throws SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
function readGrpc({ body, signature, limits }: Reading): Encoded {
  return encodedOf(readInferRequest(body), signature, limits)
}

/** @throws as {@link readV2} */
function readGenerate({ body, signature, limits }: Reading): V2Read {
  return checked(readGenerateRequest(body, signature, limits), signature, limits)
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

export const READERS = {
  people: readPeople,
  v2: readV2,
  generate: readGenerate,
  batch: readRowsOrColumns,
  mlflow: readMlflow,
  container: readContainer,
  azureml: readAzure,
  event: readRowsOrEvent,
  torchserve: readForTorchServe,
  grpc: readGrpc,
}
export type Readers = typeof READERS
export type ReaderName = keyof Readers
/** What a reader makes of a body. */
export type ReadBy<Name extends ReaderName> = Awaited<ReturnType<Readers[Name]>>
