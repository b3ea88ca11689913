import { questionOf } from '../../../signature/request.ts'
import { notReadyReason } from '../health.ts'
import { soleEndpoint } from './sole-endpoint.ts'
import { inputInvalid } from '../../../core/errors.ts'
import type { SlipwayError } from '../../../core/errors.ts'
import type { Question } from '../../../signature/request.ts'
import type { JsonValue } from '../../../tensor/json-reader.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { Written } from '../../bodies/types.ts'
import type { ErrorAnswer } from '../error-form.ts'
import type { Answer, Conversation, Dialect, DialectHost, DialectRoute } from './dialect.ts'

/** Paths at which Vertex AI asks a container; it tells them by AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE. */
export interface VertexPaths {
  readonly healthRoute: string
  readonly predictRoute: string
}

/** Whether a path has characters alone that stand for themselves in addresses. */
export function isVertexPath(path: string): boolean {
  return path === '/' || /^(?:\/[\w.~:@-]+)+\/?$/.test(path)
}

export const VERTEX_PATHS: VertexPaths = { healthRoute: '/health', predictRoute: '/predict' }

/** A custom container of Vertex AI ("Custom container requirements for inference"). */
export const vertex: Dialect = {
  name: 'vertex',
  of: 'Vertex AI',
  description: 'a container of Vertex AI: {"instances", "parameters"} at the routes that AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE name',
  differences: [
    'A model that comes from `AIP_STORAGE_URI` in a bucket is not downloaded: it is in the image.',
    '`parameters` are refused by name where they are not empty.',
    'Predictions are labels, numbers or outputs; what else a model says is not among them.',
  ],
  error: errorOf,
  routes,
}

function routes(host: DialectHost): DialectRoute[] {
  const { healthRoute, predictRoute } = host.vertex ?? VERTEX_PATHS
  return [
    {
      method: 'GET',
      path: literal(healthRoute),
      access: 'open',
      handle: (exchange) => {
        const reason = notReadyReason(host.dataPlane, { strict: false })
        exchange.json(reason === undefined ? 200 : 503, JSON.stringify(reason === undefined ? {} : { error: reason }))
      },
    },
    {
      method: 'POST',
      path: literal(predictRoute),
      target: () => ({ name: soleEndpoint(host), version: undefined }),
      converse: () => conversation(host),
    },
  ]
}

/** A path of the platform has colons, and no parameters; with a slash at its end it is the same. */
function literal(path: string): string {
  return path.replaceAll(':', '::').replace(/(?<=.)\/$/, '')
}

const FORM = { keys: ['instances'], beside: ['parameters'] } as const

function conversation({ bodies, limits }: DialectHost): Conversation {
  let asked: { readonly signature: Signature; readonly question: Question }
  const answerOf = ({ body }: Written): Answer => ({ type: 'application/json', body })
  return {
    async prepare(body, { signature }) {
      const read = await bodies.read('batch', { body, header: undefined, signature, limits, form: FORM })
      refuseParameters(read.beside['parameters'])
      const question = questionOf(signature, read)
      asked = { signature, question }
      return question
    },
    answer({ outputs }) {
      const { signature, question } = asked
      const written = bodies.write('predictions', { signature, outputs, asked: question.asked, rows: question.rows })
      return written instanceof Promise ? written.then(answerOf) : answerOf(written)
    },
  }
}

function refuseParameters(parameters: JsonValue | undefined): void {
  if (parameters === undefined || parameters === null) return
  const given = typeof parameters === 'object' && !Array.isArray(parameters) ? Object.keys(parameters) : undefined
  if (given === undefined) throw inputInvalid([{ path: 'parameters', message: 'expected an object' }], 'SLW_BAD_REQUEST')
  const [name] = given
  if (name !== undefined) throw inputInvalid([{ path: `parameters.${name}`, message: 'the model takes no parameters' }], 'SLW_BAD_REQUEST')
}

/** Vertex shows its callers the text of a container's error inside its own. */
function errorOf(error: SlipwayError): ErrorAnswer {
  return { status: error.kind.http, type: 'application/json', body: JSON.stringify({ error: error.message }) }
}
