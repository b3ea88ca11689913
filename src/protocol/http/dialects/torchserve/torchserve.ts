import { SlipwayError } from '../../../../core/errors.ts'
import { questionOf } from '../../../../signature/request.ts'
import { notReadyReason } from '../../health.ts'
import { addressOf } from './address.ts'
import { torchServeError } from './error.ts'
import type { Question } from '../../../../signature/request.ts'
import type { Signature } from '../../../../signature/signature.ts'
import type { Written } from '../../../bodies/types.ts'
import type { Answer, Asking, Conversation, Dialect, DialectHost, DialectRoute } from '../dialect.ts'

/** TorchServe's inference API (docs/inference_api.md of pytorch/serve), which has a port of its own there: 8080. */
export const torchserve: Dialect = {
  name: 'torchserve',
  of: 'TorchServe',
  description: "TorchServe's inference API: /predictions with JSON, pictures, texts or forms, and /ping",
  differences: [
    'Rows come as a list or under `inputs`; the envelope `{"instances": [...]}` is refused.',
    'A row that is wrong is 400 with its place, and no row is run; there the handler of the model decides.',
    'Explanations are 501, workflows 404; there is no gRPC, and no port of metrics.',
  ],
  prefix: '/predictions',
  error: torchServeError,
  routes,
}

const PREDICTIONS = ['/predictions/:name', '/predictions/:name/:version']
const EXPLANATIONS = ['/explanations/:name', '/explanations/:name/:version']

function routes(host: DialectHost): DialectRoute[] {
  const { dataPlane } = host
  return [
    {
      method: 'GET',
      path: '/ping',
      access: 'open',
      handle: (exchange) => {
        const healthy = notReadyReason(dataPlane, { strict: false }) === undefined
        exchange.json(healthy ? 200 : 500, JSON.stringify({ status: healthy ? 'Healthy' : 'Unhealthy' }))
      },
    },
    // A client sends a file by POST, or by PUT as `curl -T` does.
    ...(['POST', 'PUT'] as const).flatMap((method) => [
      ...PREDICTIONS.map((path): DialectRoute => ({
        method,
        path,
        target: (params) => addressOf(params, dataPlane),
        converse: (request) => conversation(request, host),
      })),
      ...EXPLANATIONS.map((path): DialectRoute => ({
        method,
        path,
        access: 'predict',
        handle: (_, params) => {
          addressOf(params, dataPlane)
          dataPlane.endpoint(params['name'] ?? '')
          throw new SlipwayError(
            'SLW_NOT_IMPLEMENTED',
            `the model "${params['name']}" has no explanations: this server answers /predictions`,
          )
        },
      })),
    ]),
  ]
}

function conversation(request: Asking, { bodies, limits }: DialectHost): Conversation {
  let asked: { readonly signature: Signature; readonly question: Question; readonly many: boolean }
  return {
    async prepare(body, { signature }) {
      const read = await bodies.read('torchserve', { body, header: request.header('content-type'), signature, limits })
      const question = questionOf(signature, read)
      asked = { signature, question, many: read.many }
      return question
    },
    answer({ outputs }) {
      const { signature, question, many } = asked
      const written = bodies.write('torchserve', { signature, outputs, asked: question.asked, rows: question.rows, many })
      return written instanceof Promise ? written.then(answerOf) : answerOf(written)
    },
  }
}

/** A text is answered as it is. */
function answerOf({ body }: Written): Answer {
  const text = body.toString()
  return text.startsWith('"') ? { type: 'text/plain; charset=utf-8', body: JSON.parse(text) as string } : { type: 'application/json', body }
}
