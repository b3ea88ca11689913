import { SlipwayError } from '../../../core/errors.ts'
import { csvOf } from '../../../signature/csv.ts'
import { isForm, readForm } from '../../../signature/form.ts'
import { prepareQuestion, readRequest } from '../../../signature/request.ts'
import { imageRowShape } from '../../../signature/signature.ts'
import { elementCount } from '../../../tensor/tensor.ts'
import { toJson } from '../../../tensor/json-writer.ts'
import { ownError } from '../error-form.ts'
import { exampleBody } from '../examples.ts'
import type { DataPlane } from '../../../serving/data-plane.ts'
import type { PeopleRequest, Question } from '../../../signature/request.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { RequestLimits } from '../../limits.ts'
import type { Exchange } from '../exchange.ts'
import type { Conversation, Dialect, DialectHost, DialectRoute, PredictRoute } from './dialect.ts'

/** The friendly dialect: people's rows in, answers out. */
export const friendly: Dialect = {
  name: 'predict',
  description: 'rows as JSON, CSV or forms and pictures in, labels, numbers and rankings out, as JSON or CSV',
  error: ownError,
  routes,
}

function routes({ dataPlane, limits, defaultModel }: DialectHost): DialectRoute[] {
  const predict = (path: string): PredictRoute => ({
    method: 'POST',
    path,
    target: ({ name, version }) => ({ name: name ?? soleEndpoint(dataPlane, defaultModel), version }),
    converse: (request) => predictConversation(request, limits),
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

function predictConversation(request: Pick<Exchange, 'header'>, limits: RequestLimits): Conversation {
  let people: PeopleRequest
  let question: Question
  return {
    async prepare(body, { signature }) {
      const type = request.header('content-type')
      people = type !== undefined && isForm(type) ? await readForm(body, type, signature) : readRequest(body, type, signature, limits.rows)
      const count = people.pictures?.length ?? people.rows.length
      if (count > limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has ${count} rows, limits.rows is ${limits.rows}`)
      const elements = count * elementsPerRow(signature)
      if (elements > limits.elements)
        throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${count} rows make ${elements} elements, limits.elements is ${limits.elements}`)
      question = await prepareQuestion(signature, people)
      return question
    },
    answer({ subject, outputs }) {
      const answers = question.answer(outputs)
      const csv = prefersCsv(request.header('accept'))
      const json = (): string => (people.many ? `{"predictions":${toJson(answers)}}` : toJson(answers[0]))
      return {
        type: csv ? 'text/csv; charset=utf-8; header=present' : 'application/json',
        body: csv ? csvOf(answers) : json(),
        headers: { 'slipway-model': subject.endpoint, 'slipway-variant': subject.variant, 'slipway-version': subject.version },
      }
    },
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

/** @throws SLW_BAD_REQUEST naming the models, when there are several and none is the default */
function soleEndpoint(dataPlane: DataPlane, defaultModel: string | undefined): string {
  if (defaultModel !== undefined) return defaultModel
  const names = [...dataPlane.endpoints.keys()]
  const [only] = names
  if (names.length === 1 && only !== undefined) return only
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    `${names.length} models are served (${names.slice(0, 10).join(', ')}): POST /models/NAME/predict, or set defaultModel`,
  )
}

/** Elements of a row as a tensor, which can be far larger than the row as text: pictures, one-hot columns. */
function elementsPerRow({ image, features }: Signature): number {
  if (image !== undefined) return elementCount(imageRowShape(image))
  return features?.reduce((sum, feature) => sum + feature.width, 0) ?? 1
}
