import { COLUMNS } from '../../../signature/csv.ts'
import { notReadyReason } from '../health.ts'
import { soleEndpoint } from './sole-endpoint.ts'
import type { SlipwayError } from '../../../core/errors.ts'
import type { Encoded } from '../../../signature/encode.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { MlflowRead } from '../../bodies/mlflow.ts'
import type { Written } from '../../bodies/types.ts'
import type { ErrorAnswer } from '../error-form.ts'
import type { Route } from '../routes.ts'
import type { Answer, Asking, Conversation, Dialect, DialectHost, DialectRoute } from './dialect.ts'

/** The release whose scoring server this is as, for clients that ask. */
const MLFLOW_VERSION = '3.18.0'

/** MLflow's scoring server, as `mlflow models serve` starts it: one model at `/invocations`. */
export const mlflow: Dialect = {
  name: 'mlflow',
  of: 'MLflow',
  description: "MLflow's scoring server: /invocations with dataframe_split, dataframe_records, instances, inputs or CSV",
  differences: [
    '`params` are refused by name where a model takes none; there they are ignored.',
    'Whole numbers are numbers for an input of floats; there they are refused.',
    'Cells that are missing at the end of a row are refused; there they are NaN.',
    'An array for a model of several inputs is 400; there it is 500.',
    'Columns that a model with features has not are refused; there they are left out.',
    'Bodies for language models (`messages`, `prompt`, `input`) are refused by name.',
  ],
  error: errorOf,
  routes,
}

function routes(host: DialectHost): DialectRoute[] {
  const { dataPlane } = host
  const open = (path: string, handle: Route['handle']): Route => ({ method: 'GET', path, access: 'open', handle })
  const ping: Route['handle'] = (exchange) => {
    const ready = notReadyReason(dataPlane, { strict: false }) === undefined
    exchange.json(ready ? 200 : 404, '\n')
  }
  return [
    open('/ping', ping),
    open('/health', ping),
    open('/version', (exchange) => exchange.json(200, MLFLOW_VERSION)),
    {
      method: 'POST',
      path: '/invocations',
      target: () => ({ name: soleEndpoint(host), version: undefined }),
      converse: (request) => conversation(request, host),
    },
  ]
}

function conversation(request: Asking, { bodies, limits }: DialectHost): Conversation {
  let asked: { readonly signature: Signature; readonly rows: number; readonly table: boolean }
  return {
    async prepare(body, { signature, requestedOutputs }) {
      const read: MlflowRead = await bodies.read('mlflow', { body, header: request.header('content-type'), signature, limits })
      const { inputs, rows, warnings }: Encoded = read
      asked = { signature, rows, table: read.table }
      return { inputs, rows, warnings, outputs: requestedOutputs(undefined) }
    },
    answer({ outputs }) {
      const written = bodies.write('mlflow', { ...asked, outputs })
      return written instanceof Promise ? written.then(answerOf) : answerOf(written)
    },
  }
}

function answerOf({ body }: Written): Answer {
  return { type: 'application/json', body }
}

/** MLflow's codes of errors by status (mlflow/exceptions.py); what is not read is told as text there. */
const CODES: Readonly<Record<number, string>> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'RESOURCE_DOES_NOT_EXIST',
  405: 'BAD_REQUEST',
  413: 'REQUEST_LIMIT_EXCEEDED',
  429: 'REQUEST_LIMIT_EXCEEDED',
  501: 'NOT_IMPLEMENTED',
  503: 'TEMPORARILY_UNAVAILABLE',
  504: 'TEMPORARILY_UNAVAILABLE',
}

/** A table whose columns are not those of the model's signature has a code of its own there. */
function codeOf({ kind, issues }: SlipwayError): string {
  return issues?.[0]?.path === COLUMNS ? 'INVALID_PARAMETER_VALUE' : (CODES[kind.http] ?? 'INTERNAL_ERROR')
}

function errorOf(error: SlipwayError): ErrorAnswer {
  const status = error.kind.http
  if (error.code === 'SLW_UNSUPPORTED_MEDIA_TYPE') return { status, type: 'text/plain; charset=utf-8', body: error.message }
  return {
    status,
    type: 'application/json',
    body: JSON.stringify({ error_code: codeOf(error), message: error.message }),
  }
}
