import { SlipwayError } from '../../core/errors.ts'
import { prepareQuestion, readRequest } from '../../signature/request.ts'
import { imageRowShape } from '../../signature/signature.ts'
import { elementCount } from '../../tensor/tensor.ts'
import { toJson } from '../../tensor/json-writer.ts'
import { exampleBody } from './examples.ts'
import { runRequest, soleEndpoint } from './run-request.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { PeopleRequest, Question } from '../../signature/request.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Exchange } from './exchange.ts'
import type { HttpLimits } from './options.ts'
import type { Params, Route } from './routes.ts'

/** The friendly dialect: people's rows in, answers out. */
export function friendlyRoutes(dataPlane: DataPlane, limits: HttpLimits, defaultModel: string | undefined): Route[] {
  const predict = (exchange: Exchange, params: Params): void => {
    exchange.protocol = 'predict'
    predictFor(exchange, dataPlane, limits, { name: params['name'] ?? soleEndpoint(dataPlane, defaultModel), version: params['version'] })
  }
  return [
    { method: 'POST', path: '/predict', access: 'predict', handle: predict },
    { method: 'POST', path: '/models/:name/predict', access: 'predict', handle: predict },
    { method: 'POST', path: '/models/:name/versions/:version/predict', access: 'predict', handle: predict },
    {
      method: 'GET',
      path: '/models/:name/example',
      access: 'predict',
      handle: async (exchange, params) => {
        const variant = dataPlane.endpoint(params['name'] ?? '').route(undefined, undefined)
        exchange.json(200, exampleBody(await dataPlane.signatureOf(variant)))
      },
    },
  ]
}

function predictFor(
  exchange: Exchange,
  dataPlane: DataPlane,
  limits: HttpLimits,
  target: { name: string; version: string | undefined },
): void {
  let people: PeopleRequest
  let question: Question
  runRequest(exchange, dataPlane, target, {
    async prepare(body, _variant, { signature }) {
      people = readRequest(body, exchange.header('content-type'), signature)
      const count = people.pictures?.length ?? people.rows.length
      if (count > limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has ${count} rows, limits.rows is ${limits.rows}`)
      const elements = count * elementsPerRow(signature)
      if (elements > limits.elements)
        throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${count} rows make ${elements} elements, limits.elements is ${limits.elements}`)
      question = await prepareQuestion(signature, people)
      return question
    },
    respond(done) {
      const answers = question.answer(done.outputs)
      const headers = { ...done.headers, 'slipway-model': done.subject.endpoint, 'slipway-version': done.subject.version }
      exchange.json(200, people.many ? `{"predictions":${toJson(answers)}}` : toJson(answers[0]), headers)
    },
  })
}

/** What a row takes once it is a tensor, which can be far more than it takes as text: pictures, one-hot columns. */
function elementsPerRow({ image, features }: Signature): number {
  if (image !== undefined) return elementCount(imageRowShape(image))
  return features?.reduce((sum, feature) => sum + feature.width, 0) ?? 1
}
