import { questionOf } from '../../../signature/request.ts'
import { ownError } from '../error-form.ts'
import { exampleBody } from '../examples.ts'
import { soleEndpoint } from './sole-endpoint.ts'
import type { Subject } from '../../../serving/observe/events.ts'
import type { Question } from '../../../signature/request.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { Written } from '../../bodies/types.ts'
import type { Answer, Asking, Conversation, Dialect, DialectHost, DialectRoute, PredictRoute } from './dialect.ts'

/** The friendly dialect: people's rows in, answers out. */
export const friendly: Dialect = {
  name: 'predict',
  byDefault: true,
  description: 'rows as JSON, CSV or forms and pictures in, labels, numbers and rankings out, as JSON or CSV',
  error: ownError,
  routes,
}

function routes(host: DialectHost): DialectRoute[] {
  const { dataPlane } = host
  const predict = (path: string): PredictRoute => ({
    method: 'POST',
    path,
    target: ({ name, version }) => ({ name: name ?? soleEndpoint(host, 'POST /models/NAME/predict'), version }),
    converse: (request) => predictConversation(request, host),
  })
  return [
    predict('/predict'),
    predict('/models/:name/predict'),
    predict('/models/:name/versions/:version/predict'),
    {
      method: 'GET',
      path: '/models/:name/example',
      access: 'predict',
      handle: async (exchange, params) => {
        const variant = dataPlane.endpoint(params['name'] ?? '').requireMain()
        exchange.json(200, exampleBody(await dataPlane.signatureOf(variant)))
      },
    },
  ]
}

function predictConversation(request: Asking, { bodies, limits }: DialectHost): Conversation {
  let asked: { readonly signature: Signature; readonly question: Question; readonly many: boolean }
  return {
    async prepare(body, { signature }) {
      const read = await bodies.read('people', { body, header: request.header('content-type'), signature, limits })
      const question = questionOf(signature, read)
      asked = { signature, question, many: read.many }
      return question
    },
    answer({ subject, outputs }) {
      const { signature, question, many } = asked
      const csv = prefersCsv(request.header('accept'))
      const written = bodies.write('people', { signature, outputs, asked: question.asked, rows: question.rows, many, csv })
      return written instanceof Promise ? written.then((later) => answerOf(later, csv, subject)) : answerOf(written, csv, subject)
    },
  }
}

function answerOf({ body }: Written, csv: boolean, { endpoint, version }: Subject): Answer {
  return {
    type: csv ? 'text/csv; charset=utf-8; header=present' : 'application/json',
    body,
    headers: { 'slipway-model': endpoint, 'slipway-version': version },
  }
}

/** Whether a client asks for CSV rather than for JSON (RFC 9110, 12.5.1). Errors are JSON all the same. */
function prefersCsv(accept: string | undefined): boolean {
  if (accept === undefined || !accept.includes('csv')) return false
  const ranges = accept.split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((text) => text.trim().toLowerCase())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    return { type, weight: weight === undefined ? 1 : Number(weight.slice('q='.length)) }
  })
  // The closest range that a type is in decides, as "text/csv;q=0.5, */*" asks for anything rather than CSV.
  const weightOf = (...closest: readonly string[]): number =>
    closest.map((type) => ranges.find((range) => range.type === type)).find((range) => range !== undefined)?.weight ?? 0
  const csv = weightOf('text/csv', 'text/*', '*/*')
  const json = weightOf('application/json', 'application/*', '*/*')
  return csv > 0 && (csv > json || (csv === json && ranges.some(({ type }) => type === 'text/csv')))
}
