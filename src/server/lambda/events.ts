/**
 * Events by which AWS Lambda brings HTTP requests, and the answers to them: API Gateway's REST and HTTP APIs (payload formats 1.0 and 2.0),
 * function URLs (2.0), load balancers (Elastic Load Balancing, "Lambda functions as targets"). Any other event is a payload for a model.
 */
import { STATUS_CODES } from 'node:http'
import { SlipwayError } from '../../core/errors.ts'
import type { IncomingHttpHeaders } from 'node:http'

/** What an event asks for, as a request. */
export interface EventRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  /** By lower-case name; those of a hop, which end at Lambda, are left out. */
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: Buffer
  /** The form of its answer. `direct`: none of HTTP. */
  readonly form: 'v1' | 'v2' | 'balancer' | 'balancer with lists' | 'direct'
}

export interface EventAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

type Fields = Readonly<Record<string, unknown>>

/** Headers that belong to one connection, or that the server sets itself. */
const OF_A_HOP = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'proxy-connection',
])

/** @throws SLW_BAD_REQUEST for an event that is no JSON, or looks like one of HTTP and is none */
export function requestOfEvent(event: Buffer): EventRequest {
  let fields: unknown
  try {
    fields = JSON.parse(event.toString())
  } catch {
    throw new SlipwayError('SLW_BAD_REQUEST', 'the event is no JSON')
  }
  if (!isFields(fields) || !isFields(fields['requestContext'])) return direct(event)
  const context = fields['requestContext']
  if (fields['version'] === '2.0' && isFields(context['http'])) return ofVersion2(fields, context, context['http'])
  if (typeof fields['httpMethod'] === 'string') return isFields(context['elb']) ? ofBalancer(fields) : ofVersion1(fields)
  return direct(event)
}

/** A payload by itself is a request to the default model. */
function direct(event: Buffer): EventRequest {
  return { method: 'POST', target: '/predict', headers: { 'content-type': 'application/json' }, body: event, form: 'direct' }
}

function ofVersion2(event: Fields, context: Fields, http: Fields): EventRequest {
  const stage = textOf(context['stage'])
  const path = withoutStage(textOf(event['rawPath']) || '/', stage)
  const query = textOf(event['rawQueryString'])
  const cookies = Array.isArray(event['cookies']) ? event['cookies'].map(String) : []
  const headers = headersOf(event['headers'], undefined)
  return {
    method: textOf(http['method']) || 'GET',
    target: safe(query === '' ? path : `${path}?${query}`),
    headers: cookies.length === 0 ? headers : { ...headers, cookie: cookies.join('; ') },
    body: bodyOf(event),
    form: 'v2',
  }
}

/** The stage of an HTTP API is the beginning of its paths, unless it is the default one. */
function withoutStage(path: string, stage: string): string {
  if (stage === '' || stage === '$default') return path
  return path === `/${stage}` ? '/' : path.startsWith(`/${stage}/`) ? path.slice(stage.length + 1) : path
}

function ofVersion1(event: Fields): EventRequest {
  // Values are decoded in these events.
  const query = queryOf(event, encodeURIComponent)
  return {
    method: textOf(event['httpMethod']),
    target: safe(`${textOf(event['path']) || '/'}${query}`),
    headers: headersOf(event['headers'], event['multiValueHeaders']),
    body: bodyOf(event),
    form: 'v1',
  }
}

function ofBalancer(event: Fields): EventRequest {
  // A load balancer leaves values as they came.
  const query = queryOf(event, (text) => text)
  return {
    method: textOf(event['httpMethod']),
    target: safe(`${textOf(event['path']) || '/'}${query}`),
    headers: headersOf(event['headers'], event['multiValueHeaders']),
    body: bodyOf(event),
    form: isFields(event['multiValueHeaders']) ? 'balancer with lists' : 'balancer',
  }
}

function queryOf(event: Fields, encode: (text: string) => string): string {
  const lists = event['multiValueQueryStringParameters']
  const singles = event['queryStringParameters']
  const pairs = isFields(lists)
    ? Object.entries(lists).flatMap(([name, values]) => (Array.isArray(values) ? values : [values]).map((value) => [name, value] as const))
    : Object.entries(isFields(singles) ? singles : {})
  if (pairs.length === 0) return ''
  return `?${pairs.map(([name, value]) => `${encode(name)}=${encode(String(value ?? ''))}`).join('&')}`
}

function headersOf(singles: unknown, lists: unknown): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries({ ...(isFields(singles) ? singles : {}), ...(isFields(lists) ? lists : {}) })) {
    const own = name.toLowerCase()
    if (OF_A_HOP.has(own) || !/^[\w!#$%&'*+.^`|~-]+$/.test(own)) continue
    const values = (Array.isArray(value) ? value : [value]).map((one) => String(one ?? '').replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, ''))
    headers[own] = values.length === 1 ? values[0]! : values
  }
  // The server of this process answers to its own name alone.
  const host = headers['host']
  delete headers['host']
  if (host !== undefined) headers['x-forwarded-host'] ??= host
  return headers
}

function bodyOf(event: Fields): Buffer {
  const body = event['body']
  if (typeof body !== 'string') return Buffer.alloc(0)
  return Buffer.from(body, event['isBase64Encoded'] === true ? 'base64' : 'utf8')
}

/** Characters that no request line may have. */
function safe(target: string): string {
  const path = target.startsWith('/') ? target : `/${target}`
  return path.replaceAll(/[^\x21-\x7e]/gu, (character) => encodeURIComponent(character.isWellFormed() ? character : '\ufffd'))
}

function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Bytes that Lambda takes as a buffered answer, and a load balancer as one of a function. */
const ANSWER_BYTES_MAX = 6 * 1024 * 1024
const BALANCER_BYTES_MAX = 1024 * 1024

/**
 * An answer in the form of its event.
 * @throws SLW_OUTPUT_TOO_LARGE where whoever sent the event takes no such answer
 */
export function answerToEvent(form: EventRequest['form'], answer: EventAnswer): string | Buffer {
  const limit = form.startsWith('balancer') ? BALANCER_BYTES_MAX : ANSWER_BYTES_MAX
  const text = form === 'direct' ? answer.body : JSON.stringify(httpAnswer(form, answer))
  const size = Buffer.byteLength(text)
  if (size <= limit) return text
  throw new SlipwayError(
    'SLW_OUTPUT_TOO_LARGE',
    `the answer has ${size} bytes, and ${limit} are taken${form.startsWith('balancer') ? '' : '; ask for fewer rows, or let answers be streamed (--response-mode stream)'}`,
  )
}

function httpAnswer(form: Exclude<EventRequest['form'], 'direct'>, { status, headers, body }: EventAnswer): object {
  const lists = listsOf(headers)
  const singles = Object.fromEntries(Object.entries(lists).map(([name, values]) => [name, values.join(', ')]))
  const base64 = !isText(headers)
  const content = { statusCode: status, body: body.toString(base64 ? 'base64' : 'utf8'), isBase64Encoded: base64 }
  switch (form) {
    case 'v2':
      return { ...content, ...preludeOf({ status, headers }) }
    case 'v1':
      return { ...content, headers: singles, multiValueHeaders: lists }
    case 'balancer with lists':
      return { ...content, statusDescription: described(status), multiValueHeaders: lists }
    case 'balancer':
      return { ...content, statusDescription: described(status), headers: singles }
  }
}

/** Status and headers, as they stand in an answer of format 2.0 and before one that is streamed. */
export function preludeOf({ status, headers }: Pick<EventAnswer, 'status' | 'headers'>): object {
  const { 'set-cookie': cookies, ...rest } = listsOf(headers)
  const singles = Object.fromEntries(Object.entries(rest).map(([name, values]) => [name, values.join(', ')]))
  return { statusCode: status, headers: singles, ...(cookies !== undefined && { cookies }) }
}

function listsOf(headers: IncomingHttpHeaders): Record<string, string[]> {
  const kept = Object.entries(headers).filter(([name, value]) => value !== undefined && !OF_A_HOP.has(name))
  return Object.fromEntries(kept.map(([name, value]) => [name, Array.isArray(value) ? value : [value!]]))
}

function described(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? 'Unknown'}`
}

/** Whether a body goes as text: whoever sent the event would otherwise take it for Base64. */
function isText({ 'content-type': type = 'text/plain', 'content-encoding': encoding }: IncomingHttpHeaders): boolean {
  return encoding === undefined && /^(?:text\/|application\/(?:[\w.+-]*json|jsonlines|xml|javascript|yaml|openmetrics-text)\b)/i.test(type)
}
