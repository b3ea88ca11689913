import { SlipwayError } from '../../../core/errors.ts'
import { questionOf } from '../../../signature/request.ts'
import { checkEvent, EVENT_ATTRIBUTES } from '../../bodies/cloud-event.ts'
import { permits } from '../access.ts'
import type { Question } from '../../../signature/request.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { Subject } from '../../../serving/observe/events.ts'
import type { BatchForm } from '../../bodies/instances.ts'
import type { Written } from '../../bodies/types.ts'
import type { Answer, Asking, Conversation, Dialect, DialectHost, DialectRoute } from './dialect.ts'

/** KServe's first protocol, with CloudEvents in both of their HTTP modes. */
export const kserveV1: Dialect = {
  name: 'kserve-v1',
  of: 'KServe v1',
  description: "KServe's first protocol: instances in, predictions out, also as CloudEvents",
  differences: [
    'A body that is no object, has neither `instances` nor `inputs`, or has rows of several lengths is 400; there it is 500.',
    'Members that mean nothing here are refused by name; `parameters`, `signature_name` and `id` may stand there, and change nothing.',
    'NaN and the infinities are read as Python writes them; in answers they are null.',
    'A body of another type than JSON is 415; there it is 500.',
    'An event without one of the attributes that the specification requires is 400; there it is taken for plain JSON.',
    'Models with labels answer with labels; `POST /models/NAME/predict` also says how sure they are.',
  ],
  prefix: '/v1/',
  error: (error) => ({ status: error.kind.http, type: 'application/json', body: JSON.stringify({ error: error.message }) }),
  routes,
}

/** A model's name, up to the colon before what is asked of it. */
const MODEL = '/v1/models/:name(^[^/:]+)'
const FORM: BatchForm = { keys: ['instances', 'inputs'], beside: ['parameters', 'signature_name', 'id'] }
/** Types of bodies that KServe reads as JSON; curl sends the last one unless it is told otherwise. */
const JSON_TYPES = new Set(['application/json', 'application/ld+json', 'application/octet-stream', 'application/x-www-form-urlencoded'])
const EVENT_TYPE = 'application/cloudevents+json'

function routes(host: DialectHost): DialectRoute[] {
  const { dataPlane } = host
  return [
    { method: 'GET', path: '/', access: 'open', handle: (exchange) => exchange.json(200, '{"status":"alive"}') },
    {
      method: 'GET',
      path: '/v1/models',
      access: 'predict',
      handle: (exchange) => {
        const models = [...dataPlane.endpoints.keys()].filter((name) => permits(exchange.caller, name))
        exchange.json(200, JSON.stringify({ models }))
      },
    },
    {
      method: 'GET',
      path: MODEL,
      access: 'predict',
      handle: (exchange, { name = '' }) => {
        const variant = dataPlane.endpoint(name).requireMain()
        if (!variant.ready) variant.requireReady()
        exchange.json(200, JSON.stringify({ name, ready: true }))
      },
    },
    {
      method: 'POST',
      path: `${MODEL}::predict`,
      target: ({ name = '' }) => ({ name, version: undefined }),
      converse: (request) => predictConversation(request, host),
    },
    {
      method: 'POST',
      path: `${MODEL}::explain`,
      access: 'predict',
      handle: (_, { name = '' }) => {
        dataPlane.endpoint(name)
        throw new SlipwayError('SLW_NOT_IMPLEMENTED', `the model "${name}" has no explainer: this server answers :predict`)
      },
    },
  ]
}

/** How an event comes, and goes: as headers beside its data, or as one JSON body. */
type EventMode = 'binary' | 'structured'

function predictConversation(request: Asking, { bodies, limits, dataPlane }: DialectHost): Conversation {
  let mode: EventMode | undefined
  let asked: { readonly signature: Signature; readonly question: Question }
  return {
    async prepare(body, { signature }) {
      mode = eventMode(request)
      if (mode === 'binary') checkEvent((name) => request.header(`ce-${name}`))
      const read = await bodies.read(mode === 'binary' ? 'batch' : 'event', { body, header: undefined, signature, limits, form: FORM })
      const question = questionOf(signature, read)
      asked = { signature, question }
      return question
    },
    async answer({ subject, outputs, context }) {
      const { signature, question } = asked
      const written = await bodies.write('predictions', { signature, outputs, asked: question.asked, rows: question.rows })
      return answerOf(written, mode, { subject, id: context.predictionId, epochMs: dataPlane.clock.epochMs() })
    },
  }
}

/** @throws SLW_UNSUPPORTED_MEDIA_TYPE */
function eventMode(request: Asking): EventMode | undefined {
  const type = (request.header('content-type') ?? 'application/json').split(';')[0]!.trim().toLowerCase()
  if (type === EVENT_TYPE) return 'structured'
  if (!JSON_TYPES.has(type))
    throw new SlipwayError('SLW_UNSUPPORTED_MEDIA_TYPE', `Content-Type "${type}" is not read; send application/json or ${EVENT_TYPE}`)
  return EVENT_ATTRIBUTES.some((name) => request.header(`ce-${name}`) !== undefined) ? 'binary' : undefined
}

/** The attributes of an answer are KServe's: its type, and the model as its source. */
function answerOf(
  { body }: Written,
  mode: EventMode | undefined,
  { subject, id, epochMs }: { readonly subject: Subject; readonly id: string; readonly epochMs: number },
): Answer {
  if (mode === undefined) return { type: 'application/json', body }
  const event = {
    specversion: '1.0',
    id,
    source: `io.kserve.inference.${subject.endpoint}`,
    type: 'io.kserve.inference.response',
    time: new Date(epochMs).toISOString(),
  }
  if (mode === 'structured') return { type: EVENT_TYPE, body: `${JSON.stringify(event).slice(0, -1)},"data":${body.toString()}}` }
  const headers = Object.fromEntries(Object.entries(event).map(([name, value]) => [`ce-${name}`, value]))
  return { type: 'application/json', body, headers }
}
