import { notReadyReason } from '../../health.ts'
import { ownError } from '../../error-form.ts'
import { soleEndpoint } from '../sole-endpoint.ts'
import { invocation } from './invocation.ts'
import type { Dialect, DialectHost, DialectRoute } from '../dialect.ts'

/** A SageMaker container for one model: what endpoints and batch transform ask (developer guide, "Use Your Own Inference Code"). */
export const sagemaker: Dialect = {
  name: 'sagemaker',
  of: 'SageMaker',
  description: 'a SageMaker container: /ping, /invocations with CSV, JSON, JSON Lines or NPY, /execution-parameters',
  differences: [
    'RecordIO-protobuf, which algorithms of SageMaker read, is refused by name.',
    'CSV has no header line, unless its type says `header=present`.',
    'JSON answers as `POST /predict` does: a row with an object, rows with `{"predictions": [...]}`.',
  ],
  error: ownError,
  routes,
}

function routes(host: DialectHost): DialectRoute[] {
  const { dataPlane } = host
  return [
    {
      method: 'GET',
      path: '/ping',
      access: 'open',
      handle: (exchange) => {
        const reason = notReadyReason(dataPlane, { strict: false })
        exchange.json(reason === undefined ? 200 : 503, reason === undefined ? '' : JSON.stringify({ error: reason }))
      },
    },
    {
      method: 'POST',
      path: '/invocations',
      target: () => ({ name: soleEndpoint(host), version: undefined }),
      converse: (request) => invocation(request, host),
    },
    {
      method: 'GET',
      path: '/execution-parameters',
      access: 'open',
      handle: (exchange) => exchange.json(200, JSON.stringify(executionParameters(host))),
    },
  ]
}

/** Batch transform refuses more than this many megabytes in flight together. */
const TOGETHER_MB_MAX = 100
/** Payload of batch transform where nobody says otherwise. */
const PAYLOAD_MB = 6

/** How batch transform had best ask: a request for each instance and one that waits, of many rows where rows are independent. */
function executionParameters({ dataPlane, limits }: DialectHost): object {
  const payloadMb = Math.max(1, Math.min(PAYLOAD_MB, Math.floor(limits.bodyBytes / 1024 ** 2)))
  const loaded = [...dataPlane.variants()].map((variant) => variant.loaded).filter((one) => one !== undefined)
  const instances = Math.max(1, ...loaded.map(({ serving }) => serving.instances))
  return {
    MaxConcurrentTransforms: Math.min(instances + 1, Math.floor(TOGETHER_MB_MAX / payloadMb)),
    BatchStrategy: loaded.every(({ signature }) => signature.hasRows) ? 'MULTI_RECORD' : 'SINGLE_RECORD',
    MaxPayloadInMB: payloadMb,
  }
}
