import { FeedbackAnswer, FeedbackBody } from '../../contract/feedback.ts'
import { slipwayVersion } from '../../core/version.ts'
import { DATATYPES, isFloat, isWide } from '../../tensor/datatype.ts'
import { sampleOf } from '../../signature/example.ts'
import { elementAt } from '../../tensor/tensor.ts'
import { permits } from './access.ts'
import { exampleBody, isShown, pythonSnippet, curlLine, typescriptSnippet } from './examples.ts'
import type { KeyHolder } from '../../security/api-keys.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { AnswerPlan, Feature, Label, Signature } from '../../signature/signature.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'

type Json = Record<string, unknown>

/**
 * OpenAPI 3.1 of this server as it is: a schema for each model from its signature, with examples that work.
 * @param caller holder of the key, where keys are set: models that the key is not for are left out
 */
export function openApi(dataPlane: DataPlane, url: string, caller?: KeyHolder): Json {
  const schemas: Json = { Error: errorSchema }
  const paths: Json = {
    ...(dataPlane.endpoints.size === 1 && { '/predict': { post: anyPredict() } }),
    ...pathsOfServer(),
  }
  for (const endpoint of dataPlane.endpoints.values()) {
    const variant = endpoint.variants.find((candidate) => candidate.loaded !== undefined)
    if (variant?.loaded === undefined || !permits(caller, endpoint.name)) continue
    const { signature, package: source } = variant.loaded
    const name = endpoint.name
    schemas[schemaName(name, 'row')] = rowSchema(signature)
    schemas[schemaName(name, 'answer')] = answerSchema(signature)
    paths[`/models/${name}/predict`] = { post: predictOperation(name, signature, source.document.description, url) }
    paths[`/models/${name}/example`] = {
      get: { ...plain(`A body that ${name} accepts`, '', name), responses: { 200: ok({ type: 'object' }), 503: errorResponse } },
    }
    paths[`/v2/models/${name}`] = {
      get: { ...plain(`Metadata of ${name}`, '', name), responses: { 200: ok({ type: 'object' }), 503: errorResponse } },
    }
    for (const [path, summary] of [
      ['config', `Configuration of ${name}`],
      ['stats', `Statistics of ${name}`],
    ] as const)
      paths[`/v2/models/${name}/${path}`] = {
        get: { ...plain(summary, 'In the names of Triton.', name), responses: { 200: ok({ type: 'object' }), 503: errorResponse } },
      }
    paths[`/v2/models/${name}/ready`] = { get: ready(`Readiness of ${name}`, name) }
    paths[`/v2/models/${name}/infer`] = { post: inferOperation(name, signature) }
    paths[`/v2/models/${name}/generate`] = { post: generateOperation(name, signature, false) }
    paths[`/v2/models/${name}/generate_stream`] = { post: generateOperation(name, signature, true) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Slipway',
      version: slipwayVersion(),
      description: 'Predictions over the friendly dialect (rows in, answers out) and the Open Inference Protocol (tensors).',
    },
    servers: [{ url }],
    paths,
    components: {
      schemas,
      ...(caller !== undefined && { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } }),
    },
    ...(caller !== undefined && { security: [{ apiKey: [] }] }),
  }
}

/** Paths that every server has, whatever its models. */
function pathsOfServer(): Json {
  return {
    '/health': { get: plain('Health', 'What is loaded and, where something is not, why.', 'health') },
    '/ready': { get: ready('Readiness', 'health') },
    '/feedback': {
      post: {
        tags: ['operations'],
        summary: 'True outcomes of predictions',
        description: 'Each names its prediction by what the answer had as slipway-prediction-id. The same one again changes nothing.',
        requestBody: { required: true, content: { 'application/json': { schema: FeedbackBody } } },
        responses: { 200: ok({ ...FeedbackAnswer }), 202: ok({ ...FeedbackAnswer }), default: errorResponse },
      },
    },
    '/metrics': {
      get: {
        tags: ['operations'],
        summary: 'Metrics',
        description: 'Prometheus text, or OpenMetrics where the Accept header asks for it.',
        responses: { 200: { description: 'Metrics.', content: { 'text/plain': { schema: { type: 'string' } } } } },
      },
    },
    '/v2': { get: plain('Server metadata', 'Name, version and extensions.', 'Open Inference Protocol') },
    '/v2/health/live': { get: plain('Liveness', 'The process answers.', 'Open Inference Protocol') },
    '/v2/health/ready': { get: ready('Readiness', 'Open Inference Protocol') },
    '/v2/models/stats': { get: plain('Statistics of all models', 'As Triton counts them.', 'Open Inference Protocol') },
    '/v2/logging': { get: plain('What is logged', 'In the names of Triton.', 'Open Inference Protocol') },
    '/v2/trace/setting': {
      get: plain('What is traced', 'In the names of Triton.', 'Open Inference Protocol'),
      post: {
        ...plain('What is traced', 'With settings, which do not change while the server runs: 501.', 'Open Inference Protocol'),
        requestBody: { content: { 'application/json': { schema: { type: 'object' } } } },
        responses: { 200: ok({ type: 'object' }), 501: errorResponse, default: errorResponse },
      },
    },
    '/v2/repository/index': {
      post: {
        tags: ['Open Inference Protocol'],
        summary: 'Models',
        requestBody: {
          content: {
            'application/json': {
              schema: { type: 'object', properties: { ready: { type: 'boolean', description: 'Only models that can answer.' } } },
            },
          },
        },
        responses: {
          200: ok({ type: 'array', items: { type: 'object', properties: { name: text, version: text, state: text, reason: text } } }),
          default: errorResponse,
        },
      },
    },
  }
}

/** Name of a schema of a model among the components. */
export function schemaName(model: string, of: 'row' | 'answer'): string {
  return `${model.replaceAll(/[^\w.-]/g, '_')}.${of}`
}

function componentOf(model: string, of: 'row' | 'answer'): Json {
  return { $ref: `#/components/schemas/${schemaName(model, of)}` }
}

const text = { type: 'string' }
const errorSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: text,
    code: text,
    retryable: { type: 'boolean' },
    issues: { type: 'array', items: { type: 'object', properties: { path: text, message: text } } },
    request_id: text,
  },
}
const errorResponse = {
  description: 'What was wrong, where, and what was expected.',
  content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
}

function ok(schema: Json, type = 'application/json'): Json {
  return { description: 'The answer.', content: { [type]: { schema } } }
}

function plain(summary: string, description: string, tag: string): Json {
  return { tags: [tag], summary, description, responses: { 200: ok({ type: 'object' }) } }
}

function ready(summary: string, tag: string): Json {
  return {
    tags: [tag],
    summary,
    description: '503 while models load, and while the server shuts down.',
    responses: { 200: ok({ type: 'object' }), 503: ok({ type: 'object' }) },
  }
}

const predictionErrors = {
  400: errorResponse,
  408: errorResponse,
  413: errorResponse,
  415: errorResponse,
  503: errorResponse,
  504: errorResponse,
}

/** Pictures or one file of CSV or JSON as a part, or a field for each feature. */
const form: Json = { 'multipart/form-data': { schema: { type: 'object' } } }

/** An answer that comes as CSV to whoever asks for it by `Accept: text/csv`. */
function asJsonOrCsv(schema: Json): Json {
  const answered = ok(schema)
  return { ...answered, content: { ...(answered['content'] as Json), 'text/csv': { schema: text } } }
}

function anyPredict(): Json {
  return {
    tags: ['predict'],
    summary: 'Predict with the only model, or the default one',
    requestBody: { required: true, content: { 'application/json': { schema: {} }, 'text/csv': { schema: text }, ...form } },
    responses: { 200: asJsonOrCsv({ type: 'object' }), ...predictionErrors },
  }
}

function predictOperation(name: string, signature: Signature, description: string | undefined, url: string): Json {
  const row = componentOf(name, 'row')
  const answer = componentOf(name, 'answer')
  const example = exampleBody(signature)
  const samples = [
    { lang: 'Shell', label: 'curl', fence: 'sh', source: curlLine(url, name, signature) },
    { lang: 'Python', label: 'Python', fence: 'python', source: pythonSnippet(url, name, signature) },
    { lang: 'TypeScript', label: 'TypeScript', fence: 'ts', source: typescriptSnippet(url, name, signature) },
  ]
  return {
    tags: [name],
    summary: `Predict with ${name}`,
    description: `${description ?? ''}\n\n${samples.map(({ label, fence, source }) => `**${label}**\n\n\`\`\`${fence}\n${source.trimEnd()}\n\`\`\``).join('\n\n')}`,
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: {
            anyOf: [
              { type: 'object', required: ['inputs'], properties: { inputs: { anyOf: [row, { type: 'array', items: row }] } } },
              row,
              { type: 'array', items: row },
            ],
          },
          // A long one would fill pages: the samples fetch it.
          ...(isShown(example) && { example: JSON.parse(example) as unknown }),
        },
        ...(signature.image === undefined
          ? { 'text/csv': { schema: text } }
          : {
              'image/png': { schema: { type: 'string', contentMediaType: 'image/png' } },
              'image/jpeg': { schema: { type: 'string', contentMediaType: 'image/jpeg' } },
            }),
        ...form,
      },
    },
    responses: {
      200: asJsonOrCsv({
        anyOf: [answer, { type: 'object', required: ['predictions'], properties: { predictions: { type: 'array', items: answer } } }],
      }),
      ...predictionErrors,
    },
    'x-codeSamples': samples.map(({ lang, label, source }) => ({ lang, label, source })),
  }
}

/** A row of the friendly dialect. */
export function rowSchema(signature: Signature): Json {
  if (signature.image !== undefined)
    return {
      type: 'object',
      required: ['image'],
      properties: { image: { type: 'string', contentEncoding: 'base64', description: 'PNG or JPEG.' } },
    }
  if (signature.features !== undefined) {
    return {
      type: 'object',
      additionalProperties: false,
      required: signature.features.filter(({ spec }) => spec.default === undefined).map(({ spec }) => spec.name),
      properties: Object.fromEntries(signature.features.map((feature) => [feature.spec.name, featureSchema(feature)])),
    }
  }
  return {
    type: 'object',
    required: signature.inputs.filter((spec) => !signature.defaults.has(spec.name)).map((spec) => spec.name),
    properties: Object.fromEntries(signature.inputs.map((spec) => [spec.name, valueSchema(spec, signature.hasRows)])),
  }
}

function featureSchema({ spec }: Feature): Json {
  const described = {
    ...(spec.description !== undefined && { description: `${spec.description}${spec.unit === undefined ? '' : ` (${spec.unit})`}` }),
    ...(spec.default !== undefined && { default: spec.default }),
  }
  let one: Json
  if (spec.type === 'category') one = { enum: spec.categories }
  else if (spec.type === 'string' || spec.type === 'boolean') one = { type: spec.type }
  else
    one = {
      type: spec.nan === 'warn' || spec.nan === 'off' ? [spec.type, 'null'] : spec.type,
      ...(spec.minimum !== undefined && { minimum: spec.minimum }),
      ...(spec.maximum !== undefined && { maximum: spec.maximum }),
    }
  return spec.length === undefined
    ? { ...one, ...described }
    : { type: 'array', items: one, minItems: spec.length, maxItems: spec.length, ...described }
}

function elementSchema(datatype: TensorSpec['datatype']): Json {
  if (datatype === 'BYTES') return { type: 'string' }
  if (datatype === 'BOOL') return { type: 'boolean' }
  if (isFloat(datatype)) return { type: 'number' }
  return isWide(datatype) ? { type: 'integer', format: datatype.toLowerCase() } : { type: 'integer' }
}

function valueSchema(spec: TensorSpec, hasRows: boolean): Json {
  const shape = hasRows ? spec.shape.slice(1) : spec.shape
  let schema = elementSchema(spec.datatype)
  if (spec.anyRank === true) return {}
  for (const dim of shape.toReversed()) schema = { type: 'array', items: schema, ...(dim >= 0 && { minItems: dim, maxItems: dim }) }
  return shape.length === 1 && shape[0] === 1 ? { anyOf: [elementSchema(spec.datatype), schema] } : schema
}

/** NaN and the infinities are null in answers. */
const numberOrNull = { type: ['number', 'null'] }

/** More of them would fill the page. */
const LABELS_SHOWN_MAX = 100

/** One of the labels, where they are known and few. */
function labelSchema(labels: readonly Label[] | undefined): Json {
  return labels === undefined || labels.length > LABELS_SHOWN_MAX ? {} : { enum: [...new Set(labels)] }
}

/** The answer for a row in the friendly dialect. */
export function answerSchema(signature: Signature): Json {
  const { answer, outputs, inputs, hasRows } = signature
  const predicted = (prediction: Json): Json => ({ type: 'object', required: ['prediction'], properties: { prediction } })
  switch (answer.task) {
    case 'classification':
      return classSchema(answer)
    case 'regression': {
      const value = outputs.find(({ name }) => name === answer.value)
      return predicted(value === undefined ? {} : outputSchema(value, true))
    }
    case 'ranking': {
      const asked = inputs.find(({ name }) => name === answer.items)
      const item = answer.labels !== undefined ? labelSchema(answer.labels) : elementSchema(asked?.datatype ?? 'INT32')
      return predicted({
        type: 'array',
        items: { type: 'object', required: ['item', 'score'], properties: { item, score: numberOrNull } },
      })
    }
    case 'embedding':
      return predicted({ type: 'array', items: {}, description: 'A vector, or one for each token.' })
    case 'tensors': {
      const [only, ...more] = outputs
      if (only !== undefined && more.length === 0) return predicted(outputSchema(only, hasRows))
      return predicted({
        type: 'object',
        required: outputs.map(({ name }) => name),
        properties: Object.fromEntries(outputs.map((spec) => [spec.name, outputSchema(spec, hasRows)])),
      })
    }
  }
}

function classSchema({ labels, probabilities, topK }: Extract<AnswerPlan, { task: 'classification' }>): Json {
  const prediction = labelSchema(labels)
  if (probabilities === undefined) return { type: 'object', required: ['prediction'], properties: { prediction } }
  const names = labels !== undefined && labels.length <= LABELS_SHOWN_MAX ? labels.map(String) : undefined
  return {
    type: 'object',
    required: ['prediction', 'confidence', 'probabilities', ...(topK === undefined ? [] : ['top'])],
    properties: {
      prediction,
      confidence: { ...numberOrNull, description: 'Probability of the prediction.' },
      probabilities:
        names === undefined
          ? { type: 'object', additionalProperties: numberOrNull }
          : {
              type: 'object',
              properties: Object.fromEntries(names.map((name) => [name, numberOrNull])),
              ...(topK === undefined && { required: names }),
            },
      ...(topK !== undefined && {
        top: {
          type: 'array',
          description: 'The likeliest classes, the likeliest first.',
          items: { type: 'object', required: ['label', 'probability'], properties: { label: prediction, probability: numberOrNull } },
        },
      }),
    },
  }
}

/** The values of an output for one row; a lone one is no list. */
function outputSchema(spec: TensorSpec, hasRows: boolean): Json {
  if (spec.anyRank === true) return {}
  const shape = hasRows ? spec.shape.slice(1) : spec.shape
  const element = isFloat(spec.datatype) ? numberOrNull : elementSchema(spec.datatype)
  if (shape.every((dim) => dim === 1) && hasRows) return element
  // A free dimension may turn out to be 1.
  const lists = shape
    .toReversed()
    .reduce<Json>((items, dim) => ({ type: 'array', items, ...(dim >= 0 && { minItems: dim, maxItems: dim }) }), element)
  return hasRows && shape.every((dim) => dim === 1 || dim === -1) ? { anyOf: [element, lists] } : lists
}

/** Larger examples would make the page slow. */
const EXAMPLE_ELEMENTS_MAX = 2000

/** A request that the model accepts, where it is small enough to show. */
function inferExample(signature: Signature): Json {
  const tensors = sampleOf(signature).rows(1)
  if (tensors.reduce((sum, tensor) => sum + tensor.data.length, 0) > EXAMPLE_ELEMENTS_MAX) return {}
  const inputs = tensors.map((tensor) => ({
    name: tensor.name,
    datatype: tensor.datatype,
    shape: tensor.shape,
    data: Array.from({ length: tensor.data.length }, (_, index) => elementAt(tensor, index)),
  }))
  return { example: { inputs } }
}

function inferOperation(name: string, signature: Signature): Json {
  const tensor = {
    type: 'object',
    required: ['name', 'datatype', 'shape'],
    properties: {
      name: { enum: signature.inputs.map((spec) => spec.name) },
      datatype: { enum: Object.keys(DATATYPES) },
      shape: { type: 'array', items: { type: 'integer', minimum: 0 } },
      data: { type: 'array' },
      parameters: { type: 'object' },
    },
  }
  return {
    tags: [name],
    summary: `Infer with ${name} (tensors)`,
    description: `Inputs: ${signature.inputs.map((spec) => `${spec.name} ${spec.datatype} [${spec.shape.join(', ')}]`).join('; ')}. Outputs: ${signature.outputs.map((spec) => `${spec.name} ${spec.datatype}`).join('; ')}.`,
    requestBody: {
      required: true,
      content: {
        'application/json': {
          ...inferExample(signature),
          schema: {
            type: 'object',
            required: ['inputs'],
            properties: {
              id: text,
              parameters: { type: 'object' },
              inputs: { type: 'array', minItems: 1, items: tensor },
              outputs: {
                type: 'array',
                items: { type: 'object', required: ['name'], properties: { name: { enum: signature.outputs.map((spec) => spec.name) } } },
              },
            },
          },
        },
      },
    },
    responses: {
      200: ok({
        type: 'object',
        required: ['model_name', 'outputs'],
        properties: { model_name: text, model_version: text, id: text, outputs: { type: 'array' } },
      }),
      ...predictionErrors,
      501: errorResponse,
    },
  }
}

function generateOperation(name: string, signature: Signature, isStream: boolean): Json {
  const names = signature.outputs.map((spec) => spec.name).join(', ')
  const event = { type: 'object', required: ['data'], properties: { data: { type: 'string', contentMediaType: 'application/json' } } }
  const answer = {
    type: 'object',
    required: ['model_name', 'model_version'],
    properties: { id: text, model_name: text, model_version: text },
  }
  return {
    tags: [name],
    summary: isStream ? `Generate with ${name}, as events` : `Generate with ${name}`,
    description: `Inputs are members, of one row each: a value, or a list of the values of that row. Members of the answer: ${names}.`,
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: {
            type: 'object',
            required: signature.inputs.filter((spec) => !signature.defaults.has(spec.name)).map((spec) => spec.name),
            properties: {
              ...Object.fromEntries(signature.inputs.map((spec) => [spec.name, {}])),
              id: text,
              parameters: { type: 'object', description: 'Further inputs, and parameters of the request.' },
            },
          },
        },
      },
    },
    responses: { 200: isStream ? ok(event, 'text/event-stream') : ok(answer), ...predictionErrors, 501: errorResponse },
  }
}
